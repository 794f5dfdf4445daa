"""What may not be read or entered says so, and is neither called damaged nor written over."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401, as are figures: somebody else may not read them
from PIL import Image

import repsearch as rs
from repsearch.cli.main import main
from repsearch.presets import Preset
from repsearch.reproduce import figures  # noqa: F401

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="files have no owner here")
NOBODY = 65534


@contextmanager
def somebody(folder: Path) -> Iterator[None]:
    """Within the context root is somebody else, whose the folder is: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder.parent, folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "own"
        path.mkdir()
        yield path


def test_a_folder_that_cannot_be_entered(folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    (folder / "store").mkdir(mode=0)
    with pytest.raises(rs.InputError, match=r"store: cannot be entered \(Permission denied\); allow it, or name another"), somebody(folder):
        rs.search(network, data.train[:2], preset.search, store=folder / "store", progress=False)


def test_a_folder_that_can_be_entered_but_not_read(
    folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    (folder / "store").mkdir(mode=0o300)
    with pytest.raises(rs.InputError, match=r"store: cannot be read \(Permission denied\)"), somebody(folder):
        rs.search(network, data.train[:2], preset.search, store=folder / "store", progress=False)


def test_a_manifest_that_cannot_be_read_is_not_made_again(
    folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    rs.search(network, data.train[:2], preset.search, store=folder / "store", progress=False)
    manifest = folder / "store" / "manifest.json"
    before = manifest.read_bytes()
    manifest.chmod(0)
    for use in (lambda: rs.search(network, data.train[:2], preset.search, store=folder / "store", progress=False),
                lambda: rs.Targets.open(folder / "store")):
        with pytest.raises(rs.InputError, match=r"manifest.json: cannot be read \(Permission denied\); allow it"), somebody(folder):
            use()
    manifest.chmod(0o600)
    assert manifest.read_bytes() == before


def test_a_manifest_that_is_a_folder(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    (tmp_path / "store" / "manifest.json").mkdir(parents=True)
    with pytest.raises(rs.InputError, match=r"manifest.json: cannot be read \(it is not a file\)"):
        rs.search(network, data.train[:2], preset.search, store=tmp_path / "store", progress=False)


@pytest.mark.parametrize("name", ["own.npz", "cifar-10-batches-py/data_batch_1", "MNIST/raw", "pictures/train/a/0.png", "pictures/train/a"])
def test_data_that_cannot_be_read_is_not_called_damaged(folder: Path, name: str) -> None:
    if name == "own.npz":
        np.savez(folder / "own.npz", train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.zeros(2, int),
                 test_images=np.zeros((2, 8, 8), np.uint8), test_labels=np.zeros(2, int), classes=np.array(["a"]))
    for part in ("train", "test"):
        (folder / "pictures" / part / "a").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "pictures" / part / "a" / "0.png")
    path, data = folder / name, {"own": "own", "cif": "cifar10", "MNI": "mnist", "pic": "pictures"}[name[:3]]
    if name.startswith(("cifar", "MNIST")):
        path.parent.mkdir(parents=True)
        path.mkdir() if name == "MNIST/raw" else path.touch()
    path.chmod(0)
    try:
        with pytest.raises(rs.InputError) as found, somebody(folder):
            rs.load(data, root=folder)
    finally:
        path.chmod(0o700)
    said = str(found.value)
    assert "Permission denied" in said and "allow reading it" in said and str(path) in said
    assert not any(word in said for word in ("damaged", "delete", "remove", "write it again"))


def test_a_command_in_a_folder_that_cannot_be_entered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "locked").mkdir(mode=0)
    with somebody(folder):
        assert main(["demo", "--json", str(folder / "locked" / "record.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_statistics_that_are_damaged_are_said_to_be_so_on_another_processor(
    tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    """Whose own, in the last bits others, cannot take their place."""
    rs.search(network, data.train[:2], preset.search, store=tmp_path, progress=False)
    elsewhere = rs.search_network(data, preset)
    for module in elsewhere.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.nextafter_(torch.tensor(torch.inf))
    rs.search(elsewhere, data.train[:2], preset.search, store=tmp_path, progress=False)
    statistics = tmp_path / "statistics.safetensors"
    content = bytearray(statistics.read_bytes())
    content[-4:] = b"\x00\x00\x80\x3f"  # a number much changed, and still a number
    statistics.write_bytes(content)
    (tmp_path / "shard-00000.safetensors").unlink()
    with pytest.warns(UserWarning, match="making it again"):
        rs.search(network, data.train[:2], preset.search, store=tmp_path, progress=False)  # here they are made again
    statistics.write_bytes(content)
    with pytest.raises(rs.InputError, match=r"missing or damaged, and not what this network's statistics would make it"):
        rs.search(elsewhere, data.train[:2], preset.search, store=tmp_path, progress=False)
