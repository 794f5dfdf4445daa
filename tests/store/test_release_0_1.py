"""What release 0.1 wrote: its folders of targets are read, and their searches go on."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.presets import Preset
from repsearch.store.folder import discard, verify
from repsearch.store.manifest import _json, read_manifest

WRITTEN = Path(__file__).parent / "release-0.1" / "targets"
"""Made by release 0.1: two digits, 2 channels, two generations a layer."""


def test_its_folders_are_read() -> None:
    assert json.loads((WRITTEN / "manifest.json").read_text())["format"] == 2
    targets = rs.Targets.open(WRITTEN)
    assert targets.layers == ("block0", "block1", "block2", "logits") and len(targets) == 2
    assert targets.shape("block0") == (2, 15, 15) and verify(WRITTEN) == {}
    # What 0.1 itself read there.
    sums = [float(targets.read(layer).sum()) for layer in targets.layers]
    assert sums == pytest.approx([-0.023921967, -0.003787994, 0.002685547, 0.000213623], abs=1e-6)


def test_its_searches_go_on(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """A folder whose manifest is put into the format of 0.1 is finished, and holds what it would have held."""
    images = data.train[:8]
    whole = rs.search(network, images, preset.search, store=tmp_path / "t", progress=False)
    expected = {layer: whole.read(layer) for layer in whole.layers}
    discard(tmp_path / "t", ["shard-00001.safetensors"])
    manifest = read_manifest(tmp_path / "t")
    old = {key: value for key, value in manifest.items() if key not in ("algorithm", "start", "multiply_adds")}
    old |= {"format": 2, "library": "0.1.0"}
    (tmp_path / "t" / "manifest.json").write_bytes(_json({**old, "sha256": hashlib.sha256(_json(old)).hexdigest()}))

    again = rs.search(network, images, preset.search, store=tmp_path / "t", progress=False)
    assert all(torch.equal(again.read(layer), H) for layer, H in expected.items())
    assert read_manifest(tmp_path / "t")["format"] == 3
    with pytest.raises(rs.InputError, match="targets of another seed"):
        rs.search(network, images, preset.search, seed=1, store=tmp_path / "t", progress=False)


def test_a_store_that_does_not_say_what_it_cost() -> None:
    assert rs.Targets.open(WRITTEN).manifest["multiply_adds"] is None


@pytest.mark.parametrize(("old", "new"), [
    ("plots", "reproduce.figures"), ("targets", "store.reader"), ("trainings", "reproduce.trainings"), ("run", "searching"),
    ("evidence", "reproduce.verdicts"), ("kernel", "engine.kernel"),
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
