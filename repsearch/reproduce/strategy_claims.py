"""What notes on evolution strategies claim, and what the records say to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, within
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.seeds import Numbers, paired, shown
from repsearch.reproduce.strategy_settings import ARM_SIGMAS, PAIRS
from repsearch.reproduce.strategy_tables import arm, ranked

SHARED, PAIR, MEMBER = "antithetic, shared", "antithetic, own of a pair", "antithetic, own of a member"
ALL_PAIRS, ALL_SINGLE = "antithetic, all images", "one-sided, all images, baseline"
NARROW, WIDE = ARM_SIGMAS
POINT, POINTS = 0.5, "points"
TENTH = 0.1


# --- numbers of the records, one a seed -------------------------------------------------------------------------------


def _estimated(value: Callable[[Record], float]) -> Numbers:
    return {record["seed"]: value(record) for record in read_records("es-estimates-digits-smoke-all-*")}


def _row(record: Record, when: str, kind: str, **where: Any) -> Any:
    """The row of one table at one point of the training, found by its entries."""
    (row,) = [row for row in record["points"][when][kind] if all(row[key] == value for key, value in where.items())]
    return row


def _over(row: dict[str, float]) -> float:
    """What was measured, over its closed form."""
    return row["mean"] / row["theory"]


def variance(name: str, sigma: float = NARROW, when: str = "before", key: str = "mean") -> Numbers:
    """The mean squared distance of an arm's estimates from the gradient; or its closed form, with key "theory"."""
    return _estimated(lambda record: _row(record, when, "arms", arm=name, sigma=sigma)[key])


def ratio(first: Numbers, second: Numbers) -> list[float]:
    """First over second, seed by seed."""
    return [first[seed] / second[seed] for seed in sorted(first.keys() & second.keys())]


def bias(rank: int, sigma: float, when: str = "before") -> Numbers:
    """How far the gradient of the smoothed fitness is from the gradient, as a share of its length."""
    return _estimated(lambda record: _row(record, when, "smoothing", rank=rank, sigma=sigma)["error"])


def slope(rank: int) -> list[float]:
    """The power of sigma with which the bias grows, between the narrow and the wide noise."""
    return [log(one) / log(WIDE / NARROW) for one in ratio(bias(rank, WIDE), bias(rank, NARROW))]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _near_one(parts: dict[str, Sequence[float]], limit: float) -> Found:
    said = "; ".join(f"{name} {shown(values, 2)}" for name, values in parts.items())
    return Found(said, "measured over closed form",
                 [within([abs(value - 1) for value in values], limit, name) for name, values in parts.items()],
                 f"under the limit of {limit:g}", digits=2)


def closed_forms() -> Found:
    """Each arm's variance over its closed form."""
    arms = [row["arm"] for row in read_records("es-estimates-digits-smoke-all-*")[0]["points"]["before"]["arms"]]
    return _near_one({name: ratio(variance(name), variance(name, key="theory")) for name in dict.fromkeys(arms)}, 0.2)


def cosines() -> Found:
    """By the number of pairs."""
    def measured(pairs: int) -> Numbers:
        return _estimated(lambda record: _row(record, "before", "angles", pairs=pairs)["mean"] / (
            pairs / (pairs + record["points"]["before"]["calculus"]["d"] + 1)) ** 0.5)

    rows = read_records("es-estimates-digits-smoke-all-*")[0]["points"]["before"]["angles"]
    return _near_one({f"{row['pairs']} pairs": list(measured(row["pairs"]).values()) for row in rows}, TENTH)


def pairs_against_members(when: str, sigma: float) -> Found:
    """The variance of the one over that of the other, whichever the closed forms say is larger over the smaller."""
    pairs, single = (variance(name, sigma, when) for name in (ALL_PAIRS, ALL_SINGLE))
    larger, smaller = (pairs, single) if when == "before" else (single, pairs)
    return Found(f"pairs {shown(pairs, 2)}, one-sided {shown(single, 2)}", f"{when} training, sigma {sigma}",
                 [Contrast([one - 1 for one in ratio(larger, smaller)], TENTH)], "times more variance", digits=2)


def sharing_lowers(name: str) -> Found:
    """The variance on images of one's own over that on shared ones."""
    own, shared = variance(name), variance(SHARED)
    return Found(f"shared {shown(shared)}, not shared {shown(own)}", f"sigma {NARROW}",
                 [Contrast([one - 1 for one in ratio(own, shared)], TENTH)], "times more variance", digits=2)


def trains_worse(name: str, base: str, sigma: float) -> Found:
    """Points of accuracy below what shares its images."""
    own, shared = arm(name, sigma), arm(base, sigma)
    diverged = "" if all(own.values()) else "; 0 where every rate diverges"
    return Found(f"{shown(own)} %", f"{base} {shown(shared)} %{diverged}", [Contrast(paired(shared, own), POINT)],
                 POINTS)


def baseline_is_as_good() -> Found:
    """Points below pairs, at both widths."""
    found = {sigma: (arm(SHARED, sigma), arm("one-sided, shared, baseline", sigma)) for sigma in ARM_SIGMAS}
    return Found("; ".join(f"sigma {sigma}: {shown(own)} %" for sigma, (_, own) in found.items()),
                 "; ".join(f"pairs {shown(pairs)} %" for pairs, _ in found.values()),
                 [within(paired(*both), 2, f"sigma {sigma}") for sigma, both in found.items()],
                 "points under the limit of 2")


def bias_falls(rank: int) -> Found:
    """The power of sigma is above a half."""
    return Found(f"power {shown(slope(rank), 2)}",
                 f"bias {shown(bias(rank, NARROW), 3)} at sigma {NARROW}, {shown(bias(rank, WIDE), 3)} at {WIDE}",
                 [Contrast([one - 0.5 for one in slope(rank)])], "of sigma's power above a half", digits=2)


def bias_is_quadratic() -> Found:
    """The power of sigma is nearer to two than to one."""
    return Found(f"power {shown(slope(0), 2)}", "", [Contrast([one - 1.5 for one in slope(0)])],
                 "of sigma's power above one and a half", digits=2)


def growth() -> Found:
    """By dimension."""
    def measured(d: int) -> Numbers:
        return _estimated(lambda record: next(_over(row) for row in record["growth"] if row["d"] == d))

    large = [row["d"] for row in read_records("es-estimates-digits-smoke-all-*")[0]["growth"]][1:]
    return _near_one({f"{d} weights": list(measured(d).values()) for d in large}, TENTH)


def falls_with_rank() -> Found:
    """The power of the rank is nearer to minus one than to minus a half."""
    def power(record: Record) -> float:
        one, *_, last = record["low_rank"]
        return log(one["mean"] / last["mean"]) / log(last["rank"] / one["rank"])

    powers = list(_estimated(power).values())
    return Found(f"rank to the power of minus {shown(powers, 2)}", "", [Contrast([value - 0.75 for value in powers])],
                 "of the rank's power beyond three quarters", digits=2)


def rank_hardly_matters() -> Found:
    """Points below full rank, by the number of pairs."""
    found = {pairs: (ranked(None, pairs), ranked(1, pairs)) for pairs in PAIRS}
    return Found("; ".join(f"{pairs:,} pairs: {shown(low)} %" for pairs, (_, low) in found.items()),
                 "; ".join(f"full rank {shown(full)} %" for full, _ in found.values()),
                 [within(paired(*both), 2, f"{pairs:,} pairs") for pairs, both in found.items()],
                 "points under the limit of 2")
