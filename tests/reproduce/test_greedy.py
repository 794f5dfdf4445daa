"""Greedy evolution's experiments: its network, trainings, landscapes and flatness, in small on the digits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ndtr
from torch import Tensor, nn

import repsearch as rs
from repsearch.reproduce import greedy_flatness as flatness
from repsearch.reproduce import greedy_landscape as landscape
from repsearch.reproduce import greedy_network as network
from repsearch.reproduce import greedy_trainings as trainings
from repsearch.reproduce.samples import Sample, generator_of

SAMPLE = Sample("digits", train=60, validation=20, test=40)
QUICK = replace(network.PLAIN, epochs=1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As records are made."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def written(found: dict[str, Any]) -> dict[str, Any]:
    """What a record would hold: JSON without NaN or infinity."""
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("maps", "hidden", "count"), [
    (8, 24, 9854), (4, 12, 2596), (8, 12, 7370), (16, 24, 28714), (16, 48, 38386), (32, 48, 113354)])
def test_networks_have_the_weights_of_the_source(maps: int, hidden: int, count: int) -> None:
    model = network.greedy_network(network.Recipe(maps, hidden), 0)
    assert sum(weight.numel() for weight in model.parameters()) == count
    if count == 9854:  # singular vectors among them, which the source moved, too
        assert sum(value.numel() for value in model.state_dict().values()) == 10551


def test_recipes_are_those_of_the_figures() -> None:
    wide, narrow = flatness.RECIPES["robust-wide"], flatness.RECIPES["brittle-narrow"]
    assert (wide.dropout, wide.input_dropout, wide.batch, wide.maps) == (0.25, 0.1, 4, 16)
    assert (narrow.dropout, narrow.input_dropout, narrow.batch, narrow.hidden) == (0, 0, 128, 12)
    assert len(set(flatness.RECIPES.values())) == len(flatness.RECIPES) == 15
    model = network.greedy_network(flatness.RECIPES["dropout-0.25"], 0)
    assert [module.p for module in model if isinstance(module, nn.Dropout)] == [0.25] * 5


def test_a_settled_spectral_norm_is_exact_wherever_the_weights_are() -> None:
    power, exact = (network.greedy_network(network.PLAIN, 0, exact=exact).eval() for exact in (False, True))
    weights = network.flat(power.parameters())
    assert torch.equal(weights, network.flat(exact.parameters()))
    images = torch.randn(3, 1, 28, 28, generator=generator_of(0))
    for moved in (weights, weights + 0.3 * torch.randn(len(weights), generator=generator_of(1))):
        for model in (power, exact):
            network.place(model, moved)
        assert torch.linalg.matrix_norm(power[5].weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(power(images), exact(images), rtol=1e-4, atol=1e-5)
        assert torch.equal(network.flat(power.parameters()), moved)


def test_pictures_are_those_of_load_in_another_order() -> None:
    data, plain = network.pictures(SAMPLE, None, 1), rs.load("digits", None, 60, 40, 1, 20, size=28)
    assert sorted(data.train.indices.tolist()) == sorted(plain.train.indices.tolist())
    assert data.train.labels[:10].tolist() != list(range(10)) == plain.train.labels[:10].tolist()
    assert data.train.images.shape[1:] == (1, 28, 28)
    torch.testing.assert_close(data.pixels(data.test.images), plain.pixels(plain.test.images), rtol=1e-5, atol=1e-6)


def test_hidden_classes_count_for_nothing() -> None:
    logits, labels = torch.randn(10, 10, generator=generator_of(0), requires_grad=True), torch.arange(10)
    seen = network.cross_entropy(logits, network.shown(labels))
    assert seen.item() == pytest.approx(F.cross_entropy(logits[:8], labels[:8]).item(), rel=1e-6)
    none = network.cross_entropy(logits[8:], network.shown(labels[8:]))
    assert none.item() == 0 and not torch.autograd.grad(none, logits)[0].any()


def test_sgd_is_the_one_of_torch() -> None:
    """One step, of all images: along the gradient."""
    data = network.pictures(SAMPLE, None, 0)
    model = network.greedy_network(QUICK, 0, exact=True)
    before, slope = network.flat(model.parameters()), network.gradient(model, data.train.images, data.train.labels)
    network.learn(model, data.train.images, data.train.labels, replace(QUICK, batch=60, rate=0.1), generator_of(0))
    torch.testing.assert_close(network.flat(model.parameters()), before - 0.1 * slope, rtol=1e-4, atol=1e-6)


# --- trainings --------------------------------------------------------------------------------------------------------


def test_a_step_made_of_many() -> None:
    steps, gains = torch.eye(4), torch.tensor([-1.0, 1.0, 3.0, 1.0])
    assert network.combined(steps, gains, "one").tolist() == [0, 1, 0, 0]
    assert network.combined(steps, gains, "best").tolist() == [0, 0, 1, 0]
    assert network.combined(steps, gains, "mean").tolist() == [0, 0.25, 0.25, 0.25]
    assert network.combined(steps, gains, "sum").tolist() == [-0.5, 0, 0.5, 0]


@pytest.mark.parametrize("way", ["best", "first", "one", "mean", "sum"])
def test_trainings(way: Any) -> None:
    found = written(trainings.run(trainings.Setup(SAMPLE, way, 8, population=6, std=0.03, every=4), 0))
    assert [point["generation"] for point in found["tested"]] == [0, 4, 8]
    assert found["spent"] == 8 * 60 * (6 + 1)  # whatever is made of them
    losses = [found["tested"][0]["train_loss"], *found["loss"]]
    if way == "sum":
        assert found["accepted"] == [1.0] * 8
    else:  # elitism: not by a digit
        assert np.diff(losses[1:]).max() <= 0 and losses[-1] < losses[0]
        assert losses[-1] == pytest.approx(found["tested"][-1]["train_loss"], abs=1e-5)


def test_the_settings_of_figure_7_start_from_the_same_weights() -> None:
    setup = trainings.Setup(SAMPLE, "settings", 2, population=10, std=0.05, every=3, start=0.15)
    found = written(trainings.run(setup, 0))
    assert found["start"]["train_accuracy"] >= 0.15 and found["start"]["generation"] in range(3, 300, 3)
    assert {name: one["tested"][0]["train_loss"] for name, one in found["settings"].items()} == dict.fromkeys(
        trainings.SETTINGS, found["start"]["train_loss"])
    spent = [one["spent"] / 120 for one in found["settings"].values()]
    assert spent == [11, 11, 11, 21, 3]


def test_sgd_beside_it() -> None:
    found = written(trainings.run(trainings.Setup(SAMPLE, "sgd", 3), 0))
    assert found["spent"] == 3 * 3 * 60 and len(found["tested"]) == 4 and found["loss"][-1] < found["loss"][0]


# --- landscapes -------------------------------------------------------------------------------------------------------


def test_angles_between_pairs() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    assert landscape.pairwise(vectors).tolist() == pytest.approx([90, 45, 45])
    assert landscape.between(vectors[:2], vectors[1:]).tolist() == pytest.approx([90, 45])
    found = landscape.shape(torch.arange(601.0))
    assert sum(found["counts"]) == 601 and found["quantiles"][2] == 300 and found["largest"] == 600


def test_gradients_that_are_nothing_make_no_angle() -> None:
    data = network.pictures(SAMPLE, None, 0)
    model = network.greedy_network(QUICK, 0).eval()
    certain = replace(data.train, labels=(torch.arange(60) >= 55).long())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("18."):  # the last layer: label 0 is certain
                weight.zero_() if name.endswith("weight") else weight.copy_(torch.tensor([1e4] + [0.0] * 9))
    found = landscape.minibatches(model, certain, 2, 100, generator_of(0))
    assert found["zero"] >= 20 and found["zero"] + len(found["norms"]) == found["batches"] == 30
    assert sum(found["angles"]["counts"]) == len(found["norms"]) * (len(found["norms"]) - 1) // 2
    json.dumps(found, allow_nan=False)


def test_improving_steps_are_nearer_to_each_other_by_the_closed_form() -> None:
    """Of a linear f: E cos = (E|u|)^2, of one coordinate u of a unit vector; 2 / (pi n) in many dimensions."""
    for dimension in (2, 10):
        first, second = torch.randn(2, 40_000, dimension, generator=generator_of(0)).double()
        for steps in (first, second):
            steps[:, 0] = steps[:, 0].abs()
        found = torch.deg2rad(landscape.between(first, second)).cos()
        wanted = (math.gamma(dimension / 2) / math.gamma((dimension + 1) / 2)) ** 2 / math.pi
        assert abs(found.mean() - wanted) < 4 * found.std() / math.sqrt(len(found))


def test_tails_of_gains() -> None:
    drawn = torch.rand(2000, generator=generator_of(0), dtype=torch.float64)
    exponential, uniform = landscape.tail(-drawn.log()), landscape.tail(drawn)
    assert exponential is not None and abs(exponential["shape"]) < 0.1 and exponential["p"] > 0.01
    assert uniform is not None and uniform["shape"] < -0.5 and uniform["p"] < 1e-6
    assert landscape.tail(drawn[:9]) is None


def test_landscapes() -> None:
    noise = landscape.Setup(SAMPLE, "noise", QUICK, batches=(2, 15), repeats=8)
    found = written(landscape.run(noise, 0))
    assert [entry["batches"] for entry in found["noise"]] == [8, 4]
    assert all(0 < entry["median"] < 180 for entry in found["noise"]) and set(found["test_accuracy"]) == {"start"}
    steps = landscape.Setup(SAMPLE, "steps", QUICK, epochs=1, images=20, steps=12, pairs=5, subspace_images=10)
    found = written(landscape.run(steps, 0))
    assert list(found["places"]) == list(landscape.PLACES) and list(found["subspace"]) == ["init", "start"]
    for there in found["places"].values():
        assert there["improving"]["loss"] == np.mean(np.array(there["loss_changes"]) < 0) and len(there["loss_changes"]) == 12
        changes = np.array(there["loss_changes"])
        assert there["expected"] == pytest.approx(ndtr(-changes.mean() / changes.std(ddof=1)))
    assert all(sum(there["improving"]["counts"]) == 5 and there["tried"] >= 10 for there in found["subspace"].values())


# --- flatness ---------------------------------------------------------------------------------------------------------


def layers(factors: Tensor) -> nn.Sequential:
    """A small network whose hidden units are made larger by factors, and its output the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 10))
    with torch.no_grad():
        model[1].weight.mul_(factors[:, None])
        model[1].bias.mul_(factors)
        model[3].weight.div_(factors)
    return model


def test_filters_of_a_direction_are_as_long_as_those_of_the_weights() -> None:
    weights = list(network.greedy_network(network.PLAIN, 0).parameters())
    line, start = flatness.direction(weights, "filter", generator_of(0)), 0
    for weight in weights:
        part = line[start : start + weight.numel()].view(weight.shape)
        start += weight.numel()
        wanted = weight.flatten(1).norm(dim=1) if weight.ndim > 1 else torch.zeros(1)
        torch.testing.assert_close(part.flatten(1).norm(dim=1) if weight.ndim > 1 else part.norm()[None], wanted)


def test_flatness_does_not_depend_on_how_units_are_scaled_and_a_fixed_noise_does() -> None:
    data = network.pictures(SAMPLE, None, 0)
    images, labels = data.test.images, data.test.labels
    setup = flatness.Setup(SAMPLE, QUICK, diameters=(0.5, 1.0), directions=2)
    plain, scaled, uneven = layers(torch.ones(6)), layers(torch.full((6,), 7.0)), layers(torch.linspace(0.1, 5, 6))
    for scale in flatness.SCALES:
        curves = [[point["loss"] for point in flatness.flatness(model, images, labels, setup, scale, 0)]
                  for model in (plain, scaled, uneven)]
        assert curves[1] == pytest.approx(curves[0], rel=1e-3)
        assert curves[2][0] == pytest.approx(curves[0][0], rel=1e-4)
        assert curves[2][1:] != pytest.approx(curves[0][1:], rel=1e-2)
    losses = []
    for model in (plain, scaled):
        weights = network.flat(model.parameters())
        network.place(model, weights + 0.1 * torch.randn(len(weights), generator=generator_of(0)))
        losses.append(network.measure(model, images, labels)[0])
    assert losses[1] != pytest.approx(losses[0], rel=1e-2)


def test_a_look_around_leaves_the_network_as_it_was() -> None:
    data = network.pictures(SAMPLE, None, 0)
    model = network.greedy_network(network.DEFAULT, 0).eval()
    network.settle(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    setup = flatness.Setup(SAMPLE, diameters=(1.0,), directions=1, recipe=QUICK)
    curve = flatness.flatness(model, data.test.images, data.test.labels, setup, "tensor-mean", 0)
    assert curve[0]["loss"] == network.measure(model, data.test.images, data.test.labels)[0] != curve[1]["loss"]
    found = [flatness.robustness(model, data.test, share, 0) for share in (0.1, 0.5)]
    assert found[0]["loss"] != found[1]["loss"] and found[0] == flatness.robustness(model, data.test, 0.1, 0)
    assert not any(module.training for module in model.modules())
    assert [module.p for module in model if isinstance(module, nn.Dropout)] == [0.1] * 5
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_an_archetype_from_training_to_transfer() -> None:
    recipe = replace(flatness.RECIPES["brittle-narrow"], epochs=1, batch=10)
    setup = flatness.Setup(SAMPLE, recipe, occluded=True, transfer=2, diameters=(0.5,), directions=2)
    found = written(flatness.run(setup, 0))
    assert len(found["transfer"]) == 2 and set(found["robustness"]) == {"0.1", "0.25", "0.5"}
    assert [point["diameter"] for point in found["flatness"]["filter"]] == [0, 0.5]
    assert found == written(flatness.run(setup, 0)) != written(flatness.run(setup, 1))
    assert "robustness" not in flatness.run(replace(setup, occluded=False, transfer=0), 0)
