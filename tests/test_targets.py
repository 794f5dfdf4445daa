"""Targets on disk: what is written is read, what does not belong or is damaged is named."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.presets import Preset


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
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("shard-00001.safetensors", "shard-00004.safetensors"):
        del manifest["shards"][name]
        (folder / name).unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
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


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "delete"])
def test_a_damaged_shard_is_named(
    folder: Path, damage: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    shard = folder / "shard-00002.safetensors"
    content = shard.read_bytes()
    if damage == "delete":
        shard.unlink()
    else:
        flipped = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
        shard.write_bytes({"truncate": content[:-7], "flip": flipped, "empty": b""}[damage])
    opened = rs.Targets.open(folder)
    opened.read("block0", 0, 8)  # the shards before it are whole
    with pytest.raises(rs.InputError, match=r"shard-00002\.safetensors: .*damaged"):
        opened.read("block0")
    with pytest.raises(rs.InputError, match=r"shard-00002\.safetensors: missing or damaged; delete"):
        rs.search(network, data.train, preset.search, store=folder, progress=False)


@pytest.mark.parametrize(("content", "message"), [
    ("", "damaged"), ("{", "damaged"), ("[]", "lacks"), ("{}", "lacks configuration, data"),
])
def test_a_damaged_manifest(folder: Path, content: str, message: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(rs.InputError, match=message):
        rs.Targets.open(folder)


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
