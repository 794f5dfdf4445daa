"""The statistics of verdicts, against scipy, closed forms, and what they do by chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from scipy import stats

from repsearch.checks import InputError
from repsearch.reproduce.intervals import (
    CONFIDENCE,
    FAILS,
    HOLDS,
    IN_PART,
    MOST_SEEDS,
    POWER,
    UNDECIDED,
    UNTRIED,
    Contrast,
    Interval,
    expected_by_chance,
    interval,
    overall,
    parts_text,
    seeds_needed,
    within,
)

DRAWS = 20_000


def around(centre: float, half: float) -> list[float]:
    """Three seeds with this mean, and this half width of its interval."""
    spread = half * math.sqrt(3) / 4.302652729749464  # the 97.5 % point of t with 2 degrees of freedom
    return [centre - spread, centre, centre + spread]


def spread_by_one(centre: float) -> list[float]:
    """Three seeds with this mean and a standard deviation of 1."""
    return [centre - 1, centre, centre + 1]


@cache
def rates(seeds: int, effect: float, least: float = 0.0, count: int = DRAWS) -> dict[str, float]:
    """How often each verdict comes out, where the true mean is `effect` and the true deviation 1."""
    draws = np.random.default_rng(0).normal(effect, 1, (count, seeds)).tolist()
    found = Counter(Contrast(values, least).verdict for values in draws)
    return {verdict: found[verdict] / count for verdict in (HOLDS, FAILS, UNDECIDED)}


def about(rate: float) -> object:
    """Within three standard errors of a rate of `DRAWS`."""
    return pytest.approx(rate, abs=3 * math.sqrt(rate * (1 - rate) / DRAWS), rel=0)


@pytest.mark.parametrize("seeds", range(2, 13))
def test_the_interval_is_that_of_scipy(seeds: int) -> None:
    for values in np.random.default_rng(seeds).normal(3, 2, (20, seeds)):
        theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        ours = interval(values)
        assert (ours.mean, ours.low, ours.high) == pytest.approx((values.mean(), theirs.low, theirs.high), rel=1e-10)
        assert ours.n == seeds


def test_closed_forms() -> None:
    two, three = interval([4, 1]), interval([1, 2, 3])
    assert (two.mean, two.high - 2.5, 2.5 - two.low) == pytest.approx((2.5, *[1.5 * math.tan(0.475 * math.pi)] * 2))
    half = math.sqrt(2 * 0.95**2 / (1 - 0.95**2)) / math.sqrt(3)
    assert (three.mean, three.low, three.high) == pytest.approx((2, 2 - half, 2 + half))


def test_one_seed_has_no_bounds_and_decides_nothing() -> None:
    assert interval([7.0]) == Interval(7, -math.inf, math.inf, 1)
    assert {Contrast([value], least).verdict for value in (-9, 0, 9) for least in (0, 1)} == {UNDECIDED}


def test_equal_seeds_are_a_point() -> None:
    assert interval([0.1] * 3) == Interval(0.1, 0.1, 0.1, 3)  # whatever 0.1 + 0.1 + 0.1 is
    assert interval([np.float32(0.1)] * 2).mean == float(np.float32(0.1))


def test_numbers_of_numpy_are_averaged_as_python_s_own() -> None:
    assert interval(np.array([0, 1, 1], np.float32)) == interval([0, 1, 1]) and type(interval([np.int64(2)]).mean) is float


def test_text() -> None:
    assert str(Interval(1.23, 0.31, 2.149, 3)) == "1.2 [0.3, 2.1], n=3"
    assert Interval(1.23, -0.311, 2.149, 4).text(2) == "1.23 [-0.31, 2.15], n=4"
    assert str(interval([1.23])) == "1.2 (1 seed)"
    assert Interval(-0.01, -0.04, 0.02, 2).text(1) == "0.0 [0.0, 0.0], n=2"  # no minus before a zero


@pytest.mark.parametrize(("centre", "half", "least", "expected"), [
    (1, 0.99, 0, HOLDS), (1, 1.01, 0, UNDECIDED), (-1, 0.99, 0, FAILS), (-1, 1.01, 0, UNDECIDED), (0, 1, 0, UNDECIDED),
    (2.01, 1.99, 2, HOLDS),  # the mean must be at least 2, the interval above zero only
    (2.01, 2.03, 2, UNDECIDED), (1.99, 1.9, 2, UNDECIDED),
    (1.99, 0.02, 2, UNDECIDED), (1.99, 0.005, 2, FAILS),  # surely above zero, but by too little
    (1, 0.99, 2, FAILS), (1, 1.01, 2, UNDECIDED), (0, 1.99, 2, FAILS), (0, 2.01, 2, UNDECIDED), (-5, 6, 2, FAILS),
    (1, 0, 0, HOLDS), (-1, 0, 0, FAILS), (0, 0, 0, FAILS),  # zero is not above zero
    (2, 0, 2, HOLDS), (1.999, 0, 2, FAILS), (0, 0, 2, FAILS),
])
def test_verdicts_on_either_side(centre: float, half: float, least: float, expected: str) -> None:
    contrast = Contrast(around(centre, half), least)
    assert contrast.verdict == expected
    assert (contrast.interval.low, contrast.interval.high) == pytest.approx((centre - half, centre + half))


def test_a_contrast_keeps_what_it_was_given() -> None:
    values = [1.0, 1.1]
    contrast = Contrast(values)
    values[0] = -9
    assert contrast == Contrast([1.0, 1.1], 0, "") and contrast.values == (1.0, 1.1)


@pytest.mark.parametrize(("gap", "half", "expected"), [
    (0.5, 0.49, HOLDS), (0.5, 0.51, UNDECIDED), (-5, 5.9, HOLDS), (-5, 6.1, UNDECIDED),  # ahead is close, too
    (1.5, 0.49, FAILS), (1.5, 0.51, UNDECIDED), (1, 0, FAILS), (0.999, 0, HOLDS),
])
def test_within_a_limit(gap: float, half: float, expected: str) -> None:
    contrast = within(around(gap, half), 1, "MNIST")
    assert (contrast.verdict, contrast.name, contrast.least) == (expected, "MNIST", 0)


YES, NO, MAYBE = [1, 1], [-1, -1], [-1, 1]


@pytest.mark.parametrize(("parts", "expected"), [
    ([YES], HOLDS), ([NO], FAILS), ([MAYBE], UNDECIDED), ([YES, YES], HOLDS), ([NO, NO], FAILS), ([MAYBE, MAYBE], UNDECIDED),
    ([YES, NO], IN_PART), ([NO, MAYBE, YES], IN_PART), ([YES, MAYBE], UNDECIDED), ([MAYBE, NO, NO], UNDECIDED), ([], UNTRIED),
])
def test_overall(parts: list[list[float]], expected: str) -> None:
    assert overall([Contrast(values) for values in parts]) == expected


def test_parts_are_named() -> None:
    def text(**parts: Sequence[float]) -> str:
        return parts_text([Contrast(values, name=name.replace("_", " ")) for name, values in parts.items()])

    assert text(block_0=NO, block_1=NO, block_2=YES) == "holds for block 2; fails for blocks 0, 1"
    assert text(MNIST=MAYBE, digits=YES, faces=YES) == "holds for digits, faces; undecided for MNIST"
    assert text(block_0=NO, block=NO, MNIST=NO) == "fails for block 0, block, MNIST"
    assert text(block_0=NO, block=NO) == "fails for block 0, block"
    assert text(block_0=YES, layer_1=YES) == "holds for block 0, layer 1"


@pytest.mark.parametrize(("effect", "seeds"), [(4, 3), (2, 5), (1, 10), (0.8, 15), (0.5, 34), (0.2, 199), (0.09, 971)])
def test_seeds_needed_are_those_of_the_tables_of_the_paired_t_test(effect: float, seeds: int) -> None:
    """Without a least effect; either sign; a least effect that the mean falls short of by as much; in any unit."""
    assert seeds_needed(spread_by_one(effect)) == seeds
    assert seeds_needed(spread_by_one(-effect)) == seeds
    assert seeds_needed(spread_by_one(5 - effect), least=5) == seeds
    assert seeds_needed([100 * value for value in spread_by_one(effect)]) == seeds
    assert seeds_needed([100 * value for value in spread_by_one(5 - effect)], least=500) == seeds


def test_seeds_needed_are_the_first_with_the_power_of_the_noncentral_t() -> None:
    for effect in np.random.default_rng(0).uniform(0.1, 3, 40):
        def power(seeds: int, effect: float = effect) -> float:
            return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect * math.sqrt(seeds)))

        seeds = seeds_needed(spread_by_one(effect))
        assert seeds is not None and power(seeds - 1) < 0.8 <= power(seeds)


def test_seeds_that_cannot_be_told() -> None:
    assert (seeds_needed([3]), seeds_needed([3, 3]), seeds_needed([1, 1 + 1e-12])) == (None, 2, 2)
    assert seeds_needed(spread_by_one(0)) is seeds_needed(spread_by_one(0.05)) is None
    assert seeds_needed(spread_by_one(2), least=2) is seeds_needed(spread_by_one(1.98), least=2) is None
    assert seeds_needed(spread_by_one(0.0887)) == MOST_SEEDS and seeds_needed(spread_by_one(0.0886)) is None


@pytest.mark.parametrize(("effect", "least", "due"), [
    (1, 0, HOLDS), (0.5, 1.5, FAILS), (1.2, 1, HOLDS),  # an interval above zero comes with 8, a mean of 1 more rarely
    (1.5, 1, HOLDS),  # both are as likely
])
def test_seeds_needed_give_the_power(effect: float, least: float, due: str) -> None:
    seeds = seeds_needed(spread_by_one(effect), least)
    assert seeds is not None and seeds > 2
    fewer, enough = (rates(count, effect, least, DRAWS // 4)[due] for count in (seeds - 1, seeds))
    margin = 3 * math.sqrt(POWER * (1 - POWER) / (DRAWS // 4))
    assert fewer < POWER + margin and enough > POWER - margin


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_no_effect_holds_and_fails_one_time_in_forty(seeds: int) -> None:
    found = rates(seeds, 0)
    assert (found[HOLDS], found[FAILS]) == (about(0.025), about(0.025))


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_least_effect_makes_chance_hold_less_and_is_failed_no_more(seeds: int) -> None:
    assert rates(seeds, 0, least=1)[HOLDS] < rates(seeds, 0)[HOLDS] / 1.5
    assert rates(seeds, 1, least=1)[FAILS] == about(0.025)


def test_claims_expected_to_hold_by_chance() -> None:
    assert CONFIDENCE == 0.95
    assert expected_by_chance([1]) == expected_by_chance([3]) == pytest.approx(0.025)
    assert expected_by_chance([1, 3, 0, 2]) == pytest.approx(0.075) and expected_by_chance([]) == 0


def test_several_parts_hold_by_chance_more_rarely_than_one() -> None:
    """Two blocks of the same seeds, half of whose variance is common to both."""
    one, own = np.random.default_rng(1).normal(size=(2, DRAWS, 3))
    pairs = zip(one.tolist(), ((one + own) / math.sqrt(2)).tolist(), strict=True)
    held = sum(overall([Contrast(a), Contrast(b)]) == HOLDS for a, b in pairs) / DRAWS
    assert 0.025**2 < held < rates(3, 0)[HOLDS] / 1.5


@pytest.mark.parametrize("values", [[], np.array([]), [1, math.nan], [math.inf, 1], [-math.inf], [1, None], [1, "2"]])
def test_what_is_no_number_is_refused(values: Sequence[float]) -> None:
    for call in (interval, Contrast, seeds_needed, lambda v: within(v, 1)):
        with pytest.raises(InputError, match=r"^values: expected .* found .*; .*$"):
            call(values)
    for call in (lambda v: Contrast(v, name="block 0"), lambda v: within(v, 1, "block 0")):
        with pytest.raises(InputError, match=r"^block 0: expected"):
            call(values)


@pytest.mark.parametrize("least", [-0.1, math.nan, math.inf])
def test_a_least_effect_is_zero_or_more(least: float) -> None:
    for call in (Contrast, seeds_needed):
        with pytest.raises(InputError, match=r"^least="):
            call([1, 2], least)


def test_parts_need_names_and_counts_are_not_negative() -> None:
    with pytest.raises(InputError, match=r"^contrasts: expected a name"):
        parts_text([Contrast([1, 2], name="a"), Contrast([1, 2])])
    with pytest.raises(InputError, match=r"^parts=-1"):
        expected_by_chance([1, -1])
