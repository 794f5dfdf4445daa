"""Target propagation against back-propagation, inverses and the minima of the feedback losses; what it may touch."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from nets import CONFIG, StopHereError, mlp, stop
from torch import Tensor, nn

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods import Backprop
from repsearch.methods._cut import severed
from repsearch.methods._feedback import feedback_stage, local_difference
from repsearch.methods.target_propagation import DifferenceTargetPropagation, TargetPropagation, local_losses

BOTH = (TargetPropagation, DifferenceTargetPropagation)


def linear(*sizes: int) -> nn.Sequential:
    """Linear layers without biases, on digits averaged to 8 x 8 pixels."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *[nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)])


def images() -> rs.Network:
    """Linear convolutions that keep their size, and a linear head."""
    torch.manual_seed(0)
    first, second = (nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in ((1, 4), (4, 3)))
    return rs.Network(nn.AvgPool2d(4), [first, second], nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10, bias=False)))


def tanh(_data: rs.Dataset | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 10))


def conv(data: rs.Dataset) -> rs.Network:
    return rs.learn_network(data, rs.presets.smoke("digits"), groups=1)


def weights(net: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in net.parameters() if parameter.ndim > 1]


def back(method: TargetPropagation) -> list[Tensor]:
    return [parameter.data for parameter in method.feedback.stages.parameters() if parameter.ndim > 1]


def transposed(weight: Tensor) -> Tensor:
    return weight.T if weight.ndim == 2 else weight.flip(2, 3).transpose(0, 1)


def batch_of(data: rs.Dataset, size: int = 20) -> Batch:
    return Batch(data.train.images[:size].clone(), data.train.labels[:size], 0, size)


def begun(method: TargetPropagation, net: nn.Module, data: rs.Dataset, ways: list[Tensor] | None = None) -> TargetPropagation:
    method.start(net, data, CONFIG, 0)
    for own, given in zip(back(method), ways or back(method), strict=True):
        own.copy_(given)
    return method


def stepped(method: TargetPropagation, net: nn.Module, batch: Batch) -> list[Tensor]:
    net.train().zero_grad()
    method.step(net, batch, CONFIG)
    return [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]


def exact(net: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    return torch.autograd.grad(F.cross_entropy(net(batch.images), batch.labels), list(net.parameters()))


def cosine(one: Tensor, other: Tensor) -> float:
    return float(F.cosine_similarity(one.flatten(), other.flatten(), dim=0))


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.3, 2.0])
@pytest.mark.parametrize("build", [lambda: linear(64, 32, 16, 10), images])
def test_transposed_feedback_of_linear_stages_is_back_propagation(build: Any, beta: float, digits: rs.Dataset) -> None:
    net, batch = build(), batch_of(digits)
    method = begun(DifferenceTargetPropagation("fixed", beta), net, digits, [transposed(w) for w in weights(net)[1:]])
    for found, wanted in zip(stepped(method, net, batch), exact(net, batch), strict=True):
        torch.testing.assert_close(found, beta * wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_the_inverse_of_orthogonal_stages_is_back_propagation(kind: type[TargetPropagation], digits: rs.Dataset) -> None:
    net, batch, beta = linear(64, 10, 10, 10), batch_of(digits), 0.7
    for layer in (net[3], net[4]):
        nn.init.orthogonal_(layer.weight)
    method = begun(kind("fixed", beta), net, digits, [torch.linalg.inv(w) for w in weights(net)[1:]])
    for found, wanted in zip(stepped(method, net, batch), exact(net, batch), strict=True):
        torch.testing.assert_close(found, beta * wanted, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_the_inverse_of_linear_stages_gives_gauss_newton_targets(kind: type[TargetPropagation], digits: rs.Dataset) -> None:
    """delta_{l-1} = W^-1 delta_l; the two rules agree where G(h_l) = h_{l-1}, and there alone."""
    net, batch, beta = linear(64, 10, 10, 10), batch_of(digits), 0.7
    with torch.no_grad():
        for layer in (net[3], net[4]):
            layer.weight += 2 * torch.eye(10)
    method = begun(kind("fixed", beta), net, digits, [torch.linalg.inv(w) for w in weights(net)[1:]])
    layers = [H.detach() for H in severed(method.network, batch.images)]
    delta = -beta * (layers[-1].softmax(1) - F.one_hot(batch.labels, 10))
    for H, target, weight in zip(reversed(layers), reversed(method.targets(layers, batch.labels)), [*weights(net)[:0:-1], None], strict=True):
        torch.testing.assert_close(target, H + delta, rtol=1e-4, atol=1e-5)
        delta = delta if weight is None else torch.linalg.solve(weight, delta.T).T
    way = begun(kind("fixed"), net, digits).feedback.stages[1]
    low, high = layers[1], layers[2]
    plain, difference = (kind().target(way, low, high, high + 1).detach() for kind in BOTH)
    torch.testing.assert_close(difference - plain, low - way(high).detach())
    assert float((difference - plain).norm()) > 1


@pytest.mark.parametrize(("kind", "right", "still"), [
    (TargetPropagation, True, True), (TargetPropagation, False, False),
    (DifferenceTargetPropagation, True, True), (DifferenceTargetPropagation, False, True),
])
def test_a_perfect_output_leaves_everything_as_it_is(kind: type[TargetPropagation], right: bool, still: bool, digits: rs.Dataset) -> None:
    """Exactly, with permutations, and a softmax that is one and zeros; with any G, if the difference is taken."""
    net, batch = linear(64, 10, 10, 10), batch_of(digits)
    with torch.no_grad():
        net[2].weight *= 1e4
        for layer in (net[3], net[4]):
            layer.weight.copy_(torch.eye(10)[torch.randperm(10)])
        batch = Batch(batch.images, net(batch.images).argmax(1), 0, 20)
    method = begun(kind("fixed"), net, digits, [w.T for w in weights(net)[1:]] if right else None)
    assert all(not gradient.any() for gradient in stepped(method, net, batch)) is still


# --- feedback ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.0, 2.5])
def test_the_local_difference_loss_has_its_minimum_at_the_transposed_stage(ratio: float) -> None:
    """Times the ratio of the variances; with noise whose sample covariance is a multiple of the identity."""
    torch.manual_seed(0)
    weight, x, basis = torch.randn(4, 6), torch.randn(6, 6), torch.linalg.qr(torch.randn(6, 6))[0] * 6**0.5
    xi, eta, y = 0.2 * basis, 0.2 / ratio**0.5 * basis[:, :4], x @ weight.T
    stage = feedback_stage(x, y)
    optimizer = torch.optim.SGD(stage.parameters(), 0.1, 0.5)
    for _ in range(200):
        optimizer.zero_grad()
        local_difference(stage, xi, (x + xi) @ weight.T, y, eta).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(stage[0].weight.detach(), ratio * weight.T, rtol=1e-4, atol=1e-4)  # type: ignore[index]


@pytest.mark.parametrize("build", [lambda: linear(64, 32, 10), images])
def test_feedback_learns_the_transposed_stages(build: Any, digits: rs.Dataset) -> None:
    net, batch = build(), batch_of(digits, 50)
    method = begun(DifferenceTargetPropagation(feedback_rate=0.003), net, digits)
    layers = [H.detach() for H in severed(method.network, batch.images)]
    method.feedback.learn(method.network, layers, 150)
    for way, weight in zip(back(method), weights(net)[1:], strict=True):
        assert float((way - transposed(weight)).norm() / weight.norm()) < 0.4
        assert cosine(way, transposed(weight)) > 0.93


def test_plain_feedback_learns_the_inverse(digits: rs.Dataset) -> None:
    net, batch = linear(64, 10, 10), batch_of(digits, 50)
    nn.init.orthogonal_(net[3].weight)
    method = begun(TargetPropagation(noise=1.0, feedback_rate=0.02), net, digits)
    layers = [H.detach() for H in severed(method.network, batch.images)]
    method.feedback.learn(method.network, layers, 150)
    torch.testing.assert_close(back(method)[0], net[3].weight.detach().T, rtol=0, atol=0.02)


def test_learned_feedback_turns_the_step_towards_the_gradient(digits: rs.Dataset) -> None:
    """With activations, too: the angle falls from a right one to less than 20 degrees, in every layer."""
    net, batch = tanh(), batch_of(digits, 50)
    method = begun(DifferenceTargetPropagation(beta=0.1, feedback_rate=0.003), net, digits)
    assert abs(cosine(stepped(begun(DifferenceTargetPropagation("fixed"), net, digits), net, batch)[0], exact(net, batch)[0])) < 0.3
    layers = [H.detach() for H in severed(method.network, batch.images)]
    method.feedback.learn(method.network, layers, 300)
    found, wanted = stepped(method, net, batch), exact(net, batch)
    assert all(cosine(one, other) > 0.94 for one, other in zip(found, wanted, strict=True))


# --- what a step touches ----------------------------------------------------------------------------------------------


def test_a_stages_loss_touches_that_stage_alone(digits: rs.Dataset) -> None:
    net, batch = conv(digits), batch_of(digits)
    method = begun(TargetPropagation("fixed"), net, digits)
    layers = severed(method.network, batch.images)
    losses = local_losses(layers, method.targets([H.detach() for H in layers], batch.labels))
    named = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    for loss, stage in zip(losses, ("blocks.0.", "blocks.1.", "blocks.2.", "head."), strict=True):
        found = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
        touched = [name for name, gradient in zip(named, found, strict=True) if gradient is not None]
        assert touched == [name for name in named if name.startswith(stage)] and touched


@pytest.mark.parametrize("kind", BOTH)
def test_batch_norm_sees_a_batch_once_and_torchs_generators_are_left_alone(kind: type[TargetPropagation], digits: rs.Dataset) -> None:
    net, batch = conv(digits).train(), batch_of(digits)
    twin, state = deepcopy(net), torch.get_rng_state()
    method = begun(kind(steps=2), net, digits)
    stepped(method, net, batch)
    assert torch.equal(torch.get_rng_state(), state)
    twin(batch.images)
    buffers = dict(twin.named_buffers())
    assert len(buffers) == 18
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, buffers[name])


def test_the_cost_in_closed_form(digits: rs.Dataset) -> None:
    """64-32-10: the second layer has 320 of 2368 multiply-adds, and so has its G. A 3x3 convolution of 4 to 3 channels at
    8x8 positions has 9 * 4 * 3 * 64, and so has its G; the head and its G 192 * 10."""
    second, total = 320, 2368
    for method, wanted in (
        (DifferenceTargetPropagation("fixed"), 2 * second), (TargetPropagation("fixed"), second),
        (DifferenceTargetPropagation(steps=7), 2 * second + 7 * (second + 9 * second)),
        (TargetPropagation(steps=7), second + 7 * (second + 3 * second)),
    ):
        assert begun(method, mlp(), digits).step(mlp(), batch_of(digits), CONFIG).cost == pytest.approx(3 + wanted / total)
    conv, head = 9 * 4 * 3 * 64, 1920
    cost = begun(DifferenceTargetPropagation(steps=1), images(), digits).cost
    assert cost == pytest.approx(3 + 12 * (conv + head) / (9 * 4 * 64 + conv + head))


# --- trainings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [TargetPropagation, DifferenceTargetPropagation, lambda: DifferenceTargetPropagation("fixed")])
def test_a_resumed_training_ends_as_an_undisturbed_one(method: Any, digits: rs.Dataset, tmp_path: Path) -> None:
    config, small, whole, halves = rs.FitConfig(epochs=4, batch=50, learning_rate=0.01), replace(digits, train=digits.train[:100]), tanh(), tanh()
    undisturbed = rs.fit(whole, small, method(), config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(tanh(), small, method(), config, checkpoint=tmp_path / "c", progress=False, watch=stop)
    assert rs.fit(halves, small, method(), config, checkpoint=tmp_path / "c", progress=False) == undisturbed
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))
    assert rs.fit(tanh(), small, method(), config, seed=1, progress=False) != undisturbed
    with pytest.raises(rs.InputError, match="of another training"):
        rs.fit(tanh(), small, DifferenceTargetPropagation(beta=0.4), config, checkpoint=tmp_path / "c", progress=False)


@pytest.mark.parametrize(("method", "rate", "epochs", "batch", "build"), [
    (DifferenceTargetPropagation(steps=2), 0.1, 3, 25, tanh), (DifferenceTargetPropagation("plain", steps=2), 0.1, 4, 25, tanh),
    (DifferenceTargetPropagation("fixed"), 0.1, 4, 25, tanh), (TargetPropagation(), 0.015, 4, 25, tanh),
    (DifferenceTargetPropagation(beta=1.0, steps=1), 0.1, 1, 16, conv),
])
def test_it_learns_digits(method: TargetPropagation, rate: float, epochs: int, batch: int, build: Any, digits: rs.Dataset) -> None:
    """Better than a body that stays as it is, with the same steps of the head, which are back-propagation's times beta."""
    net, frozen = build(digits), build(digits)
    config = rs.FitConfig(epochs=epochs, batch=batch, learning_rate=rate)
    rs.fit(net, digits, method, config, progress=False)
    frozen.requires_grad_(False)
    (frozen.head if build is conv else frozen[-1]).requires_grad_(True)
    rs.fit(frozen, digits, Backprop(), replace(config, learning_rate=rate * method.beta), progress=False)
    found, baseline = (rs.accuracy(one, digits.validation) for one in (net, frozen))
    assert found > max(0.6, baseline + 0.02)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"feedback": "drl"}, "feedback='drl': unknown; choose one of fixed, l-drl, plain"), ({"beta": 0}, "beta=0: expected"),
    ({"noise": -1}, "noise=-1: expected"), ({"steps": 0}, "steps=0: expected"),
    ({"feedback_rate": 0}, "feedback_rate=0: expected"), ({"feedback_momentum": -0.1}, "feedback_momentum=-0.1: expected"),
    ({"feedback_momentum": 1.0}, r"feedback_momentum=1.0: expected a number from 0 to below 1"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    for kind in BOTH:
        with pytest.raises(rs.InputError, match=message):
            kind(**arguments)


@pytest.mark.parametrize(("net", "message"), [
    (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), "model: 1 linear layers are in the nn.Sequential; expected two"),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1800, 8), nn.Linear(8, 10)), "model: there are parameters before its first linear layer"),
    (mlp(nn.Dropout(0.5)), "has dropout, of which every pass would draw another mask; take it out"),
    (rs.Network(nn.Flatten(), [nn.Linear(1024, 8), nn.Unflatten(1, (2, 4))], nn.Sequential(nn.Flatten(), nn.Linear(8, 10))), r"no feedback is known from a layer of shape \(2, 4\) to one of \(8,\)"),
])
def test_networks_that_it_refuses(net: nn.Module, message: str, digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match=message):
        begun(TargetPropagation(), net, digits)


def test_other_precisions_and_feedback_that_diverges(digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match="precision='bfloat16': the method works with small differences; use 'float32'"):
        TargetPropagation().start(mlp(), digits, rs.FitConfig(precision="bfloat16"), 0)
    with pytest.raises(rs.InputError, match=r"feedback_rate=1000000.0: the feedback's loss became (nan|inf); lower it"):
        rs.fit(mlp(), digits, TargetPropagation(feedback_rate=1e6), CONFIG, progress=False)
