"""What the records of trainings say about the claims of sections 3.1 and 4.1 to 4.4."""

from __future__ import annotations

from collections.abc import Sequence

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import FAILS, HOLDS, Contrast, within
from repsearch.reproduce.seeds import (
    FEW,
    Numbers,
    best,
    beyond,
    group,
    numbers,
    paired,
    searched,
    shown,
    tested,
    validated,
)

SGD, SEARCH_BASED = ("sgd2", "sgd4", "sgd6"), ("search-based", "slow-head", "search4", "search6")
UNTRAINED = ("untrained-body", "untrained-slow-head")
CLOSE = {"mnist": 1, "cifar10": 1, "cifar100": 1}  # points behind SGD: the paper's own word, within one percent
CLOSE_AUGMENTED = {"cifar10": 1.5, "cifar100": 3.1}  # half a point more than the paper's own differences
POINT = 0.5  # points of accuracy that matter
CRUCIAL = 4  # a share of what training adds to an untrained body
POINTS = "points"
ERROR = 0.02


def share_closed(ours: Numbers, untrained: Numbers, theirs: Numbers) -> str:
    """How much of the way from an untrained body to SGD is gone, in percent, on average: a single seed's way may be
    nothing."""
    seeds = set(ours) & set(untrained) & set(theirs)
    gone, way = (sum(one[seed] - untrained[seed] for seed in seeds) for one in (ours, theirs))
    return f"{100 * gone / way:.0f}"


# --- what is learned --------------------------------------------------------------------------------------------------


def learns(data: str) -> Found:
    """Search-based training, against the better untrained body and a body trained on other images' targets."""
    ours, other = tested(data, "search-based"), tested(data, "other")
    untrained = tested(data, best(data, UNTRAINED))
    return Found(f"{shown(ours)} %", f"untrained body {shown(untrained)} %, targets of other images {shown(other)} %",
                 [Contrast(beyond(ours, untrained, other), POINT)], POINTS)


def learns_tuned(data: str) -> Found:
    """The same, both with settings chosen on validation images, weight decay among them."""
    ours, untrained = tested(data, "search-tuned"), tested(data, "untrained-tuned")
    return Found(f"{shown(ours)} %", f"untrained body {shown(untrained)} %", [Contrast(paired(ours, untrained), POINT)],
                 POINTS)


def beyond_the_label(data: str) -> Found:
    """Each image's own targets, against the mean of its class: does the search carry more than the label?"""
    own, means = tested(data, "search-based"), tested(data, "class-means")
    return Found(f"own targets {shown(own)} %", f"class means {shown(means)} %", [Contrast(paired(own, means), POINT)],
                 POINTS)


def class_means_close_to_sgd(data: str) -> Found:
    """Class means, with the settings of search-based training, against tuned SGD: without a classification gradient in
    the body."""
    means, rival = tested(data, "class-means-tuned"), tested(data, "sgd-tuned")
    untrained = tested(data, "untrained-tuned")
    return Found(f"{shown(means)} % against SGD's {shown(rival)} %",
                 f"{share_closed(means, untrained, rival)} % of the way from an untrained body to SGD",
                 [within(paired(rival, means), CLOSE[data])], f"points under the limit of {CLOSE[data]}")


def no_gradient_in_the_body() -> Found:
    """The gradient of the head's term in the body, which the stop-gradient severs."""
    found = {part: numbers("gradients-cifar10-book-first-step", f"norms.{part}.body")
             for part in ("head", "block2", "cross_entropy")}
    return Found(f"its gradient there has a norm of {max(found['head'].values()):g}",
                 f"regression {shown(found['block2'], 2)}; SGD's cross-entropy {shown(found['cross_entropy'], 2)}",
                 [Contrast([1 - value for value in found["head"].values()], 1)], "1 minus the norm", 0, exact=True)


def capacity_helps() -> Found:
    """6 convolutions a block against 2: regression error at block 2 in the epoch that validation images chose, and
    accuracy."""

    def error(variant: str) -> Numbers:
        return numbers(group("cifar10", variant, FEW), "errors.block2")

    few, many = error("search-based"), error("groups3")
    narrow, deep = tested("cifar10", "search-based", FEW), tested("cifar10", "groups3", FEW)
    lower = [100 * (few[seed] - many[seed]) / few[seed] for seed in few]
    return Found(f"error {shown(few, 2)} to {shown(many, 2)} from 2 to 6 convolutions a block",
                 f"accuracy {shown(narrow)} to {shown(deep)} %",
                 [Contrast(lower, 5, "error, % lower"), Contrast(paired(deep, narrow), POINT, "accuracy, points")])


def early_layers_are_hard(data: str) -> Found:
    """Regression error of block 0 against the other blocks, where 1 is what a network that gives 0 has."""

    def error(block: int) -> Numbers:
        return numbers(group(data, "search-based"), f"errors.block{block}")

    errors = [error(block) for block in (0, 1, 2)]
    return Found(f"{', '.join(shown(values, 2) for values in errors)} at blocks 0, 1, 2", "",
                 [Contrast(paired(errors[0], errors[n]), ERROR, f"block 0 against block {n}") for n in (1, 2)],
                 "error", 2)


# --- tables 1 and 2 ---------------------------------------------------------------------------------------------------


def close_to_sgd(data: str) -> Found:
    """The best of the search-based against the best SGD, each chosen on validation images, at the same depths."""
    ours, theirs = (tested(data, best(data, variants)) for variants in (SEARCH_BASED, SGD))
    untrained = tested(data, best(data, UNTRAINED))
    behind = paired(theirs, ours)
    return Found(f"{shown(ours)} against {shown(theirs)} %: {shown(behind)} points behind",
                 f"{share_closed(ours, untrained, theirs)} % of the way from an untrained body, {shown(untrained)} %",
                 [within(behind, CLOSE[data])], f"points under the limit of {CLOSE[data]}",
                 difference=paired(ours, theirs))


def close_when_tuned(data: str) -> Found:
    """Both with settings chosen on validation images, weight decay among them."""
    ours, theirs, untrained = (tested(data, name) for name in ("search-tuned", "sgd-tuned", "untrained-tuned"))
    behind = paired(theirs, ours)
    return Found(f"{shown(ours)} against {shown(theirs)} %: {shown(behind)} points behind",
                 f"{share_closed(ours, untrained, theirs)} % of the way from an untrained body, {shown(untrained)} %",
                 [within(behind, CLOSE[data])], f"points under the limit of {CLOSE[data]}")


def skipping_block0_helps(data: str) -> Found:
    """Table 2's order of the two variants; the formula's average judges."""
    skip, kept, every = (tested(data, f"{name}-augmented") for name in ("skip0", "skip0-kept", "all"))
    gained = paired(skip, every)
    return Found(f"{shown(skip)} against {shown(every)} %",
                 f"averaged over the blocks kept {shown(kept)} %; SGD {shown(tested(data, 'sgd-augmented'))} %",
                 [Contrast(gained, POINT)], POINTS, difference=gained)


def augmented_close_to_sgd(data: str) -> Found:
    """Skip block 0, the paper's better variant, against SGD of the same depth."""
    rival, skip, every = (tested(data, f"{name}-augmented") for name in ("sgd", "skip0", "all"))
    behind, limit = paired(rival, skip), CLOSE_AUGMENTED[data]
    return Found(f"{shown(behind)} points behind", f"SGD {shown(rival)} %; all layers {shown(paired(rival, every))} "
                 "points behind", [within(behind, limit)], f"points under the limit of {limit}",
                 difference=paired(skip, rival))


def augmented_close_when_tuned(data: str) -> Found:
    """All layers against SGD, both with the settings that validation images chose without augmentation."""
    ours, rival = (tested(data, f"{name}-tuned-augmented") for name in ("all", "sgd"))
    limit = CLOSE_AUGMENTED[data]
    return Found(f"{shown(ours)} against {shown(rival)} %", "", [within(paired(rival, ours), limit)],
                 f"points under the limit of {limit}")


def augmentation_helps(data: str) -> Found:
    """Augmented against plain, all layers; the control is what it does for SGD."""
    gained = paired(tested(data, "all-augmented"), tested(data, "search-based"))
    of_sgd = paired(tested(data, "sgd-augmented"), tested(data, "sgd2"))
    return Found(f"{shown(gained)} points", f"for SGD {shown(of_sgd)} points", [Contrast(gained, POINT)], POINTS,
                 difference=gained)


def trails_sgd() -> Found:
    """Behind SGD on every data set, augmented or not."""
    titles = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
    behind = [Contrast(paired(tested(name, best(name, SGD)), tested(name, best(name, SEARCH_BASED))), 0, title)
              for name, title in titles.items()]
    behind += [Contrast(paired(tested(name, "sgd-augmented"), tested(name, "skip0-augmented")), 0,
                        f"{titles[name]} augmented") for name in ("cifar10", "cifar100")]
    return Found("by " + "; ".join(f"{shown(part.values)}, {part.name}" for part in behind), "", behind, POINTS)


# --- figure 4 ---------------------------------------------------------------------------------------------------------


def _figure4(data: str, axis: str) -> list[Numbers]:
    """Validation accuracy at a quarter, once and twice the population or the generations."""
    return [validated(data, name, FEW) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2")]


def pays_off(data: str, axis: str) -> Found:
    """Figure 4: a quarter, once and twice the population or the generations."""
    least, base, most = _figure4(data, axis)
    losses = [shown(searched(data, name, FEW), 2) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2")]
    untrained = validated(data, "untrained-body", FEW)
    return Found(f"{shown(least)}, {shown(base)}, {shown(most)} % at a quarter, once, twice",
                 f"untrained body {shown(untrained)} %; block 0 {', '.join(losses)} nats",
                 [Contrast(paired(most, least), POINT)], POINTS)


def saturates(data: str, axis: str) -> Found:
    """Figure 4: what a doubling of the search adds, before the base and after it. Accuracy must rise first, then rise
    less, and not fall."""
    least, base, most = _figure4(data, axis)
    before = {seed: (base[seed] - least[seed]) / 2 for seed in base if seed in least}
    last = {seed: most[seed] - base[seed] for seed in most if seed in base}
    return Found(f"a doubling adds {shown(before)} points up to the base, then {shown(last)}", "",
                 [Contrast(list(before.values()), 0, "rising first"),
                  Contrast(paired(before, last), 0, "rising less then"),
                  Contrast([value + POINT for value in last.values()], 0, "not falling")], POINTS)


# --- ablations --------------------------------------------------------------------------------------------------------


def crucial(variants: str | Sequence[str], base: str = "search-based") -> Found:
    """An ablation: whether it takes a quarter of what training adds to an untrained body.

    Args:
        variants: without it; of several, at different rates, the one that did best on validation images.
        base: with it.
    """
    names = (variants,) if isinstance(variants, str) else variants
    variant = best("cifar10", names, FEW)
    ours, other, untrained = (tested("cifar10", name, FEW) for name in (base, variant, "untrained-body"))
    adds = Contrast(paired(ours, untrained), POINT)
    lost = [(ours[s] - other[s]) - max(ours[s] - untrained[s], 0) / CRUCIAL for s in ours if s in other]
    nothing = {HOLDS: "", FAILS: "with it, training adds nothing that could be lost"}.get(
        adds.verdict, f"it is not sure that training adds anything with it, {adds.interval.text()} points")
    reached = [shown(searched("cifar10", name, FEW), 2) for name in (base, variant)]
    return Found(f"{shown(ours)} %, without {shown(other)} %",
                 f"untrained body {shown(untrained)} %; block 0 {reached[0]} nats, without {reached[1]}",
                 [Contrast(lost)], f"points beyond 1/{CRUCIAL} of what training adds", open=nothing)


def with_and_without(variant: str, base: str = "search-based") -> Found:
    """An ablation: test accuracy with and without, and what the search reached."""
    ours, other = tested("cifar10", base, FEW), tested("cifar10", variant, FEW)
    return Found(f"{shown(ours)} %, without {shown(other)} %",
                 f"block 0 {shown(searched('cifar10', base, FEW), 2)} nats, without "
                 f"{shown(searched('cifar10', variant, FEW), 2)}", [Contrast(paired(ours, other), POINT)], POINTS)
