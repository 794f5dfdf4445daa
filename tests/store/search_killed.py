"""A search that is killed again and again; run by test_writer.py: python search_killed.py FOLDER.

The parent imports and builds everything once; each child is a fork of it, which searches until it is killed.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import statistics
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import repsearch as rs

KILLS = 50
MOST = 3
"""A child is killed before it has this many shards more: 50 of them leave some of the 200 undone."""


def times(folder: Path) -> dict[str, int]:
    """When each finished shard was written: it is there whole, or not at all."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")}


def between_shards(folder: Path) -> float:
    """Seconds a shard takes: the median, which neither a first, slow one nor a pause of the machine moves."""
    written = sorted(times(folder).values())
    return statistics.median(later - earlier for earlier, later in pairwise(written)) / 1e9


def main(root: Path) -> None:
    data = rs.load("digits", train=200, validation=10, test=10)
    preset = rs.presets.smoke("digits")
    config = replace(preset.search, shard=1)
    network = rs.search_network(data, preset)

    def search(folder: Path) -> rs.Targets:
        return rs.search(network, data.train, config, store=folder, progress=False)

    search(root / "undisturbed")
    seconds = between_shards(root / "undisturbed")

    fork = multiprocessing.get_context("fork")
    draw, kills, tries, folder = random.Random(0), 0, 0, root / "killed"
    while kills < KILLS:
        tries += 1
        assert tries < 4 * KILLS, f"only {kills} of {tries} searches were killed before they ended"
        before = times(folder)
        child = fork.Process(target=search, args=(folder,))
        child.start()
        wanted = len(before) + draw.randrange(MOST)  # what was done, not the clock, says when: a busy machine may be slow
        while child.is_alive() and len(times(folder)) < wanted:
            time.sleep(seconds / 10)
        time.sleep(draw.uniform(0, seconds))
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        after = times(folder)
        assert all(after[name] == before[name] for name in before), "a finished shard was made again"
    done = len(times(folder))
    search(folder)
    print(f"killed {kills} times in {tries} searches, {done} of {len(data.train)} shards done by then")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
