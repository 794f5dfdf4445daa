"""Feedback alignment in a training: accuracy, angles, cost, checkpoints, precision, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fed import Images, angle, gradients, perceptron, started
from nets import CONFIG, StopHereError, stop
from torch import Tensor, nn

import repsearch as rs
from repsearch.methods.backprop import Backprop
from repsearch.methods.feedback_alignment import KINDS, FeedbackAlignment

TRAINING = rs.FitConfig(epochs=10, batch=50, learning_rate=0.1, keep="last")


@pytest.fixture(scope="module")
def untrained(digits: rs.Dataset) -> float:
    """Accuracy of a perceptron of which the last layer alone is trained."""
    net = perceptron()
    for layer in (net[2], net[4]):
        layer.requires_grad_(False)
    rs.fit(net, digits, Backprop(), TRAINING, progress=False)
    return rs.accuracy(net, digits.validation)


@pytest.mark.parametrize(("kind", "least", "first", "last"), [
    ("random", 0.85, (80, 100), 75), ("direct", 0.85, (80, 100), 75), ("sign-symmetric", 0.9, (20, 60), 60),
    ("kolen-pollack", 0.9, (80, 100), 45)])
def test_it_trains_a_perceptrons_body_and_comes_near_to_back_propagations_steps(
    kind: str, least: float, first: tuple[float, float], last: float, digits: rs.Dataset, untrained: float
) -> None:
    """Random feedback begins at a right angle."""
    net, data, method = perceptron(), Images(digits.train.images, 10), FeedbackAlignment(kind)
    method.start(net, digits, TRAINING, 0)

    def apart() -> float:
        return angle(*(gradients(net, one, data)["2.weight"] for one in (Backprop(), method)))

    assert first[0] < apart() < first[1]
    net = perceptron()
    history = rs.fit(net, digits, method, TRAINING, progress=False)
    assert rs.accuracy(net, digits.validation) > max(least, untrained + 0.03)
    assert apart() < last
    multiply_adds = 64 * 32 + 32 * 32 + 32 * 10
    assert history.spent[0] == pytest.approx(400 * (2 + 2 * 10 * 32 / multiply_adds if kind == "direct" else 3))


def test_it_trains_the_books_network(digits: rs.Dataset) -> None:
    preset = rs.presets.smoke("digits")
    net = rs.learn_network(digits, preset, groups=1)
    rs.fit(net, digits, FeedbackAlignment("kolen-pollack"), replace(preset.baseline, epochs=1), progress=False)
    assert rs.accuracy(net, digits.validation) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_it_resumes_to_the_same_bytes(kind: str, digits: rs.Dataset, tmp_path: Path) -> None:
    config = replace(TRAINING, epochs=4, batch=200)
    whole, halves, method = perceptron(), perceptron(), FeedbackAlignment(kind)
    rs.fit(whole, digits, FeedbackAlignment(kind), config, seed=3, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(halves, digits, FeedbackAlignment(kind), config, 3, tmp_path / "c.pt", progress=False, watch=stop)
    halves = perceptron()
    with pytest.raises(rs.InputError, match=r"scale 1\.0 there, 2\.0 here"):
        rs.fit(halves, digits, FeedbackAlignment(kind, 2.0), config, 3, tmp_path / "c.pt", progress=False)
    rs.fit(halves, digits, method, config, 3, tmp_path / "c.pt", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), halves.parameters(), strict=True))
    other = FeedbackAlignment(kind)
    other.start(halves, digits, config, 4)
    other.load_state_dict(method.state_dict())
    assert all(torch.equal(B, other.feedback[name]) for name, B in method.feedback.items())


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_changes_little(kind: str, digits: rs.Dataset) -> None:
    net, data = perceptron(), Images(digits.train.images[:100], 10)
    twin = copy.deepcopy(net)
    half = gradients(twin, started(twin, data, kind), data, replace(CONFIG, precision="bfloat16"))
    for key, one in gradients(net, started(net, data, kind), data).items():
        assert half[key].dtype == torch.float32 and 0 < angle(one, half[key]) < 2


# --- what it has no way through ---------------------------------------------------------------------------------------


class Twice(nn.Module):
    """Calls a layer twice, or not at all."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.layer, self.head = times, nn.Linear(9, 9), nn.Linear(9, 5)

    def forward(self, images: Tensor) -> Tensor:
        hidden = images.flatten(1)
        for _ in range(self.times):
            hidden = self.layer(hidden)
        logits: Tensor = self.head(hidden)
        return logits


def tied() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 9), nn.Linear(9, 9), nn.Linear(9, 5))
    net[2].weight = net[1].weight
    return net


@pytest.mark.parametrize(("net", "message"), [
    (lambda: Twice(2), "its layer 'layer' is called 2 times in a forward pass; expected once"),
    (lambda: Twice(0), "its layer 'layer' is called 0 times"),
    (tied, "two of its layers share their weights"),
    (lambda: nn.Sequential(nn.ConvTranspose2d(1, 2, 1), nn.Flatten(), nn.Linear(18, 5)),
     r"'0.weight' is a trained matrix \(1, 2, 1, 1\) of something else than a plain nn.Linear or nn.Conv2d"),
    (lambda: nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(9, 5))), "is a trained matrix"),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 5)), "no trained linear layer .* use repsearch.methods.Backprop"),
])
def test_networks_it_has_no_way_through(net: Callable[[], nn.Module], message: str) -> None:
    model = net()
    with pytest.raises(rs.InputError, match=message):
        started(model, Images(torch.zeros(2, 1, 3, 3)), "random")
    assert not any("forward" in vars(module) for module in model.modules())


def test_another_network_than_it_was_started_with() -> None:
    net, data = perceptron(), Images(torch.zeros(10, 1, 32, 32), 10)
    with pytest.raises(rs.InputError, match=r"its layer '4' wasn't called; expected the network that `start` was given"):
        gradients(copy.deepcopy(net), started(net, data, "random"), data)


def test_bad_input() -> None:
    with pytest.raises(rs.InputError, match="kind='backprop': unknown; choose one of direct, kolen-pollack, random, sign"):
        FeedbackAlignment("backprop")
    for value in (0, -1.0, float("nan"), True):
        with pytest.raises(rs.InputError, match=f"scale={value}: expected a finite number above zero"):
            FeedbackAlignment(scale=value)
        with pytest.raises(rs.InputError, match=f"decay={value}: expected a finite number above zero"):
            FeedbackAlignment("kolen-pollack", decay=value)
    with pytest.raises(rs.InputError, match="decay=1: expected a share above 0 and below 1"):
        FeedbackAlignment("kolen-pollack", decay=1)
    with pytest.raises(rs.InputError, match=r"decay=0\.1: kind='direct' has none; leave it out, or choose 'kolen-pollack'"):
        FeedbackAlignment("direct", decay=0.1)
    folded = nn.Sequential(nn.Linear(3, 3), nn.Flatten(0, 1), nn.Linear(3, 3), nn.Unflatten(0, (-1, 3)), nn.Flatten(), nn.Linear(9, 5))
    with pytest.raises(rs.InputError, match="its layer '2' gets 6 rows of 2 images; expected one an image"):
        started(folded, Images(torch.zeros(2, 3, 3)), "direct")
    started(folded, Images(torch.zeros(2, 3, 3)), "random")
