"""What is claimed of flat networks a second time, from the records' JSON by numpy, by what each claim says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from again import Again, one, values
from again_checks import twice

from repsearch.reproduce.claims import claims

SERIES, NETS = "goea-flatness-mnist-book-series", "goea-transfer-mnist-book-archetypes"
ROBUST, WIDE, NARROW = "Robust Wide", "Brittle Wide", "Brittle Narrow"


def archetype(net: str, value: Callable[[Any], float]) -> np.ndarray:
    return values(NETS, lambda r: 100 * value(r["nets"][net]))


def ordered(found: dict[str, np.ndarray]) -> Again:
    names = list(found)
    return Again({f"{high} above {low}": (found[high] - found[low], 0) for high, low in pairwise(names)}, list(found.values()))


def dropout() -> Again:
    return ordered({net: archetype(net, lambda n: n["dropout"]["0.5"]["accuracy"]) for net in (ROBUST, WIDE, NARROW)})


def no_better() -> Again:
    flat, sharp = (archetype(net, lambda n: n["judged"]["known"]["accuracy"]) for net in (ROBUST, WIDE))
    return one(0.5 - (flat - sharp), 0, flat, sharp)


def lost(scale: str) -> Again:
    places = (0, 14)  # diameters .001 and 1
    found = {net: archetype(net, lambda n: np.subtract(*(n["curves"][scale]["accuracy"][place] for place in places)))
             for net in (NARROW, WIDE, ROBUST)}
    return Again({f"{high} more than {low}": (found[high] - found[low], 0) for high, low in ((NARROW, WIDE), (WIDE, ROBUST))}, list(found.values()))


def at_point_eight(net: str) -> np.ndarray:
    return values(SERIES, lambda r: 100 * r["nets"][net]["curves"]["tensor-mean"]["accuracy"][12])


def flatter(*nets: str) -> Again:
    return ordered({net: at_point_eight(net) for net in nets})


def length() -> Again:
    epochs, batches = (np.ptp([at_point_eight(net) for net in nets], 0)
                       for nets in (("epochs 2", "base", "epochs 32"), ("batch 4", "base", "batch 128")))
    return one(batches - epochs, 0, epochs)


def keeps() -> Again:
    def curve(net: Any, epoch: int) -> float:
        return float((net["transfer"]["own"][epoch] if epoch else net)["curves"]["tensor-mean"]["accuracy"][16])

    found = [archetype(WIDE, partial(curve, epoch=epoch)) for epoch in range(4)]
    return Again({f"epoch {epoch}": (10 - np.abs(found[epoch] - found[0]), 0) for epoch in (1, 2, 3)}, found[1:])


def speed() -> Again:
    def added(net: str) -> np.ndarray:
        return archetype(net, lambda n: n["transfer"]["alike"][1]["all"]["accuracy"] - n["transfer"]["alike"][0]["all"]["accuracy"])

    found = {net: added(net) for net in (ROBUST, WIDE, NARROW)}
    return Again({f"{flat} over {sharp}": (2 - (found[flat] - found[sharp]), 0) for flat, sharp in pairwise(found)}, list(found.values()))


ORDER = "Robust Wide loses least when weights are moved, then Brittle Wide, then Brittle Narrow"
ROWS: dict[str, Callable[[], Again]] = {
    "Flat networks bear dropout: with half of the features dropped Robust Wide is ahead of Brittle Wide, and this of Brittle Narrow (figure 3)": dropout,
    "They generalise no better: on known classes Robust Wide is at most half a point ahead of Brittle Wide (figure 3)": no_better,
    f"{ORDER} (figures 8 and 13)": partial(lost, "tensor-mean"),
    "Dropout flattens: more of it leaves more accuracy at diameter 0.8 (figure 9)": partial(
        flatter, "dropout 0.5", "dropout 0.25", "base", "dropout 0"),
    "Larger networks are flatter (figure 10)": partial(flatter, "size 4", "size 2", "base", "size 0.5"),
    "Smaller batches give flatter networks (figure 11)": partial(flatter, "batch 4", "base", "batch 128"),
    "Length of training matters less for flatness than size of batches (figure 12)": length,
    "Transfer leaves flatness as it was, within ten points (figure 14)": keeps,
    "Flatness does not speed transfer: trained on alike, a flatter archetype gains at most two points more in an epoch than the next (figure 15)": speed,
    f"{ORDER}, in lengths of filters": partial(lost, "filter"),
}
CLAIMS = {claim.what: claim for claim in claims() if claim.section == "greedy" and claim.experiment in ("goea-transfer", "goea-flatness")}

(test_every_claim_is_computed_twice, test_what_decides_is_the_same_by_a_second_computation,
 test_what_is_printed_first_is_the_same_by_a_second_computation) = twice(ROWS, CLAIMS)
