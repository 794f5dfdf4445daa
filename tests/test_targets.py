"""Targets on disk: what is written is read, what does not belong or is damaged is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import repsearch as rs
from repsearch.presets import Preset
from repsearch.writer import discard, verify

KILLED = Path(__file__).with_name("search_killed.py")
LARGE = Path(__file__).with_name("large_targets.py")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, network: rs.Network, data: rs.Dataset, preset: Preset) -> Path:
    folder = tmp_path_factory.mktemp("targets") / "digits"
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path / "digits")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_and_memory_hold_the_same(stored: Path, targets: rs.Targets) -> None:
    assert sorted(contents(stored)) == ["manifest.json", *(f"shard-{i:05d}.safetensors" for i in range(5))]
    opened = rs.Targets.open(stored)
    assert len(opened) == 20 and opened.layers == targets.layers
    for layer in targets.layers:
        assert torch.equal(opened.read(layer), targets.read(layer))
        assert torch.equal(opened.read(layer, 3, 9), targets.read(layer)[3:9])
        assert torch.equal(opened.cross_entropy(layer), targets.cross_entropy(layer))
    assert torch.equal(opened.probability, targets.probability)


def test_an_interrupted_search_resumes_to_the_same_bytes(
    stored: Path, folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    discard(folder, ["shard-00001.safetensors", "shard-00004.safetensors"])
    with pytest.raises(rs.InputError, match="has 3 of 5 shards; run the search again with this store"):
        rs.Targets.open(folder)
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)
    assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.parametrize("what", ["seed", "search configuration", "images or labels", "network"])
def test_a_folder_of_another_search(
    folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset, what: str
) -> None:
    before = contents(folder)
    arguments = {"network": network, "data": data.train, "config": preset.search, "seed": 0}
    arguments |= {
        "seed": {"seed": 1},
        "search configuration": {"config": replace(preset.search, input_noise=0.1)},
        "images or labels": {"data": data.train[:10]},
        "network": {"network": rs.search_network(data, preset, seed=5)},
    }[what]
    with pytest.raises(rs.InputError, match=f"targets of another {what}; name another store or delete it"):
        rs.search(**arguments, store=folder, progress=False)  # type: ignore[arg-type]
    assert contents(folder) == before


def spoil(path: Path, damage: str, where: int) -> None:
    """Damage a file: cut it off, change a bit, empty or delete it; `where` is a byte."""
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
        return
    flipped = content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]
    path.write_bytes({"truncate": content[:where], "flip": flipped, "empty": b""}[damage])


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "delete"])
def test_a_damaged_shard_is_named_and_repaired(
    folder: Path, stored: Path, damage: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    shard = folder / "shard-00002.safetensors"
    spoil(shard, damage, 5000)
    opened = rs.Targets.open(folder)
    opened.read("block0", 0, 8)  # the shards before it are whole
    what = r"shard-00002\.safetensors: (damaged|missing).*repair it with: python -m repsearch targets verify .* --repair"
    with pytest.raises(rs.InputError, match=what):
        opened.read("block0")
    with pytest.raises(rs.InputError, match=what):
        rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert list(verify(folder)) == [shard.name]

    kept = (folder / "shard-00001.safetensors").stat().st_mtime_ns
    discard(folder, [shard.name])
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored) and verify(folder) == {}
    assert (folder / "shard-00001.safetensors").stat().st_mtime_ns == kept


def test_every_region_of_a_shard_is_guarded(folder: Path) -> None:
    shard = folder / "shard-00003.safetensors"
    whole = shard.read_bytes()
    for where in np.linspace(0, len(whole) - 1, 60).astype(int):
        for damage in ("flip", "truncate"):
            spoil(shard, damage, where)
            assert list(verify(folder)) == [shard.name], (damage, where)
            shard.write_bytes(whole)
    assert verify(folder) == {}


def test_every_byte_of_the_manifest_is_guarded(folder: Path) -> None:
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    for where in range(len(whole)):
        spoil(manifest, "flip", where)
        with pytest.raises(rs.InputError, match=r"manifest\.json: (damaged|lacks|format)"):
            rs.Targets.open(folder)
        manifest.write_bytes(whole)
    for where in range(0, len(whole), 50):
        spoil(manifest, "truncate", where)
        with pytest.raises(rs.InputError, match=r"manifest\.json: damaged"):
            verify(folder)
        manifest.write_bytes(whole)


def test_shards_swapped_within_and_between_folders(
    folder: Path, tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    other = tmp_path / "other"
    rs.search(network, data.train, preset.search, seed=1, store=other, progress=False)
    one, two = folder / "shard-00000.safetensors", folder / "shard-00001.safetensors"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    shutil.copy(other / "shard-00003.safetensors", folder)
    assert sorted(verify(folder)) == [f"shard-0000{i}.safetensors" for i in (0, 1, 3)]


@pytest.mark.parametrize("lost", ["damaged", "deleted"])
def test_a_lost_manifest_is_made_again_from_the_shards(
    folder: Path, stored: Path, lost: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    manifest = folder / "manifest.json"
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*")}
    if lost == "damaged":
        manifest.write_text("{")
        with pytest.raises(rs.InputError, match=r"manifest\.json: damaged.*run the search again with this store"):
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


def test_two_searches_in_one_folder(folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    before = contents(folder)
    code = (
        "import sys; from pathlib import Path; from repsearch.writer import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        with pytest.raises(rs.InputError, match="another process is searching there; wait for it, or name another store"):
            rs.search(network, data.train, preset.search, store=folder, progress=False)
        other.kill()
    rs.search(network, data.train, preset.search, store=folder, progress=False)  # its lock went with it
    assert contents(folder) == before


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
    assert sorted(p.name for p in (tmp_path / "t").iterdir())[0] == "manifest.json"


@pytest.mark.slow
def test_killed_fifty_times(tmp_path: Path) -> None:
    """SIGKILL at 50 random moments: the finished folder is an undisturbed one's; no finished shard is made again."""
    done = subprocess.run([sys.executable, KILLED, tmp_path], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    assert "killed 50 times" in done.stdout


@pytest.mark.slow
def test_memory_does_not_grow_with_the_targets(tmp_path: Path) -> None:
    """A folder in the layout of the paper's sizes is read batch by batch: 1.2 GB of it in far less memory."""
    done = subprocess.run([sys.executable, LARGE, tmp_path, "8192"], capture_output=True, text=True, check=True)
    small, large = (float(line.split()[-1]) for line in done.stdout.splitlines()[-2:])
    assert large < small + 200, done.stdout


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
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["manifest.json"]


def test_an_unknown_layer(targets: rs.Targets) -> None:
    with pytest.raises(rs.InputError, match="layer='block7': unknown; choose one of block0, block1, block2, logits"):
        targets.read("block7")
