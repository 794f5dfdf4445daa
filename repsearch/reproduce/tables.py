"""Tables of records, for chapters and the page of claims: means, deviations, and Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from repsearch.reproduce.intervals import interval
from repsearch.reproduce.variants import VARIANTS

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record


def mean_std(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of seeds; the value alone, if there is only one, and "none" for none.

    Example:
        >>> mean_std([1.0, 2.0, 3.0]), mean_std([-0.01]), mean_std([])
        ('2.0 ± 1.0', '0.0 (1 seed)', 'none')
    """
    if len(values) < 2:
        return f"{values[0]:z.{digits}f} (1 seed)" if values else "none"
    return f"{mean(values):z.{digits}f} ± {stdev(values):.{digits}f}"


def by_block(values: Sequence[Sequence[float]], digits: int = 2) -> str:
    """Mean and standard deviation of each block, in order."""
    return ", ".join(mean_std(block, digits) for block in values)


def differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """first - second, seed by seed."""
    return [a - b for a, b in zip(first, second, strict=True)]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(markdown(["layer", "nats"], [["block0", "0.5"]]))
        | layer | nats |
        |---|---|
        | block0 | 0.5 |
    """
    return "\n".join([_row(head), f"|{'---|' * len(head)}", *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Column:
    """A column of a table of variants.

    Args:
        title: with its unit.
        value: of a record; None where it says nothing.
        digits: shown behind the point.
    """

    title: str
    value: Callable[[Record], float | None]
    digits: int = 1


def _of_search(record: Record, key: str) -> Any:
    return record["found"].get(key)


def _loss(record: Record) -> float | None:
    found = _of_search(record, "cross_entropy")
    return float(found["block0"][1]) if found else None


def _learns_what_was_found(record: Record) -> bool:
    settings = record["settings"]
    return bool(settings["targets"] == "own" and settings["searched"]["runs"] == 1)


def between_classes(record: Record) -> float | None:
    """Share of the targets' variance that lies between classes in percent, mean over the blocks; None where the body
    learns from other targets than those that were found."""
    found = _of_search(record, "between_class_share")
    if not found or not _learns_what_was_found(record):
        return None
    return float(100 * mean(found[f"block{block}"] for block in range(3)))


def _regression(record: Record) -> float | None:
    fit = record["settings"]["fit"]
    if fit.get("squares") != "mean" or fit["normalise_output"] or not _learns_what_was_found(record):
        return None
    return float(record["errors"]["block2"])


LOSS = Column("cross-entropy of block 0, nats", _loss, 2)
SHARE = Column("variance between classes, %", between_classes)
SHARE0 = Column("variance between classes at block 0, %",
                lambda r: 100 * r["found"]["between_class_share"]["block0"] if r["found"] else None)
REGRESSION = Column("regression error at block 2", _regression, 2)
VALIDATION = Column("validation accuracy, %", lambda r: 100 * max(r["validation_accuracy"]))
TEST = Column("test accuracy, %", lambda r: 100 * r["test_accuracy"])


def of_variant(records: Sequence[Record], variant: str, column: Column) -> list[float]:
    """A column's values for a variant, one a seed; none where its records say nothing."""
    values = [column.value(record) for record in records if record["variant"] == variant]
    return [value for value in values if value is not None]


def cell(records: Sequence[Record], variant: str, column: Column) -> str:
    """Mean and deviation of a column for a variant; empty where its records say nothing."""
    values = of_variant(records, variant, column)
    return mean_std(values, column.digits) if values else ""


def of_variants(
    records: Sequence[Record], names: Sequence[str], columns: Sequence[Column], base: str | None = None
) -> str:
    """A row a variant, a column each.

    Args:
        records: of trainings of one data set, with one preset; see `trainings.train`.
        names: of variants.
        columns: such as `LOSS`, `SHARE` and `TEST`.
        base: the variant to be called base.

    Where some have more seeds than others, a last column says how many.
    """
    rows = [["**base**" if name == base else VARIANTS[name].what, *(cell(records, name, column) for column in columns)]
            for name in names]
    head, seeds = ["", *(column.title for column in columns)], [len(seeds_of(records, name)) for name in names]
    if len(set(seeds)) > 1:
        head, rows = [*head, "seeds"], [[*row, str(count)] for row, count in zip(rows, seeds, strict=True)]
    return markdown(head, rows)


def seeds_of(records: Sequence[Record], variant: str) -> set[int]:
    """The seeds that a variant has records of."""
    return {record["seed"] for record in records if record["variant"] == variant}


def against(records: Sequence[Record], names: Sequence[str], base: str, column: Column) -> str:
    """How far each variant is from another, seed by seed, with its 95 % interval; bold where that leaves out zero.

    Args:
        records: of trainings of one data set, with one preset.
        names: of variants.
        base: the variant that they are compared with.
        column: such as `TEST`.
    """
    values = {name: {r["seed"]: column.value(r) for r in records if r["variant"] == name} for name in (base, *names)}
    rows = []
    for name in names:
        apart = [a - b for seed, a in sorted(values[name].items())
                 if a is not None and (b := values[base].get(seed)) is not None]
        found = interval(apart)
        text = found.text(column.digits)
        rows.append([VARIANTS[name].what, f"**{text}**" if found.low > 0 or found.high < 0 else text])
    return markdown(["", f"{column.title}: difference to {VARIANTS[base].what} [95 % interval]"], rows)


def code(*functions: Any) -> str:
    """The source of functions without their docstrings, as a Markdown block."""
    parts = []
    for function in functions:
        source = inspect.getsource(function)
        opening = source.index('"""')
        parts.append(source[:opening].rstrip() + "\n" + source[source.index('"""', opening + 3) + 4 :].rstrip())
    return "```python\n" + "\n\n".join(parts) + "\n```"
