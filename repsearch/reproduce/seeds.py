"""Numbers of the committed records by seed, and differences of those that share one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean
from typing import Any

from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.tables import mean_std

Numbers = dict[int, float]
"""One number a seed."""
FEW = 500
"""Training images where many variants are compared."""
BLOCKS = (0, 1, 2)


def numbers(name: str, value: str | Callable[[Record], float], scale: float = 1) -> Numbers:
    """A number of each record whose name, without its seed, is this.

    Args:
        name: of the records.
        value: the entry's path, such as "found.above_half.block2" or "points.0.parents.-1"; or a function of the
            record.
        scale: what it is multiplied by: 100 for percent.
    """
    read = value if callable(value) else partial(_entry, path=value)
    return {record["seed"]: scale * float(read(record)) for record in read_records(f"{name}-[0-9]*")}


def _entry(record: Any, path: str) -> Any:
    for key in path.split("."):
        record = record[int(key)] if isinstance(record, list) else record[key]
    return record


def paired(first: Numbers, second: Numbers) -> list[float]:
    """first - second, of each seed that has both.

    Example:
        >>> paired({0: 3.0, 1: 4.0, 2: 9.0}, {1: 1.0, 0: 1.0})
        [2.0, 3.0]
    """
    return [first[seed] - second[seed] for seed in sorted(first) if seed in second]


def beyond(first: Numbers, *others: Numbers) -> list[float]:
    """first less the largest of the others, of each seed that has all."""
    shared = set(first).intersection(*others)
    return paired(first, {seed: max(other[seed] for other in others) for seed in shared})


def shown(values: Numbers | Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation over seeds."""
    return mean_std(list(values.values()) if isinstance(values, dict) else values, digits)


def group(data: str, variant: str, train: int | None = None) -> str:
    """The name, without its seed, of the records of a training at the book preset."""
    return f"training-{data if train is None else f'{data}-{train}'}-book-{variant}"


def trainings(data: str, variant: str, train: int | None = None) -> list[Record]:
    """The committed book records of a variant, one a seed; with fewer images, if `train` says so."""
    return read_records(f"{group(data, variant, train)}-[0-9]*")


def tested(data: str, variant: str, train: int | None = None) -> Numbers:
    """Test accuracy in percent."""
    return numbers(group(data, variant, train), "test_accuracy", 100)


def validated(data: str, variant: str, train: int | None = None) -> Numbers:
    """Validation accuracy at the best epoch in percent."""
    return numbers(group(data, variant, train), lambda record: 100 * max(record["validation_accuracy"]))


def best(data: str, variants: Sequence[str], train: int | None = None) -> str:
    """The variant that did best on validation images, mean over the seeds that all have."""
    found = {variant: validated(data, variant, train) for variant in variants}
    common = set.intersection(*(set(values) for values in found.values()))
    return max(variants, key=lambda variant: mean(found[variant][seed] for seed in common))


def searched(data: str, variant: str, train: int | None, layer: str = "block0", at: int = 1) -> Numbers:
    """Mean best cross-entropy of a layer after the search, in nats; before it with at=0."""
    return numbers(group(data, variant, train), f"found.cross_entropy.{layer}.{at}")


def followed(data: str, variant: str, key: str, block: int, at: float = 1.0) -> Numbers:
    """What was measured of a block after a share of the training (section 4.5): by default at its end; at 0 of the
    network that no training has touched."""
    if at == 0:
        return numbers(f"untrained-{data}-book-start", f"points.{block}.{key}")

    def value(record: Record) -> float:
        rows = [row for row in record["measured"] if row["block"] == block]
        return float(rows[round(at * (len(rows) - 1))][key])

    return numbers(group(data, variant), value)
