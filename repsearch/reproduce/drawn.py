"""Every figure that a folder of records has the records for: the book's, or a user's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from repsearch.checks import InputError
from repsearch.reproduce import figures, turn_figures
from repsearch.reproduce.claim_figures import beside_the_paper
from repsearch.reproduce.claims import claims
from repsearch.reproduce.records import FOLDER, Record, read_record
from repsearch.reproduce.variants import TABLE2, VARIANTS

Drawing = tuple[str, Callable[[], Figure]]
"""A figure's name, and what draws it."""
FOLLOWED = ("search-based", "sgd2", "other")
BASE = "search-based"


def draw_all(folder: Path, out: Path) -> list[Path]:
    """Draw each figure as an SVG file.

    Args:
        folder: of the records, as `python -m repsearch reproduce` leaves them.
        out: where the figures go; made if it is missing.

    Returns:
        The files, sorted by name.

    Raises:
        InputError: the folder has no record that a figure could be drawn from.
    """
    found = found_in(folder)
    if not found:
        raise InputError(f"records: nothing in {folder} that a figure can be drawn from; "
                         "python -m repsearch reproduce makes records")
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in sorted(found, key=lambda one: one[0]):
        figure = draw()
        files.append(out / f"{name}.svg")
        with plt.rc_context({"svg.hashsalt": "repsearch"}):  # the same bytes each time
            figure.savefig(files[-1], metadata={"Date": None})
        plt.close(figure)
    return files


def found_in(folder: Path) -> list[Drawing]:
    """The figures that a folder has all the records for."""
    found = drawings(read_folder(folder))
    if folder.resolve() == FOLDER.resolve():  # claims are judged by these records alone
        found.append(("claims", lambda: beside_the_paper(claims())))
    return found


def read_folder(folder: Path) -> list[Record]:
    """All records of a folder that are whole, sorted by name."""
    if not folder.is_dir():
        raise InputError(f"records: expected a folder of records, found no folder at {folder}")
    found = (read_record(file) for file in sorted(folder.glob("*-[0-9]*.json")))
    return [record for record in found if "experiment" in record and "images" in record]


def drawings(records: Sequence[Record]) -> list[Drawing]:
    """The figures that these records have all the data for; records of other sizes are kept apart."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["experiment"], _of_what(record)].append(record)
    found: list[Drawing] = []
    for (kind, what), group in groups.items():
        if kind in _OF_KIND:
            found += _OF_KIND[kind](group, what)
        elif kind == "alternate":
            found += _turns(group, groups.get(("rival", what), []), what)
    return found


def _of_what(record: Record) -> str:
    """Data, training images and preset: what records must share to be drawn together."""
    return f"{record['data']}-{record['images']['train']}-{record['preset']}"


def _by_variant(group: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in group:
        found[record["variant"]].append(record)
    return found


def _each(
    draw: Callable[[Sequence[Record]], Figure], kind: str, group: Sequence[Record], what: str
) -> Iterator[Drawing]:
    """A figure a variant."""
    for variant, records in _by_variant(group).items():
        yield f"{kind}-{what}-{variant}", partial(draw, records)


def _trainings(group: Sequence[Record], what: str) -> Iterator[Drawing]:
    """Accuracies; and against search compute, or through training, where that was varied, or followed."""
    variants = {name: records for name, records in _by_variant(group).items() if name in VARIANTS}
    tested = [name for name in VARIANTS  # in its order; settings on trial saw no test image
              if name in variants and all(record["test_accuracy"] is not None for record in variants[name])]
    for title, augmented in (("accuracy", False), ("accuracy-augmented", True)):
        names = [name for name in tested if (name in TABLE2) == augmented]
        if names:
            yield f"{title}-{what}", partial(figures.scores, [r for name in names for r in variants[name]], names)
    sized = [name for name in variants if name == BASE or name.startswith(("population-x", "generations-x"))]
    if all(any(name.startswith(axis) for name in sized) for axis in (BASE, "population-x", "generations-x")):
        yield f"fig4-{what}", partial(figures.figure4, [r for name in sized for r in variants[name]])
    followed = [r for name in FOLLOWED for r in variants.get(name, []) if r["measured"]]
    if {r["variant"] for r in followed} == set(FOLLOWED):
        yield f"fig5-{what}", partial(figures.figure5, followed)
        for number, kind in ((6, "within"), (7, "between")):
            yield f"fig{number}-{what}", partial(figures.entropies, followed, kind)


def _turns(group: Sequence[Record], rivals: Sequence[Record], what: str) -> Iterator[Drawing]:
    """How accuracy climbs beside SGD, and what changes from round to round."""
    loop, rival = _by_variant(group).get("loop", []), _by_variant(rivals).get("sgd-tuned", [])
    if loop:
        yield f"rounds-{what}", partial(turn_figures.why, loop)
    if loop and rival:
        accuracy = 100 * mean(record["test_accuracy"] for record in rival)
        yield f"turns-{what}", partial(turn_figures.climb, (what, loop, accuracy))


_OF_KIND: dict[str, Callable[[Sequence[Record], str], Iterator[Drawing]]] = {
    "perturbation": partial(_each, figures.perturbation, "perturbation"),
    "fig2": partial(_each, figures.figure2, "fig2"),
    "fig3": partial(_each, figures.figure3, "fig3"),
    "training": _trainings,
}
