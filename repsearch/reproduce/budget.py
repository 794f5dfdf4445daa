"""What a search of one's own sizes costs: a form for notebooks and the book, filled from the benchmark's record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from repsearch.bench.sizes import SIZES
from repsearch.reproduce.records import FOLDER

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

ENGINE = "engine"


def measured_rates(bench: Record) -> dict[str, list[tuple[int, float]]]:
    """Candidates a second of the engine on all cores of the machine, by block: pairs of channels and rate."""
    rates: dict[str, list[tuple[int, float]]] = {}
    for row in bench["rows"]:
        if row["contestant"] == ENGINE:
            rates.setdefault(row["layer"], []).append((SIZES[row["size"]].width, row["candidates_per_second"]))
    return rates


def calculator(bench: Record) -> str:
    """A form, as HTML that needs nothing else: images, channels, candidates and generations give hours and disk space.

    Args:
        bench: the record of `python -m repsearch reproduce bench`, of a machine with two cores.
    """
    page = (FOLDER / "budget.html").read_text(encoding="utf-8")
    return page.replace("/*RATES*/", json.dumps(measured_rates(bench)))
