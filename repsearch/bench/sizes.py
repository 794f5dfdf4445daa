"""The two sizes at which contestants are timed."""

from __future__ import annotations

from dataclasses import replace

from repsearch import presets
from repsearch.config import split_population

_PAPER = presets.paper("cifar10")
_GENERATIONS = (60, 30, 30, 10)
SIZES = {  # of the default reading, which asks most of an engine
    "laptop": replace(_PAPER, width=64, search=replace(
        _PAPER.search, **split_population(60, 10),
        schedule=tuple(replace(row, generations=generations)
                       for row, generations in zip(_PAPER.search.schedule, _GENERATIONS, strict=True)),
    )),
    "paper": _PAPER,
}
