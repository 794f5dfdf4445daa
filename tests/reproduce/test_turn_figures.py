"""Figures and tables of search and learning in turn show what the records hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import pyplot as plt
from scipy import stats

from repsearch.reproduce import records, turn_claims, turn_figures
from repsearch.reproduce.loops import LOOPS

BLOCKS = ("block0", "block1", "block2")


@pytest.fixture(scope="module")
def loop() -> list[dict[str, Any]]:
    """The records of the loop with 500 images, read without the library."""
    found = [json.loads(path.read_text()) for path in sorted(records.FOLDER.glob("alternate-cifar10-500-book-loop-*.json"))]
    assert len(found) >= 5
    return found


@pytest.fixture(autouse=True)
def closed() -> Any:
    yield
    plt.close("all")


def line(ax: Any, label: str) -> list[float]:
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return [float(value) for value in found.get_ydata()]


def test_the_climb_from_round_to_round(loop: list[dict[str, Any]]) -> None:
    for ax, title in zip(turn_figures.climb(*(("few", loop, 40.0),) * 2).axes, ("few", "few"), strict=True):
        assert ax.get_title() == title
        one_panel(ax, loop)


def one_panel(ax: Any, loop: list[dict[str, Any]]) -> None:
    wanted = [100 * mean(values) for values in zip(*(record["test"] for record in loop), strict=True)]
    assert line(ax, "search and learning in turn") == pytest.approx(wanted)
    assert line(ax, "SGD, tuned, as many epochs") == [40, 40]


def test_what_changes_from_round_to_round(loop: list[dict[str, Any]]) -> None:
    axes = turn_figures.why(loop).axes
    for block in BLOCKS:
        name = block.replace("block", "block ")
        rounds = list(zip(*(record["rounds"] for record in loop), strict=True))
        shares, errors, lengths, cosines = (
            [mean(value(one) for one in seeds) for seeds in rounds] for value in (
                lambda one, at=block: one["between_class"][at], lambda one, at=block: one["errors"][at],
                lambda one, at=block: one["moves"][at]["length"], lambda one, at=block: one["moves"][at]["downhill"]))
        for ax, wanted in zip(axes, (shares, errors, lengths, cosines), strict=True):
            assert line(ax, name) == pytest.approx(wanted)
    assert all(abs(value) < 0.1 for value in line(axes[3], "with another image's"))


def test_a_table_of_ways_pairs_seeds(loop: list[dict[str, Any]]) -> None:
    once = {json.loads(path.read_text())["seed"]: 100 * json.loads(path.read_text())["test"][0]
            for path in records.FOLDER.glob("alternate-cifar10-500-book-once-[0-9]*.json")}
    head, _, first, second = turn_claims.ways(("loop", "once")).split("\n")
    assert head.startswith("|  | test accuracy") and first.startswith(f"| {LOOPS['loop'].what} |")
    apart = [once[record["seed"]] - 100 * record["test"][record["best"]] for record in loop]
    found = re.search(r"(-?\d+\.\d) \[(-?\d+\.\d), (-?\d+\.\d)\], n=(\d+)", second)
    assert found and float(found[1]) == pytest.approx(mean(apart), abs=0.051) and int(found[4]) == len(apart)
    assert ("**" in second) == (float(found[2]) > 0 or float(found[3]) < 0)


def test_points_ahead_of_sgd_against_images() -> None:
    rows = [(500, "loop", [4.0, 6.0]), (2000, "loop", [-1.0, 1.0, 3.0]), (500, "one shot", [-4.0, -6.0])]
    (ax,) = turn_figures.gaps(rows, "training images").axes
    drawn = {bars.get_label(): bars for bars in ax.containers}
    for name, wanted in {"loop": {500: [4, 6], 2000: [-1, 1, 3]}, "one shot": {500: [-4, -6]}}.items():
        points, _, (ends,) = drawn[name]
        assert dict(zip(*points.get_data(), strict=True)) == {size: mean(values) for size, values in wanted.items()}
        for (size, values), ((x, low), (_, high)) in zip(wanted.items(), ends.get_segments(), strict=True):
            expected = stats.t.interval(0.95, len(values) - 1, mean(values), stats.sem(values))
            assert x == size and (low, high) == pytest.approx(expected)
    assert line(ax, "SGD") == [0, 0]


def test_what_is_ahead_is_paired_by_seed(loop: list[dict[str, Any]]) -> None:
    rivals = {record["seed"]: record["test_accuracy"] for record in (
        json.loads(path.read_text()) for path in records.FOLDER.glob("rival-cifar10-500-book-sgd-tuned-*.json"))}
    (size, first, ours), (_, second, once) = turn_claims.ahead([turn_claims.CONTROLLED])
    assert (size, first, second) == (500, "loop", "one shot")
    assert ours == pytest.approx([100 * (record["test"][record["best"]] - rivals[record["seed"]]) for record in loop])
    assert once == pytest.approx([100 * (record["test"][0] - rivals[record["seed"]]) for record in loop])


def test_the_picture_of_the_introduction_is_of_todays_records() -> None:
    picture = ElementTree.parse(Path(__file__).resolve().parents[2] / "book" / "_static" / "turns.svg")
    drawn = json.loads(str(picture.findtext(".//{http://purl.org/dc/elements/1.1/}description")))
    assert [title for title, *_ in drawn] == [row.title for row in turn_claims.PLAIN if row.data == "cifar10"]
    for (_, seeds, rival), sized in zip(drawn, ("-500", ""), strict=True):
        for name, wanted in ((f"alternate-cifar10{sized}-book-loop-*", seeds), (f"rival-cifar10{sized}-book-sgd-tuned-*", None)):
            found = [json.loads(path.read_text()) for path in sorted(records.FOLDER.glob(f"{name}.json"))]
            if wanted is None:
                assert rival == pytest.approx(100 * mean(record["test_accuracy"] for record in found))
            else:
                assert [record["test"] for record in found] == wanted
