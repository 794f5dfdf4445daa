"""Figures are drawn from the records that come with the library."""

from __future__ import annotations

from repsearch.reproduce import figures
from repsearch.reproduce.records import read_records
from repsearch.reproduce.variants import ABLATIONS, TABLE1


def test_figures_of_trainings_are_drawn() -> None:
    book = read_records("training-cifar10-book-*")
    panels = figures.figure5(book).axes
    assert len(panels) == 3
    for ax in panels:  # nothing is cut off
        assert ax.get_ylim()[1] >= max(line.get_ydata().max() for line in ax.lines)
    assert len(figures.entropies(book, "within").axes) == len(figures.entropies(book, "between").axes) == 3
    assert len(figures.scores(book, tuple(TABLE1)).axes) == 1
    study = read_records("training-cifar10-500-book-*")
    assert len(figures.figure4(study).axes) == 4
    assert len(figures.scores(study, ABLATIONS).axes) == 1
