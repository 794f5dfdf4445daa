"""An experiment: which runs a figure, a table or a study is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repsearch.reproduce.runs import Run

MAIN_SEEDS = 10


@dataclass(frozen=True)
class Experiment:
    """One figure or table of the paper, or a study beside it.

    Args:
        section: of the paper.
        what: one line.
        kind: of its runs.
        data: names of the data sets; at smoke it is always the embedded digits.
        variants: of each data set.
        preset: run at this preset, which is then part of the book's experiments.
        seeds: use only the first so many seeds.
        main: variants that a verdict rests on, which use more, `MAIN_SEEDS`.
        train: training images at the book preset, if not the preset's number.
        first: the first seed that is used: settings were chosen with those before it.
    """

    section: str
    what: str
    kind: str
    data: tuple[str, ...]
    variants: tuple[str, ...]
    preset: str | None = None
    seeds: int = 3
    main: tuple[str, ...] = ()
    train: int | None = None
    first: int = 0

    def runs(self, preset: str, seeds: Sequence[int]) -> list[Run]:
        """All runs, in order; none where the experiment is one of another preset."""
        if self.preset and preset not in (self.preset, "book"):
            return []
        preset = self.preset or preset
        seeds = [seed for seed in seeds if preset != "book" or seed >= self.first]
        return [Run(self.kind, data, preset, variant, seed, self.train if preset == "book" else None)
                for data in (("digits",) if preset == "smoke" else self.data)
                for seed in seeds for variant in self.variants
                if seed in seeds[: MAIN_SEEDS if variant in self.main else self.seeds]]
