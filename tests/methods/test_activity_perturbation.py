"""Activity perturbation against autograd, closed forms of its variance, and back-propagation; what it may touch."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
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
from repsearch.methods._cut import Noise, in_blocks, severed
from repsearch.methods.activity_perturbation import ActivityPerturbation, estimate, local_loss

CPU = torch.device("cpu")


def tanh() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 10))


def small(_data: rs.Dataset | None = None) -> rs.Network:
    """Convolutions that see an image alone."""
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Conv2d(a, b, 3, stride=2), nn.GELU()) for a, b in ((1, 3), (3, 2)))
    return rs.Network(nn.AvgPool2d(4), [first, second], nn.Sequential(nn.Flatten(), nn.Linear(2, 10)))


def conv(data: rs.Dataset) -> rs.Network:
    return rs.learn_network(data, replace(rs.presets.smoke("digits"), width=8), groups=1)


def batch_of(data: rs.Dataset, size: int = 20) -> Batch:
    return Batch(data.train.images[:size].clone(), data.train.labels[:size], 0, size)


def slopes(network: nn.Module, batch: Batch) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """The search layers, and autograd's gradient there of the sum of the batch's losses."""
    layers = rs.activations(network, batch.images)
    return layers, torch.autograd.grad(F.cross_entropy(layers[-1], batch.labels, reduction="sum"), layers[:-1])


# --- the estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("build", [tanh, small])
def test_the_mean_of_the_estimates_is_the_gradient(build: Any, antithetic: bool, digits: rs.Dataset) -> None:
    """Of one image, 4000 times: within four standard errors, in every entry of every layer."""
    net, method, count = build(), ActivityPerturbation(antithetic=antithetic), 4000
    method.start(net, digits, CONFIG, 0)
    one = batch_of(digits, 1)
    layers, wanted = slopes(method.network, one)
    copies = [H.detach().expand(count, *H.shape[1:]) for H in layers]
    found = method.estimates(copies, one.labels.expand(count))
    assert [tuple(g.shape[1:]) for g in found] == ([(24,), (16,)] if build is tanh else [(3, 3, 3), (2, 1, 1)])
    for g, exact in zip(found, wanted, strict=True):
        assert float(((g.mean(0) - exact[0]) / (g.std(0) / math.sqrt(count))).abs().max()) < 4
        assert float(F.cosine_similarity(g.mean(0).flatten(), exact[0].flatten(), dim=0)) > 0.9


@pytest.mark.parametrize(("draws", "antithetic"), [(1, True), (1, False), (3, True)])
def test_the_variance_on_a_linear_loss(draws: int, antithetic: bool) -> None:
    """(|g|^2 + g_i^2) / draws, whatever the noise."""
    g, count = torch.tensor([2.0, -1.0, 0.5, 0.0]), 40_000
    H = torch.zeros(count, 2, 2)
    found = estimate(lambda H: H.flatten(1) @ g + 7, H, None if antithetic else torch.full((count,), 7.0), 0.5, draws, Noise(CPU, 0))
    wanted = (g.square().sum() + g.square()) / draws
    torch.testing.assert_close(found.flatten(1).var(0), wanted, rtol=0.08, atol=0)
    assert float(((found.flatten(1).mean(0) - g) / (wanted / count).sqrt()).abs().max()) < 4


@pytest.mark.parametrize("antithetic", [True, False])
def test_curvature_adds_to_the_variance_of_the_one_sided_alone(antithetic: bool) -> None:
    """By std^2 a^2 (n + 2)(n + 4) / 4 for a curvature a in n dimensions, at a point of zero slope."""
    n, count, std, a = 6, 40_000, 0.3, 2.0
    H = torch.zeros(count, n)
    found = estimate(lambda H: a / 2 * H.square().sum(1), H, None if antithetic else torch.zeros(count), std, 1, Noise(CPU, 0))
    wanted = 0.0 if antithetic else std**2 * a**2 * (n + 2) * (n + 4) / 4
    assert found.var(0).tolist() == pytest.approx([wanted] * n, rel=0.1)


# --- the step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda _: tanh(), small, conv])
def test_with_the_exact_gradient_it_is_back_propagation(build: Any, digits: rs.Dataset) -> None:
    net, batch = build(digits).train(), batch_of(digits)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    wanted = torch.autograd.grad(F.cross_entropy(net(batch.images), batch.labels), trained)
    network = in_blocks(net, "linear")
    _, exact = slopes(network, batch)
    layers = severed(network, batch.images)
    loss = F.cross_entropy(layers[-1], batch.labels) + local_loss(layers[:-1], exact)
    for found, gradient in zip(torch.autograd.grad(loss, trained), wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("antithetic", [True, False])
def test_a_step_of_many_draws_follows_the_gradient(antithetic: bool, digits: rs.Dataset) -> None:
    net, batch, method = tanh(), batch_of(digits), ActivityPerturbation(draws=200, antithetic=antithetic)
    wanted = torch.autograd.grad(F.cross_entropy(net(batch.images), batch.labels), list(net.parameters()))
    method.start(net, digits, CONFIG, 0)
    done = method.step(net, batch, CONFIG)
    assert done.loss.item() == pytest.approx(F.cross_entropy(net(batch.images), batch.labels).item())
    for parameter, gradient in zip(net.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        if parameter.ndim > 1:
            assert float(F.cosine_similarity(parameter.grad.flatten(), gradient.flatten(), dim=0)) > 0.85
            assert float(parameter.grad.norm() / gradient.norm()) == pytest.approx(1, abs=0.3)
    for parameter, gradient in list(zip(net.parameters(), wanted, strict=True))[-2:]:
        torch.testing.assert_close(parameter.grad, gradient)


def test_no_gradient_crosses_a_block(digits: rs.Dataset) -> None:
    net = conv(digits)
    layers = severed(net, batch_of(digits).images)
    named = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    for H, stage in zip(layers, ("blocks.0.", "blocks.1.", "blocks.2.", "head."), strict=True):
        found = torch.autograd.grad(H.square().sum(), list(named.values()), allow_unused=True)
        touched = [name for name, gradient in zip(named, found, strict=True) if gradient is not None]
        assert touched == [name for name in named if name.startswith(stage)] and touched


def test_batch_norm_sees_a_batch_once_and_torchs_generators_are_left_alone(digits: rs.Dataset) -> None:
    net, batch, method = conv(digits).train(), batch_of(digits), ActivityPerturbation(draws=2)
    twin, state = deepcopy(net), torch.get_rng_state()
    method.start(net, digits, CONFIG, 0)
    method.step(net, batch, CONFIG)
    assert torch.equal(torch.get_rng_state(), state)
    twin(batch.images)
    buffers = dict(twin.named_buffers())
    assert len(buffers) == 18
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, buffers[name])


def test_an_activation_may_work_in_place(digits: rs.Dataset) -> None:
    found = []
    for inplace in (False, True):
        net, method = mlp(), ActivityPerturbation()
        net[3] = nn.ReLU(inplace=inplace)
        method.start(net, digits, CONFIG, 0)
        method.step(net, batch_of(digits), CONFIG)
        found.append([parameter.grad for parameter in net.parameters()])
    assert len(found[0]) == 4 and all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_cost_in_closed_form(digits: rs.Dataset) -> None:
    """64-24-16-10: behind the first layer there are 384 + 160 of 2080 multiply-adds, behind the second 160."""
    for arguments, passes in (({}, 2), ({"antithetic": False}, 1), ({"draws": 3}, 6)):
        net, method = tanh(), ActivityPerturbation(**arguments)
        method.start(net, digits, CONFIG, 0)
        assert method.step(net, batch_of(digits), CONFIG).cost == pytest.approx(3 + passes * (384 + 160 + 160) / 2080)


# --- trainings --------------------------------------------------------------------------------------------------------


def test_a_resumed_training_ends_as_an_undisturbed_one(digits: rs.Dataset, tmp_path: Path) -> None:
    config, data = rs.FitConfig(epochs=4, batch=50, learning_rate=0.1), replace(digits, train=digits.train[:100])
    whole, method = tanh(), ActivityPerturbation
    undisturbed = rs.fit(whole, data, method(), config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(tanh(), data, method(), config, checkpoint=tmp_path / "c", progress=False, watch=stop)
    halves = tanh()
    assert rs.fit(halves, data, method(), config, checkpoint=tmp_path / "c", progress=False) == undisturbed
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))
    assert rs.fit(tanh(), data, method(), config, seed=1, progress=False) != undisturbed
    with pytest.raises(rs.InputError, match="of another training"):
        rs.fit(tanh(), data, method(draws=2), config, checkpoint=tmp_path / "c", progress=False)


def test_it_learns_digits(digits: rs.Dataset) -> None:
    """Better than a body that stays as it is, with a head trained as long."""
    net, frozen, config = tanh(), tanh(), rs.FitConfig(epochs=8, batch=25, learning_rate=0.1)
    rs.fit(net, digits, ActivityPerturbation(draws=4), config, progress=False)
    frozen.requires_grad_(False)
    frozen[-1].requires_grad_(True)
    rs.fit(frozen, digits, Backprop(), config, progress=False)
    assert rs.accuracy(net, digits.validation) > rs.accuracy(frozen, digits.validation) + 0.05


def test_it_trains_convolutions(digits: rs.Dataset) -> None:
    net = conv(digits)
    before, config = rs.accuracy(net, digits.validation), rs.FitConfig(epochs=8, batch=25, learning_rate=0.05)
    history = rs.fit(net, digits, ActivityPerturbation(draws=2), config, progress=False)
    assert history.loss[-1] < 0.4 * history.loss[0] and rs.accuracy(net, digits.validation) > max(0.6, before + 0.4)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"std": 0}, "std=0: expected"), ({"draws": 0}, "draws=0: expected"), ({"antithetic": "no"}, "antithetic='no': expected True or False"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        ActivityPerturbation(**arguments)


@pytest.mark.parametrize(("net", "precision", "message"), [
    (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), "float32", "model: 1 linear layers are in the nn.Sequential; expected two"),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1800, 8), nn.Linear(8, 10)), "float32", "before its first linear layer"),
    (mlp(nn.Dropout(0.5)), "float32", "has dropout, of which every pass would draw another mask; take it out"),
    (mlp(), "bfloat16", "precision='bfloat16': the method works with small differences; use 'float32'"),
])
def test_what_it_refuses(net: nn.Module, precision: Any, message: str, digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match=message):
        ActivityPerturbation().start(net, digits, rs.FitConfig(precision=precision), 0)
