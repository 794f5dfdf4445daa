"""Several processes on one search: the same bytes as one, and a lost one costs no finished shard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SEARCH = ["-m", "repsearch", "search", "--quiet", "--validation", "10", "--test", "10"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path, train: int) -> subprocess.CompletedProcess[str]:
    arguments = [*command, *SEARCH, "--train", str(train), "--out", str(folder)]
    return subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [4])
def test_the_same_bytes_from_one_process_or_several(tmp_path: Path, processes: int) -> None:
    alone = run([sys.executable], tmp_path / "one", 400)
    assert alone.returncode == 0, alone.stderr
    together = run([*TORCHRUN, str(processes)], tmp_path / "several", 400)
    assert together.returncode == 0, together.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "several")
    assert together.stdout.count("mean probability of the label") == 1  # the first rank reports, the others are silent


@pytest.mark.slow
def test_more_processes_than_shards_are_told_so(tmp_path: Path) -> None:
    done = run([*TORCHRUN, "2"], tmp_path / "targets", 40)
    assert done.returncode == 0 and done.stderr.count("2 processes share 1 shards, so some have nothing to do") == 1


LONG = 1000
"""Images of a search that is long enough to be disturbed."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets") / "undisturbed"
    assert run([sys.executable], folder, LONG).returncode == 0
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the ranks in /proc")
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_rank_is_an_error_and_the_next_start_resumes(tmp_path: Path, undisturbed: Path, lost: int) -> None:
    folder = tmp_path / "targets"
    command = [*TORCHRUN, "2", *SEARCH, "--train", str(LONG), "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as job:
        while job.poll() is None and len(shards(folder)) < 2:
            time.sleep(0.05)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        ranks = {environment(pid).get("RANK"): int(pid) for pid in children}
        os.kill(ranks[str(lost)], signal.SIGKILL)
        errors = job.communicate()[1]
    assert job.returncode != 0 and "SIGKILL" in errors
    finished = shards(folder)
    assert 2 <= len(finished) < 16
    times = {name: (folder / name).stat().st_mtime_ns for name in finished}

    again = run([*TORCHRUN, "2"], folder, LONG)
    assert again.returncode == 0, again.stderr
    assert {name: (folder / name).stat().st_mtime_ns for name in finished} == times
    assert contents(folder) == contents(undisturbed)


def shards(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("shard-*")]


def environment(pid: str) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


LATE = """
import sys, time, datetime, torch.distributed as dist
import repsearch as rs
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=5))
data = rs.load("digits", train=20, validation=10, test=10)
config = rs.SearchConfig((rs.LayerSearch(1, 0.2),) * 4, parents=2, explorers=2, refiners=2, shard=1)
network = rs.search_network(data, rs.presets.smoke("digits"))

def search(seed, images=4):
    try:
        return str(len(rs.search(network, data.train[:images], config, seed, f"{folder}/t", progress=False)))
    except rs.InputError as error:
        return str(error)

if rank:
    time.sleep(8)
print(search(rank), search(0), search(1), sep="\\n", flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_of_different_searches_all_stop_and_can_search_again(tmp_path: Path) -> None:
    """And one may come later than the user's own group would wait."""
    command = [sys.executable, "-c", LATE]
    jobs = [subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
            for rank in range(2)]
    first, second = (job.communicate()[0].splitlines() for job in jobs)
    assert [job.returncode for job in jobs] == [0, 0]
    other = f"{tmp_path}/t/manifest.json: targets of another seed; name another folder or delete it"
    assert first == [f"ranks: process 1 has stopped: {other}", "4", other]
    assert second == [other, "4", f"ranks: process 0 has stopped: {other}"]
