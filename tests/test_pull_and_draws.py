"""What a search may be told beside the paper: how far candidates may go, and whether images share their draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch.config import LayerSearch, as_dict
from repsearch.networks import rest
from repsearch.operators import normalise
from repsearch.presets import Preset
from repsearch.reference import search_images

READINGS: list[dict[str, object]] = [{}, {"blurred": "child", "noise": "pixel"}, {"normalise": False}]


@pytest.fixture(scope="module")
def learned(data: rs.Dataset, preset: Preset) -> nn.Module:
    model = rs.learn_network(data, preset)
    rs.fit(model, data, rs.methods.Backprop(), replace(preset.baseline, epochs=2), progress=False)
    return rs.calibrate(model, data.train.images)


def own_maps(network: nn.Module, images: Tensor, normalised: bool) -> list[Tensor]:
    H, found = network.stem(images.clone()), []  # type: ignore[operator]
    for block in network.blocks:  # type: ignore[union-attr]
        H = normalise(block(H)) if normalised else block(H)
        found.append(H)
    return found


def distances(network: nn.Module, targets: rs.Targets, images: Tensor) -> list[Tensor]:
    """Mean squared distance of every image's targets to the network's own maps, by block."""
    with torch.no_grad():
        own = own_maps(network, images, True)
    return [(targets.read(f"block{i}") - H).square().flatten(1).mean(1) for i, H in enumerate(own)]


def test_a_candidates_fitness_is_less_what_its_distance_costs(learned: nn.Module, data: rs.Dataset, preset: Preset) -> None:
    """Minus cross-entropy minus mu/2 times the mean squared distance, written out here; of logits no distance."""
    config, seen = replace(preset.search, pull=0.7), 0

    def watch(layer: int, _: int, population: Tensor, fitness: Tensor) -> None:
        nonlocal seen
        seen += 1
        for i in range(2):
            losses = F.cross_entropy(rest(learned, layer, population[i]), data.train.labels[i].expand(len(population[i])),
                                     reduction="none")
            apart = (population[i] - own[layer][i]).pow(2).flatten(1).mean(1) if layer < 3 else torch.zeros(1)
            assert torch.allclose(fitness[i], -losses - 0.35 * apart, atol=1e-5)

    with torch.no_grad():
        own = own_maps(learned, data.train.images[:2], True)
    search_images(learned, data.train[:2], config, 0, watch)
    assert seen == sum(row.generations + 1 for row in config.schedule)


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_the_engines_agree_about_the_pull(
    learned: nn.Module, data: rs.Dataset, preset: Preset, reading: dict[str, object]
) -> None:
    config = replace(preset.search, pull=0.7, **reading)  # type: ignore[arg-type]
    ours, theirs = (rs.search(learned, data.train[:4], config, progress=False, engine=engine) for engine in ("conv", "torch"))  # type: ignore[arg-type]
    assert ours.manifest["engine"] == "conv"
    step = torch.finfo(torch.float16).eps  # targets are float16, whose neighbours above 8 lie further apart than 5e-3
    for layer in ours.layers:
        assert torch.allclose(ours.read(layer), theirs.read(layer), atol=5e-3, rtol=step)
        assert torch.allclose(ours.cross_entropy(layer), theirs.cross_entropy(layer), atol=1e-4)


@pytest.mark.parametrize("engine", ["conv", "torch", "reference"])
def test_a_pull_keeps_targets_near_and_says_their_cross_entropy(
    learned: nn.Module, data: rs.Dataset, preset: Preset, engine: str
) -> None:
    images, labels, apart = data.train.images[:4], data.train.labels[:4], []
    for pull in (0.0, 1.0, 100.0):
        targets = rs.search(learned, data.train[:4], replace(preset.search, pull=pull, input_noise=0.01), progress=False, engine=engine)  # type: ignore[arg-type]
        apart.append(torch.stack(distances(learned, targets, images)).mean())
        for i in range(3):
            loss = F.cross_entropy(rest(learned, i, targets.read(f"block{i}")), labels, reduction="none")
            assert torch.allclose(loss, targets.cross_entropy(f"block{i}")[:, -1], atol=5e-3)  # targets are float16
    assert apart[2] < apart[1] < apart[0] and apart[2] < 0.5 * apart[0]


@pytest.mark.parametrize("engine", ["kernel", "conv", "torch", "reference"])
def test_images_that_share_their_draws(network: rs.Network, data: rs.Dataset, preset: Preset, engine: str) -> None:
    """Two of the same image find the same, whatever their indices; with draws of their own they do not."""
    twice = rs.Split(data.train.images[[3, 3]], data.train.labels[[3, 3]], data.train.classes, torch.tensor([5, 900]))
    for draws in ("shared", "own"):
        targets = rs.search(network, twice, replace(preset.search, draws=draws), progress=False, engine=engine)  # type: ignore[arg-type]
        same = [torch.equal(*targets.read(layer)) for layer in targets.layers]
        assert same == [draws == "shared"] * 4


@pytest.mark.parametrize("engine", ["kernel", "conv", "torch", "reference"])
def test_no_generations_leave_the_best_of_the_first_population(
    network: rs.Network, data: rs.Dataset, preset: Preset, engine: str
) -> None:
    none = replace(preset.search, schedule=tuple(replace(row, generations=0) for row in preset.search.schedule))
    found, searched = (rs.search(network, data.train[:3], config, progress=False, engine=engine)  # type: ignore[arg-type]
                       for config in (none, preset.search))
    assert found.cross_entropy("block0").shape == (3, 1)
    assert torch.allclose(found.cross_entropy("block0")[:, 0], searched.cross_entropy("block0")[:, 0], atol=1e-6)
    after = normalise(network.blocks[1](found.read("block0")))
    assert torch.allclose(found.read("block1"), after, atol=5e-3)
    assert none.prolonged(3) == none


def test_what_could_be_said_before_is_said_as_before(tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """A configuration without pull and shared draws is written as release 0.3 wrote it; with them it is another."""
    assert not {"draws", "pull"} & set(as_dict(preset.search)) and "keep" not in as_dict(preset.learn)
    assert as_dict(replace(preset.search, pull=0.5))["pull"] == 0.5
    rs.search(network, data.train[:3], preset.search, store=tmp_path / "own", progress=False)
    for change in ({"draws": "shared"}, {"pull": 0.5}):
        with pytest.raises(rs.InputError, match=r"another search configuration|another engine"):
            rs.search(network, data.train[:3], replace(preset.search, **change), store=tmp_path / "own", progress=False)  # type: ignore[arg-type]
        kept = rs.search(network, data.train[:3], replace(preset.search, **change), store=tmp_path / next(iter(change)), progress=False)  # type: ignore[arg-type]
        assert kept.manifest["configuration"].items() >= change.items()


@pytest.mark.parametrize("pull", [-1, float("nan"), "0.1", True])
def test_a_pull_is_a_number(preset: Preset, pull: object) -> None:
    with pytest.raises(rs.InputError, match="pull="):
        replace(preset.search, pull=pull)  # type: ignore[arg-type]


def test_generations_are_a_whole_number() -> None:
    with pytest.raises(rs.InputError, match="generations=-1: expected a whole number of at least 0"):
        LayerSearch(-1, 0.1)
