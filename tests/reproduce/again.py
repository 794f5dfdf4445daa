"""The numbers of claims a second time, from the records' JSON by numpy and scipy: how, and those of sections 2 and 3."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from repsearch.reproduce import records

DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PHOTOS = ("cifar10", "cifar100")
BLOCKS = ("block 0", "block 1", "block 2")
Numbers = dict[int, np.ndarray]  # one entry a seed: a number, or one a block


@dataclass(frozen=True)
class Again:
    """Each part's numbers, one a seed, with the least effect; what the text begins with; whether nothing can decide."""

    parts: dict[str, tuple[np.ndarray, float]]
    shown: Sequence[np.ndarray] = ()
    open: bool = False


@cache
def content(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def each(name: str, value: Callable[[Any], Any]) -> Numbers:
    """A value of every record of that name, by seed; seeds of which it is None are left out."""
    files = [file for file in records.FOLDER.glob(f"{name}-*.json") if re.fullmatch(r"\d+", file.stem[len(name) + 1 :])]
    assert files, name
    found = {content(file)["seed"]: value(content(file)) for file in files}
    assert sorted(found) == sorted(int(file.stem[len(name) + 1 :]) for file in files)
    return {seed: np.array(number, float) for seed, number in found.items() if number is not None}


def together(*numbers: Numbers) -> np.ndarray:
    """(numbers, seeds, ...), of the seeds that all have."""
    seeds = sorted(set.intersection(*map(set, numbers)))
    return np.array([[one[seed] for seed in seeds] for one in numbers])


def values(name: str, value: Callable[[Any], float]) -> np.ndarray:
    """A number of every record of that name, in the order of seeds."""
    return together(each(name, value))[0]


def one(values: np.ndarray, least: float, *shown: np.ndarray) -> Again:
    return Again({"": (values, least)}, shown)


def blocks(values: np.ndarray, least: float, *shown: np.ndarray) -> Again:
    """Of (seeds, blocks), a part a block."""
    return Again({name: (values[:, at], least) for at, name in enumerate(BLOCKS)}, [s[:, at] for s in shown for at in range(3)])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean, and where it lies with 95 % confidence by Student's t; anywhere, for one seed."""
    if len(values) < 2:
        return float(values.mean()), -np.inf, np.inf
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def judged(parts: dict[str, tuple[np.ndarray, float]]) -> str:
    """The rule as the page of claims says it."""
    verdicts = set()
    for values, least in parts.values():
        mean, low, high = interval(values)
        verdicts.add("holds" if low > 0 and mean >= least else "fails" if high <= least else "undecided")
    return "in part" if {"holds", "fails"} <= verdicts else verdicts.pop() if len(verdicts) == 1 else "undecided"


def training(data: str, variant: str, few: bool = False) -> str:
    return f"training-{data}{'-500' if few else ''}-book-{variant}"


def accuracy(data: str, variant: str, few: bool = False) -> Numbers:
    return each(training(data, variant, few), lambda r: 100 * r["test_accuracy"])


def validated(data: str, variant: str, few: bool = False) -> Numbers:
    return each(training(data, variant, few), lambda r: 100 * r["validation_accuracy"][r["best_epoch"]])


# --- section 6 --------------------------------------------------------------------------------------------------------


def turned(data: str, way: str, train: int | None = None) -> Numbers:
    """Test accuracy of the round whose best epoch is highest on validation images."""

    def value(record: Any) -> float:
        return 100 * record["test"][int(np.argmax([max(one["validation_accuracy"]) for one in record["rounds"]]))]

    return each(f"alternate-{data}{f'-{train}' if train else ''}-book-{way}", value)


def rival(data: str, way: str, train: int | None = None) -> Numbers:
    return each(f"rival-{data}{f'-{train}' if train else ''}-book-{way}", lambda r: 100 * r["test_accuracy"])


def both(data: str, train: int | None = None, kind: str = "tuned") -> tuple[Numbers, Numbers]:
    return turned(data, "loop" if kind == "tuned" else kind, train), rival(data, f"sgd-{kind}", train)


TURNS = {
    "CIFAR-10, 500 images, not augmented": partial(both, "cifar10", 500),
    "CIFAR-10, 2,000 images, not augmented": partial(both, "cifar10"),
    "MNIST, 2,000 images": partial(both, "mnist"),
    "CIFAR-100, 2,000 images, not augmented": lambda: (turned("cifar100", "longer-5"), rival("cifar100", "sgd-tuned")),
    "CIFAR-10, 500 images, augmented": partial(both, "cifar10", 500, "augmented"),
}


# --- sections 2 and 3 -------------------------------------------------------------------------------------------------


def gain(space: str, images: str) -> Numbers:
    """Percent gained in the widest network, by the step best for each "one" image, or for "all" together."""

    def value(record: Any) -> float:
        width, count = max(record["settings"]["widths"]), {"one": 1, "all": max(record["settings"]["images"])}[images]
        (found,) = [p["gain"] for p in record["points"] if (p["space"], p["width"], p["images"]) == (space, width, count)]
        return 100 * found

    return each("perturbation-cifar10-book-all", value)


def climbing() -> Again:
    """Percent removed by the best climb at block 0, and by the best in the weights for no more than it costs."""

    def value(place: str, record: Any) -> float:
        limit = next(iter(record["places"]["block0"]["climbs"].values()))["spent"][-1]
        climbs = record["places"][place]["climbs"].values()
        ends = [np.array(c["cross_entropy"])[np.array(c["spent"]) <= limit][-1] for c in climbs]
        return 100 - 100 * min(end / c["cross_entropy"][0] for end, c in zip(ends, climbs, strict=True))

    ours, weights = together(*(each("places-cifar10-book-all", partial(value, place)) for place in ("block0", "weights")))
    return one(ours - weights, 10, ours)


def little_in_parameters() -> Again:
    shared, own = together(gain("parameters", "all"), gain("activations", "one"))
    return one(own / 4 - shared, 0, shared)


def progress_in_activations() -> Again:
    (own,) = together(gain("activations", "all"))  # an image's own, however many there are
    return one(own, 10, own)


def smaller() -> Again:
    """Counted from the architecture: six 3x3 convolutions and the head, against the maps of block 0, 15 by 15."""

    def excess(record: Any) -> float:
        width = max(record["settings"]["widths"])
        return 9 * (24 * width + 5 * width**2) + 10 * 9 * width - 15 * 15 * width

    return one(together(each("perturbation-cifar10-book-all", excess))[0], 0)


def dimension() -> Again:
    single, own = together(gain("parameters", "one"), gain("activations", "one"))
    return one(own - single, 0, single)


def labels(data: str) -> Again:
    images, logits = together(*(each(training(data, "search-based"), lambda r, layer=layer: 100 * r["found"]["above_half"][layer])
                                for layer in ("block2", "logits")))
    (nats,) = together(each(training(data, "search-based"), lambda r: r["found"]["curve"]["block2"][-1]))
    return one(images - 90, 0, images, nats, logits)


def labels_at_paper_size() -> Again:
    share = together(each("search-cifar10-paper-first100", lambda r: [100 * r["above_half"][f"block{b}"][-1] for b in range(3)]))[0]
    return one(share[:, 2] - 90, 0, *share.T)


def never_worse() -> Again:
    def never(record: Any) -> float:
        curves, rises = record["found"]["curve"].values(), record["found"]["rises"].values()
        assert any(rises) or all((np.diff(curve) <= 0).all() for curve in curves)
        return min(100 - 100 * share for share in rises)

    return one(np.concatenate([together(each(training(data, "search-based"), never))[0] for data in DATA]), 100)


def selection() -> Again:
    def gone(record: Any) -> float:
        curve, half = record["found"]["curve"]["block0"], record["settings"]["searched"]["search"]["schedule"][0]["generations"] // 2
        return 100 * (curve[0] - curve[half]) / curve[0]

    own, shared = together(*(each(f"training-digits-smoke-{name}", gone) for name in ("search-based", "batch-selection")))
    return one(own - shared, 5, own)


def diverse() -> Again:
    def parents(record: Any) -> float:
        (found,) = [point["parents"][-1] for point in record["points"] if point["block"] == 0]
        return found

    explored, refined = together(*(each(f"diversity-cifar10-book-{name}", parents) for name in ("explorers", "no-explorers")))
    return Again({"more than without": (explored - refined, 0.05), "two of ten": (explored - 2, 0)}, (explored,))


def crucial(variants: Sequence[str], base: str) -> Again:
    """What is lost, beyond a quarter of what training adds: nothing decides unless it surely adds half a point."""
    other = variants[int(together(*(validated("cifar10", name, True) for name in variants)).mean(1).argmax())]
    with_it, without, untrained = together(*(accuracy("cifar10", name, True) for name in (base, other, "untrained-body")))
    lost = with_it - without - (with_it - untrained).clip(min=0) / 4
    return Again({"": (lost, 0)}, (with_it, without), open=judged({"": (with_it - untrained, 0.5)}) != "holds")


def converges() -> Again:
    with_it, without = together(*(each(training("cifar10", name, True), lambda r: r["found"]["curve"]["block0"][-1])
                                  for name in ("search-based", "no-normalisation")))
    return one(without - with_it, 0.1, with_it)


def later() -> Again:
    parts, shown = {}, []
    for data in PHOTOS:
        for block in (1, 2):
            after, alone = together(*(each(f"search-{data}-book-chained", lambda r, key=key, block=block: r[key][f"block{block}"][-1])
                                      for key in ("cross_entropy", "alone")))
            parts[f"{DATA[data]} block {block}"] = ((alone - after) / alone * 100, 5)
            shown += [after, alone]
    return Again(parts, shown)
