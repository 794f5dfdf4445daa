"""Targets are read as they were found, from a folder or from memory, in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import contents, unfinish
from torch import nn

import repsearch as rs
from repsearch import measure

LARGE = Path(__file__).with_name("large_targets.py")


def test_folder_and_memory_hold_the_same(stored: Path, targets: rs.Targets) -> None:
    shards = [f"shard-{i:05d}.safetensors" for i in range(5)]
    assert sorted(contents(stored)) == ["manifest.json", *shards, "statistics.safetensors"]
    opened = rs.Targets.open(stored)
    assert len(opened) == 20 and opened.layers == targets.layers
    for layer in targets.layers:
        assert torch.equal(opened.read(layer), targets.read(layer))
        assert torch.equal(opened.read(layer, 3, 9), targets.read(layer)[3:9])
        assert torch.equal(opened.cross_entropy(layer), targets.cross_entropy(layer))
    assert torch.equal(opened.probability, targets.probability)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_targets(tmp_path: Path) -> None:
    """A folder in the layout of the paper's sizes is read batch by batch: 1.2 GB of it in far less memory."""
    done = subprocess.run([sys.executable, LARGE, tmp_path, "8192"], capture_output=True, text=True, check=True)
    small, large = (float(line.split()[-1]) for line in done.stdout.splitlines()[-2:])
    assert large < small + 200, done.stdout


def test_targets_changed(targets: rs.Targets, data: rs.Dataset) -> None:
    means = targets.changed(lambda _, H: measure.class_means(H, data.train.labels))
    H, labels = means.read("block2"), data.train.labels
    for label in labels.unique():
        expected = targets.read("block2")[labels == label].mean(0)
        assert torch.allclose(H[labels == label], expected.expand_as(H[labels == label]), atol=2e-3)
    assert torch.equal(means.read("logits"), targets.read("logits"))
    assert torch.equal(means.read("block0", 5, 9), means.read("block0")[5:9])
    with pytest.raises(rs.InputError, match=r"change: gave \(3, 8, 15, 15\) for block0, expected \(20, 8, 15, 15\)"):
        targets.changed(lambda _, H: H[:3])


def test_an_unknown_layer(targets: rs.Targets) -> None:
    with pytest.raises(rs.InputError, match="layer='block7': unknown; choose one of block0, block1, block2, logits"):
        targets.read("block7")


def test_targets_say_in_a_line_what_they_are(stored: Path, targets: rs.Targets) -> None:
    what = "<Targets of 20 images: block0 8x15x15, block1 8x7x7, block2 8x3x3, logits 10; in "
    assert repr(targets) == f"{what}memory>" and repr(rs.Targets.open(stored)) == f"{what}{stored}>"


def test_layers_stay_in_order_from_eleven_blocks_on(tmp_path: Path, data: rs.Dataset) -> None:
    """JSON sorts names: block10 before block2."""
    network = rs.Network(nn.Conv2d(1, 2, 9, 6), [nn.Conv2d(2, 2, 3, 1, 1) for _ in range(12)], nn.Sequential(nn.Flatten(), nn.Linear(32, 10)))
    config = rs.SearchConfig((rs.LayerSearch(1, 0.2),) * 13, parents=2, explorers=2, refiners=2, shard=1)
    memory = rs.search(network.eval(), data.train[:3], config, progress=False)
    rs.search(network, data.train[:3], config, store=tmp_path, progress=False)
    unfinish(tmp_path, [1])
    folder = rs.search(network, data.train[:3], config, store=tmp_path, progress=False)
    assert folder.layers == memory.layers == (*(f"block{i}" for i in range(12)), "logits")
    assert all(torch.equal(folder.read(layer), memory.read(layer)) for layer in memory.layers)


@pytest.mark.parametrize("folder", [3, None, "a\0b", "~nobody-of-that-name/t"])
def test_what_is_no_folder(folder: Any) -> None:
    with pytest.raises(rs.InputError, match="folder="):
        rs.Targets.open(folder)


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_a_network_of_double_precision_has_targets_of_the_same_kind(tmp_path: Path, data: rs.Dataset, engine: Any) -> None:
    network = rs.Network(nn.Conv2d(1, 4, 3, 2), [nn.Conv2d(4, 4, 3, 2)], nn.Sequential(nn.Flatten(), nn.Linear(196, 10))).eval()
    images = rs.Split(data.train.images[:2].double(), data.train.labels[:2], 10, data.train.indices[:2])
    config = rs.SearchConfig((rs.LayerSearch(1, 0.2),) * 2, parents=2, explorers=2, refiners=2)
    rs.search(network.double(), images, config, store=tmp_path, progress=False, engine=engine)
    targets = rs.Targets.open(tmp_path)
    assert targets.read("block0").dtype == targets.cross_entropy("logits").dtype == torch.float32
