"""Tables of sets of models: how different they are, what they gain together, how they bear corruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.set_settings import ARMS, SHIFTED
from repsearch.reproduce.tables import markdown, mean_std


def name(arm: str) -> str:
    """The name, without its seed, of the records of an arm."""
    return f"sets-cifar10-500-book-{arm}"


def sets(arm: str) -> list[Record]:
    """The committed sets of an arm, one a seed."""
    return read_records(f"{name(arm)}-[0-9]*")


def in_pairs(record: Record, key: str, block: int | None = None) -> float:
    """The mean over the pairs of a set; of one block, where there is a number a block."""
    return float(mean(pair[key] if block is None else pair[key][block] for pair in record["pairs"]))


def corrupted(record: Record, names: Sequence[str] = ()) -> float:
    """Percent of corrupted images labelled correctly, the mean over severities and corruptions: all, or these."""
    found = record["shift"]["corrupted"]
    return float(100 * mean(mean(found[name]) for name in names or found))


def lost(record: Record) -> float:
    """Points of accuracy that corruption takes."""
    return float(100 * record["shift"]["clean"] - corrupted(record))


Column = tuple[str, Callable[[Record], float], int]
PREDICTIONS: tuple[Column, ...] = (
    ("accuracy, %", lambda record: 100 * mean(record["accuracy"]), 1),
    ("disagree, %", lambda record: 100 * in_pairs(record, "disagreement"), 1),
    ("of chance", lambda record: in_pairs(record, "over_chance"), 2),
    ("errors correlate", lambda record: in_pairs(record, "error_correlation"), 2),
    ("together, %", lambda record: 100 * record["ensemble"]["accuracy"], 1),
    ("gain, points", lambda record: 100 * record["ensemble"]["gain"], 1),
)
INSIDE: tuple[Column, ...] = (
    *((f"CKA, block {block}", lambda record, block=block: in_pairs(record, "cka", block), 2)  # type: ignore[misc]
      for block in range(3)),
    ("weights apart", lambda record: in_pairs(record, "distance"), 2),
    ("matched", lambda record: in_pairs(record, "matched_distance"), 2),
    ("barrier, nats", lambda record: in_pairs(record, "barrier"), 2),
    ("matched", lambda record: in_pairs(record, "matched_barrier"), 2),
)
SHIFT: tuple[Column, ...] = (
    ("clean, %", lambda record: 100 * record["shift"]["clean"], 1),
    ("corrupted, %", corrupted, 1),
    ("lost, points", lost, 1),
)


def _table(arms: Sequence[str], columns: Sequence[Column]) -> str:
    """A row an arm: mean and deviation over the sets."""
    rows = [[ARMS[arm].what, *(mean_std([value(record) for record in sets(arm)], digits)
                               for _, value, digits in columns)] for arm in arms]
    return markdown(["models", *(title for title, _, _ in columns)], rows)


COMPARED = tuple(arm for arm in ARMS if arm != "sgd-noise")


def predictions_table() -> str:
    """How different predictions are, and what they gain together."""
    return _table(COMPARED, PREDICTIONS)


def inside_table() -> str:
    """How alike representations and weights are."""
    return _table(COMPARED, INSIDE)


def shift_table() -> str:
    """How they bear corruption."""
    return _table(SHIFTED, SHIFT)
