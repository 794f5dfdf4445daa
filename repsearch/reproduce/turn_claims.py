"""What the records say about search and learning in turn, which the paper leaves open (its section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, interval, within
from repsearch.reproduce.loops import LOOPS, RIVALS
from repsearch.reproduce.seeds import FEW, Numbers, beyond, numbers, paired, shown
from repsearch.reproduce.tables import markdown, mean_std
from repsearch.reproduce.training_claims import CLOSE, POINT, POINTS

TURNED = {("cifar10", FEW): f"CIFAR-10, {FEW} images, not augmented"}
"""Data sets and numbers of training images that search and learning have taken turns on."""
RIVAL = "sgd-tuned"
WITHOUT_LATER_SEARCHES = ("still", "others-moves", "first-targets")
"""What is learned from where a later round's search finds nothing of the image's label."""


def turned(data: str, way: str = "loop", train: int | None = None) -> Numbers:
    """Test accuracy in percent of the round that did best on validation images."""
    return numbers(name_of("alternate", data, way, train), lambda record: 100 * record["test"][record["best"]])


def rivalled(data: str, train: int | None = None) -> Numbers:
    """Test accuracy in percent of SGD with what a practitioner adds."""
    return numbers(name_of("rival", data, RIVAL, train), "test_accuracy", 100)


def name_of(kind: str, data: str, way: str, train: int | None = None) -> str:
    """The name, without its seed, of records at the book preset."""
    return f"{kind}-{data if train is None else f'{data}-{train}'}-book-{way}"


def turns_help(data: str, train: int | None = None) -> Found:
    """The loop against one round with as many generations and epochs, and against as many epochs on its targets."""
    ways = ("once-long", "first-targets")
    loop, *others = (turned(data, way, train) for way in ("loop", *ways))
    said = _named(ways, others)
    return Found(f"{shown(loop)} %", said, [Contrast(beyond(loop, *others), POINT)], POINTS)


def later_searches_count(data: str, train: int | None = None) -> Found:
    """The loop against the same rounds whose later searches find nothing of the label."""
    loop = turned(data, train=train)
    others = [turned(data, way, train) for way in WITHOUT_LATER_SEARCHES]
    said = _named(WITHOUT_LATER_SEARCHES, others)
    return Found(f"{shown(loop)} %", said, [Contrast(beyond(loop, *others), POINT)], POINTS)


def _named(ways: Sequence[str], found: Sequence[Numbers]) -> str:
    """What came out of each way, after its name."""
    return ", ".join(f"{LOOPS[way].what} {shown(values)} %" for way, values in zip(ways, found, strict=True))


def gap_closes(data: str, train: int | None = None) -> Found:
    """The loop against tuned SGD: no more than a point behind."""
    loop, rival = turned(data, train=train), rivalled(data, train)
    behind = paired(rival, loop)
    once = turned(data, "once", train)
    return Found(f"{shown(loop)} against {shown(rival)} %: {shown(behind)} points behind",
                 f"one shot {shown(paired(rival, once))} points behind", [within(behind, CLOSE[data])],
                 f"points inside {CLOSE[data]} point of SGD")


def overtakes(data: str, train: int | None = None) -> Found:
    """The loop against tuned SGD: ahead."""
    loop, rival = turned(data, train=train), rivalled(data, train)
    return Found(f"{shown(loop)} %", f"{RIVALS[RIVAL].what} {shown(rival)} %",
                 [Contrast(paired(loop, rival), POINT)], POINTS)


def ways(names: Sequence[str], data: str = "cifar10", train: int | None = FEW, base: str = "loop") -> str:
    """A table of ways: test accuracy, and how far each is behind the loop, seed by seed; bold where the interval leaves
    out zero."""
    loop, rows = turned(data, base, train), []
    for name in names:
        values = turned(data, name, train)
        row = [LOOPS[name].what, mean_std(list(values.values()))]
        if name != base:
            found = interval(paired(values, loop))
            row.append(f"**{found}**" if found.low > 0 or found.high < 0 else str(found))
        rows.append([*row, *[""] * (3 - len(row))])
    return markdown(["", "test accuracy, %", "difference to the loop, points [95 % interval]"], rows)


def beside() -> str:
    """A table, a row for the images of a data set: one shot, the loop, and its rival."""
    head = ["", "one shot", "**loop**", RIVALS[RIVAL].what, "loop ahead of SGD, points [95 % interval]"]
    rows = []
    for (data, train), title in TURNED.items():
        once, loop, rival = turned(data, "once", train), turned(data, train=train), rivalled(data, train)
        rows.append([title, shown(once), shown(loop), shown(rival), str(interval(paired(loop, rival)))])
    return markdown(head, rows) + "\n\nTest accuracy in percent."


def lines_beside(data: str, train: int | None = None) -> dict[str, float]:
    """Mean accuracy of the rival, for a figure."""
    return {RIVALS[RIVAL].what: mean(rivalled(data, train).values())}
