"""Figures are drawn from the records that come with the library, and show what these say."""

from __future__ import annotations

import json
from statistics import mean

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repsearch.reproduce import figures
from repsearch.reproduce.records import FOLDER, Record, read_records
from repsearch.reproduce.variants import ABLATIONS, TABLE1


def of_files(pattern: str) -> list[Record]:
    """The records in the files of this name, one a seed."""
    found = [json.loads(file.read_text()) for file in sorted(FOLDER.glob(f"{pattern}-[0-9].json"))]
    assert len(found) >= 3
    return found


def shown(ax: Axes, label: str) -> list[float]:
    """What the line of this label shows; all lines are whole in the panel."""
    (line,) = (line for line in ax.lines if line.get_label() == label)
    low, high = ax.get_ylim()
    assert low <= line.get_ydata().min() and line.get_ydata().max() <= high
    return list(line.get_ydata())


def followed(variant: str, key: str, block: int) -> list[float]:
    """The mean over seeds of a measure of CIFAR-10's trainings, after each epoch that was measured, but before the first."""
    rows = [[row[key] for row in record["measured"] if row["block"] == block and row["epoch"] > 0]
            for record in of_files(f"training-cifar10-book-{variant}")]
    return [mean(epoch) for epoch in zip(*rows, strict=True)]


def check_followed(figure: Figure, lines: dict[str, tuple[str, str]]) -> None:
    """Each label's line is of this variant and measure, in each of three panels."""
    assert len(figure.axes) == 3
    for block, ax in enumerate(figure.axes):
        assert [line.get_label() for line in ax.lines] == list(lines)
        for label, (variant, key) in lines.items():
            assert shown(ax, label) == pytest.approx(followed(variant, key, block))


def test_what_is_followed_through_trainings() -> None:
    book = read_records("training-cifar10-book-*")
    check_followed(figures.figure5(book), {
        "SGD": ("sgd2", "distance"), "trained on others' targets": ("other", "distance"),
        "search-based": ("search-based", "distance"),
        "search-based, to others' targets": ("search-based", "distance_others")})
    check_followed(figures.entropies(book, "within"), {
        "SGD": ("sgd2", "within"), "search-based": ("search-based", "within"),
        "SGD, classes shuffled": ("sgd2", "within_shuffled"),
        "search-based, classes shuffled": ("search-based", "within_shuffled")})
    check_followed(figures.entropies(book, "between"), {
        "SGD": ("sgd2", "between"), "search-based": ("search-based", "between")})


@pytest.mark.parametrize(("sized", "variants"), [("cifar10", tuple(TABLE1)), ("cifar10-500", tuple(ABLATIONS))])
def test_scores_of_variants(sized: str, variants: tuple[str, ...]) -> None:
    (ax,) = figures.scores(read_records(f"training-{sized}-book-*"), variants).axes
    expected = [mean(100 * record["test_accuracy"] for record in of_files(f"training-{sized}-book-{variant}"))
                for variant in variants]
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(sorted(expected), rel=1e-5)
    assert [text.get_text() for text in ax.texts] == [f"{value:.1f}" for value in expected]  # from the top
    assert len(ax.get_yticklabels()) == len(variants)


def test_what_more_search_buys() -> None:
    panels = figures.figure4(read_records("training-cifar10-500-book-*")).axes
    assert len(panels) == 4
    for column, axis in enumerate(("population", "generations")):
        by_size = [of_files(f"training-cifar10-500-book-{name}") for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2")]
        accuracy = [100 * mean(max(record["validation_accuracy"]) for record in records) for records in by_size]
        loss = [mean(record["found"]["cross_entropy"]["block0"][1] for record in records) for records in by_size]
        for row, expected in enumerate((accuracy, loss)):
            (line,) = panels[2 * row + column].lines
            assert list(line.get_ydata()) == pytest.approx(expected)
            base = {"population": 60, "generations": 30}[axis]
            assert list(line.get_xdata()) == pytest.approx([base / 4, base, 2 * base], abs=0.6)  # 7.5 generations are 8


def test_random_steps() -> None:
    """Bottom left: the best gain in percent against the dimension, for parameters that serve most images."""
    records = of_files("perturbation-cifar10-book-all")
    points = [point for record in records for point in record["points"]]
    most = max(point["images"] for point in points)
    for space in ("parameters", "activations"):
        chosen = [point for point in points if (point["space"], point["images"]) == (space, most)]
        dimensions = sorted({point["dimension"] for point in chosen})
        expected = [100 * mean(p["gain"] for p in chosen if p["dimension"] == dimension) for dimension in dimensions]
        panel = figures.perturbation(records).axes[2]
        label = f"{space}, for {most} images" if space == "parameters" else "activations, for one image"
        assert shown(panel, label) == pytest.approx(expected) and len(expected) > 2
