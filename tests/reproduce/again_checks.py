"""A verdict against its second computation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
from again import Again, interval, judged

from repsearch.reproduce.claim import Claim
from repsearch.reproduce.found import Found


def check_what_decides(found: Found, second: Again) -> None:
    """Numbers, intervals and verdict are those of the second computation."""
    assert [contrast.name for contrast in found.contrasts] == list(second.parts)
    for contrast, (values, least) in zip(found.contrasts, second.parts.values(), strict=True):
        theirs = contrast.interval
        assert (theirs.n, contrast.least) == (len(values), least)
        assert (theirs.mean, theirs.low, theirs.high) == pytest.approx(interval(values), rel=1e-9, abs=1e-9)
    assert found.verdict == ("undecided" if second.open else judged(second.parts)) and bool(found.open) == second.open


def check_what_is_printed(found: Found, second: Again) -> None:
    """What the text begins with is the mean and the deviation of the second computation."""
    printed = re.findall(r"(-?\d+(?:\.(\d+))?) ± (\d+(?:\.\d+)?)", found.ours)
    shown = [values for values in second.shown if len(values) > 1]  # one seed has no deviation
    assert shown and len(printed) >= len(shown)
    for (mean, digits, deviation), values in zip(printed, shown, strict=False):
        rounding = 0.5001 * 10.0 ** -len(digits)
        assert (float(mean), float(deviation)) == pytest.approx((values.mean(), values.std(ddof=1)), abs=rounding, rel=0)


def twice(rows: Mapping[str, Callable[[], Again]], claims: Mapping[str, Claim]) -> tuple[Callable[..., None], ...]:
    """Three tests of claims by what they say: each is computed a second time; what decides; and what is printed first."""
    def every() -> None:
        assert sorted(rows) == sorted(claims)

    @pytest.mark.parametrize("what", rows)
    def decides(what: str) -> None:
        check_what_decides(claims[what].found, rows[what]())

    @pytest.mark.parametrize("what", rows)
    def printed(what: str) -> None:
        check_what_is_printed(claims[what].found, rows[what]())

    return every, decides, printed
