"""Networks of one's own: layers that change their input, missing statistics, odd numbers, wrappers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from faulty import CONFIG, two_blocks
from torch import Tensor, nn

import repsearch as rs
from repsearch.operators import select
from repsearch.presets import Preset


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_a_block_that_begins_in_place_leaves_the_population_alone(data: rs.Dataset, engine: str) -> None:
    plain, in_place = (
        rs.search(two_blocks(nn.ReLU(inplace)), data.train[:1], CONFIG, engine=engine, progress=False)  # type: ignore[arg-type]
        for inplace in (False, True)
    )
    for layer in plain.layers:
        assert torch.equal(in_place.read(layer), plain.read(layer))


def test_a_head_that_begins_in_place_leaves_the_population_alone(data: rs.Dataset) -> None:
    plain, in_place = (
        rs.search(two_blocks(head=nn.ReLU(inplace)), data.train[:4], CONFIG, progress=False) for inplace in (False, True)
    )
    for layer in plain.layers:
        assert torch.equal(in_place.read(layer), plain.read(layer))


def test_activations_are_those_before_the_next_block_changes_them(data: rs.Dataset) -> None:
    images = data.train.images[:4]
    with torch.no_grad():
        plain, in_place = (rs.activations(two_blocks(nn.ReLU(inplace), nn.ReLU(inplace)), images) for inplace in (False, True))
    for ours, wanted in zip(in_place, plain, strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("where", ["block", "head"])
def test_learning_with_layers_in_place_is_as_without(data: rs.Dataset, preset: Preset, where: str) -> None:
    targets = rs.search(two_blocks(), data.train, CONFIG, progress=False)
    config = replace(preset.learn, learning_rate=0.01)
    histories = [
        rs.learn(two_blocks(nn.ReLU(inplace)) if where == "block" else two_blocks(head=nn.ReLU(inplace)), data, targets, config, progress=False)
        for inplace in (False, True)
    ]
    assert histories[1].loss == pytest.approx(histories[0].loss, rel=1e-4)


def test_a_candidate_of_nan_fitness_is_the_last() -> None:
    fitness = torch.tensor([[-1.0, float("nan"), -2.0, -3.0, float("nan")]])
    parents, kept = select(torch.arange(5.0)[None, :, None], fitness, 3)
    assert parents.flatten().tolist() == [0, 2, 3] and kept.tolist() == [[-1, -2, -3]]


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


def test_candidates_of_nan_fitness_do_not_take_over(data: rs.Dataset) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10), Log())
        network = rs.Network(nn.Conv2d(1, 8, 3, 2, 1), [nn.Conv2d(8, 8, 3, 2, 1)], head).eval()
    nn.init.constant_(network.head[2].bias, 1.2)  # type: ignore[index]
    config = rs.SearchConfig((rs.LayerSearch(4, 0.2),) * 2, parents=4, explorers=8, refiners=8)
    try:
        found = rs.search(network, data.train[:10], config, progress=False)
    except rs.InputError as error:
        assert "NaN" in str(error)
        return
    assert all(bool(torch.isfinite(found.read(layer)).all()) for layer in found.layers)


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_autocast_around_a_search_changes_nothing(data: rs.Dataset, engine: str) -> None:
    plain = rs.search(two_blocks(), data.train[:1], CONFIG, engine=engine, progress=False)  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        around = rs.search(two_blocks(), data.train[:1], CONFIG, engine=engine, progress=False)  # type: ignore[arg-type]
    for layer in plain.layers:
        assert torch.equal(around.read(layer), plain.read(layer))


@pytest.mark.parametrize("how", ["learn", "fit"])
def test_autocast_around_a_training_changes_nothing(data: rs.Dataset, preset: Preset, how: str) -> None:
    targets = rs.search(two_blocks(), data.train, CONFIG, progress=False)

    def train() -> rs.History:
        if how == "learn":
            return rs.learn(two_blocks(), data, targets, replace(preset.learn, learning_rate=0.01), progress=False)
        return rs.fit(two_blocks(), data, rs.methods.Backprop(), preset.baseline, progress=False)

    plain = train()
    with torch.autocast("cpu", torch.bfloat16):
        around = train()
    assert around.loss == plain.loss


def test_autocast_around_a_calibration_changes_nothing(data: rs.Dataset, preset: Preset, network: rs.Network) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        around = rs.search_network(data, preset)
    for ours, wanted in zip(around.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(ours, wanted)


def test_a_search_with_batch_norm_that_was_never_calibrated_says_so(data: rs.Dataset) -> None:
    network = two_blocks(nn.BatchNorm2d(8))
    with pytest.warns(UserWarning, match="calibrat"):
        rs.search(network, data.train[:3], CONFIG, progress=False)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_a_block_that_gives_a_tuple_is_named(data: rs.Dataset) -> None:
    network = two_blocks()
    network.blocks[1] = nn.Sequential(network.blocks[1], Pair())
    with pytest.raises(rs.InputError, match="block1"):
        rs.search(network, data.train[:3], CONFIG, progress=False)
    with pytest.raises(rs.InputError, match="block1"):
        rs.learn(network, data, rs.search(two_blocks(), data.train, CONFIG, progress=False), rs.LearnConfig(), progress=False)


def lazy() -> rs.Network:
    body = [nn.Sequential(nn.Conv2d(8, 8, 3), nn.GELU()) for _ in range(2)]
    return rs.Network(nn.Conv2d(1, 8, 1), body, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(10)))


def test_a_lazy_network_can_be_calibrated(data: rs.Dataset) -> None:
    rs.calibrate(lazy(), data.train.images)


def test_a_lazy_network_can_be_trained(data: rs.Dataset, preset: Preset) -> None:
    rs.fit(lazy(), data, rs.methods.Backprop(), preset.baseline, progress=False)


def test_another_default_dtype_changes_nothing(data: rs.Dataset, preset: Preset, network: rs.Network, targets: rs.Targets) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        found = rs.search(network, data.train[:4], preset.search, progress=False)
        again = rs.search(rs.search_network(data, preset), data.train[:4], preset.search, progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    for layer in targets.layers:
        assert torch.equal(found.read(layer), targets.read(layer, 0, 4))
        assert torch.equal(again.read(layer), targets.read(layer, 0, 4))


def test_another_default_dtype_changes_no_search_in_torch(data: rs.Dataset) -> None:
    network = two_blocks()
    plain = rs.search(network, data.train[:3], CONFIG, progress=False)
    torch.set_default_dtype(torch.float64)
    try:
        found = rs.search(network, data.train[:3], CONFIG, progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.read("block1"), plain.read("block1"))


def test_images_of_another_dtype_than_the_network_are_called_so(data: rs.Dataset) -> None:
    train = replace(data.train, images=data.train.images.double())
    with pytest.raises(rs.InputError, match="float64"):
        rs.search(two_blocks(), train, CONFIG, progress=False)
