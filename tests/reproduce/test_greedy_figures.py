"""Figures of greedy evolution show what the records hold."""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.special import betainc

from repsearch.reproduce import greedy_figures as figures
from repsearch.reproduce import records

NETS = ("Robust Wide", "Brittle Wide", "Brittle Narrow")


def read(name: str) -> list[dict[str, Any]]:
    """Read without the library."""
    found = [json.loads(path.read_text()) for path in sorted(records.FOLDER.glob(f"goea-{name}-[0-9]*.json"))]
    assert len(found) >= 3
    return found


@pytest.fixture(autouse=True)
def closed() -> Any:
    yield
    plt.close("all")


def line(ax: Any, label: str) -> list[float]:
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return [float(value) for value in found.get_ydata()]


def means(seeds: list[list[float]]) -> list[float]:
    return [mean(values) for values in zip(*seeds, strict=True)]


def test_the_chance_of_a_cap_against_angle_and_weights() -> None:
    left, right = figures.caps(read("theory-digits-book-all")[0]).axes
    (drawn,) = [one for one in left.lines if one.get_label() == "10 weights"]
    angles, chances = drawn.get_data()
    assert chances == pytest.approx(betainc(4.5, 0.5, np.sin(np.radians(angles)) ** 2) / 2, rel=1e-3)
    (drawn,) = [one for one in right.lines if one.get_label() == "60 degrees"]
    sizes, chances = drawn.get_data()
    assert chances == pytest.approx(betainc((sizes - 1) / 2, 0.5, 0.75) / 2, rel=1e-3)
    assert (sizes[0], sizes[-1]) == (10, 1000)


def test_the_angle_of_the_best_of_many() -> None:
    theory, steps = read("theory-digits-book-all"), read("steps-mnist-book-before")
    (ax,) = figures.nearest(theory, steps).axes
    (two,) = [one for one in ax.lines if one.get_label() == "2 weights"]
    N, angle = two.get_data()
    assert angle == pytest.approx(180 / (np.array(N) + 1), rel=1e-3)  # in a plane
    dots, crosses = ([one for one in ax.lines if one.get_marker() == marker and len(one.get_xdata())] for marker in "ox")
    assert len(dots) == 5 and len(crosses) == 3
    measured = [mean(row["mean"] for r in steps for row in r["theorem"] if (row["n"], row["N"]) == (2, size)) for size in (10, 20, 100, 1000)]
    assert list(crosses[0].get_ydata()) == pytest.approx(measured)


def area(ax: Any) -> list[float]:
    """Under each histogram."""
    return [float(np.sum(patch.get_data().values * np.diff(patch.get_data().edges))) for patch in ax.patches]


def test_densities_of_angles_and_of_changes_have_an_area_of_one() -> None:
    record = read("steps-mnist-book-transfer")[0]
    above, below = figures.minibatches(transfer=record).axes
    assert area(above) == pytest.approx([1] * 4) and area(below) == pytest.approx([1] * 4)
    assert [patch.get_label() for patch in below.patches] == ["4", "32", "128", "1,024"]
    (row,) = [row for row in record["batches"] if (row["classes"], row["batch"]) == (10, 4)]
    edges = below.patches[0].get_data().edges
    assert (edges[0], edges[-1]) == pytest.approx((row["angle"]["low"], row["angle"]["high"]))
    loss, accuracy = figures.landscape(before=record, transfer=record).axes[::2]
    assert area(loss) == pytest.approx([1]) and area(accuracy) == pytest.approx([1])
    edges = accuracy.patches[0].get_data().edges
    assert edges[0] == pytest.approx(100 * record["steps"]["accuracy"]["low"])
    assert f"{record['steps']['improving']:.0%} improve" in loss.get_title()


def test_improving_steps_beside_random_ones() -> None:
    record = read("steps-mnist-book-before")[0]
    all_weights, few = figures.pairs(before=record).axes
    assert "n = 9,854" in all_weights.get_title() and "n = 10" in few.get_title()
    for ax, kind in ((all_weights, "angles"), (few, "subspace")):
        assert area(ax) == pytest.approx([1, 1]) and f"p = {record[kind]['p']:.2g}" in ax.get_title()
        found = ax.patches[1].get_data()
        centres = (found.edges[1:] + found.edges[:-1]) / 2
        assert np.average(centres, weights=found.values) == pytest.approx(record[kind]["found"]["mean"], rel=0.02)


def test_trainings_by_generations_and_by_cost() -> None:
    found = read("greedy-mnist-book-ways")
    loss, accuracy = figures.trainings(found, {"best": "best of 20", "first": "first"}, against="spent").axes
    curves = [record["cells"]["best"]["curve"] for record in found]
    assert line(loss, "best of 20") == pytest.approx(means([[row[2] for row in curve] for curve in curves]))
    assert line(accuracy, "best of 20") == pytest.approx(means([[100 * row[3] for row in curve] for curve in curves]))
    (drawn,) = [one for one in loss.lines if one.get_label() == "best of 20"]
    assert list(drawn.get_xdata()) == pytest.approx([row[1] / 1e6 for row in curves[0]])


def test_flatness_and_its_factors() -> None:
    found = read("transfer-mnist-book-archetypes")
    (ax,) = figures.flatness(found, {net: net for net in NETS}, "filter").axes
    for net in NETS:
        wanted = means([[100 * value for value in record["nets"][net]["curves"]["filter"]["accuracy"]] for record in found])
        assert line(ax, net) == pytest.approx(wanted)
    series = read("flatness-mnist-book-series")
    axes = figures.factors(series, {name: {"base": "as it is", "size 2": "twice"} for name in "abcd"}).axes
    wanted = means([[100 * value for value in record["nets"]["size 2"]["curves"]["tensor-mean"]["accuracy"]] for record in series])
    assert len(axes) == 4 and line(axes[3], "twice") == pytest.approx(wanted) and axes[2].get_title() == "c"


def test_dropout_and_transfer() -> None:
    found = read("transfer-mnist-book-archetypes")
    accuracy, loss = figures.robust(found, NETS).axes
    for ax, key, scale in ((accuracy, "accuracy", 100), (loss, "loss", 1)):
        seeds = [[net["judged"]["all"][key], *(net["dropout"][share][key] for share in ("0.1", "0.25", "0.5"))]
                 for net in (record["nets"]["Brittle Wide"] for record in found)]
        assert line(ax, "Brittle Wide") == pytest.approx([scale * value for value in means(seeds)])
    for ax, way in zip(figures.revealed(found, NETS).axes, ("own", "alike"), strict=True):
        seeds = [[100 * epoch["all"]["accuracy"] for epoch in record["nets"]["Robust Wide"]["transfer"][way]] for record in found]
        assert line(ax, "Robust Wide") == pytest.approx(means(seeds))
