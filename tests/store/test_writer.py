"""Targets are written whole or not at all; a search goes on where it stopped, and only in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from folders import contents, unfinish

import repsearch as rs
from repsearch.presets import Preset
from repsearch.store import writer
from repsearch.store.folder import verify

KILLED = Path(__file__).with_name("search_killed.py")


def test_an_interrupted_search_resumes_to_the_same_bytes(
    stored: Path, folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    unfinish(folder, [1, 4])
    with pytest.raises(rs.InputError, match="has 3 of 5 shards; run its search again, which goes on there"):
        rs.Targets.open(folder)
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)
    assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.parametrize("state", ["finished", "unfinished"])
@pytest.mark.parametrize("what", ["another seed", "another search configuration", "other images or labels", "another network",
                                  "another choice of layers"])
def test_a_folder_of_another_search(
    folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset, what: str, state: str
) -> None:
    if state == "unfinished":
        unfinish(folder, [4])
    before = contents(folder)
    arguments = {"network": network, "data": data.train, "config": preset.search, "seed": 0}
    arguments |= {
        "another seed": {"seed": 1},
        "another search configuration": {"config": replace(preset.search, input_noise=0.1)},
        "other images or labels": {"data": data.train[:10]},
        "another network": {"network": rs.search_network(data, preset, seed=5)},
        "another choice of layers": {"layers": ("block0", "block1")},
    }[what]
    with pytest.raises(rs.InputError, match=f"targets of {what}; name another folder or delete it"):
        rs.search(**arguments, store=folder, progress=False)  # type: ignore[arg-type]
    assert contents(folder) == before


@pytest.mark.parametrize("lost", ["damaged", "deleted"])
def test_a_lost_manifest_is_made_again_from_the_shards(
    folder: Path, stored: Path, lost: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    manifest = folder / "manifest.json"
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")}
    if lost == "damaged":
        manifest.write_text("{")
        with pytest.raises(rs.InputError, match=r"manifest\.json: damaged.*run its search again: it keeps the finished shards"):
            rs.Targets.open(folder)
    else:
        manifest.unlink()
    # Whoever searches something else in that folder must not get these shards, nor lose them.
    with pytest.raises(rs.InputError, match="a shard of another search"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rs.search(network, data.train, preset.search, seed=9, store=folder, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")} == times


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; the error is the operating system's own."""
    code = f"""
import resource, sys, repsearch as rs
sys.path.insert(0, {str(Path(__file__).parent)!r})
data = rs.load("digits", train=8, validation=8, test=8)
preset = rs.presets.smoke("digits")
network = rs.search_network(data, preset)
from dataclasses import replace
rows = tuple(replace(row, generations=1) for row in preset.search.schedule)
config = replace(preset.search, schedule=rows, shard=2)
rs.search(network, data.train[:4], config, progress=False)  # compiles
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    rs.search(network, data.train, config, store={str(tmp_path / "t")!r}, progress=False)
except rs.InputError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
rs.search(network, data.train, config, store={str(tmp_path / "t")!r}, progress=False)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "shard-00000.safetensors: cannot be written (File too large); free space or choose another folder" in done.stdout
    assert verify(tmp_path / "t") == {} and len(rs.Targets.open(tmp_path / "t")) == 8
    assert not list((tmp_path / "t").glob(".*.tmp"))


def test_the_manifest_is_not_written_again_for_every_shard(
    tmp_path: Path, stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, real = [], writer.write_manifest
    monkeypatch.setattr(writer, "PATIENCE", 1000.0)
    monkeypatch.setattr(writer, "write_manifest", lambda *what: (written.append(len(what[1]["shards"])), real(*what)))
    rs.search(network, data.train, preset.search, store=tmp_path, progress=False)
    assert written == [0, 1, 5]  # at once, so that one sees something, and at the end
    assert contents(tmp_path) == contents(stored)


@pytest.mark.slow
def test_killed_fifty_times(tmp_path: Path) -> None:
    """SIGKILL at 50 random moments: the finished folder is an undisturbed one's; no finished shard is made again."""
    done = subprocess.run([sys.executable, KILLED, tmp_path], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    assert "killed 50 times" in done.stdout


def test_a_folder_that_holds_no_targets(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match=r"no manifest\.json there"):
        rs.Targets.open(tmp_path / "nothing")
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(rs.InputError, match=r"holds other files and no manifest\.json"):
        rs.search(network, data.train, preset.search, store=tmp_path, progress=False)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_store_that_cannot_be_written(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(rs.InputError, match="cannot be written"):
        rs.search(network, data.train, preset.search, store=blocked / "targets", progress=False)
    if os.geteuid() != 0:  # root may write anywhere
        blocked.unlink()
        tmp_path.chmod(0o500)
        with pytest.raises(rs.InputError, match="cannot be written"):
            rs.search(network, data.train, preset.search, store=tmp_path / "targets", progress=False)
        tmp_path.chmod(0o700)


def test_activations_beyond_float16_are_an_error(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    network = rs.search_network(data, preset)
    with torch.no_grad():
        network.head[1].weight *= 1e7  # type: ignore[index,operator]
    with pytest.raises(rs.InputError, match="network: logits exceeds the range of float16"):
        rs.search(network, data.train[:2], preset.search, store=tmp_path / "t", progress=False)
    assert sorted(contents(tmp_path / "t")) == ["manifest.json", "statistics.safetensors"]
