"""What the records say about sets of models: whether they differ, gain together, and bear shift."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.seeds import BLOCKS, Numbers, numbers, paired, shown
from repsearch.reproduce.set_tables import corrupted, in_pairs, lost, name
from repsearch.reproduce.training_claims import POINT, POINTS

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

EQUALS = {"SGD stopped": "sgd-matched", "SGD of a few epochs": "sgd-short"}
"""SGD as accurate as one shot, got in either way."""
DIFFER, ALIKE, EASIER = 0.05, 0.05, 0.05
"""The least that matters: of disagreement, as a share of chance's; of CKA; of a barrier, in nats."""


def each(arm: str, value: Callable[[Record], float]) -> Numbers:
    """A number of each set of an arm, by seed."""
    return numbers(name(arm), value)


def over_chance(arm: str) -> Numbers:
    """How often two of its models disagree, as a share of how often models of their accuracies would by chance."""
    return each(arm, lambda record: in_pairs(record, "over_chance"))


def diverse_models() -> Found:
    """Models whose searches differ against models whose initial weights differ, all else equal."""
    pairs = {"one shot": ("searches", "inits"), "loop": ("loop-searches", "loop-inits")}
    return _disagree(pairs, "own initial weights")


def differ_more_than_sgd() -> Found:
    """Against SGD of the same accuracy, or, of the loop, SGD as tuned; each with its own initial weights."""
    pairs = {**_alike("one shot", "inits"), "loop": ("loop-inits", "sgd-inits")}
    return _disagree(pairs, "SGD's")


def _alike(name: str, arm: str) -> dict[str, tuple[str, str]]:
    """An arm against either SGD of its accuracy."""
    return {f"{name} beside {how}": (arm, other) for how, other in EQUALS.items()}


def _disagree(pairs: dict[str, tuple[str, str]], what: str) -> Found:
    found = {name: (over_chance(ours), over_chance(theirs)) for name, (ours, theirs) in pairs.items()}
    ours, theirs = next(iter(found.values()))
    return Found(f"{shown(ours, 2)} of chance's disagreement (one shot)", f"{what} {shown(theirs, 2)}",
                 [Contrast(paired(*both), DIFFER, name) for name, both in found.items()], digits=2)


def gain(arm: str) -> Numbers:
    """Points that the mean of a set's predictions is ahead of its members."""
    return each(arm, lambda record: 100 * record["ensemble"]["gain"])


def together(arm: str) -> Numbers:
    """Percent that the mean of a set's predictions labels correctly."""
    return each(arm, lambda record: 100 * record["ensemble"]["accuracy"])


def ensembles_gain_more() -> Found:
    """Models with searches of their own against SGD of the same accuracy, or, of the loop, SGD as tuned."""
    pairs = {**_alike("one shot", "searches"), "loop": ("loop-searches", "sgd-inits")}
    contrasts = [Contrast(paired(gain(ours), gain(theirs)), POINT, name) for name, (ours, theirs) in pairs.items()]
    return Found(f"{shown(gain('searches'))} points (one shot)", f"SGD {shown(gain('sgd-matched'))}", contrasts, POINTS)


def loops_together_are_ahead() -> Found:
    """A set of loops against one of SGD, each with its own initial weights."""
    ours, theirs = together("loop-inits"), together("sgd-inits")
    return Found(f"{shown(ours)} %", f"SGD {shown(theirs)} %", [Contrast(paired(ours, theirs), POINT)], POINTS)


def targets_make_alike() -> Found:
    """CKA of models that learned the same targets from different weights, against SGD of the same accuracy."""
    def alike(arm: str, block: int) -> Numbers:
        return each(arm, lambda record: in_pairs(record, "cka", block))

    contrasts = [Contrast(paired(alike("inits", block), alike(other, block)), ALIKE, f"block {block} beside {how}")
                 for how, other in EQUALS.items() for block in BLOCKS]
    ours, theirs = alike("inits", 2), alike("sgd-matched", 2)
    return Found(f"a CKA of {shown(ours, 2)} (block 2)", f"SGD stopped {shown(theirs, 2)}", contrasts, digits=2)


def way_is_easier() -> Found:
    """The barrier between models of the same targets, channels matched, against SGD's of the same accuracy."""
    def rises(arm: str) -> Numbers:
        return each(arm, lambda record: in_pairs(record, "matched_barrier"))

    contrasts = [Contrast(paired(rises(other), rises("inits")), EASIER, how) for how, other in EQUALS.items()]
    return Found(f"a barrier of {shown(rises('inits'), 2)} nats", f"SGD stopped {shown(rises('sgd-matched'), 2)}",
                 contrasts, "nats", digits=2)


def loses_less(ours: str, bases: dict[str, str]) -> Found:
    """Points of accuracy that corruption takes."""
    own = each(ours, lost)
    contrasts = [Contrast(paired(each(base, lost), own), POINT, how) for how, base in bases.items()]
    first = each(next(iter(bases.values())), lost)
    return Found(f"{shown(own)} points lost", f"SGD {shown(first)} points", contrasts, POINTS)


def better_under_shift() -> Found:
    """Accuracy on corrupted images, of the loop and of SGD."""
    ours, theirs = each("loop-inits", corrupted), each("sgd-inits", corrupted)
    return Found(f"{shown(ours)} %", f"SGD {shown(theirs)} %", [Contrast(paired(ours, theirs), POINT)], POINTS)


ASKED: dict[str, Callable[[], Found]] = {
    "Search-based models differ more than SGD's, for their accuracy": differ_more_than_sgd,
    "Models with searches of their own gain more together than SGD's": ensembles_gain_more,
    "Several loops together are ahead of as many of SGD": loops_together_are_ahead,
    "The same targets make representations more alike than the same labels do": targets_make_alike,
    "Between models of the same targets, channels matched, the loss rises less than between SGD's": way_is_easier,
    "Corruption takes less from one shot than from SGD of the same accuracy": partial(
        loses_less, "inits", EQUALS),
    "Corruption takes less from SGD that saw noise": partial(loses_less, "sgd-noise", {"": "sgd-inits"}),
    "The loop is ahead of SGD on corrupted images": better_under_shift,
}
"""Questions of ours."""
