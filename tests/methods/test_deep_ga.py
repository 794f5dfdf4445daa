"""The deep genetic algorithm against its genomes played back and a plain loop; OpenAI's strategy against its update made
of seeds and fitness alone, with scipy's ranks and torch's Adam."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import CONFIG, Point, Recorder, StopHereError, blank, mlp, stop
from scipy.stats import kstest, rankdata
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

import repsearch as rs
from repsearch.methods._population import Population, noise
from repsearch.methods.deep_ga import DeepGA
from repsearch.methods.openai_es import OpenAIES

DIMENSION = 9
Score = Callable[[Tensor, Tensor], Tensor]


def at(start: Tensor, method: Population, seed: int = 0) -> Point:
    point = Point(start)
    method.start(point, None, CONFIG, seed)  # type: ignore[arg-type]
    return point


def step(point: Point, method: Population) -> float:
    """A generation; its loss."""
    return float(method.step(point, blank(), CONFIG).loss)


def bowl(w: Tensor) -> Tensor:
    return -(w - 1).square().sum()


def played_back(origin: Tensor, genome: tuple[int, ...], std: float) -> Tensor:
    """The origin, and each seed's noise added to it."""
    for seed in genome:
        origin = origin + std * noise((seed,), 1, len(origin))[0]
    return origin


# --- genomes ----------------------------------------------------------------------------------------------------------


def test_genomes_are_the_weights_also_of_a_resumed_training(digits: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=4, batch=200, keep="last")
    whole, halves, one, other = mlp(), mlp(), DeepGA(12, 4), DeepGA(12, 4)
    origin = parameters_to_vector(whole.parameters()).detach()
    rs.fit(whole, digits, one, config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(halves, digits, DeepGA(12, 4), config, checkpoint=tmp_path / "c.pt", progress=False, watch=stop)
    halves = mlp()
    rs.fit(halves, digits, other, config, checkpoint=tmp_path / "c.pt", progress=False)
    assert one.genomes == other.genomes and len(set(one.genomes)) == 4
    for net, method in ((whole, one), (halves, other)):
        assert torch.equal(parameters_to_vector(net.parameters()), method.decode(method.genomes[0]))
        for genome, vector in zip(method.genomes, method.vectors, strict=True):
            assert torch.equal(vector, played_back(origin, genome, 0.02)) and torch.equal(vector, method.decode(genome))


def test_genomes_have_at_most_a_seed_a_generation() -> None:
    """All that a generation selects may be children, each a seed longer; or the elite may stay, as old as it is."""
    calls = iter(range(1000))
    for sign in (1, -1):  # the last member is the best, or the first, which is the elite
        method = DeepGA(8, 3, fitness=lambda _logits, _labels: torch.tensor(float(sign * next(calls))))  # noqa: B023
        point, elite = at(torch.zeros(DIMENSION), method), []
        for generation in range(1, 6):
            step(point, method)
            elite.append(method.genomes[0])
            assert sign < 0 or [len(genome) for genome in method.genomes] == [generation] * 3
        assert sign > 0 or (len(set(elite)) == 1 and len(elite[0]) == 1)
    method = DeepGA(20, 5, 0.3, fitness=Recorder(bowl))
    point = at(torch.zeros(DIMENSION), method)
    for generation in range(1, 30):
        step(point, method)
        assert all(1 <= len(genome) <= generation for genome in method.genomes)
    assert len(set(map(len, method.genomes))) > 1


def test_members_follow_from_seed_generation_and_number() -> None:
    def member(seed: int, generation: int, number: int) -> Tensor:
        method = DeepGA(8, 3)
        at(torch.zeros(DIMENSION), method, seed)
        method.steps = generation
        return method.draw(number, number + 1)[0]

    assert torch.equal(member(4, 0, 3), member(4, 0, 3))
    others = [member(4, 0, 3), member(5, 0, 3), member(4, 1, 3), member(4, 0, 4), member(3, 0, 4), member(4, 3, 4)]
    assert len({tuple(one.tolist()) for one in others}) == 6
    method = DeepGA(200, 3, 0.1)
    at(torch.zeros(DIMENSION), method)
    together = method.draw(0, 200)
    assert torch.equal(together[70:75], method.draw(70, 75))
    torch.testing.assert_close(together[0], member(0, 0, 0) * 5)
    assert kstest(together.flatten() / 0.1, "norm").pvalue > 0.01


# --- selection --------------------------------------------------------------------------------------------------------


def test_a_generation_is_truncation_selection() -> None:
    """Against a plain loop: the elite comes back, the others are a parent and noise, the best are the next parents."""
    fitness = Recorder(bowl)
    method = DeepGA(30, 6, 0.2, fitness=fitness)
    point = at(torch.zeros(DIMENSION), method)
    parents, used = [torch.zeros(DIMENSION)], set()
    for generation in range(12):
        fitness.clear()
        loss = step(point, method)
        assert len(fitness.seen) == 30 and (generation == 0 or torch.equal(fitness.weights[0], parents[0]))
        order = np.argsort(-np.array(fitness.given), kind="stable")[:6]
        chosen = [fitness.weights[number] for number in order]
        assert all(torch.equal(one, other) for one, other in zip(chosen, method.vectors, strict=True))
        assert torch.equal(point.weights.detach(), chosen[0]) and loss == -max(fitness.given)
        for number, genome in zip(order, method.genomes, strict=True):
            if generation == 0 or number > 0:
                made = [torch.equal(fitness.weights[number], parent + 0.2 * noise((genome[-1],), 1, DIMENSION)[0]) for parent in parents]
                assert sum(made) == 1
                used.add(made.index(True))
        parents = chosen
    assert len(used) == 6  # every one has had children that were chosen


def test_with_one_parent_it_is_one_plus_lambda() -> None:
    fitness = Recorder(bowl)
    method = DeepGA(10, 1, 0.1, fitness=fitness)
    point = at(torch.zeros(DIMENSION), method)
    best, parent, kept = -math.inf, torch.zeros(DIMENSION), 0
    for generation in range(60):
        fitness.clear()
        step(point, method)
        children = torch.stack(fitness.weights[generation > 0:])
        assert len(children) == (9 if generation else 10) and kstest((children - parent).flatten() / 0.1, "norm").pvalue > 1e-4
        now = float(bowl(point.weights.detach()))
        assert now == max(fitness.given) and now >= best
        if now == best:
            kept += 1
            assert torch.equal(point.weights.detach(), parent)
        else:
            child = parent + 0.1 * noise((method.genomes[0][-1],), 1, DIMENSION)[0]
            assert torch.equal(point.weights.detach(), child)
        best, parent = now, point.weights.detach().clone()
    assert 0 < kept < 59 and len(method.genomes[0]) == 60 - kept and best > -DIMENSION / 4


def test_it_trains(digits: rs.Dataset) -> None:
    net, history = mlp(), []
    before = rs.accuracy(net, digits.train)
    for seed in range(2):
        net = mlp()
        config = rs.FitConfig(epochs=60, batch=400, keep="last")
        history.append(rs.fit(net, digits, DeepGA(50, 5, 0.05), config, seed=seed, progress=False).loss)
        assert all(later <= sooner + 1e-6 for sooner, later in zip(history[-1][:-1], history[-1][1:], strict=True))
        assert rs.accuracy(net, digits.train) > max(0.4, before + 0.2)
    assert history[0] != history[1]


# --- OpenAI's strategy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("population", "l2"), [(10, 0.0), (600, 0.02)])
def test_openais_update_follows_from_seeds_and_fitness(population: int, l2: float) -> None:
    rate, sigma, pairs = 0.05, 0.1, population // 2
    fitness = Recorder(lambda w: (bowl(w) * 2).round() / 2)  # with ties
    method = OpenAIES(population, sigma, l2, fitness=fitness)
    point = at(torch.linspace(-1, 2, DIMENSION), method, seed=3)
    twin = nn.Parameter(point.weights.detach().clone())
    optimizer = torch.optim.Adam([twin], lr=rate, weight_decay=l2)
    for generation in range(6):
        fitness.clear()
        step(point, method)
        assert point.weights.grad is not None
        point.weights.data -= rate * point.weights.grad
        assert len(set(fitness.given)) < population == len(fitness.given)
        ranks, ascent = torch.from_numpy((rankdata(fitness.given) - 1) / (population - 1) - 0.5), torch.zeros(DIMENSION).double()
        for start in range(0, pairs, 256):  # a block's directions, then their mirror images
            size = min(256, pairs - start)
            plus, minus = ranks[2 * start : 2 * (start + size)].view(2, size)
            ascent += (plus - minus) @ noise((3, generation, start), size, DIMENSION).double() / (2 * pairs)
        twin.grad = -ascent.float()
        optimizer.step()
        torch.testing.assert_close(point.weights.detach(), twin.detach(), rtol=1e-4, atol=2e-5)
    assert float(bowl(point.weights.detach())) > float(bowl(torch.linspace(-1, 2, DIMENSION)))


def test_weight_decay_alone_shrinks_the_weights() -> None:
    """Where all members are worth the same, Adam sees the decay only: a step of one rate towards zero."""
    method = OpenAIES(4, l2=0.01, fitness=lambda logits, _labels: logits.sum() * 0)
    point = at(torch.tensor([1.0, -2.0, 0.5]), method)
    step(point, method)
    assert point.weights.grad is not None
    assert point.weights.grad.tolist() == pytest.approx([1, -1, 1], abs=1e-4)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "arguments", "message"), [
    (DeepGA, {"population": 1, "parents": 1}, "population=1: expected a whole number of at least 2"),
    (DeepGA, {"population": 10, "parents": 10}, "parents=10: expected fewer than population=10"),
    (DeepGA, {"parents": 0}, "parents=0: expected a whole number of at least 1"),
    (DeepGA, {"std": 0}, "std=0: expected a finite number above zero"),
    (DeepGA, {"std": math.inf}, "std=inf: expected"),
    (DeepGA, {"fitness": abs, "loss": abs}, "expected one of them, found both"),
    (OpenAIES, {"l2": -0.1}, "l2=-0.1: expected a finite number above zero"),
    (OpenAIES, {"l2": math.nan}, "l2=nan: expected"),
    (OpenAIES, {"sigma": 0}, "sigma=0: expected"),
    (OpenAIES, {"population": 7}, "population=7: antithetic members come in pairs"),
])
def test_bad_arguments(method: type[Population], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        method(**arguments)


def test_bad_networks_and_checkpoints(digits: rs.Dataset, tmp_path: Path) -> None:
    with pytest.raises(rs.InputError, match="none of its parameters can be trained"):
        DeepGA().start(nn.Flatten(), digits, CONFIG, 0)
    with pytest.raises(rs.InputError, match="precision='bfloat16'"):
        DeepGA().start(mlp(), digits, rs.FitConfig(precision="bfloat16"), 0)
    rs.fit(mlp(), digits, DeepGA(4, 2), CONFIG, checkpoint=tmp_path / "c.pt", progress=False)
    with pytest.raises(rs.InputError, match=r"parents 2 there, 1 here"):
        rs.fit(mlp(), digits, DeepGA(4, 1), CONFIG, checkpoint=tmp_path / "c.pt", progress=False)


def test_a_member_without_a_finite_fitness_is_no_parent() -> None:
    method = DeepGA(6, 2, fitness=Recorder(lambda w: torch.where(w[0] > 0, bowl(w), torch.tensor(float("nan")))))
    point = at(torch.zeros(DIMENSION), method)
    with pytest.warns(UserWarning, match="of 6 members have no finite fitness"):
        step(point, method)
    assert all(vector[0] > 0 for vector in method.vectors)


def test_a_member_without_a_finite_fitness_is_worse_than_the_worst() -> None:
    values = iter([float("nan"), 0.5, float("nan"), 0.5, float("nan")])
    method = DeepGA(5, 2, fitness=lambda _logits, _labels: torch.tensor(next(values)))
    point = at(torch.zeros(DIMENSION), method)
    members = method.draw(0, 5)
    with pytest.warns(UserWarning, match="3 of 5 members have no finite fitness"):
        step(point, method)
    assert torch.equal(point.weights.detach(), members[1]) and torch.equal(method.vectors[1], members[3])
