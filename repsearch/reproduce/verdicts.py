"""The rules of verdicts: each stands once, with the words that the page of claims prints for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import TypeVar

from repsearch.reproduce.tables import differences

REPRODUCED, IN_PART, NOT, UNTRIED = "reproduced", "in part", "not reproduced", "not tried"
CLOSE = {"mnist": 1, "cifar10": 3, "cifar100": 3}  # points behind SGD
LITTLE, PROGRESS = 4, 10  # a gain's share of another's; percent
NEAR = 0.1
REMOVED = 10  # percent
LABELLED, HALF = 90, 50  # percent of images
CRUCIAL = 4  # a share of what training adds
APART = 2  # standard deviations

Values = Sequence[float]
"""One number a seed."""
Rule = TypeVar("Rule", bound=Callable[..., object])
RULES: dict[str, str] = {}
"""For words of a claim that need a rule of their own: what it asks, as the page prints it."""


def rule(word: str, asks: str) -> Callable[[Rule], Rule]:
    """Name a rule, and say what it asks."""

    def named(judge: Rule) -> Rule:
        RULES[word] = asks
        return judge

    return named


def always(values: Values) -> str:
    """The verdict on a claim that these differences, one a seed, are positive.

    In part: not all are, but their mean is larger than its standard error.

    Example:
        >>> always([1, 2, 3]), always([-1, 2, 3]), always([1, -2, 3])
        ('reproduced', 'in part', 'not reproduced')
    """
    if min(values) > 0:
        return REPRODUCED
    return IN_PART if mean(values) > stdev(values) / len(values) ** 0.5 else NOT


def overall(verdicts: Sequence[str]) -> str:
    """One verdict for several parts of a claim: in part, unless all or none of them hold.

    Example:
        >>> overall(["reproduced", "reproduced"]), overall(["reproduced", "not reproduced"])
        ('reproduced', 'in part')
    """
    return verdicts[0] if len(set(verdicts)) == 1 else IN_PART


@rule("little", f"less than 1/{LITTLE} of what activations gain, in every seed")
def gains_little(shared: Values, own: Values) -> str:
    """The gain of parameters that serve many images, against that of activations."""
    return always([a / LITTLE - b for a, b in zip(own, shared, strict=True)])


@rule("progress", f"more than {PROGRESS} % less cross-entropy, in every seed")
def makes_progress(gains: Values) -> str:
    """The best gain of a random step, in percent."""
    return always([gain - PROGRESS for gain in gains])


@rule("close to SGD", f"on average at most {CLOSE['mnist']} point behind on MNIST, {CLOSE['cifar10']} on the others")
def close(behind: Values, data: str) -> str:
    """Points behind SGD on a data set."""
    return REPRODUCED if mean(behind) <= CLOSE[data] else NOT


@rule("near 1", f"within {NEAR:g}, on average, at every block")
def near_one(blocks: Sequence[Values]) -> str:
    """Distances of each block."""
    return overall([REPRODUCED if abs(mean(block) - 1) < NEAR else NOT for block in blocks])


@rule("labels", f"over one half for the label of over {LABELLED} % of images, in every seed; in part, over {HALF} %")
def labels_images(shares: Values) -> str:
    """Percent of the images whose label has a probability above one half."""
    return REPRODUCED if min(shares) > LABELLED else IN_PART if min(shares) > HALF else NOT


@rule("falls with the population", "in part, if the best of as many noisy copies falls as much without evolution")
def falls_beyond_luck(start: Sequence[Values], end: Sequence[Values]) -> list[str]:
    """By how much a larger population is lower, before and after evolution; of each block."""
    return [IN_PART if always(b) == REPRODUCED and mean(b) <= mean(a) else always(b)
            for a, b in zip(start, end, strict=True)]


@rule("falls with the generations", f"by {REMOVED} % or more, in every seed, since selection lets it never rise")
def falls_by_a_tenth(blocks: Sequence[Values]) -> list[str]:
    """Percent of the cross-entropy that evolution removes; of each block."""
    return [REPRODUCED if min(block) >= REMOVED else NOT for block in blocks]


@rule("grows", "the number for 16 runs is above that for 2, whichever seeds are compared")
def grows(few: Sequence[Values], many: Sequence[Values]) -> str:
    """Effective numbers of each block."""
    return overall([REPRODUCED if min(b) > max(a) else NOT for a, b in zip(few, many, strict=True)])


@rule("it falls", "by the last doubling, in every seed, or on average by more than the standard error")
def falls(added: Values) -> bool:
    """Whether what the last doubling of the search adds to the accuracy is a loss.

    Example:
        >>> falls([-1, -2, -3]), falls([-2, -3, 1]), falls([-0.1, 0.2, -0.3])
        (True, True, False)
    """
    return always([-value for value in added]) != NOT


@rule("saturates", "the last doubling adds less than the two before it did on average, and the accuracy does not fall")
def saturates(before: Values, last: Values) -> str:
    """What a doubling of the search adds to the accuracy: each of the two up to the base, on average, and the last."""
    return NOT if falls(last) else always(differences(before, last))


@rule("crucial", f"without it 1/{CRUCIAL} is lost of what training adds to an untrained body; in part, if anything is")
def crucial(ours: Values, other: Values, untrained: Values) -> str:
    """Accuracy with and without it, and of an untrained body. Nothing is lost where training adds nothing with it."""
    lost = [(a - b) - max(a - c, 0) / CRUCIAL for a, b, c in zip(ours, other, untrained, strict=True)]
    if always(differences(ours, other)) == NOT or mean(ours) <= mean(untrained):
        return NOT
    return REPRODUCED if min(lost) > 0 else IN_PART


@rule("differ", f"by more than {APART} standard deviations of the difference over seeds")
def differ(ours: Sequence[Values], theirs: Sequence[Values]) -> str:
    """Measures of each block, of two trainings."""
    apart = [differences(a, b) for a, b in zip(ours, theirs, strict=True)]
    return overall([REPRODUCED if abs(mean(d)) > APART * stdev(d) else NOT for d in apart])
