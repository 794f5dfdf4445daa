"""The statistics of verdicts: an interval over seeds decides whether a claim holds, fails, or stays undecided.

A claim is one contrast or several, each fixed in code before the run: one number a seed of which the claim says that it
is above zero, and the least effect that matters. The intervals take seeds as independent and their numbers as normal.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from statistics import mean, stdev

import numpy as np
from scipy.stats import chi2, norm, t

from repsearch.checks import InputError, positive_int

HOLDS, FAILS, UNDECIDED, IN_PART, UNTRIED = "holds", "fails", "undecided", "in part", "not tried"
CONFIDENCE = 0.95  # of an interval, two-sided
POWER, MOST_SEEDS = 0.8, 1000  # of `seeds_needed`
Values = Sequence[float]  # one number a seed
_TAIL = (1 - CONFIDENCE) / 2
_QUANTILES = (np.arange(1000) + 0.5) / 1000


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds, and where the true one lies with 95 % confidence: from `low` to `high`."""

    mean: float
    low: float
    high: float
    n: int

    def text(self, digits: int = 1) -> str:
        """Such as "1.2 [0.3, 2.1], n=3", with so many digits behind the point; "1.2 (1 seed)" for one."""
        centre, low, high = (f"{value:z.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{centre} [{low}, {high}], n={self.n}" if self.n > 1 else f"{centre} (1 seed)"

    __str__ = text


def interval(values: Values) -> Interval:
    """The two-sided 95 % t-interval of the mean; give differences if seeds are paired (`tables.differences`).

    A point if all are equal; from -inf to inf for one seed. `InputError` for none, or one that is no finite number.
    """
    numbers = _numbers(values, "values")
    centre = mean(numbers)
    half = _half(len(numbers)) * stdev(numbers) if len(numbers) > 1 else math.inf
    return Interval(centre, centre - half, centre + half, len(numbers))


def _numbers(values: Values, name: str) -> tuple[float, ...]:
    if len(values) == 0:
        raise InputError(f"{name}: expected one number a seed, found none; a claim without any is {UNTRIED!r}")
    for place, value in enumerate(values):
        if not isinstance(value, Real) or not math.isfinite(value):
            raise InputError(f"{name}: expected finite numbers, found {value!r} at {place}; compute that seed again")
    return tuple(float(value) for value in values)


@cache
def _half(seeds: int) -> float:
    """Half the width of the interval, in standard deviations of the seeds."""
    return float(t.ppf(1 - _TAIL, seeds - 1)) / math.sqrt(seeds)


@dataclass(frozen=True)
class Contrast:
    """What a claim, or a part of it, says to be above zero.

    Args:
        values: one number a seed.
        least: the smallest effect that matters, in the same units; 0 where any does.
        name: of the part, such as "block 0" or "CIFAR-10".

    Raises:
        InputError: for values that `interval` refuses, and a `least` that is negative or not finite.

    Example:
        >>> Contrast([1, 2, 3], least=1).verdict, Contrast([2, 2.1, 2.2], least=1).verdict
        ('undecided', 'holds')
    """

    values: Values
    least: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _numbers(self.values, self.name or "values"))
        if not 0 <= self.least < math.inf:
            raise InputError(f"least={self.least!r}: expected a finite number, 0 or more; turn the values' signs")

    @property
    def interval(self) -> Interval:
        return interval(self.values)

    @property
    def verdict(self) -> str:
        """`HOLDS`: the interval is above zero, and the mean at least `least`. `FAILS`: the interval is below `least`,
        even if above zero. Else `UNDECIDED`, as one seed always is.

        Where all seeds are equal to the last digit, `least` itself is enough; but zero is not above zero, and fails.
        """
        found = self.interval
        if found.low > 0 and found.mean >= self.least:
            return HOLDS
        return FAILS if found.high <= self.least else UNDECIDED


def within(values: Values, limit: float, name: str = "") -> Contrast:
    """The contrast of a claim that something, such as a gap, is less than `limit`: `limit - value` is above zero.

    It holds if the whole interval of the values is below `limit`, however far, and fails if all of it is above.

    Example:
        >>> within([0.2, 0.3, 0.4], 1).verdict, within([1.8, 1.9, 2], 1).verdict, within([0.2, 1.9, 1], 1).verdict
        ('holds', 'fails', 'undecided')
    """
    return Contrast([limit - value for value in _numbers(values, name or "values")], name=name)


def overall(contrasts: Sequence[Contrast]) -> str:
    """One verdict on a claim of several parts: `HOLDS` or `FAILS` if all do, `IN_PART` if some hold and others fail,
    whatever the rest, `UNTRIED` if there are none; else `UNDECIDED`."""
    verdicts = [contrast.verdict for contrast in contrasts]
    if not verdicts:
        return UNTRIED
    if {HOLDS, FAILS} <= set(verdicts):
        return IN_PART
    return verdicts[0] if len(set(verdicts)) == 1 else UNDECIDED


def parts_text(contrasts: Sequence[Contrast]) -> str:
    """Which parts hold, fail, and are undecided; `InputError` for one without a name.

    Example:
        >>> parts_text([within([2, 2], 1, "block 0"), within([2, 2], 1, "block 1"), within([0, 0], 1, "block 2")])
        'holds for block 2; fails for blocks 0, 1'
    """
    names: dict[str, list[str]] = {HOLDS: [], FAILS: [], UNDECIDED: []}
    for contrast in contrasts:
        if not contrast.name:
            raise InputError("contrasts: expected a name for each, found one without; name it")
        names[contrast.verdict].append(contrast.name)
    return "; ".join(f"{verdict} for {_listed(parts)}" for verdict, parts in names.items() if parts)


def _listed(names: Sequence[str]) -> str:
    """The names; "blocks 0, 1" if all are "block" and a number."""
    kinds, _, rest = zip(*(name.partition(" ") for name in names), strict=True)
    joined = len(names) > 1 and len(set(kinds)) == 1 and all(number.isdigit() for number in rest)
    return f"{kinds[0]}s {', '.join(rest)}" if joined else ", ".join(names)


def seeds_needed(values: Values, least: float = 0.0) -> int | None:
    """How many seeds would decide a contrast with 80 % power, if its true mean and deviation were those of `values`.

    `HOLDS` is what they must reach if that mean is at least `least`, else `FAILS`. None for one seed, and above 1,000,
    as where the mean is next to `least`. The deviation of few seeds is itself uncertain, and so is this number.

    Example:
        >>> seeds_needed([0, 1, 2]), seeds_needed([0, 1, 2], least=0.9), seeds_needed([0, 1, 2], least=1)
        (10, 71, None)
    """
    numbers = Contrast(values, least).values
    if len(numbers) == 1:
        return None
    centre, deviation = mean(numbers), stdev(numbers)
    if deviation == 0:
        return 2
    seeds = 2 + bisect_left(
        range(2, MOST_SEEDS + 1), POWER, key=lambda count: _power(count, centre / deviation, least / deviation))
    return seeds if seeds <= MOST_SEEDS else None


def _power(seeds: int, effect: float, least: float) -> float:
    """The probability of the verdict due to a true effect; it and `least` are in standard deviations of the seeds."""
    # Over all deviations that seeds may show. Without `least` it is a tail of the noncentral t, which knows none.
    half = _half(seeds) * np.sqrt(chi2.ppf(_QUANTILES, seeds - 1) / (seeds - 1))
    room = effect - np.maximum(half, least) if effect >= least else least - half - effect
    return float(norm.cdf(room * math.sqrt(seeds)).mean())


def expected_by_chance(parts: Sequence[int]) -> float:
    """At most how many claims hold if there is no effect anywhere: 0.025 for each that has any of so many `parts`.

    It is that for one part without a least effect, and less where all of several must hold or a least effect is asked.
    Where every effect is just the least that matters, at most as many claims fail.

    Example:
        >>> round(expected_by_chance([1, 3, 0]), 3)
        0.05
    """
    return _TAIL * sum(positive_int("parts", count, minimum=0) > 0 for count in parts)
