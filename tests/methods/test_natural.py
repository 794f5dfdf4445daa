"""SNES and XNES: against their formulas written out in numpy and scipy, and what natural gradients have to be."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from nets import CONFIG, Point, StopHereError, blank, of_weights, stop
from scipy.linalg import expm
from scipy.stats import ortho_group, rankdata
from torch import Tensor, nn

import repsearch as rs
from repsearch.methods import DeepGA
from repsearch.methods.snes import SNES, utilities
from repsearch.methods.xnes import XNES

DIMENSION = 7
METHODS: dict[str, Callable[..., SNES | XNES]] = {"SNES": SNES, "XNES": XNES}
Function = Callable[[Tensor], Tensor]


def at(start: Tensor, method: SNES | XNES, seed: int = 0) -> tuple[Point, Any]:
    point = Point(start)
    method.start(point, None, CONFIG, seed)  # type: ignore[arg-type]
    return point, method


def steps(point: Point, method: SNES | XNES, count: int) -> Tensor:
    for _ in range(count):
        method.step(point, blank(), CONFIG)
    assert point.weights.grad is None
    return point.weights.detach().clone()


def bowl(w: Tensor) -> Tensor:
    """A fitness with curvatures 1, 2, ... of which the maximum is at 1."""
    return -((w - 1).square() * torch.arange(1, len(w) + 1)).sum() / 2


def worth(fitness: np.ndarray) -> np.ndarray:
    """Utilities of fitness without ties, written out."""
    raw = np.maximum(0, math.log(len(fitness) / 2 + 1) - np.log(rankdata(-fitness)))
    result: np.ndarray = raw / raw.sum() - 1 / len(fitness)
    return result


# --- utilities --------------------------------------------------------------------------------------------------------


def test_utilities_of_four_members() -> None:
    one = math.log(3) / (math.log(3) + math.log(1.5)) - 0.25
    assert one == pytest.approx(0.480423, abs=1e-6)
    assert utilities(torch.tensor([7.0, 9.0, -1.0, 8.0])).tolist() == pytest.approx([-0.25, one, -0.25, 0.5 - one], abs=1e-6)


@pytest.mark.parametrize("size", [2, 3, 4, 15, 100, 1001])
def test_utilities_sum_to_zero_and_are_the_formulas(size: int) -> None:
    fitness = np.random.default_rng(size).permutation(size).astype(float)
    found = utilities(torch.from_numpy(fitness)).numpy()
    assert found.sum() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(found, worth(fitness), atol=1e-6)


def test_equal_members_share_the_mean_of_their_utilities() -> None:
    best, second = 0.480423, 0.019577
    half = (second - 0.25) / 2
    for fitness, wanted in (([3.0, 3.0, 1.0, 2.0], [0.25, 0.25, -0.25, -0.25]), ([1.0, 5.0, 1.0, 0.0], [half, best, half, -0.25]),
                            ([2.0, 2.0, 2.0, 2.0], [0.0] * 4)):
        assert utilities(torch.tensor(fitness)).tolist() == pytest.approx(wanted, abs=1e-5)


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_only_the_order_of_fitness_counts(name: str) -> None:
    moved = [steps(*at(torch.zeros(DIMENSION), METHODS[name](12, 0.2, fitness=of_weights(function))), 3)
             for function in (bowl, lambda w: bowl(w) * 8 + 4, lambda w: (bowl(w) / 64).exp())]
    assert torch.equal(moved[0], moved[1]) and torch.equal(moved[0], moved[2])
    falls = steps(*at(torch.zeros(DIMENSION), METHODS[name](12, 0.2, loss=of_weights(lambda w: -bowl(w)))), 3)
    assert torch.equal(moved[0], falls) and not torch.equal(moved[0], torch.zeros(DIMENSION))


@pytest.mark.parametrize(("population", "rates"), [(12, {}), (100, {"rate": 0.5, "sigma_rate": 0.3})])
def test_a_step_of_snes_is_the_formula(population: int, rates: dict[str, Any]) -> None:
    point, method = at(torch.zeros(DIMENSION), SNES(population, 0.2, fitness=of_weights(bowl), **rates))
    mu, sigma = np.zeros(DIMENSION), np.full(DIMENSION, 0.2)
    eta = rates.get("sigma_rate", (3 + math.log(DIMENSION)) / (5 * math.sqrt(DIMENSION)))
    for _ in range(5):
        z = np.concatenate([method.draw(*block).double().numpy() for block in method.blocks(population)])
        u = worth(np.array([float(bowl(torch.from_numpy(mu + sigma * one))) for one in z]))
        mu = mu + rates.get("rate", 1.0) * sigma * (u @ z)
        sigma = sigma * np.exp(eta / 2 * (u @ (z**2 - 1)))
        np.testing.assert_allclose(steps(point, method, 1), mu, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(method.sigmas, sigma, rtol=1e-4)
    assert sigma.std() > 0.001


@pytest.mark.parametrize(("population", "rates"), [(None, {}), (70, {"rate": 0.5, "shape_rate": 0.2})])
def test_a_step_of_xnes_is_the_formula(population: int | None, rates: dict[str, Any]) -> None:
    """sigma and B are followed apart, and det B stays 1; with scipy's exponential of a matrix."""
    point, method = at(torch.zeros(DIMENSION), XNES(population, 0.2, fitness=of_weights(bowl), **rates))
    d, mu, sigma, B = DIMENSION, np.zeros(DIMENSION), 0.2, np.eye(DIMENSION)
    eta = rates.get("shape_rate", (9 + 3 * math.log(d)) / (5 * d * math.sqrt(d)))
    for _ in range(5):
        z = np.concatenate([method.draw(*block).double().numpy() for block in method.blocks(method.population)])
        u = worth(np.array([float(bowl(torch.from_numpy(mu + sigma * B @ one))) for one in z]))
        G = sum(weight * (np.outer(one, one) - np.eye(d)) for weight, one in zip(u, z, strict=True))
        mu = mu + rates.get("rate", 1.0) * sigma * B @ (u @ z)
        sigma = sigma * math.exp(eta / 2 * np.trace(G) / d)
        B = B @ expm(eta / 2 * (G - np.trace(G) / d * np.eye(d)))
        np.testing.assert_allclose(steps(point, method, 1), mu, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(method.shape, sigma * B, rtol=1e-4, atol=1e-5)
        assert np.linalg.det(method.shape.double().numpy()) == pytest.approx(sigma**d, rel=1e-4)
    assert np.abs(B - np.diag(np.diag(B))).max() > 0.001 and sigma != pytest.approx(0.2, rel=1e-3)


def test_xnes_sees_no_difference_in_a_shifted_and_rotated_fitness() -> None:
    R = torch.from_numpy(ortho_group.rvs(DIMENSION, random_state=1)).float()
    s, start = torch.linspace(-2, 2, DIMENSION), torch.full((DIMENSION,), 0.5)
    point, method = at(start, XNES(sigma=0.2, fitness=of_weights(bowl)))
    other, twin = at(R @ start + s, XNES(sigma=0.2, fitness=of_weights(lambda w: bowl(R.T @ (w - s)))))
    twin.shape = R @ twin.shape
    for _ in range(10):
        torch.testing.assert_close(steps(other, twin, 1), R @ steps(point, method, 1) + s, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(twin.shape, R @ method.shape, rtol=1e-3, atol=1e-4)
    assert float(bowl(point.weights.detach())) > float(bowl(start))


def test_snes_learns_the_curvatures_and_xnes_the_covariance() -> None:
    curvatures = 10.0 ** torch.arange(4)  # 1 to 1000
    start = torch.ones(4)
    point, method = at(start, SNES(20, 0.5, fitness=of_weights(lambda w: -(curvatures * w.square()).sum() / 2)))
    half, end = steps(point, method, 60), steps(point, method, 60)
    assert float((curvatures * end.square()).sum()) < 1e-6 * float((curvatures * half.square()).sum()) < 1e-2
    assert method.sigmas.tolist() == sorted(method.sigmas.tolist(), reverse=True)
    even = method.sigmas * curvatures.sqrt()
    assert float(even.max() / even.min()) < 3 < 1000**0.5

    R = torch.from_numpy(ortho_group.rvs(4, random_state=2)).float()
    H = R @ torch.diag(curvatures) @ R.T
    point, method = at(start, XNES(20, 0.5, fitness=of_weights(lambda w: -w @ H @ w / 2)))
    steps(point, method, 150)
    seen = np.linalg.eigvalsh((method.shape.T @ H @ method.shape).double().numpy())
    assert seen.max() / seen.min() < 15 < 1000


# --- what they take ---------------------------------------------------------------------------------------------------


def layers(inputs: int, outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d((1, inputs)), nn.Flatten(), nn.Linear(inputs, outputs))


@pytest.fixture(scope="module")
def digits() -> rs.Dataset:
    return rs.load("digits", train=100, validation=50, test=50)


@pytest.mark.parametrize(("size", "population"), [(1, 4), (2, 6), (10, 10), (50, 15), (100, 17)])
def test_the_population_follows_from_the_number_of_weights(size: int, population: int, digits: rs.Dataset) -> None:
    point, method = at(torch.zeros(size), XNES(fitness=of_weights(lambda w: w.sum())))
    assert method.population == population and method.adaptation == pytest.approx((9 + 3 * math.log(size)) / (5 * size**1.5))
    assert float(steps(point, method, 1).sum()) > 0
    if size == 50:
        history = rs.fit(layers(4, 10), digits, XNES(), rs.FitConfig(epochs=1, batch=100), progress=False)
        assert history.spent == [population * 100.0]


def test_bad_input(digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match=r"model: it has 101 trained weights; XNES .* at most 100; use SNES"):
        rs.fit(nn.Sequential(layers(9, 10), nn.PReLU()), digits, XNES(), CONFIG, progress=False)
    for name, value in (("population", 1), ("sigma", 0), ("rate", -1), ("sigma", math.nan)):
        for method in METHODS.values():
            with pytest.raises(rs.InputError, match=f"{name}={value}: expected"):
                method(**{name: value})
    with pytest.raises(rs.InputError, match="sigma_rate=0: expected"):
        SNES(sigma_rate=0)
    with pytest.raises(rs.InputError, match="shape_rate=0: expected"):
        XNES(shape_rate=0)
    with pytest.raises(rs.InputError, match="none of its parameters can be trained"):
        SNES().start(nn.Flatten(), digits, CONFIG, 0)


@pytest.mark.parametrize("name", METHODS)
def test_it_resumes_to_the_same_bytes(name: str, digits: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=4, batch=50, keep="last")
    whole, halves, ends = layers(6, 10), layers(6, 10), [METHODS[name](6), METHODS[name](6)]
    rs.fit(whole, digits, ends[0], config, progress=False)

    with pytest.raises(StopHereError):
        rs.fit(halves, digits, METHODS[name](6), config, checkpoint=tmp_path / "c.pt", progress=False, watch=stop)
    halves = layers(6, 10)
    rs.fit(halves, digits, ends[1], config, checkpoint=tmp_path / "c.pt", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), halves.parameters(), strict=True))
    one, other = (end.state_dict() for end in ends)
    assert one.keys() == other.keys() and all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)


# --- several processes ------------------------------------------------------------------------------------------------


def trained() -> dict[str, Tensor]:
    """Weights after a few generations of more members than a block holds, by two methods."""
    data, found = rs.load("digits", train=100, validation=50, test=50), {}
    for method in (SNES(400, 0.1), DeepGA(400, 5)):
        net = layers(6, 10)
        rs.fit(net, data, method, rs.FitConfig(epochs=2, batch=50, keep="last"), progress=False)
        found.update({f"{type(method).__name__}.{name}": weight for name, weight in net.state_dict().items()})
    return found


@contextmanager
def ranks(number: int, store: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=store.as_uri(), rank=number, world_size=2,
                            timeout=timedelta(seconds=60))
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_share_a_generation(tmp_path: Path) -> None:
    code = ("import sys, torch; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_natural as one\n"
            "with one.ranks(1, Path(sys.argv[2])): torch.save(one.trained(), sys.argv[3])")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "store"), str(tmp_path / "w")],
                              env={**os.environ, "OMP_NUM_THREADS": "1"}) as other:
            alone = trained()
            with ranks(0, tmp_path / "store"):
                shared = trained()
            assert other.wait() == 0
    finally:
        torch.set_num_threads(threads)
    for weights in (shared, torch.load(tmp_path / "w")):
        assert weights.keys() == alone.keys() and all(torch.equal(weights[name], alone[name]) for name in alone)
