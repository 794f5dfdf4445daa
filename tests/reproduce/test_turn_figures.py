"""Figures and tables of search and learning in turn show what the records hold."""

from __future__ import annotations

import json
import re
from statistics import mean
from typing import Any

import pytest
from matplotlib import pyplot as plt

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
    (ax,) = turn_figures.climb(loop, {"SGD": 40.0}).axes
    wanted = [100 * mean(values) for values in zip(*(record["test"] for record in loop), strict=True)]
    assert line(ax, "search and learning in turn") == pytest.approx(wanted)
    assert line(ax, "SGD") == [40, 40]


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
