"""A search that is killed again and again; run by test_writer.py: python search_killed.py FOLDER.

The parent imports and builds everything once; each child is a fork of it, which searches until it is killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import repsearch as rs

KILLS = 50


def times(folder: Path) -> dict[str, int]:
    """When each finished shard was written: it is there whole, or not at all."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")}


def main(root: Path) -> None:
    data = rs.load("digits", train=200, validation=10, test=10)
    preset = rs.presets.smoke("digits")
    config = replace(preset.search, shard=1)
    network = rs.search_network(data, preset)

    def search(folder: Path) -> rs.Targets:
        return rs.search(network, data.train, config, store=folder, progress=False)

    start = time.perf_counter()
    search(root / "undisturbed")
    seconds = time.perf_counter() - start

    draw, kills, tries, folder = random.Random(0), 0, 0, root / "killed"
    while kills < KILLS:
        tries += 1
        assert tries < 4 * KILLS, f"only {kills} of {tries} searches were killed before they ended"
        before = times(folder)
        child = os.fork()
        if child == 0:
            search(folder)
            os._exit(0)
        time.sleep(draw.uniform(0, seconds * 3 / KILLS))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
        after = times(folder)
        assert all(after[name] == before[name] for name in before), "a finished shard was made again"
    done = len(times(folder))
    search(folder)
    print(f"killed {kills} times in {tries} searches, {done} of {len(data.train)} shards done by then")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
