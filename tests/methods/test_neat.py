"""NEAT as a method: on the exclusive or, in checkpoints, by other fitness, on what it can't train."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from genomes import CONFIG, CORNERS, XOR, same, started
from nets import StopHereError, mlp, stop
from torch import Tensor, nn

import repsearch as rs
from repsearch.methods import NEAT, Backprop
from repsearch.methods._graph import Graph


def equal(one: Any, other: Any) -> bool:
    """Of states: tensors, numbers, and lists and dicts of them."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


# --- exclusive or -----------------------------------------------------------------------------------------------------


def solved(seed: int, generations: int) -> tuple[int, Graph] | None:
    """The generation in which all four are right, and the network."""
    net = NEAT.Net(2, 2, seed=seed)
    method = started(NEAT(), net, seed)
    for generation in range(1, generations + 1):
        method.step(net, XOR, CONFIG)
        if bool((net(CORNERS).argmax(1) == XOR.labels).all()):
            return generation, net
    return None


@pytest.mark.slow
def test_exclusive_or_is_learned() -> None:
    """No network without a hidden node knows it, so at least one was added."""
    found = [solved(seed, 100) for seed in range(10)]
    won = [one for one in found if one is not None]
    assert len(won) >= 9 and all(net.genome.hidden for _, net in won), found
    assert all(generation > 1 for generation, _ in won)


def test_exclusive_or_through_fit() -> None:
    """`from_tensors` brings the corners of 0 and 1 to nearly -1 and 1: their variance is that of a sample."""
    pair = ((CORNERS + 1) / 2, XOR.labels)
    data, net = rs.from_tensors(pair, pair, validation=pair), NEAT.Net(2, 2, seed=4)
    torch.testing.assert_close(data.train.images[data.train.indices.argsort()], CORNERS * (7 / 8) ** 0.5)
    history = rs.fit(net, data, NEAT(), rs.FitConfig(epochs=50, batch=4), seed=4, progress=False)
    assert rs.accuracy(net, data.test) == 1 and history.validation_accuracy[0] < 1
    assert history.spent == [600.0 * (epoch + 1) for epoch in range(50)]
    assert all(later <= sooner for sooner, later in zip(history.loss[:-1], history.loss[1:], strict=True))
    assert history.parts["nodes"][0] == 0 and history.parts["links"][0] == 6 and max(history.parts["species"]) > 1


# --- the seed, checkpoints, weights -----------------------------------------------------------------------------------


def test_it_resumes_to_the_same_bytes(digits: rs.Dataset, tmp_path: Path) -> None:
    config, path = rs.FitConfig(epochs=5, batch=200, keep="last"), tmp_path / "c.pt"

    def net() -> Graph:
        return NEAT.Net(64, 10, side=8)

    def method() -> NEAT:
        return NEAT(20, threshold=0.22, add_node=0.5, add_link=0.5)

    whole, halves, again, one, other = net(), net(), net(), method(), method()
    undisturbed = rs.fit(whole, digits, one, config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(halves, digits, method(), config, checkpoint=path, progress=False, watch=stop)
    assert rs.fit(again, digits, other, config, checkpoint=path, progress=False) == undisturbed
    assert equal(dict(whole.state_dict()), dict(again.state_dict())) and equal(one.state_dict(), other.state_dict())
    assert max(map(len, one.genomes)) > 650 and len(one.species) > 1
    for name in ("threshold", "std", "spread", "add_node", "add_link"):
        changed = NEAT(**{"population": 20, "threshold": 0.22, "add_node": 0.5, "add_link": 0.5, name: 0.25})
        with pytest.raises(rs.InputError, match=rf"of another training \({name} .* there, 0.25 here\)"):
            rs.fit(net(), digits, changed, config, checkpoint=path, progress=False)


def test_the_seed_decides() -> None:
    def after(seed: int, own: int = 0) -> dict[str, Any]:
        net = NEAT.Net(2, 2, seed=own)
        method = started(NEAT(population=20, add_node=0.3), net, seed)
        for _ in range(5):
            method.step(net, XOR, CONFIG)
        return {**method.state_dict(), **net.state_dict()}

    assert equal(after(3), after(3))
    assert not equal(after(3)["genomes"], after(4)["genomes"]) and not equal(after(3)["genomes"], after(3, 1)["genomes"])
    torch.manual_seed(5)  # nothing around has a say
    np.random.seed(5)
    assert equal(after(3), after(3))


def test_a_network_that_has_grown_is_what_its_state_says() -> None:
    net = NEAT.Net(2, 2)
    method = started(NEAT(population=20, add_node=1.0), net)
    for _ in range(6):
        method.step(net, XOR, CONFIG)
    twin = NEAT.Net(2, 2, seed=9)
    assert twin.genome.hidden == [] and net.genome.hidden
    twin.load_state_dict(deepcopy(net.state_dict()))
    assert same(twin.genome, net.genome) and torch.equal(twin(CORNERS), net(CORNERS))
    twin.take(NEAT.Net(2, 2, seed=9).genome)
    assert len(twin.genome) == 6 and int((twin.weights != 0).sum()) == 6 and twin.genome.hidden == []


def test_images_are_averaged() -> None:
    net, flat = NEAT.Net(3 * 16, 2, side=4, seed=3), NEAT.Net(3 * 16, 2, seed=3)
    images = torch.randn(5, 3, 8, 8)
    wanted = images.view(5, 3, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(net(images), flat(wanted))
    one, other = NEAT.Net(999, 100, seed=3).weights.detach(), NEAT.Net(999, 100, seed=4).weights.detach()
    assert one[:100000].square().mean() == pytest.approx(1 / 1000, rel=0.02) and not torch.equal(one, other)


# --- fitness ----------------------------------------------------------------------------------------------------------


def test_digits_by_a_fitness_without_a_gradient(digits: rs.Dataset) -> None:
    """Its order is all that counts: a fitness, and a loss that falls where it rises, end alike."""
    def right(logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(1) == labels).float().mean()

    def wrong(logits: Tensor, labels: Tensor) -> Tensor:
        return 100 - 64 * right(logits, labels)

    nets = [NEAT.Net(64, 10, side=8) for _ in range(2)]
    config = rs.FitConfig(epochs=10, batch=400, keep="last")
    found = [rs.fit(net, digits, method, config, progress=False)
             for net, method in zip(nets, (NEAT(30, fitness=right), NEAT(30, loss=wrong)), strict=True)]
    assert found[0].train_accuracy == pytest.approx([-loss for loss in found[0].loss])
    assert found[0].train_accuracy == found[1].train_accuracy and same(nets[0].genome, nets[1].genome)
    assert found[0].train_accuracy[-1] > found[0].train_accuracy[0] + 0.1


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"population": 1}, "population=1: expected a whole number of at least 2"),
    ({"threshold": 0}, "threshold=0: expected a finite number above zero"),
    ({"std": -1.0}, r"std=-1\.0: expected a finite number above zero"),
    ({"spread": math.nan}, "spread=nan: expected a finite number above zero"),
    ({"add_node": 1.5}, r"add_node=1\.5: expected a probability, from 0 to 1"),
    ({"add_link": -0.1}, r"add_link=-0\.1: expected"),
    ({"add_link": "often"}, "add_link='often': expected"),
    ({"fitness": abs, "loss": abs}, "expected one of them, found both"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        NEAT(**arguments)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"inputs": 0}, "inputs=0: expected a whole number of at least 1"),
    ({"classes": 1}, "classes=1: expected a whole number of at least 2"),
    ({"side": 0}, "side=0: expected a whole number"),
    ({"side": 7}, "inputs=64: averaged to side=7, images have a multiple of 49 numbers"),
    ({"capacity": 129}, "capacity=129: it begins with 130 genes; expected at least as many"),
    ({"seed": -1}, "seed=-1: expected"),
])
def test_bad_networks(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        NEAT.Net(**{"inputs": 64, "classes": 2, **arguments})


def test_what_it_cannot_train(digits: rs.Dataset) -> None:
    net: nn.Module
    for net, change, message in (
        (mlp(), {}, r"model: Sequential has no genes; train repsearch\.methods\.NEAT\.Net\(inputs, classes\)"),
        (NEAT.Net(64, 10, side=8), {"precision": "bfloat16"}, "precision='bfloat16': .*use 'float32'"),
        (NEAT.Net(64, 10), {}, "network: cannot take images of shape"),
        (NEAT.Net(1024, 9), {}, r"its head gives \(9,\) an image; expected \(10,\)"),
    ):
        with pytest.raises(rs.InputError, match=message):
            rs.fit(net, digits, NEAT(population=4), replace(CONFIG, **change), progress=False)  # type: ignore[arg-type]


def test_any_method_trains_the_weights(digits: rs.Dataset) -> None:
    """Their gradient is that of finite differences; a gene that is disabled, or none, has no gradient."""
    net = NEAT.Net(2, 2).double()
    method = started(NEAT(population=20, add_node=1.0), net)
    for _ in range(5):
        method.step(net, replace(XOR, images=CORNERS.double()), CONFIG)
    assert not net.genome.enabled.all()

    def loss() -> Tensor:
        return F.cross_entropy(net(CORNERS.double()), XOR.labels)

    loss().backward()
    wanted = torch.zeros_like(net.weights)
    with torch.no_grad():
        for place in range(net.capacity):
            net.weights[place] += 1e-5
            up = loss()
            net.weights[place] -= 2e-5
            wanted[place] = (up - loss()) / 2e-5
            net.weights[place] += 1e-5
    torch.testing.assert_close(net.weights.grad, wanted, rtol=1e-4, atol=1e-8)
    assert int((wanted != 0).sum()) == net.genome.enabled.sum()
    one = NEAT.Net(64, 10, side=8)
    history = rs.fit(one, digits, Backprop(), rs.FitConfig(epochs=20, batch=50, learning_rate=0.1), progress=False)
    assert max(history.validation_accuracy) > 0.7
