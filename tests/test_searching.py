"""The search: monotone, reproducible, independent of what else is searched, in every reading, on any network."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import repsearch as rs
from repsearch.config import LayerSearch, split_population
from repsearch.engine.choice import choose
from repsearch.engine.forecast import announce, seconds_an_image
from repsearch.engine.shapes import layer_shapes
from repsearch.networks import rest
from repsearch.presets import Preset

EVERY = slice(None)


def same(first: rs.Targets, second: rs.Targets, rows: slice = EVERY) -> bool:
    return all(
        torch.equal(first.read(layer)[rows], second.read(layer))
        and torch.equal(first.cross_entropy(layer)[rows], second.cross_entropy(layer))
        for layer in first.layers
    )


def test_shapes_and_histories(targets: rs.Targets, preset: Preset) -> None:
    assert [targets.shape(layer) for layer in targets.layers] == [(8, 15, 15), (8, 7, 7), (8, 3, 3), (10,)]
    for layer, schedule in zip(targets.layers, preset.search.schedule, strict=True):
        assert targets.cross_entropy(layer).shape == (20, schedule.generations + 1)
    assert targets.probability.shape == (20,)


def test_the_best_fitness_never_falls(targets: rs.Targets) -> None:
    for layer in targets.layers:
        assert (targets.cross_entropy(layer).diff(dim=1) <= 0).all()


def test_search_lowers_the_cross_entropy_at_every_layer(targets: rs.Targets) -> None:
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        assert loss[-1] < loss[0]


def test_reported_fitness_is_that_of_the_targets(targets: rs.Targets, network: rs.Network, data: rs.Dataset) -> None:
    for index, layer in enumerate(targets.layers):
        with torch.no_grad():
            logits = rest(network, index, targets.read(layer))
        loss = F.cross_entropy(logits, data.train.labels, reduction="none")
        # The targets are float16, which moves activations of size 1 by up to 5e-4.
        assert torch.allclose(loss, targets.cross_entropy(layer)[:, -1], atol=0.02)
    assert torch.allclose(
        targets.probability, targets.read("logits").softmax(1).gather(1, data.train.labels[:, None])[:, 0], atol=1e-2
    )


def test_targets_are_normalised_and_logits_centred(targets: rs.Targets) -> None:
    for layer in targets.layers[:-1]:
        H = targets.read(layer).flatten(1)
        assert torch.allclose(H.mean(1), torch.zeros(20), atol=1e-3)
        assert torch.allclose(H.var(1, correction=0), torch.ones(20), atol=1e-2)
    assert torch.allclose(targets.read("logits").mean(1), torch.zeros(20), atol=1e-2)


def test_same_seed_same_bytes_and_other_seed_other_targets(
    targets: rs.Targets, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    assert same(targets, rs.search(network, data.train, preset.search, progress=False))
    assert not same(targets, rs.search(network, data.train, preset.search, seed=1, progress=False))


@pytest.mark.parametrize("rows", [slice(3, 4), slice(5, 12)])
def test_an_image_does_not_depend_on_the_others(
    targets: rs.Targets, network: rs.Network, data: rs.Dataset, preset: Preset, rows: slice
) -> None:
    assert same(targets, rs.search(network, data.train[rows], preset.search, progress=False), rows)
    other_shards = replace(preset.search, shard=7)
    assert same(targets, rs.search(network, data.train[rows], other_shards, progress=False), rows)


def test_one_thread_or_two(targets: rs.Targets, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert same(targets, rs.search(network, data.train[:4], preset.search, progress=False), slice(0, 4))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("reading", [
    {"noise": "pixel"}, {"blurred": "child"}, {"border": "inside"}, {"normalise": False}, {"refine_from": "parents"},
    {"pairs": "distinct"}, {"statistics": "candidates"}, {"input_noise": 0.1}, {"explorers": 0},
])
def test_every_reading_runs_reproducibly_and_differs(
    targets: rs.Targets, network: rs.Network, data: rs.Dataset, preset: Preset, reading: dict[str, object]
) -> None:
    config = replace(preset.search, **reading)  # type: ignore[arg-type]
    engine = "reference" if config.ties_images else "auto"
    first, second = (rs.search(network, data.train[:4], config, progress=False, engine=engine) for _ in range(2))
    assert same(first, second)
    assert not torch.equal(first.read("logits"), targets.read("logits", 0, 4))
    if reading.get("statistics") != "candidates":
        assert all((first.cross_entropy(layer).diff(dim=1) <= 0).all() for layer in first.layers)


def test_the_network_is_left_as_it_was(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    before = copy.deepcopy(network.state_dict())
    modes = [m.training for m in network.modules()]
    rs.search(network, data.train[:2], replace(preset.search, statistics="candidates"), progress=False, engine="reference")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items() if "tracked" not in name)
    assert [m.training for m in network.modules()] == modes


def resnet18(classes: int) -> rs.Network:
    """torchvision's ResNet-18 cut into its four stages."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None, num_classes=classes)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu)
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return rs.Network(stem, [net.layer1, net.layer2, net.layer3, net.layer4], head)


def test_a_resnet_18_in_its_four_stages() -> None:
    data = rs.load("digits", train=20, validation=20, test=20)
    images = data.train.images.expand(-1, 3, -1, -1)
    split = rs.Split(images[:2], data.train.labels[:2], 10, data.train.indices[:2])
    network = rs.calibrate(resnet18(10), images)
    config = rs.SearchConfig(tuple(LayerSearch(3, 0.3, 3, 1) for _ in range(5)), **split_population(16, 4))
    targets = rs.search(network, split, config, progress=False)
    assert [targets.shape(layer) for layer in targets.layers] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (10,)]
    for layer in targets.layers:
        loss = targets.cross_entropy(layer)
        assert (loss.diff(dim=1) <= 0).all() and loss[:, -1].mean() < loss[:, 0].mean()


def test_a_network_that_does_not_fit(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    search, train = preset.search, data.train
    with pytest.raises(rs.InputError, match="schedule: has 3 layers, the network 4"):
        rs.search(network, train, replace(search, schedule=search.schedule[:3]), progress=False)
    wide = rs.Split(train.images.expand(-1, 3, -1, -1), train.labels, 10, train.indices)
    with pytest.raises(rs.InputError, match=r"network: cannot take images of shape \(3, 32, 32\)"):
        rs.search(network, wide, search, progress=False)
    more = rs.Split(train.images, train.labels, 12, train.indices)
    with pytest.raises(rs.InputError, match=r"network: its head gives \(10,\) an image; expected \(12,\)"):
        rs.search(network, more, search, progress=False)
    with pytest.raises(rs.InputError, match="has no statistics to freeze"):
        rs.search(rs.learn_network(data, preset, statistics="batch"), train, search, progress=False)
    flat = rs.Network(nn.Flatten(), [nn.Linear(1024, 20)], nn.Linear(20, 10))
    with pytest.raises(rs.InputError, match=r"network: block0 gives \(20,\) an image; expected \(channels, height, width\)"):
        rs.search(flat, train, replace(search, schedule=search.schedule[:2]), progress=False)


def test_a_search_says_which_engine_runs_and_about_how_long(
    network: rs.Network, data: rs.Dataset, preset: Preset, capsys: pytest.CaptureFixture[str]
) -> None:
    rs.search(network, data.train[:3], preset.search)
    said = capsys.readouterr().err
    assert re.search(r"search: 3 images with the kernel engine, about \d+ s\n", said)
    own = rs.Network(nn.Identity(), [nn.Conv2d(1, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)], nn.Sequential(nn.Flatten(), nn.Linear(196, 10)))
    rs.search(own, data.train[:3], replace(preset.search, schedule=preset.search.schedule[:3]))
    said = capsys.readouterr().err
    assert re.search(r"search: 3 images with the torch engine \(none faster can: the stem has no convolution\), about \d+ s\n", said)
    rs.search(network, data.train[:3], preset.search, progress=False)
    assert capsys.readouterr().err == ""


def test_what_is_said_is_the_forecast_of_all_images(
    network: rs.Network, data: rs.Dataset, preset: Preset, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as are searched together take the time of one."""
    engine = choose(network, preset.search, 0, layer_shapes(network, data.train, preset.search), "torch")
    announce(engine, 3 * engine.together + 1, lambda: 7.0)
    assert "about 28 s\n" in capsys.readouterr().err
    announce(engine, 3 * engine.together, lambda: 40.0)
    assert "about 2 min\n" in capsys.readouterr().err


def test_the_forecast_of_a_search_is_what_it_takes(
    network: rs.Network, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on with every number a convolution or the head gives, as no other load can make it."""
    work = list[int]()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _, __, output: work.append(output.numel()))
    monkeypatch.setattr("repsearch.engine.forecast.time", SimpleNamespace(perf_counter=lambda: float(sum(work))))
    long = replace(preset.search, schedule=tuple(replace(row, generations=9 + n) for n, row in enumerate(preset.search.schedule)))
    shapes, some = layer_shapes(network, data.train, long), data.train[:3]
    forecast = seconds_an_image(lambda config: choose(network, config, 0, shapes, "torch"), data.train[:1], long)
    before = sum(work)
    choose(network, long, 0, shapes, "torch").search(some, lambda *_: None)
    assert forecast * len(some) == pytest.approx(sum(work) - before)
