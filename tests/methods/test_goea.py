"""Greedy evolution against order statistics, Fisher's geometric model and plain loops; what it may and may not change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nets import CONFIG, Point, Recorder, mlp
from scipy.integrate import quad
from scipy.stats import ncx2, norm
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import repsearch as rs
from repsearch.method import Batch, Step
from repsearch.methods import Backprop, EvolutionStrategy
from repsearch.methods.goea import GOEA

DIMENSION = 8


def at(start: Tensor, method: GOEA, seed: int = 0) -> tuple[Point, GOEA]:
    point = Point(start)
    method.start(point, None, CONFIG, seed)  # type: ignore[arg-type]
    return point, method


def step(net: nn.Module, method: GOEA, images: Tensor = torch.zeros(2, 1, 1, 1)) -> Step:  # noqa: B008
    return method.step(net, Batch(images, torch.arange(len(images)) % 3, 0, len(images)), CONFIG)


def bowl(w: Tensor) -> Tensor:
    return -w.square().sum() / 2


# --- how much a generation gains --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("population", "largest"), [(2, 0.5642), (5, 1.1630), (20, 1.8675)])
def test_the_gain_on_a_linear_fitness_is_that_of_the_largest_of_normals(population: int, largest: float) -> None:
    """The best child is better by s |g| m(N) on average; with the parent kept where it is worse, by a little more."""
    g, std, repeats = torch.linspace(-1, 2, DIMENSION), 0.3, 1000
    fitness, gained = Recorder(lambda w: w @ g), []
    point, method = at(torch.zeros(DIMENSION), GOEA(population, std, fitness=fitness))
    for _ in range(repeats):
        point.weights.data.zero_()
        step(point, method)
        gained.append(float(point.weights.detach() @ g) / (std * float(g.norm())))
    scores = np.array(fitness.given).reshape(repeats, population + 1)
    best = (scores[:, 1:].max(1) - scores[:, 0]) / (std * float(g.norm()))
    positive = quad(lambda x: 1 - norm.cdf(x) ** population, 0, 10)[0]
    assert largest == pytest.approx(positive - quad(lambda x: norm.cdf(x) ** population, -10, 0)[0], abs=1e-4)
    for found, wanted in ((best, largest), (np.array(gained), positive)):
        assert abs(found.mean() - wanted) < 4 * found.std() / math.sqrt(repeats)
    np.testing.assert_allclose(gained, best.clip(0), atol=1e-5)


@pytest.mark.parametrize(("n", "radius", "std", "known"), [(10, 1, 0.1, 0.326097), (100, 1, 0.02, 0.161075), (3, 1, 0.5, 0.300564)])
def test_fishers_geometric_model_gives_the_share_of_better_children(n: int, radius: float, std: float, known: float) -> None:
    wanted = ncx2.cdf((radius / std) ** 2, n, (radius / std) ** 2)
    assert wanted == pytest.approx(known, abs=1e-6)
    fitness, children = Recorder(bowl), 20_000
    point, method = at(torch.full((n,), radius / math.sqrt(n)), GOEA(children, std, fitness=fitness))
    step(point, method)
    better = np.array(fitness.given[1:]) > fitness.given[0]
    assert abs(better.mean() - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / children)


# --- who is taken -----------------------------------------------------------------------------------------------------


def drawn(method: GOEA) -> Tensor:
    """A generation's steps, the parent's first."""
    return torch.cat([method.draw(*block) for block in method.blocks(method.population + 1)])


@pytest.mark.parametrize("population", [12, 100])
def test_best_takes_one_step_and_first_all_that_are_better(population: int) -> None:
    """Against a plain loop over the same steps."""
    start = torch.linspace(-1, 2, DIMENSION)
    for accept in ("best", "first"):
        point, method = at(start, GOEA(population, 0.2, accept=accept, fitness=lambda logits, _labels: bowl(logits[0])))
        theta, counts = start.clone(), []
        for _ in range(8):
            steps, took = drawn(method), 0
            assert torch.equal(steps[0], torch.zeros(DIMENSION)) and len(steps) == population + 1
            if accept == "first":
                for one in steps[1:]:
                    if bowl(theta + one) > bowl(theta):
                        theta, took = theta + one, took + 1
            else:
                best = steps[1 + int(torch.stack([bowl(theta + one) for one in steps[1:]]).argmax())]
                if bowl(theta + best) > bowl(theta):
                    theta, took = theta + best, 1
            done = step(point, method)
            assert torch.equal(point.weights.detach(), theta)
            assert float(done.parts["accepted"]) == took and done.cost == population + 1
            counts.append(took)
            assert float(done.loss) == pytest.approx(-float(bowl(theta)), rel=1e-6)
        assert max(counts) == 1 if accept == "best" else max(counts) > 2


@pytest.mark.parametrize("length", [0.05, 3.0])
def test_a_step_of_a_length_has_it(length: float) -> None:
    point, method = at(torch.zeros(1000), GOEA(30, length=length, fitness=lambda logits, _labels: logits[0].sum()))
    steps = drawn(method)[1:].double()
    assert steps.norm(dim=1).tolist() == pytest.approx([length] * 30, rel=1e-6)
    cosines = (steps @ steps.T / length**2)[~torch.eye(30, dtype=torch.bool)]
    assert float(cosines.std()) == pytest.approx(1 / math.sqrt(1000), rel=0.2)
    step(point, method)
    assert float(point.weights.detach().double().norm()) == pytest.approx(length, rel=1e-6)


def scripted(values: list[float], accept: str) -> tuple[Tensor, Tensor, Step]:
    """The weights after a generation with this fitness, its steps, and what it said."""
    found: Iterator[float] = iter(values)
    point, method = at(torch.zeros(DIMENSION), GOEA(len(values) - 1, accept=accept, fitness=lambda *_: torch.tensor(next(found))))
    steps, done = drawn(method), step(point, method)
    return point.weights.detach(), steps, done


NAN, INF = float("nan"), float("inf")


@pytest.mark.filterwarnings("ignore:.*have no finite fitness")
@pytest.mark.parametrize(("values", "accept", "taken"), [
    ([0.0, NAN, 1.0, NAN, 2.0], "best", [4]), ([0.0, NAN, 1.0, NAN, 2.0], "first", [2, 4]),
    ([0.0, NAN, -1.0, NAN], "best", []), ([0.0, NAN, -1.0, NAN], "first", []),
    ([NAN, 1.0, NAN, 0.5], "best", [1]), ([NAN, NAN, 0.5, 0.7, 0.6], "first", [2, 3]), ([-INF, -3.0, -2.0], "best", [2]),
    ([0.0, INF, 1.0], "best", [2]), ([0.0, INF, 1.0], "first", [2]),
    ([NAN, NAN, 0.5], "first", [2]), ([NAN, NAN, 0.5], "best", [2]),
    ([0.0, 0.0, 0.0], "best", []), ([0.0, 0.0, 0.0], "first", []),
])
def test_a_child_without_a_finite_fitness_loses_and_such_a_parent_is_replaced(values: list[float], accept: str, taken: list[int]) -> None:
    weights, steps, done = scripted(values, accept)
    torch.testing.assert_close(weights, steps[taken].sum(0))
    assert float(done.parts["accepted"]) == len(taken)
    assert float(done.parts["lost"]) == pytest.approx(np.mean(~np.isfinite(values)))
    assert float(done.loss) == pytest.approx(-values[taken[-1] if taken else 0])


@pytest.mark.parametrize("accept", ["best", "first"])
def test_where_nobody_has_a_finite_fitness(accept: str) -> None:
    with pytest.raises(rs.InputError, match="no member has a finite fitness"):
        scripted([NAN, NAN, INF], accept)


# --- whole networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["best", "first"])
def test_the_loss_never_rises(accept: str, digits: rs.Dataset) -> None:
    """Measured by torch, on all training images, without dropout."""
    losses: list[float] = []

    def watch(_epoch: int, model: nn.Module) -> None:
        losses.append(F.cross_entropy(deepcopy(model).eval()(digits.train.images).double(), digits.train.labels).item())

    config = rs.FitConfig(epochs=30, batch=400, keep="last")
    history = rs.fit(mlp(nn.Dropout(0.3)), digits, GOEA(20, 0.02, accept=accept, dropout="off"), config, progress=False, watch=watch)
    assert all(later <= sooner + 1e-6 for sooner, later in pairwise(losses))
    assert losses[-1] < losses[0] - 0.1 and history.loss == pytest.approx(losses[1:], abs=1e-5)
    assert history.spent[-1] == 30 * 400 * 21


class Mask(nn.Module):
    """Shows its dropout's mask as its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.dropout = nn.Parameter(torch.zeros(3)), nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        mask: Tensor = self.dropout(torch.ones(len(images), 30)) + 0 * self.weights.sum()
        return mask


@pytest.mark.parametrize("accept", ["best", "first"])
def test_all_of_a_generation_share_a_mask(accept: str) -> None:
    masks, values = [], count()
    for dropout in ("fixed", "off"):
        net, fitness = Mask(), Recorder(lambda _logits: torch.tensor(float(next(values) % 7)))
        method = GOEA(70, accept=accept, dropout=dropout, fitness=fitness)
        method.start(net, None, CONFIG, 0)  # type: ignore[arg-type]
        for _ in range(3):
            fitness.seen.clear()
            step(net, method)
            assert len(fitness.seen) == 71 and all(torch.equal(one, fitness.seen[0]) for one in fitness.seen)
            masks.append(fitness.seen[0])
        assert net.dropout.training
    assert all(set(mask.flatten().tolist()) == {0.0, 2.0} and 15 < mask.count_nonzero() < 45 for mask in masks[:3])
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[1], masks[2])
    assert all(torch.equal(mask, torch.ones(2, 30)) for mask in masks[3:])


@pytest.mark.parametrize("accept", ["best", "first"])
def test_buffers_are_not_perturbed(accept: str) -> None:
    """After a step they are what torch makes of them in one forward pass with the new weights."""
    torch.manual_seed(0)
    net = nn.Sequential(spectral_norm(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), spectral_norm(nn.Linear(16, 3)))
    images, method = torch.randn(9, 1, 4, 4), GOEA(20, accept=accept)
    method.start(net, None, CONFIG, 0)  # type: ignore[arg-type]
    for _ in range(4):
        twin = deepcopy(net)
        done = step(net, method, images)
        with torch.no_grad():
            for old, new in zip(twin.parameters(), net.parameters(), strict=True):
                assert not torch.equal(old, new) or not done.parts["accepted"]
                old.copy_(new)
            logits = twin(images)
        assert done.parts["accepted"] and done.logits is not None and torch.equal(done.logits, logits)
        assert len(list(net.buffers())) == 7
        assert all(torch.equal(one, other) for one, other in zip(net.buffers(), twin.buffers(), strict=True))


class Signs(nn.Module):
    """A user's network: a random code of the signs of what a layer sees. Its gradient is zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.code = nn.Linear(64, 100), torch.randn(100, 10)

    def forward(self, images: Tensor) -> Tensor:
        signs: Tensor = self.layer(F.avg_pool2d(images, 4).flatten(1)).sign()
        return signs @ self.code


def share_right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) == labels).float().mean()


@pytest.mark.parametrize(("method", "batch", "epochs"), [
    (GOEA(20, 0.05, fitness=share_right), 400, 80),
    (EvolutionStrategy(60, 0.1, shaping="ranks", optimizer="adam", fitness=share_right), 200, 8),
])
def test_it_trains_what_back_propagation_cannot(method: Any, batch: int, epochs: int, digits: rs.Dataset) -> None:
    torch.manual_seed(0)
    net = Signs()
    loss = F.cross_entropy(net(digits.train.images), digits.train.labels)
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, list(net.parameters())))
    before, start = rs.accuracy(net, digits.validation), deepcopy(net.state_dict())
    rs.fit(net, digits, Backprop(), rs.FitConfig(epochs=2, batch=100), progress=False)
    assert all(torch.equal(start[name], weight) for name, weight in net.state_dict().items())
    config = rs.FitConfig(epochs=epochs, batch=batch, learning_rate=0.03, momentum=0)
    rs.fit(net, digits, method, config, progress=False)
    assert rs.accuracy(net, digits.validation) > max(0.2, before + 0.1)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"std": 0.1, "length": 0.1}, "std, length: expected one of them, found both"),
    ({"std": 0}, "std=0: expected"), ({"length": -1}, "length=-1: expected"), ({"population": 1}, "population=1: expected"),
    ({"accept": "all"}, "accept='all': unknown; choose one of best, first"), ({"dropout": "on"}, "dropout='on': unknown"),
    ({"fitness": abs, "loss": abs}, "expected one of them, found both"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        GOEA(**arguments)
