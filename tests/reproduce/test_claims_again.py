"""Every number behind a verdict a second time: from the records' JSON by numpy and scipy, by what each claim says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import again
import again_figures
import numpy as np
import pytest
from again import (
    DATA,
    PHOTOS,
    Again,
    Numbers,
    accuracy,
    blocks,
    each,
    one,
    together,
    training,
    turned,
    validated,
)
from again_checks import check_what_decides, check_what_is_printed

from repsearch.reproduce.claim import Claim
from repsearch.reproduce.claims import claims

SGD, SEARCHED = ("sgd2", "sgd4", "sgd6"), ("search-based", "slow-head", "search4", "search6")
UNTRAINED = ("untrained-body", "untrained-slow-head")
UNNORMALISED = ("no-normalisation", "no-normalisation-x0.1", "no-normalisation-x0.01", "no-normalisation-x0.001")

# --- section 4 --------------------------------------------------------------------------------------------------------


def chosen(data: str, *variants: str) -> Numbers:
    """Test accuracy of the variant with the best mean on validation images."""
    return accuracy(data, variants[int(together(*(validated(data, name) for name in variants)).mean(1).argmax())])


def above(ours: Numbers, *others: Numbers, least: float = 0.5) -> Again:
    """Points above the best of the others, by half a point at least."""
    own, *rest = together(ours, *others)
    return one(own - np.max(rest, 0), least, own)


def close(ours: Numbers, theirs: Numbers, limit: float, behind_alone: bool = False) -> Again:
    own, rival = together(ours, theirs)
    return one(limit - (rival - own), 0, *([] if behind_alone else [own, rival]))


def augmented(data: str) -> tuple[Numbers, Numbers]:
    return accuracy(data, "skip0-augmented"), accuracy(data, "sgd-augmented")


def augmented_close(data: str) -> Again:
    ours, theirs = augmented(data)
    found = close(ours, theirs, {"cifar10": 1.5, "cifar100": 3.1}[data], behind_alone=True)
    own, rival = together(ours, theirs)
    return Again(found.parts, [rival - own])


def augmentation(data: str) -> Again:
    after, before = together(accuracy(data, "all-augmented"), accuracy(data, "search-based"))
    return one(after - before, 0.5, after - before)


def trails() -> Again:
    pairs = {title: (chosen(data, *SEARCHED), chosen(data, *SGD)) for data, title in DATA.items()}
    pairs |= {f"{DATA[data]} augmented": augmented(data) for data in PHOTOS}
    behind = {name: -np.subtract(*together(*pair)) for name, pair in pairs.items()}
    return Again({name: (values, 0) for name, values in behind.items()}, list(behind.values()))


def severed() -> Again:
    return one(together(each("gradients-cifar10-book-first-step", lambda r: 1 - r["norms"]["head"]["body"]))[0], 1)


def deeper() -> Again:
    names = ("search-based", "groups3")
    few, many = together(*(each(training("cifar10", name, True), lambda r: r["errors"]["block2"]) for name in names))
    narrow, deep = together(*(accuracy("cifar10", name, True) for name in names))
    return Again({"error, % lower": (100 * (1 - many / few), 5), "accuracy, points": (deep - narrow, 0.5)}, (few, many))


def early(data: str) -> Again:
    error = together(each(training(data, "search-based"), lambda r: [r["errors"][f"block{b}"] for b in range(3)]))[0]
    return Again({f"block 0 against block {b}": (error[:, 0] - error[:, b], 0.02) for b in (1, 2)}, error.T)


def steps(data: str, axis: str) -> np.ndarray:
    """Validation accuracy at a quarter, once and twice the population or the generations."""
    return together(*(validated(data, name, True) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2")))


def rises(data: str, axis: str) -> Again:
    quarter, base, twice = steps(data, axis)
    return one(twice - quarter, 0.5, quarter, base, twice)


def saturates(data: str, axis: str) -> Again:
    """From a quarter to the base are two doublings."""
    quarter, base, twice = steps(data, axis)
    before, last = (base - quarter) / 2, twice - base
    parts = {"rising first": before, "rising less then": before - last, "not falling": last + 0.5}
    return Again({name: (values, 0) for name, values in parts.items()}, (before, last))


def gap_grows() -> Again:
    sgd, ours, sgd_few, ours_few = together(accuracy("cifar10", "sgd2"), accuracy("cifar10", "search-based"),
                                            accuracy("cifar10", "sgd2-steps", True), accuracy("cifar10", "search-based-steps", True))
    return one((sgd - ours) - (sgd_few - ours_few), 0.5, sgd_few - ours_few, sgd - ours)


def statistics_help() -> Again:
    ours, base = (each(f"training-digits-smoke-{name}", lambda r: 100 * r["test_accuracy"])
                  for name in ("candidate-statistics", "search-based"))
    return above(ours, base)


# --- section 4.5 and appendix B ---------------------------------------------------------------------------------------


def inside(data: str, variant: str, key: str, share: float = 1) -> Numbers:
    """What was measured of the three blocks when that share of the epochs was done."""

    if share == 0:  # before any training, all networks are one
        return each(f"untrained-{data}-book-start", lambda r: [point[key] for point in r["points"]])

    def value(record: Any) -> list[float]:
        epoch = round(share * record["settings"]["fit"]["epochs"])
        found = {row["block"]: row[key] for row in record["measured"] if row["epoch"] == epoch}
        return [found[block] for block in range(3)]

    return each(training(data, variant), value)


def distance_falls(data: str) -> Again:
    start, end, others = together(*(inside(data, "search-based", key, share) for key, share in (
        ("distance", 0), ("distance", 1), ("distance_others", 1))))
    return blocks(np.minimum(start, others) - end, 0.02, start, end)


def falls_throughout(data: str) -> Again:
    start, half, end = together(*(inside(data, "search-based", "distance", share) for share in (0, 0.5, 1))).mean(2)
    return Again({"first half": (start - half, 0), "second half": (half - end, 0)}, (start, half, end))


def near_one(data: str) -> Again:
    (end,) = together(inside(data, "sgd2", "distance"))
    return blocks(0.1 - np.abs(1 - end), 0, end)


def apart(ours: np.ndarray, theirs: np.ndarray) -> Again:
    """Whichever is higher on the mean over seeds."""
    difference = ours - theirs
    return blocks(difference * np.where(difference.mean(0) < 0, -1, 1), 0.05, ours, theirs)


def entropies(data: str, key: str) -> Again:
    return apart(*together(inside(data, "search-based", key), inside(data, "sgd2", key)))


def order(data: str, variant: str, share: float = 1) -> Numbers:
    shuffled, own = inside(data, variant, "within_shuffled", share), inside(data, variant, "within", share)
    return {seed: shuffled[seed] - own[seed] for seed in own}


def order_differs(data: str) -> Again:
    return apart(*together(order(data, "search-based"), order(data, "sgd2")))


def both_order(data: str) -> Again:
    found = {title: together(order(data, name, 0), order(data, name)).mean(2)
             for title, name in (("search-based", "search-based"), ("SGD", "sgd2"))}
    return Again({title: (end - start, 0.05) for title, (start, end) in found.items()}, [s for pair in found.values() for s in pair])


def separates(data: str) -> Again:
    ours, theirs = (np.subtract(*together(inside(data, name, "between"), inside(data, name, "within")))[:, 0]
                    for name in ("search-based", "sgd2"))
    return one(ours - theirs, 0.05, ours, theirs)


# --- all of them ------------------------------------------------------------------------------------------------------


def named(text: str, data: Iterable[str], again_: Callable[..., Again], *more: str) -> dict[str, Callable[[], Again]]:
    return {f"{text}: {DATA[name]}": partial(again_, name, *more) for name in data}


SMOOTHING, SOLUTIONS, PIXELS = "Smoothing is crucial for learnability", "The effective number of solutions", "noise-pixel-no-smoothing"
WIDER = "(noise a pixel; twice the width and generations)"
ROWS: dict[str, Callable[[], Again]] = {
    "Random perturbation makes little progress in parameter space": again.little_in_parameters,
    "It makes progress in activation space": again.progress_in_activations,
    "Activation space is the smaller one": again.smaller,
    "The reason is the dimension of parameter space": again.dimension,
    "For the same cost, hill climbing gains more in activations than in weights": again.climbing,
    **named("Search makes an untrained network label its training images", DATA, again.labels),
    "It does at the paper's sizes: a hundred images of CIFAR-10": again.labels_at_paper_size,
    "The best candidate never gets worse": again.never_worse,
    "Selection for each image speeds the search up (digits)": again.selection,
    "Explorers keep the parents diverse": again.diverse,
    "Explorers help the network that learns": lambda: above(
        accuracy("cifar10", "search-based", True), accuracy("cifar10", "no-explorers", True)),
    f"{SMOOTHING} (noise a pixel, smoothed alone)": partial(again.crucial, (PIXELS,), "noise-pixel"),
    f"{SMOOTHING} (noise a pixel, whole child smoothed)": partial(again.crucial, (PIXELS,), "literal-reading"),
    f"{SMOOTHING} (noise a map, where it acts at borders alone)": partial(again.crucial, ("no-smoothing",), "search-based"),
    "Normalisation is crucial for convergence of the search": again.converges,
    "Normalisation is crucial for the learning, at the rate best without it": partial(again.crucial, UNNORMALISED, "search-based"),
    "Later layers benefit from the search of those before them": again.later,
    "BatchNorm of the candidates gives better targets than frozen statistics (digits)": statistics_help,
    "BatchNorm of the candidates gives better targets than frozen statistics (CIFAR-10)": lambda: above(
        accuracy("cifar10", "candidate-statistics", True), accuracy("cifar10", "search-based", True)),
    "Cross-entropy falls with the population": again_figures.population,
    "It falls by more than the luck of more first candidates": again_figures.luck,
    "Cross-entropy falls with the generations": again_figures.generations,
    "Block 2 is easier than blocks 0 and 1": again_figures.easiest,
    f"{SOLUTIONS} grows with the runs {WIDER}": again_figures.grow,
    f"It grows steadily, with every doubling, at block 0 {WIDER}": again_figures.steadily,
    f"It grows fastest at the earliest block {WIDER}": again_figures.fastest,
    **{f"{SOLUTIONS} grows with the {axis} {WIDER}": partial(again_figures.grow_with, axis) for axis in ("population", "generations")},
    **named("What search finds can be learned by regression alone", DATA, lambda data: above(
        accuracy(data, "search-based"), chosen(data, *UNTRAINED), accuracy(data, "other"))),
    **named("It can with settings chosen for either on CIFAR-10", DATA, lambda data: above(
        accuracy(data, "search-tuned"), accuracy(data, "untrained-tuned"))),
    **named("It says more than the image's label", DATA, lambda data: above(
        accuracy(data, "search-based"), accuracy(data, "class-means"))),
    "No gradient of the classification reaches the body": severed,
    "A deeper network learns the targets better": deeper,
    **named("Targets of early layers are harder to learn", DATA, early),
    **named("Search-based training comes within a point of SGD", DATA, lambda data: close(
        chosen(data, *SEARCHED), chosen(data, *SGD), 1)),
    **named("It does with settings chosen for either on CIFAR-10, weight decay among them", DATA, lambda data: close(
        accuracy(data, "search-tuned"), accuracy(data, "sgd-tuned"), 1)),
    **named("Class means as targets, in these settings, come within a point of tuned SGD", DATA, lambda data: close(
        accuracy(data, "class-means-tuned"), accuracy(data, "sgd-tuned"), 1)),
    "The gap to SGD grows with the images, in as many steps: CIFAR-10": gap_grows,
    **named("Augmented, no target on block 0 is better than targets everywhere", PHOTOS, lambda data: above(
        accuracy(data, "skip0-augmented"), accuracy(data, "all-augmented"))),
    **named("Augmented, search-based training comes close to SGD", PHOTOS, augmented_close),
    **named("Augmented, it does with settings chosen for either on CIFAR-10, all layers", PHOTOS, lambda data: close(
        accuracy(data, "all-tuned-augmented"), accuracy(data, "sgd-tuned-augmented"), 1.5 if data == "cifar10" else 3.1)),
    **named("Augmentation helps, though all variants of an image share a target", PHOTOS, augmentation),
    **{what: again_ for axis in ("population", "generations") for text, judge in (("rises", rises), ("saturates", saturates))
       for what, again_ in named(f"Accuracy {text} with the {axis} of the search", PHOTOS, judge, axis).items()},
    **named("Search-based training brings unseen images closer to their targets", DATA, distance_falls),
    **named("It does so throughout the training", DATA, falls_throughout),
    **named("After training by SGD the distance is near 1", DATA, near_one),
    **named("Both trainings order images by class", DATA, both_order),
    **named("The two trainings differ in within-class entropy", DATA, entropies, "within"),
    **named("They differ in order by class, entropy below shuffled classes'", DATA, order_differs),
    **named("The two trainings differ in between-class entropy", DATA, entropies, "between"),
    **named("Search-based training separates classes more at block 0", DATA, separates),
    "Search-based training trails SGD": trails,
    "Letting search and learning inform each other is better: CIFAR-10, 500 images, not augmented": lambda: above(*(
        turned("cifar10", way, 500) for way in ("loop", "once-long", "first-targets"))),
    "It is the later searches that help: CIFAR-10, 500 images, not augmented": lambda: above(*(
        turned("cifar10", way, 500) for way in ("loop", "still", "others-moves", "first-targets"))),
    **{f"The gap to SGD closes: {title}": partial(lambda both: close(*both(), 1), both) for title, both in again.TURNS.items()},
    **{f"Search and learning in turn get ahead of SGD: {title}": partial(lambda both: above(*both()), both)
       for title, both in again.TURNS.items()},
    "Search and learning in turn get ahead of SGD: CIFAR-10, 500 images, not augmented, SGD in as many forward passes":
        lambda: above(turned("cifar10", "loop", 500), again.rival("cifar10", "sgd-budget", 500)),
}


@cache
def tried() -> dict[str, Claim]:
    return {claim.what: claim for claim in claims() if claim.experiment not in (None, "sets") and claim.section not in ("5", "strategies", "greedy")}


def test_every_claim_is_computed_twice() -> None:
    assert sorted(ROWS) == sorted(tried())


@pytest.mark.parametrize("what", ROWS)
def test_what_decides_is_the_same_by_a_second_computation(what: str) -> None:
    check_what_decides(tried()[what].found, ROWS[what]())


@pytest.mark.parametrize("what", [what for what in ROWS if what not in {
    "Activation space is the smaller one", "The best candidate never gets worse", "No gradient of the classification reaches the body"}])
def test_what_is_printed_first_is_the_same_by_a_second_computation(what: str) -> None:
    check_what_is_printed(tried()[what].found, ROWS[what]())
