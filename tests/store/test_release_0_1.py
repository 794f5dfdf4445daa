"""What earlier releases wrote: their folders of targets are read, and their searches go on."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from folders import age, contents, rounded, unfinish

import repsearch as rs
from repsearch.presets import Preset
from repsearch.store.folder import verify
from repsearch.store.manifest import read_manifest

WRITTEN = Path(__file__).parent / "release-0.1" / "targets"
"""Made by release 0.1: two digits, 2 channels, two generations a layer."""
FORMAT_3 = Path(__file__).parent / "format-3"
"""The same search by the last version that wrote format 3, and the network."""


@pytest.mark.parametrize(("folder", "version"), [(WRITTEN, 2), (FORMAT_3 / "targets", 3)], ids=["0.1", "format 3"])
def test_its_folders_are_read(folder: Path, version: int) -> None:
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["format"] == version
    targets = rs.Targets.open(folder)
    assert targets.layers == ("block0", "block1", "block2", "logits") and len(targets) == 2
    assert targets.shape("block0") == (2, 15, 15) and verify(folder) == {}
    # What the version that wrote them read there.
    sums = [float(targets.read(layer).sum()) for layer in targets.layers]
    assert sums == pytest.approx([-0.023921967, -0.003787994, 0.002685547, 0.000213623], abs=1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_its_searches_go_on(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset, version: int) -> None:
    """A folder in an earlier format is finished, and holds what it would have held."""
    images, folder = data.train[:8], tmp_path / "t"
    whole = rs.search(network, images, preset.search, store=folder, progress=False)
    expected = {layer: whole.read(layer) for layer in whole.layers}
    age(folder, network, version)
    before = contents(folder)
    rs.search(network, images, preset.search, store=folder, progress=False)
    assert contents(folder) == before  # finished, so that it is only read

    unfinish(folder, [1])
    again = rs.search(network, images, preset.search, store=folder, progress=False)
    assert all(torch.equal(again.read(layer), H) for layer, H in expected.items())
    assert read_manifest(folder)["format"] == 4 and verify(folder) == {}
    with pytest.raises(rs.InputError, match="targets of another seed"):
        rs.search(network, images, preset.search, seed=1, store=folder, progress=False)


def test_a_folder_of_format_3_is_finished_and_found_again_without_its_manifest(tmp_path: Path) -> None:
    data, smoke = rs.load("digits", train=10, validation=10, test=10), rs.presets.smoke()
    written = read_manifest(FORMAT_3 / "targets")["configuration"]
    config = rs.SearchConfig(**{**written, "schedule": [rs.LayerSearch(**row) for row in written["schedule"]]})
    network = rs.search_network(data, replace(smoke, width=2, search=config))
    network.load_state_dict(safetensors.torch.load((FORMAT_3 / "network.safetensors").read_bytes()))
    folder = shutil.copytree(FORMAT_3 / "targets", tmp_path / "t")
    first = (folder / "shard-00000.safetensors").read_bytes()
    unfinish(folder, [1])
    targets = rs.search(network, data.train[:2], config, store=folder, progress=False)
    assert (folder / "shard-00000.safetensors").read_bytes() == first
    for layer in targets.layers:
        assert torch.allclose(targets.read(layer), rs.Targets.open(FORMAT_3 / "targets").read(layer), atol=0.01)
    finished = read_manifest(folder)["shards"]
    (folder / "manifest.json").unlink()  # the first shard says that it is of format 3, the second that it is of 4
    rs.search(network, data.train[:2], config, store=folder, progress=False)
    assert read_manifest(folder)["shards"] == finished and (folder / "shard-00000.safetensors").read_bytes() == first
    with pytest.raises(rs.InputError, match="targets of another network"):
        rs.search(rounded(network, 2e-7), data.train[:2], config, store=FORMAT_3 / "targets", progress=False)


def test_a_store_that_does_not_say_what_it_cost() -> None:
    assert rs.Targets.open(WRITTEN).manifest["multiply_adds"] is None


@pytest.mark.parametrize(("old", "new"), [
    ("plots", "reproduce.figures"), ("targets", "store.reader"), ("trainings", "reproduce.trainings"), ("run", "searching"),
    ("evidence", "reproduce.intervals"), ("kernel", "engine.kernel"),
])
def test_modules_of_0_1_say_where_they_are(old: str, new: str) -> None:
    with pytest.raises(ImportError, match=rf"repsearch\.{old} of release 0\.1 is repsearch\.{new} since 0\.2"):
        importlib.import_module(f"repsearch.{old}")
    with pytest.raises(AttributeError, match=f"is repsearch\\.{new} since"):
        getattr(rs, old)
    importlib.import_module(f"repsearch.{new}")


@pytest.mark.parametrize(("old", "new"), [("search", "reference"), ("learn", "learning and fitting")])
def test_functions_that_were_modules(old: str, new: str) -> None:
    with pytest.raises(ImportError, match=f"repsearch.{old} is a function since 0.2; .* in repsearch.{new}"):
        importlib.import_module(f"repsearch.{old}")
    assert callable(getattr(rs, old))


@pytest.mark.parametrize(("statement", "new"), [
    ("from repsearch.networks import convnet", "airbench.convnet"), ("from repsearch.data import default_root", "sources.default_root"),
    ("from repsearch.engine import KernelEngine", "engine.kernel_engine.KernelEngine"),
    ("from repsearch.bench import machine_peaks", "bench.machine.machine_peaks"),
    ("from repsearch.reproduce import points", "reproduce.catalogue.runs"),
])
def test_names_of_0_1_say_where_they_are(statement: str, new: str) -> None:
    with pytest.raises(ImportError, match=rf"of release 0\.1 is repsearch\.{new} since 0\.2"):
        exec(statement)
    room, _, name = new.rpartition(".")
    assert hasattr(importlib.import_module(f"repsearch.{room}"), name)


def test_a_name_that_never_was() -> None:
    with pytest.raises(AttributeError, match=r"module 'repsearch\.networks' has no attribute 'covnet'"):
        rs.networks.covnet  # noqa: B018
    with pytest.raises(AttributeError, match="module 'repsearch' has no attribute 'serch'"):
        rs.serch  # noqa: B018
