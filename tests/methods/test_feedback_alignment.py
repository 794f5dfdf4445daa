"""Feedback alignment: against autograd, numpy and torch's SGD, closed forms, and what linear networks conserve."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fed import Images, angle, gradients, images, perceptron, started
from nets import CONFIG
from torch import Tensor, nn
from torch.autograd.functional import jacobian

import repsearch as rs
from repsearch.airbench import convnet
from repsearch.methods.backprop import Backprop
from repsearch.methods.feedback_alignment import KINDS, FeedbackAlignment

# --- with the network's own weights it is back-propagation ------------------------------------------------------------


class Sequences(nn.Module):
    """Linear layers of a sequence, one of them frozen, and a way around."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 9), nn.Linear(9, 9), nn.Linear(81 * 2, 5)
        self.frozen = nn.Linear(9, 9).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(images))
        hidden = hidden + torch.tanh(self.frozen(self.second(input=hidden)))
        logits: Tensor = self.head(hidden.flatten(1))
        return logits


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "padding and strides": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 2), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=(2, 3), padding=(2, 1)), nn.Tanh(),
        nn.Conv2d(5, 4, (2, 4), padding="same"), nn.Tanh(), nn.Conv2d(4, 5, 1, bias=False), nn.Flatten(), nn.Linear(75, 5)),
    "groups and dilation": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding="same"), nn.Tanh(), nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding="same"), nn.Tanh(),
        nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"), nn.Tanh(), nn.Conv2d(6, 5, 2, padding="same", padding_mode="circular"),
        nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "in place": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 2), nn.ReLU(inplace=True),
        nn.Flatten(), nn.LayerNorm(20), nn.Linear(20, 7), nn.PReLU(), nn.ReLU(inplace=True), nn.Linear(7, 5)),
    "sequences": Sequences,
    "whitening": lambda: convnet(torch.rand(20, 2, 9, 9), 5, width=6).double(),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", NETWORKS)
def test_with_the_networks_weights_the_gradient_is_autograds(name: str) -> None:
    torch.manual_seed(0)
    net, data = NETWORKS[name]().double(), images(2, 9, 9)
    method, wanted = started(net, data, "random"), gradients(net, Backprop(), data)
    drawn = gradients(net, method, data)
    for layer in method.feedback:
        method.feedback[layer] = net.get_parameter(f"{layer}.weight").detach().clone()
    found = gradients(net, method, data)
    assert found.keys() == wanted.keys() == {key for key, weight in net.named_parameters() if weight.requires_grad}
    for key, one in wanted.items():
        torch.testing.assert_close(found[key], one, rtol=1e-7, atol=1e-9)
    first = next(iter(wanted))
    assert not torch.allclose(drawn[first], wanted[first], rtol=0.1)


def test_direct_feedback_through_a_linear_networks_jacobians_is_autograds() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.Conv2d(3, 4, 2, padding=1), nn.Flatten(), nn.Linear(100, 5)).double()
    data = images(2, 9, 9)
    method, wanted = started(net, data, "direct"), gradients(net, Backprop(), data)
    assert {name: tuple(B.shape) for name, B in method.feedback.items()} == {"1": (5, 3, 4, 4), "3": (5, 100)}
    for name, B in method.feedback.items():
        at = torch.zeros(1, *B.shape[1:]).double()
        method.feedback[name] = jacobian(net[int(name):], at)[0, :, 0]  # type: ignore[no-untyped-call]
    for key, one in gradients(net, method, data).items():
        torch.testing.assert_close(one, wanted[key], rtol=1e-7, atol=1e-9)


# --- each kind by itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_the_last_layers_gradient_are_back_propagations(kind: str, digits: rs.Dataset) -> None:
    net = rs.learn_network(digits, rs.presets.smoke("digits"), groups=1)
    twin, data = copy.deepcopy(net), Images(digits.train.images[:20], 10)
    method = started(net, data, kind)
    frozen = net.stem[0].weight.clone()
    assert set(method.layers) == {"blocks.0.0.4", "blocks.1.0.0", "blocks.1.0.4", "blocks.2.0.0", "blocks.2.0.4", "head.1"}
    step, wanted = method.step(net, data.batch(), CONFIG), Backprop().step(twin, data.batch(), CONFIG)
    assert step.logits is not None and wanted.logits is not None and torch.equal(step.logits, wanted.logits)
    assert torch.equal(step.loss, wanted.loss)
    assert torch.equal(net.head[1].weight.grad, twin.head[1].weight.grad)
    assert 20 < angle(net.blocks[0][0][0].weight.grad, twin.blocks[0][0][0].weight.grad) < 120
    assert net.stem[0].weight.grad is None and torch.equal(net.stem[0].weight, frozen)
    assert all(torch.equal(one, other) for one, other in zip(net.buffers(), twin.buffers(), strict=True))
    assert not any("forward" in vars(module) for module in net.modules())


@pytest.mark.parametrize("kind", ["random", "sign-symmetric"])
def test_a_perceptron_by_hand(kind: str) -> None:
    torch.manual_seed(0)
    net, data = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5)).double(), images(1, 2, 3)
    method = started(net, data, kind, scale=0.7)
    W1, b1, W2, b2, W3, b3 = (weight.detach().numpy() for weight in net.parameters())
    if kind == "sign-symmetric":
        B2, B3 = 0.7 * np.sqrt(2 / (4 + 3)) * np.sign(W2), 0.7 * np.sqrt(2 / (3 + 5)) * np.sign(W3)
    else:
        B2, B3 = (B.numpy() for B in method.feedback.values())
    x, labels = data.images.flatten(1).numpy(), data.labels.numpy()
    h1 = np.tanh(x @ W1.T + b1)
    h2 = np.tanh(h1 @ W2.T + b2)
    exp = np.exp(h2 @ W3.T + b3)
    error = (exp / exp.sum(1, keepdims=True) - np.eye(5)[labels]) / 12
    delta2 = (error @ B3) * (1 - h2**2)
    delta1 = (delta2 @ B2) * (1 - h1**2)
    wanted = [delta1.T @ x, delta1.sum(0), delta2.T @ h1, delta2.sum(0), error.T @ h2, error.sum(0)]
    for one, other in zip(gradients(net, method, data).values(), wanted, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-8)


def test_with_one_hidden_layer_direct_feedback_is_random_feedback() -> None:
    torch.manual_seed(0)
    net, data = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.GELU(), nn.Flatten(), nn.Linear(48, 5)).double(), images(2, 9, 9)
    random, direct = started(net, data, "random"), started(net, data, "direct")
    assert torch.equal(random.feedback["3"], direct.feedback["3"])
    one, other = gradients(net, random, data), gradients(net, direct, data)
    assert all(torch.allclose(one[key], other[key], rtol=1e-7) for key in one)


def test_the_feedback_is_drawn_as_the_formula_says_and_apart_from_the_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 30, 3), nn.Conv2d(30, 20, 3, padding=1), nn.Flatten(), nn.Linear(980, 5))
    nn.init.normal_(net[1].weight)  # type: ignore[arg-type]
    data = Images(torch.zeros(2, 2, 9, 9))
    B = started(net, data, "random", scale=2).feedback
    assert [float(one.std()) for one in B.values()] == pytest.approx([2 * (2 / 450) ** 0.5, 2 * (2 / 985) ** 0.5], rel=0.05)
    direct = started(net, data, "direct").feedback
    assert [float(one.std()) for one in direct.values()] == pytest.approx([(2 / (5 + 30 * 49)) ** 0.5, (2 / 985) ** 0.5], rel=0.05)
    assert abs(angle(B["1"], net[1].weight.detach()) - 90) < 4 * np.rad2deg(1 / np.sqrt(B["1"].numel()))
    other = FeedbackAlignment()
    other.start(net, data, CONFIG, 1)  # type: ignore[arg-type]
    assert not torch.equal(other.feedback["1"], B["1"] / 2)


def test_kolen_pollack_is_sgd_of_both_weights_with_equal_decay() -> None:
    """The same steps, taken by torch's SGD of the weights and of B as parameters, which get the same gradient."""
    net, rate, decay = perceptron().double(), 0.5, 0.02
    data = images(1, 32, 32)
    data.classes = 10
    twin = copy.deepcopy(net)
    method, by_hand = started(net, data, "kolen-pollack", decay=decay), started(twin, data, "random")
    B = {name: nn.Parameter(one.clone()) for name, one in by_hand.feedback.items()}
    own = torch.optim.SGD(net.parameters(), rate)
    W = {name: twin.get_parameter(f"{name}.weight") for name in B}
    rest = [weight for weight in twin.parameters() if not any(weight is one for one in W.values())]
    both = torch.optim.SGD([{"params": [*W.values(), *B.values()], "weight_decay": decay / rate}, {"params": rest}], rate)
    for _ in range(6):
        gradients(net, method, data)
        own.step()
        by_hand.feedback = {name: one.detach() for name, one in B.items()}
        gradients(twin, by_hand, data)
        for name, one in B.items():
            one.grad = W[name].grad
        before = {name: one.detach().clone() for name, one in B.items()}
        both.step()
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)
    for name, one in before.items():  # B lags by the step that `fit` takes
        lagging = method.feedback[name] / (1 - decay)
        torch.testing.assert_close(lagging, one, rtol=1e-6, atol=1e-8)


def test_kolen_pollacks_weights_approach_by_the_decay_whatever_takes_the_steps() -> None:
    net, data, decay = perceptron().double(), images(1, 32, 32), 0.03
    data.classes = 10
    method, momentum = started(net, data, "kolen-pollack", decay=decay), 0.9
    optimizer = torch.optim.SGD(net.parameters(), 1.0, momentum, weight_decay=0.01, nesterov=True)
    distances = {name: B - net.get_parameter(f"{name}.weight") for name, B in method.feedback.items()}
    for number in range(1, 8):
        before = net[4].weight.detach().clone()
        gradients(net, method, data)
        for name, B in method.feedback.items():
            apart = B - net.get_parameter(f"{name}.weight")
            torch.testing.assert_close(apart, (1 - decay) ** number * distances[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(net[4].weight, (1 - decay) * before, rtol=1e-12, atol=0)
        optimizer.param_groups[0]["lr"] = 1 / number
        optimizer.step()
        assert not torch.allclose(net[4].weight, (1 - decay) * before, rtol=1e-2)


@pytest.mark.parametrize("act", [nn.Identity, nn.ReLU])
def test_what_two_layers_conserve(act: Callable[[], nn.Module]) -> None:
    """W1 W1^T - BW2 - (BW2)^T by gradient flow, with a ReLU its diagonal; each step adds rate^2 dW1 dW1^T to it."""
    data, drifts = images(1, 3, 3), {}
    for rate, steps in ((0.1, 20), (0.01, 200)):
        torch.manual_seed(0)
        net: Any = nn.Sequential(nn.Flatten(), nn.Linear(9, 6, bias=False), act(), nn.Linear(6, 5, bias=False)).double()
        method, first, last = started(net, data, "random"), net[1].weight, net[3].weight
        optimizer, added = torch.optim.SGD(net.parameters(), rate), torch.zeros(6, 6).double()

        def conserved(B: Tensor, first: Tensor, last: Tensor) -> Tensor:
            with torch.no_grad():
                return first @ first.T - B.T @ last - (B.T @ last).T

        before = conserved(method.feedback["3"], first, last)
        for _ in range(steps):
            found = gradients(net, method, data)["1.weight"]
            added += rate**2 * found @ found.T
            optimizer.step()
        drift = conserved(method.feedback["3"], first, last) - before
        if act is nn.ReLU:
            assert not torch.allclose(drift, added, rtol=0.1)
            drift, added = drift.diag(), added.diag()
        torch.testing.assert_close(drift, added, rtol=1e-5, atol=1e-9)
        drifts[rate] = float(drift.norm())
    assert drifts[0.1] == pytest.approx(10 * drifts[0.01], rel=0.2)
