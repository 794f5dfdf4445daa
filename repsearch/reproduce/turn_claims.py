"""What the records say about search and learning in turn, which the paper leaves open (its section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from repsearch import presets
from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, interval, within
from repsearch.reproduce.loops import LOOPS
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.rival_settings import RIVALS
from repsearch.reproduce.seeds import FEW, Numbers, beyond, numbers, paired, shown
from repsearch.reproduce.tables import markdown, mean_std
from repsearch.reproduce.training_claims import CLOSE, POINT, POINTS


@dataclass(frozen=True)
class Turned:
    """What search and learning have taken turns on.

    Args:
        title: for tables.
        data: name of the data set.
        train: training images, if not the preset's number.
        loop, rival: variants of their records.
        experiments: that made them.
    """

    title: str
    data: str
    train: int | None = None
    loop: str = "loop"
    rival: str = "sgd-tuned"
    experiments: str = "turns turns-rivals"

    def turned(self) -> Numbers:
        """Test accuracy in percent of the round that did best on validation images."""
        return turned(self.data, self.loop, self.train)

    def once(self) -> Numbers:
        """The same of one shot, which is round 0."""
        return numbers(name_of("alternate", self.data, self.loop, self.train), "test.0", 100)

    def rivalled(self) -> Numbers:
        """Test accuracy in percent of SGD with what a practitioner adds."""
        return numbers(name_of("rival", self.data, self.rival, self.train), "test_accuracy", 100)

    def cost(self) -> float:
        """Forward passes of an image that the loop takes for one of its rival's."""
        loop, rival = (mean(numbers(name_of(kind, self.data, way, self.train), "spent").values())
                       for kind, way in (("alternate", self.loop), ("rival", self.rival)))
        return loop / rival


CONTROLLED = Turned(f"CIFAR-10, {FEW} images, not augmented", "cifar10", FEW, experiments="turns-500 turns-500-rivals")
"""What controls were made of."""
BUDGETED = Turned(f"CIFAR-10, {FEW} images, not augmented, SGD in as many forward passes", "cifar10", FEW,
                  rival="sgd-budget", experiments="turns-500 turns-500-budget-rivals")
PLAIN = (
    CONTROLLED,
    Turned("CIFAR-10, 2,000 images, not augmented", "cifar10"),
    Turned("MNIST, 2,000 images", "mnist"),
    Turned("CIFAR-100, 2,000 images, not augmented", "cifar100", loop="longer-5",
           experiments="turns-cifar100 turns-rivals"),
)
AUGMENTED = Turned(f"CIFAR-10, {FEW} images, augmented", "cifar10", FEW, "augmented", "sgd-augmented",
                   "turns-500-augmented turns-500-augmented-rivals")
TURNED = (*PLAIN, AUGMENTED)
WITHOUT_LATER_SEARCHES = ("still", "others-moves", "first-targets")
"""What is learned from where a later round's search finds nothing of the image's label."""


def turned(data: str, way: str = "loop", train: int | None = None) -> Numbers:
    """Test accuracy in percent of the round that did best on validation images."""
    return numbers(name_of("alternate", data, way, train), lambda record: 100 * record["test"][record["best"]])


def name_of(kind: str, data: str, way: str, train: int | None = None) -> str:
    """The name, without its seed, of records at the book preset."""
    return f"{kind}-{data if train is None else f'{data}-{train}'}-book-{way}"


def turns_help() -> Found:
    """The loop against one round with as many generations and epochs, and against as many epochs on its targets."""
    return _beyond(("once-long", "first-targets"))


def later_searches_count() -> Found:
    """The loop against the same rounds whose later searches find nothing of the label."""
    return _beyond(WITHOUT_LATER_SEARCHES)


def _beyond(names: Sequence[str]) -> Found:
    """The loop against the best of its controls, seed by seed."""
    loop, *others = (turned(CONTROLLED.data, name, CONTROLLED.train) for name in (CONTROLLED.loop, *names))
    said = ", ".join(f"{LOOPS[name].what} {shown(values)} %" for name, values in zip(names, others, strict=True))
    return Found(f"{shown(loop)} %", said, [Contrast(beyond(loop, *others), POINT)], POINTS)


def gap_closes(where: Turned) -> Found:
    """The loop against tuned SGD: no more than a point behind."""
    loop, rival, once = where.turned(), where.rivalled(), where.once()
    behind, close = paired(rival, loop), CLOSE[where.data]
    return Found(f"{shown(loop)} against {shown(rival)} %: {shown(behind)} points behind",
                 f"one shot {shown(paired(rival, once))} points behind", [within(behind, close)],
                 f"points under the limit of {close}")


def overtakes(where: Turned) -> Found:
    """The loop against tuned SGD: ahead."""
    loop, rival = where.turned(), where.rivalled()
    return Found(f"{shown(loop)} %", f"{RIVALS[where.rival].what} {shown(rival)} %",
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


def beside(rows: Sequence[Turned] = TURNED) -> str:
    """A table, a row for the images of a data set: one shot, the loop, and its rival."""
    head = ["", "one shot", "**loop**", "SGD", "loop ahead of SGD, points [95 % interval]", "passes, times SGD's"]
    found = []
    for row in rows:
        loop, rival = row.turned(), row.rivalled()
        apart = interval(paired(loop, rival))
        found.append([row.title, shown(row.once()), shown(loop), shown(rival), str(apart), f"{row.cost():.0f}"])
    return markdown(head, found) + "\n\nTest accuracy in percent; forward passes of an image."


def climbed(row: Turned) -> tuple[str, list[Record], float]:
    """Title, records and the rival's mean accuracy, for a figure."""
    records = read_records(f"{name_of('alternate', row.data, row.loop, row.train)}-[0-9]*")
    return row.title, records, mean(row.rivalled().values())


def ahead(rows: Sequence[Turned]) -> list[tuple[int, str, list[float]]]:
    """Training images, "loop" or "one shot", and its points ahead of SGD, one a seed: for a figure."""
    return [(row.train or presets.book(row.data).train or 0, name, paired(values, row.rivalled()))
            for row in rows for name, values in (("loop", row.turned()), ("one shot", row.once()))]
