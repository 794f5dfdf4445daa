"""What the papers on greedy evolution claim of flat networks, figure by figure, and what the records say to it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, within
from repsearch.reproduce.seeds import Numbers, numbers, paired, shown

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

SERIES, ARCHETYPES = "goea-flatness-mnist-book-series", "goea-transfer-mnist-book-archetypes"
ROBUST, WIDE, NARROW = "Robust Wide", "Brittle Wide", "Brittle Narrow"
FACTORS = {
    "dropout": ("dropout 0", "base", "dropout 0.25", "dropout 0.5"), "size": ("size 0.5", "base", "size 2", "size 4"),
    "batch": ("batch 128", "base", "batch 4"), "epochs": ("epochs 2", "base", "epochs 32"),
}
"""The networks of Figures 9 to 12, from what should be sharp to what should be flat."""
POINT, POINTS = 0.5, "points"
MOVED = 1.2  # diameter at which a network of transfer is looked at: at smaller ones it hardly errs
SCALES = ("tensor-mean", "filter")


# --- numbers of the records, one a seed -------------------------------------------------------------------------------


def moved(name: str, net: str, diameter: float, scale: str = "tensor-mean", after: int = 0) -> Numbers:
    """Accuracy in percent on known classes of a network that is moved so far, by the name of its records; after so many
    epochs of transfer."""
    def value(record: Record) -> float:
        entry = record["nets"][net]
        entry = entry["transfer"]["own"][after] if after else entry
        return float(100 * entry["curves"][scale]["accuracy"][diameters(record).index(diameter)])

    return numbers(name, value)


def diameters(record: Record) -> list[float]:
    """Of a record's curves."""
    settings: dict[str, Any] = record["settings"]
    found: list[float] = settings.get("flatness", settings)["diameters"]
    return found


def judged(net: str, key: str) -> Numbers:
    """Accuracy in percent of an archetype on "known", "new" or "all" classes, without noise."""
    return numbers(ARCHETYPES, lambda record: 100 * record["nets"][net]["judged"][key]["accuracy"])


def dropped(net: str, share: str = "0.5") -> Numbers:
    """Its accuracy in percent on known classes while so many features are dropped."""
    return numbers(ARCHETYPES, lambda record: 100 * record["nets"][net]["dropout"][share]["accuracy"])


# --- figures 3, and 8 to 15 -------------------------------------------------------------------------------------------


def bears_dropout() -> Found:
    """Accuracy while half of the features are dropped, in the order of flatness."""
    return _in_order({net: dropped(net) for net in (ROBUST, WIDE, NARROW)}, "half of the features dropped")


def _in_order(found: dict[str, Numbers], what: str) -> Found:
    """Each is above the next."""
    return Found("; ".join(f"{name} {shown(values)} %" for name, values in found.items()), what,
                 [Contrast(paired(found[high], found[low]), name=f"{high} above {low}")
                  for high, low in pairwise(found)], POINTS)


def flat_is_no_better() -> Found:
    """By how much the flat one is ahead of the sharp one of its size, on known classes."""
    found = {net: judged(net, "known") for net in (ROBUST, WIDE)}
    return Found("; ".join(f"{net} {shown(values)} %" for net, values in found.items()),
                 f"{NARROW} {shown(judged(NARROW, 'known'))} %",
                 [within(paired(found[ROBUST], found[WIDE]), POINT)], f"points under the limit of {POINT}")


def flat_in_order(scale: str) -> Found:
    """Accuracy lost at diameter 1, in the order of flatness."""
    lost = {net: dict(zip(start := moved(ARCHETYPES, net, 0.001, scale),
                          paired(start, moved(ARCHETYPES, net, 1.0, scale)), strict=True))
            for net in (NARROW, WIDE, ROBUST)}
    return Found("; ".join(f"{net} {shown(values)} points" for net, values in lost.items()), f"lost; scale: {scale}",
                 [Contrast(paired(lost[high], lost[low]), name=f"{high} more than {low}")
                  for high, low in pairwise(lost)], POINTS)


def flatter(factor: str) -> Found:
    """Accuracy at diameter .8, from what should be sharp to what should be flat."""
    return _in_order({net: moved(SERIES, net, 0.8) for net in reversed(FACTORS[factor])}, "at diameter 0.8")


def length_matters_less() -> Found:
    """The spread of that accuracy over lengths of training, and over sizes of a batch."""
    def spread(factor: str) -> Numbers:
        found = [moved(SERIES, net, 0.8) for net in FACTORS[factor]]
        return {seed: max(one[seed] for one in found) - min(one[seed] for one in found) for seed in found[0]}

    epochs, batches = spread("epochs"), spread("batch")
    return Found(f"{shown(epochs)} points over epochs", f"{shown(batches)} over batches",
                 [Contrast(paired(batches, epochs))], POINTS)


def transfer_keeps_flatness() -> Found:
    """Brittle Wide, moved, after each epoch of transfer and before it."""
    before = moved(ARCHETYPES, WIDE, MOVED)
    found = {epoch: moved(ARCHETYPES, WIDE, MOVED, after=epoch) for epoch in (1, 2, 3)}
    return Found("; ".join(f"epoch {epoch}: {shown(values)} %" for epoch, values in found.items()),
                 f"before {shown(before)} %, at diameter {MOVED}",
                 [within([abs(one) for one in paired(values, before)], 10, f"epoch {epoch}")
                  for epoch, values in found.items()], "points under the limit of 10")


def flat_transfers_no_faster() -> Found:
    """What the first epoch of transfer adds to the accuracy on all classes, all trained on alike, in the order of
    flatness."""
    def added(net: str, way: str) -> Numbers:
        def value(record: Record) -> float:
            first, second = (record["nets"][net]["transfer"][way][epoch]["all"]["accuracy"] for epoch in (0, 1))
            return float(100 * (second - first))

        return numbers(ARCHETYPES, value)

    nets = (ROBUST, WIDE, NARROW)
    alike, own = ({net: added(net, way) for net in nets} for way in ("alike", "own"))
    return Found("; ".join(f"{net} {shown(values)} points" for net, values in alike.items()),
                 f"each in its own way {', '.join(shown(values) for values in own.values())}",
                 [within(paired(alike[flat], alike[sharp]), 2, f"{flat} over {sharp}")
                  for flat, sharp in pairwise(nets)], "points under the limit of 2")
