"""Every number behind a verdict on sets of models a second time: from the records' JSON by numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from again import Again, Numbers, each, one, together
from again_checks import twice

from repsearch.reproduce.claims import claims

EQUALS = {"SGD stopped": "sgd-matched", "SGD of a few epochs": "sgd-short"}


def of(arm: str, value: Callable[[Any], float]) -> Numbers:
    return each(f"sets-cifar10-500-book-{arm}", value)


def paired(arm: str, key: str, block: int | None = None) -> Numbers:
    return of(arm, lambda record: float(np.mean([np.ravel(pair[key])[block or 0] for pair in record["pairs"]])))


def beside(parts: dict[str, tuple[Numbers, Numbers]], least: float, sign: int = 1) -> Again:
    """The first of each pair above the second or, with sign -1, below it."""
    both = {name: together(*pair) for name, pair in parts.items()}
    return Again({name: (sign * (ours - theirs), least) for name, (ours, theirs) in both.items()}, [next(iter(both.values()))[0]])


def equals(name: str, arm: str) -> dict[str, tuple[str, str]]:
    return {f"{name} beside {how}": (arm, other) for how, other in EQUALS.items()}


def disagree(parts: dict[str, tuple[str, str]]) -> Again:
    return beside({name: (paired(ours, "over_chance"), paired(theirs, "over_chance")) for name, (ours, theirs) in parts.items()}, 0.05)


def gains() -> Again:
    def of_record(record: Any) -> float:
        gain: float = record["ensemble"]["gain"]  # records keep six digits
        assert abs(gain - (record["ensemble"]["accuracy"] - np.mean(record["accuracy"]))) < 1e-6
        return 100 * gain

    def gain(arm: str) -> Numbers:
        return of(arm, of_record)

    parts = {**equals("one shot", "searches"), "loop": ("loop-searches", "sgd-inits")}
    return beside({name: (gain(ours), gain(theirs)) for name, (ours, theirs) in parts.items()}, 0.5)


def ahead(value: Callable[[Any], float]) -> Again:
    ours, theirs = together(of("loop-inits", value), of("sgd-inits", value))
    return one(ours - theirs, 0.5, ours)


def alike() -> Again:
    found = beside({f"block {block} beside {how}": (paired("inits", "cka", block), paired(other, "cka", block))
                    for how, other in EQUALS.items() for block in range(3)}, 0.05)
    return Again(found.parts, [together(paired("inits", "cka", 2))[0]])


def barriers() -> Again:
    return beside({how: (paired("inits", "matched_barrier"), paired(other, "matched_barrier")) for how, other in EQUALS.items()}, 0.05, -1)


def shifted(record: Any) -> float:
    return float(100 * np.mean(list(record["shift"]["corrupted"].values())))


def lost(record: Any) -> float:
    return 100 * record["shift"]["clean"] - shifted(record)


def loses(ours: str, bases: dict[str, str]) -> Again:
    return beside({how: (of(ours, lost), of(base, lost)) for how, base in bases.items()}, 0.5, -1)


ROWS: dict[str, Callable[[], Again]] = {
    "Diverse representations give diverse models": partial(
        disagree, {"one shot": ("searches", "inits"), "loop": ("loop-searches", "loop-inits")}),
    "Search-based models differ more than SGD's, for their accuracy": lambda: disagree(
        {**equals("one shot", "inits"), "loop": ("loop-inits", "sgd-inits")}),
    "Models with searches of their own gain more together than SGD's": gains,
    "Several loops together are ahead of as many of SGD": partial(ahead, lambda record: 100 * record["ensemble"]["accuracy"]),
    "The same targets make representations more alike than the same labels do": alike,
    "Between models of the same targets, channels matched, the loss rises less than between SGD's": barriers,
    "Corruption takes less from one shot than from SGD of the same accuracy": partial(loses, "inits", EQUALS),
    "Corruption takes less from SGD that saw noise": partial(loses, "sgd-noise", {"": "sgd-inits"}),
    "The loop is ahead of SGD on corrupted images": partial(ahead, shifted),
}
CLAIMS = {claim.what: claim for claim in claims() if claim.experiment == "sets"}

(test_every_claim_is_computed_twice, test_what_decides_is_the_same_by_a_second_computation,
 test_what_is_printed_first_is_the_same_by_a_second_computation) = twice(ROWS, CLAIMS)
