"""Closed forms of greedy evolution against integrals, other closed forms and counts; what is measured beside them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from scipy.integrate import quad
from scipy.special import betainc, gammaln
from scipy.stats import norm

from repsearch import presets
from repsearch.reproduce.goea import theory
from repsearch.reproduce.goea.formulas import (
    alignment,
    angle_of_best,
    best_of,
    cap,
    curved,
    fisher,
    gain_of,
    log10_cap,
)
from repsearch.reproduce.goea.settings import theory_setup

SMALL = replace(theory_setup(presets.smoke()), samples=4000, repeats=100, generations=150)


def test_caps_have_their_closed_forms() -> None:
    for angle in (1, 30, 60, 90, 120, 179):
        radians = math.radians(angle)
        assert cap(angle, 2) == pytest.approx(angle / 180)
        assert cap(angle, 3) == pytest.approx((1 - math.cos(radians)) / 2)
        assert cap(angle, 4) == pytest.approx((radians - math.sin(2 * radians) / 2) / math.pi)
        for n in (10, 9854):
            assert cap(angle, n) + cap(180 - angle, n) == pytest.approx(1)
    for n, angle, wanted in ((10, 30, 2.834822e-4), (100, 60, 5.08726e-8), (1000, 85, 2.896347e-3),
                             (9854, 85, 2.2075e-18), (9854, 88, 2.649470e-4), (9854, 89, 0.0415964)):
        assert cap(angle, n) == pytest.approx(wanted, rel=1e-4)
        assert cap(angle, n) == pytest.approx(betainc((n - 1) / 2, 0.5, math.sin(math.radians(angle)) ** 2) / 2)


@pytest.mark.parametrize(("n", "angle"), [(10, 5), (100, 60), (1000, 30), (9854, 30), (9854, 60), (9854, 74), (9854, 80)])
def test_logarithms_go_below_the_smallest_float(n: int, angle: float) -> None:
    """Against the integral of sin^(n-2), with its largest value taken out; the whole sphere is a Beta function."""
    top, power = math.radians(angle), n - 2
    far = max(0.0, top - 40 * math.tan(top) / n)  # below it is nothing
    area = quad(lambda t: (math.sin(t) / math.sin(top)) ** power, far, top, epsabs=0, limit=200)[0]
    sphere = 0.5 * math.log(math.pi) + gammaln((n - 1) / 2) - gammaln(n / 2)
    natural = power * math.log(math.sin(top)) + math.log(area) - sphere
    assert log10_cap(angle, n) == pytest.approx(natural / math.log(10), rel=1e-6)


def test_the_best_of_many_steps_comes_to_the_gradient_in_few_dimensions_only() -> None:
    for N in (1, 10, 1000):
        assert angle_of_best(N, 2) == pytest.approx(180 / (N + 1), rel=1e-5)
        # Of the angle's own density, in three dimensions.
        mean = quad(lambda a, N=N: a * N * ((1 + math.cos(a)) / 2) ** (N - 1) * math.sin(a) / 2, 0, math.pi, limit=200)[0]
        assert angle_of_best(N, 3) == pytest.approx(math.degrees(mean), rel=1e-5)
        assert angle_of_best(N, 10) < angle_of_best(N, 9854) + 1e-9 and angle_of_best(N, 9854) <= 90 + 1e-6
    for n, wanted in ((10, 54.902), (100, 79.259), (9854, 88.922)):
        assert angle_of_best(20, n) == pytest.approx(wanted, abs=1e-3)
    assert angle_of_best(10**6, 9854) == pytest.approx(87.194, abs=1e-3)


@pytest.mark.parametrize(("N", "kept"), [(2, 0.6810), (3, 0.8881), (5, 1.1697), (20, 1.8675)])
def test_the_largest_of_normals(N: int, kept: float) -> None:
    def weighted(x: float) -> float:
        return float(x * N * norm.pdf(x) * norm.cdf(x) ** (N - 1))

    assert best_of(N) == pytest.approx(quad(weighted, -10, 10)[0])
    assert best_of(N, kept=True) == pytest.approx(quad(weighted, 0, 10)[0]) == pytest.approx(kept, abs=5e-5)
    assert gain_of("best", N) == best_of(N)


def test_what_ways_to_mix_gain() -> None:
    """One improver: a half normal number. The mean of k of them: k of these, over a vector sqrt(k) as long. All steps,
    weighted by what they gain: sum z^2 over the root of it."""
    half = quad(lambda x: 2 * x * norm.pdf(x), 0, 10)[0]
    assert gain_of("one improver", 7) == pytest.approx(half)
    assert gain_of("mean of improvers", 20) == pytest.approx(half * math.sqrt(20 / 2))
    assert gain_of("weighted sum", 100) == 10
    assert alignment(200, 20, 500) == pytest.approx(0.7635, abs=1e-4)
    assert alignment(1, 20, 1) == 1


def test_chances_to_improve() -> None:
    assert fisher(1, 1, 0.7) == pytest.approx(0.5 - norm.cdf(-2 / 0.7))  # between both sides of the optimum
    for n, R, s, wanted in ((10, 1, 0.1, 0.326097), (100, 1, 0.02, 0.161075), (3, 1, 0.5, 0.300564), (9854, 100, 0.01, 0.311130)):
        assert fisher(n, R, s) == pytest.approx(wanted, abs=1e-6)
    assert curved(0.01, 100, 9854, 9854) == pytest.approx(fisher(9854, 100, 0.01), abs=1e-3)
    assert curved(0.5, 0, 0, 0) == 0.5 and curved(0.1, 1, -10, 10) > 0.5 > curved(0.1, 1, 10, 10)


def test_what_is_measured_is_what_the_closed_forms_say() -> None:
    found = theory.run(SMALL, 0)
    rows = [row for part in ("caps", "best", "fisher", "gains") for row in found[part] if "mean" in row]
    assert len(rows) == 2 + 4 + 1 + 4
    for row in rows:
        assert abs(row["mean"] - row["theory"]) < 4 * row["error"], row
    for row in found["means"]:
        assert row["mean"] == pytest.approx(row["theory"], abs=0.15), row
    assert [row["N"] for row in found["best"] if "mean" not in row] == [1000, 1000]
    curves = found["curves"]
    assert curves["by_angle"]["3"][-1] == pytest.approx(math.log10(0.5), abs=1e-4) and len(curves["by_n"]["60.0"]) == 5
    assert curves["by_angle"]["9854"] == sorted(curves["by_angle"]["9854"])
    assert curves["by_n"]["60.0"] == sorted(curves["by_n"]["60.0"], reverse=True)


def test_the_seed_decides() -> None:
    setup = theory_setup(presets.smoke())
    first = json.dumps(theory.run(setup, 0), allow_nan=False)
    assert first == json.dumps(theory.run(setup, 0)) and first != json.dumps(theory.run(setup, 1))
    assert theory_setup(presets.book("mnist")).dimensions == (2, 3, 10, 100, 9854)
