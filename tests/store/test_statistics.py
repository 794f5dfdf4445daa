"""The statistics of the network that was searched: kept in the folder, and those that a search goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from folders import contents, rounded, unfinish
from torch import nn

import repsearch as rs
from repsearch.identity import fingerprint, statistics
from repsearch.presets import Preset
from repsearch.store.folder import verify
from repsearch.store.manifest import read_manifest
from repsearch.store.statistics import STATISTICS, alike, read_statistics


def calibrated(data: rs.Dataset, preset: Preset, images: int = 20) -> rs.Network:
    """A network of the same weights, calibrated on so many images."""
    return rs.calibrate(rs.search_network(data, preset), data.train.images[:images])


@pytest.fixture
def elsewhere(data: rs.Dataset, preset: Preset) -> nn.Module:
    """The network as another processor makes it."""
    return rounded(rs.search_network(data, preset), 2e-7)


def test_a_folder_keeps_the_networks_statistics(stored: Path, network: rs.Network) -> None:
    kept, own = read_statistics(stored), statistics(network)
    assert kept is not None and set(kept) == set(own) and all(torch.equal(kept[name], own[name]) for name in own)


def test_another_processor_goes_on_with_the_statistics_of_the_folder(
    folder: Path, stored: Path, elsewhere: nn.Module, data: rs.Dataset, preset: Preset
) -> None:
    """So that its shards are those the first one would have made, whatever they are made again from."""
    own = statistics(elsewhere)
    unfinish(folder, [1, 4])
    rs.search(elsewhere, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)
    assert all(torch.equal(value, own[name]) for name, value in statistics(elsewhere).items())

    (folder / "manifest.json").unlink()
    (folder / "shard-00002.safetensors").unlink()
    rs.search(elsewhere, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)


def test_another_processor_is_given_what_is_finished(
    folder: Path, elsewhere: nn.Module, data: rs.Dataset, preset: Preset
) -> None:
    before = contents(folder)
    assert len(rs.search(elsewhere, data.train, preset.search, store=folder, progress=False)) == 20
    assert contents(folder) == before


@pytest.mark.parametrize("state", ["finished", "unfinished", "without its manifest"])
@pytest.mark.parametrize("images", [10, 19])
def test_statistics_of_other_images_are_another_network(
    folder: Path, data: rs.Dataset, preset: Preset, state: str, images: int
) -> None:
    network, other = calibrated(data, preset), calibrated(data, preset, images)
    assert fingerprint(network) == fingerprint(other) and not alike(statistics(network), statistics(other))
    if state == "unfinished":
        unfinish(folder, [4])
    elif state != "finished":
        (folder / "manifest.json").unlink()
    before = contents(folder)
    with pytest.raises(rs.InputError, match=r"statistics\.safetensors: another network's statistics \(calibrated on other images\)"):
        rs.search(other, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == before


@pytest.mark.parametrize("lost", ["missing", "damaged"])
def test_lost_statistics_are_written_again_by_the_network_that_has_them(
    folder: Path, stored: Path, network: rs.Network, elsewhere: nn.Module, data: rs.Dataset, preset: Preset, lost: str
) -> None:
    unfinish(folder, [4])
    (folder / STATISTICS).unlink()
    if lost == "damaged":
        (folder / STATISTICS).write_bytes(b"\xff" * 100)
    assert verify(folder) == {STATISTICS: "missing or damaged"}
    with pytest.raises(rs.InputError, match=r"statistics\.safetensors: missing or damaged, and not what this network's"):
        rs.search(elsewhere, data.train, preset.search, store=folder, progress=False)
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored)


def test_a_network_without_statistics_keeps_none(tmp_path: Path, data: rs.Dataset) -> None:
    network = rs.Network(nn.Conv2d(1, 4, 3, 2), [nn.Conv2d(4, 4, 3, 2)], nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
    network(data.train.images[:1])
    config = rs.SearchConfig((rs.LayerSearch(1, 0.2),) * 2, parents=2, explorers=2, refiners=2)
    rs.search(network.eval(), data.train[:2], config, store=tmp_path, progress=False)
    assert read_manifest(tmp_path)["statistics"] is None and not (tmp_path / STATISTICS).exists()
    assert verify(tmp_path) == {}


MEAN, VARIANCE = torch.tensor([0.0, 3.0, 3.0]), torch.tensor([1.0, 1e-4, 0.0])


@pytest.mark.parametrize(("mean", "variance", "same"), [
    (MEAN, VARIANCE, True), (MEAN * (1 + 2e-7), VARIANCE * (1 + 5e-7), True), (MEAN + torch.tensor([5e-5, 0, 0]), VARIANCE, True),
    (MEAN + torch.tensor([2e-4, 0, 0]), VARIANCE, False), (MEAN + torch.tensor([0, 1e-5, 0]), VARIANCE, False),
    (MEAN + torch.tensor([0, 0, 1e-5]), VARIANCE, False), (MEAN, VARIANCE + torch.tensor([0, 0, 1e-8]), False),
    (MEAN, VARIANCE * 1.001, False), (MEAN * float("nan"), VARIANCE, False), (MEAN.double(), VARIANCE, False), (MEAN[:2], VARIANCE, False),
], ids=["equal", "rounded", "within", "mean", "narrow channel", "dead channel", "no longer dead", "variance", "nan", "type", "shape"])
def test_what_rounding_explains(mean: Any, variance: Any, same: bool) -> None:
    own = {"norm.running_mean": MEAN, "norm.running_var": VARIANCE}
    assert alike(own, {"norm.running_mean": mean, "norm.running_var": variance}) is same
    assert not alike(own, {"norm.running_mean": MEAN})
