"""What the records say about questions of ours, beside the paper's claims."""

from __future__ import annotations

from math import inf
from statistics import stdev
from typing import TYPE_CHECKING

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.search_claims import PROGRESS
from repsearch.reproduce.seeds import FEW, Numbers, group, numbers, paired, shown, tested
from repsearch.reproduce.training_claims import POINT, POINTS

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record


def climbed(record: Record, place: str, spent: float = inf) -> float:
    """Percent of the cross-entropy that hill climbing removes in a place, for at most so much, at its best strength."""
    def removed(curve: dict[str, list[float]]) -> float:
        last = max(at for at, cost in enumerate(curve["spent"]) if cost <= spent)
        return float(100 * (1 - curve["cross_entropy"][last] / curve["cross_entropy"][0]))

    climbs: dict[str, dict[str, list[float]]] = record["places"][place]["climbs"]
    return max(removed(curve) for curve in climbs.values())


def climbing_gains(place: str, base: str) -> Found:
    """For what a whole climb at block 0, the dearest of the activations, costs."""
    def value(where: str) -> Numbers:
        return numbers("places-cifar10-book-all", lambda record: climbed(record, where, budget(record)))

    def budget(record: Record) -> float:
        return float(max(curve["spent"][-1] for curve in record["places"]["block0"]["climbs"].values()))

    ours, theirs = value(place), value(base)
    return Found(f"{shown(ours)} % of the cross-entropy", f"{base} {shown(theirs)} %",
                 [Contrast(paired(ours, theirs), PROGRESS)], "% of the cross-entropy more")


def gap_grows() -> Found:
    """Points behind SGD with 2,000 images and with 500, in as many steps of either training."""
    few, many = (_gap(*names) for names in ((("sgd2-steps", FEW), ("search-based-steps", FEW)),
                                            (("sgd2", None), ("search-based", None))))
    fewer_steps = _gap(("sgd2", FEW), ("search-based", FEW))
    return Found(f"{shown(few)} points behind with {FEW} images, {shown(many)} with 2,000",
                 f"with {FEW} images and a quarter of the steps {shown(fewer_steps)}",
                 [Contrast(paired(many, few), POINT)], POINTS)


def _gap(rival: tuple[str, int | None], ours: tuple[str, int | None]) -> Numbers:
    theirs, own = (tested("cifar10", *which) for which in (rival, ours))
    return {seed: theirs[seed] - own[seed] for seed in theirs if seed in own}


def candidate_statistics_help(photographs: bool = False) -> Found:
    """BatchNorm of the candidates against frozen statistics, on digits, or on photographs of CIFAR-10."""
    name = group("cifar10", "{}", FEW) if photographs else "training-digits-smoke-{}"
    ours, base = (numbers(name.format(variant), "test_accuracy", 100)
                  for variant in ("candidate-statistics", "search-based"))
    return Found(f"{shown(ours)} %", f"frozen {shown(base)} %", [Contrast(paired(ours, base), POINT)], POINTS)


def decay_helps(kind: str, data: str) -> Found:
    """Settings chosen with weight decay against those without, of a kind of training."""
    plain = {"search": "search-based", "sgd": "sgd2"}[kind]
    ours, base = tested(data, f"{kind}-tuned"), tested(data, plain)
    return Found(f"{shown(ours)} %", f"without {shown(base)} %", [Contrast(paired(ours, base), POINT)], POINTS)


def spread(part: str) -> tuple[float, float]:
    """Standard deviation over seeds of test accuracy, in points, where the seed decides one part, and where all."""
    alone = numbers(group("cifar10", f"{part}-alone", FEW), "test_accuracy", 100)
    return stdev(alone.values()), stdev(tested("cifar10", "search-based", FEW).values())
