"""Angles and gains of random steps: closed forms against tables, scipy and chance, and what is measured beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import betainc
from scipy.stats import ncx2
from torch import Tensor, nn

import repsearch as rs
from repsearch.reproduce import greedy_angles as angles
from repsearch.reproduce import greedy_theory as theory
from repsearch.reproduce.samples import Sample, generator_of

SAMPLE = Sample("digits", train=60, validation=20, test=40)


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


@pytest.mark.parametrize(("dimension", "angle", "share"), [
    (2, 30, 0.1666667), (3, 60, 0.25), (4, 60, 0.1955011), (10, 30, 2.834822e-4), (100, 60, 5.08726e-8),
    (100, 80, 0.0412254), (1000, 85, 2.896347e-3), (9854, 85, 2.2075e-18), (9854, 88, 2.649470e-4),
    (9854, 89, 0.0415964)])
def test_cap_probabilities(dimension: int, angle: float, share: float) -> None:
    assert math.exp(theory.log_cap(angle, dimension)) == pytest.approx(share, rel=2e-5)
    wanted = betainc((dimension - 1) / 2, 0.5, math.sin(math.radians(angle)) ** 2) / 2
    assert math.exp(theory.log_cap(angle, dimension)) == pytest.approx(wanted, rel=1e-9)
    assert math.exp(theory.log_cap(180 - angle, dimension)) == pytest.approx(1 - wanted, rel=1e-9)


def test_cap_probabilities_in_closed_form_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for angle in (1, 40, 90, 130):
        assert math.exp(theory.log_cap(angle, 2)) == pytest.approx(angle / 180)
        assert math.exp(theory.log_cap(angle, 3)) == pytest.approx((1 - math.cos(math.radians(angle))) / 2)
    for dimension in (2, 100, 9854):
        assert theory.log_cap(90, dimension) == pytest.approx(math.log(0.5))
        assert np.diff([theory.log_cap(angle, dimension) for angle in range(1, 94, 4)]).min() > 0
    assert np.diff([theory.log_cap(70, dimension) for dimension in range(2, 9854, 300)]).max() < 0
    found = [theory.log_cap(angle, 9854) / math.log(10) for angle in (80, 60, 30)]
    assert found == pytest.approx([-67.1, -617.6, -2968.4], abs=0.05)
    direct = [theory.log_cap(angle, 300) for angle in (20, 60, 80)]
    monkeypatch.setattr(theory, "betainc", lambda *_: 0.0)  # the series, where both can tell
    assert [theory.log_cap(angle, 300) for angle in (20, 60, 80)] == pytest.approx(direct, rel=1e-10)


@pytest.mark.parametrize(("dimension", "wanted"), [
    (2, (16.364, 8.571, 1.782, 0.180, 0.018)), (3, (31.715, 22.567, 10.143, 3.211, 1.016)),
    (10, (60.816, 54.902, 44.055, 32.985, 25.083)), (100, (81.143, 79.259, 75.608, 71.459, 68.049)),
    (9854, (89.112, 88.922, 88.553, 88.129, 87.777))])
def test_smallest_angles(dimension: int, wanted: tuple[float, ...]) -> None:
    found = [theory.expected_angle(dimension, tries) for tries in (10, 20, 100, 1000, 10**4)]
    assert found == pytest.approx(wanted, abs=6e-4)
    if dimension == 2:
        assert found == pytest.approx([180 / (tries + 1) for tries in (10, 20, 100, 1000, 10**4)], rel=1e-6)
    # sin(a) dp/da is the density: the integral of the source's formula, on a grid.
    grid = np.linspace(1e-3, 179.999, 4001)
    left = np.array([1 - math.exp(theory.log_cap(angle, dimension)) for angle in grid]) ** 10
    assert float(np.trapezoid(left, grid)) == pytest.approx(found[0], abs=0.01)


def test_largest_of_normal_numbers_and_what_follows_from_it() -> None:
    wanted = {2: 1 / math.sqrt(math.pi), 3: 0.8463, 4: 1.0294, 5: 1.1630, 10: 1.5388, 20: 1.8675, 40: 2.1608,
              100: 2.5076, 1000: 3.2414}
    for tries, value in wanted.items():
        assert theory.expected_maximum(tries) == pytest.approx(value, abs=6e-5)
    assert theory.expected_maximum(1, elitist=True) == pytest.approx(1 / math.sqrt(2 * math.pi))
    drawn = torch.randn(200_000, 2, generator=generator_of(0), dtype=torch.float64).amax(1).clamp(min=0)
    assert abs(theory.expected_maximum(2, elitist=True) - drawn.mean()) < 4 * drawn.std() / math.sqrt(len(drawn))
    cosines = [theory.expected_cosine(9854, generations) for generations in (100, 1000, 10_000)]
    assert cosines == pytest.approx([0.185, 0.511, 0.883], abs=6e-4)
    gains = [theory.expected_gain(way, 20) for way in ("one", "best", "mean", "sum")]
    assert gains == pytest.approx([0.798, 1.868, 2.523, 4.359], abs=1e-3)


@pytest.mark.parametrize(("case", "share"), zip(angles.FISHER, (0.326097, 0.161075, 0.300564, 0.311130), strict=True))
def test_fishers_model(case: tuple[int, float, float], share: float) -> None:
    dimension, distance, std = case
    assert theory.fisher_share(*case) == pytest.approx(share, abs=1e-6)
    squared = (distance / std) ** 2
    assert theory.fisher_share(*case) == pytest.approx(ncx2.cdf(squared, dimension, squared), abs=1e-6)
    near = theory.curved_share(distance, dimension, dimension, std)
    assert near == pytest.approx(share, abs=0.04 if dimension < 1000 else 1e-3)


class Point(nn.Module):
    """Gives its weights back, whatever it is shown."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        return self.weights.expand(len(images), -1)


@pytest.mark.parametrize("case", angles.FISHER[:3])
def test_goeas_own_steps_improve_as_fishers_model_says(case: tuple[int, float, float]) -> None:
    dimension, distance, std = case
    start, count = torch.full((dimension,), distance / math.sqrt(dimension)), 6000
    method = rs.methods.GOEA(count, std, loss=lambda logits, _: logits[0].double().square().sum() / 2)
    method.start(Point(start), None, rs.FitConfig(epochs=1, batch=2), 0)
    scores, _ = method.evaluate(count + 1, torch.zeros(2, 1, 1, 1), torch.zeros(2, dtype=torch.long))
    found, wanted = (scores[0, 1:] > scores[0, 0]).double().mean().item(), theory.fisher_share(*case)
    assert abs(found - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / count)


def test_curvature_decides_how_many_steps_improve_and_which_length_is_best() -> None:
    dimension, tries = 400, 20
    curvature = torch.linspace(-0.5, 2, dimension, dtype=torch.float64)
    slope = torch.randn(dimension, generator=generator_of(0), dtype=torch.float64)
    steps = torch.randn(20_000, dimension, generator=generator_of(1), dtype=torch.float64)
    measures = float(slope.norm()), float(curvature.sum()), float(curvature.square().sum())
    best = theory.best_std(*measures[:2], tries)
    gains = {std: -(std * steps @ slope + std**2 / 2 * steps.square() @ curvature) for std in (best / 2, best, 2 * best)}
    for std, gained in gains.items():
        assert abs(float((gained > 0).double().mean()) - theory.curved_share(*measures, std)) < 4 * 0.5 / math.sqrt(len(steps)) + 0.003
    small, right, large = (gained.view(-1, tries).amax(1).mean() for gained in gains.values())
    assert right > small and right > large


# --- measured beside them ---------------------------------------------------------------------------------------------


def test_what_is_measured_on_a_linear_function_is_what_is_expected() -> None:
    setup = angles.Setup(SAMPLE, "linear", (2, 3, 10, 100), (10, 20, 100), pool=4000, generations=100)
    found = written(angles.run(setup, 0))
    assert len(found["angles"]) == 12 and len(found["cap_shares"]) > 10
    for kind in ("angles", "cap_shares", "fisher", "gains"):
        for entry in found[kind]:
            assert abs(entry["measured"] - entry["expected"]) < 4 * entry["error"], (kind, entry)
    for entry in found["mean_steps"]:
        assert entry["measured"] == pytest.approx(entry["expected"], abs=0.04)
    for entry in found["ways"]:  # in 100 dimensions nearly those of many
        assert entry["measured"] == pytest.approx(entry["expected"], rel=0.15)


def test_steps_in_a_subspace_of_the_networks_loss_are_those_of_a_linear_function() -> None:
    setup = angles.Setup(SAMPLE, "network", (2, 10), (10, 20), pool=120, images=10)
    found = written(angles.run(setup, 0))
    assert len(found["angles"]) == 4 and found["slope"] > 0
    for entry in found["angles"]:
        assert abs(entry["measured"] - entry["expected"]) < 4 * entry["error"], entry
