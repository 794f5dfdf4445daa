"""What rules ask of activations, beside what search finds: each part against autograd, or written out."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.methods import ActivityPerturbation, Backprop, DifferenceTargetPropagation, LocalLosses
from repsearch.moves import gradient_at
from repsearch.networks import activations
from repsearch.reproduce import bridge
from repsearch.reproduce.bridge import asked, cosine, practised
from repsearch.reproduce.bridge_settings import ASKS, bridge_setup

CONFIG = rs.FitConfig(epochs=1, batch=20, learning_rate=0.1)


@pytest.fixture(scope="module")
def digits() -> rs.Dataset:
    return rs.load("digits", train=60, validation=50, test=50)


@pytest.fixture(scope="module")
def network(digits: rs.Dataset) -> rs.Network:
    """Trained for a moment, so that its layers differ from what they were drawn as; with the statistics of these images."""
    net = rs.learn_network(digits, presets.smoke("digits"), seed=0)
    rs.fit(net, digits, Backprop(), CONFIG, progress=False)
    trained = [p for p in net.parameters() if p.requires_grad]
    rs.calibrate(net, digits.train.images, normalised=False)
    for parameter in trained:
        parameter.requires_grad_(True)
    return net


def own(network: rs.Network, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return activations(network, images)


def test_back_propagation_asks_for_minus_the_gradient(network: rs.Network, digits: rs.Dataset) -> None:
    found = asked(network, Backprop(), digits.train, CONFIG)
    for block, H in enumerate(own(network, digits.train.images)[:-1]):
        exact = -gradient_at(network, block, H, digits.train.labels) / len(digits.train)
        torch.testing.assert_close(found[block], exact, rtol=1e-3, atol=1e-7)


def test_targets_ask_for_themselves(network: rs.Network, digits: rs.Dataset) -> None:
    method, twin = practised(DifferenceTargetPropagation(), network, digits, CONFIG, 3)
    H = own(network, digits.train.images)
    targets = method.targets(H, digits.train.labels)  # type: ignore[attr-defined]
    method.steps = 0  # type: ignore[attr-defined]  # the feedback learns no further
    for found, target, h in zip(asked(twin, method, digits.train, CONFIG), targets, H, strict=False):
        torch.testing.assert_close(found * len(h), target - h, rtol=1e-3, atol=1e-6)


def test_local_losses_ask_for_what_their_heads_say(network: rs.Network, digits: rs.Dataset) -> None:
    method, twin = practised(LocalLosses(), network, digits, CONFIG, 3)
    heads, found = copy.deepcopy(method.heads), asked(twin, method, digits.train, CONFIG)  # type: ignore[attr-defined]
    for head, h, move in zip(heads, own(network, digits.train.images), found, strict=False):
        at = h.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(head(at), digits.train.labels), at)
        torch.testing.assert_close(move, -gradient, rtol=1e-3, atol=1e-7)


def test_noise_is_as_far_off_as_its_dimension_says(network: rs.Network, digits: rs.Dataset) -> None:
    """The cosine of an estimate from n draws with a gradient of d numbers is about sqrt(n / (n + d + 1))."""
    draws = 16
    method, twin = practised(ActivityPerturbation(draws=draws), network, digits, CONFIG, 0)
    downhill = asked(network, Backprop(), digits.train, CONFIG)
    for found, exact in zip(asked(twin, method, digits.train, CONFIG), downhill, strict=True):
        expected = (draws / (draws + found[0].numel() + 1)) ** 0.5
        assert cosine(found, exact) == pytest.approx(expected, rel=0.25)


def test_practice_leaves_the_network_alone_and_teaches_the_heads(network: rs.Network, digits: rs.Dataset) -> None:
    before, losses = copy.deepcopy(network.state_dict()), []
    for batches in (1, 60):
        method, twin = practised(LocalLosses(), network, digits, CONFIG, batches)
        assert all(torch.equal(now, before[name]) for net in (network, twin) for name, now in net.state_dict().items())
        logits = method.logits(digits.train.images)  # type: ignore[attr-defined]
        losses.append(F.cross_entropy(logits[0], digits.train.labels).item())
    assert losses[1] < 0.8 * losses[0]


def test_the_cosine_is_the_mean_over_images() -> None:
    a, b = (np.random.default_rng(seed).normal(size=(7, 2, 3, 3)) for seed in (0, 1))
    each = [(x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()) for x, y in zip(a, b, strict=True)]
    assert cosine(torch.tensor(a), torch.tensor(b)) == pytest.approx(np.mean(each))


def test_who_asks_is_held_beside_evolution_and_the_gradient() -> None:
    """At smoke, and by few: evolution agrees with itself, the gradient's own search with the gradient, by far more than
    with another image's; before and after training."""
    setup = bridge_setup(presets.smoke("digits"), "all", None)
    few = tuple(ask for ask in ASKS if ask.name in ("evolution", "gradient ascent"))
    found: dict[str, Any] = bridge.run(replace(setup, asks=few, images=16), seed=0)["places"]
    assert list(found) == ["before training", "after training"]
    for place in found.values():
        assert [one["found"] for one in place["evolution"]] == pytest.approx([1, 1, 1], abs=1e-5)
        assert place["gradient ascent"][2]["gradient"] > 0.2 > abs(place["gradient ascent"][2]["others_gradient"])
    assert found["before training"] != found["after training"]


def test_every_name_is_of_one(digits: rs.Dataset) -> None:
    assert len({ask.name for ask in ASKS}) == len(ASKS) and ASKS[0].method == "evolution"
    assert {ask.method for ask in ASKS} - {"evolution", "LatentSearch"} <= set(bridge.CLASSES)
    assert isinstance(rs.learn_network(digits, bridge_setup(presets.smoke("digits"), "all", None)), nn.Module)
