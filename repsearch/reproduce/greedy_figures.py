"""Figures of greedy evolution, from records to matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repsearch.reproduce.drawing import BAND, STYLE, WIDTH, percent, ranged_line
from repsearch.reproduce.flat_claims import diameters

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

PALETTE: Any = sns.color_palette("colorblind")
GREY = "0.6"
PLACES = {"before": "before training", "transfer": "transfer starts", "optimum": "optimum"}


def caps(record: Record) -> Figure:
    """Chance that a random direction is near a given one: against the angle, and against the number of weights.

    Args:
        record: of `repsearch.reproduce.goea.theory`; its curves know no seed.
    """
    curves = record["curves"]
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.8), sharey=True)
        for n, chances in curves["by_angle"].items():
            left.plot(curves["angles"], 10 ** np.array(chances), label=f"{int(n):,} weights")
        for angle, chances in curves["by_n"].items():
            right.plot(curves["sizes"], 10 ** np.array(chances), label=f"{float(angle):g} degrees")
        left.set(xlabel="angle, degrees", ylabel="chance", yscale="log", ylim=(1e-12, 1))
        right.set(xlabel="weights", xscale="log")
        for ax in (left, right):
            ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return figure


def nearest(theory: Sequence[Record], steps: Sequence[Record]) -> Figure:
    """The angle between the gradient and the best of N random steps: closed forms as lines, steps on a linear fitness
    as dots, steps in random subspaces of a network as crosses.

    Args:
        theory: records of `repsearch.reproduce.goea.theory`, one a seed.
        steps: of `repsearch.reproduce.goea.steps` at one place, one a seed.
    """
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
        for number, n in enumerate(dict.fromkeys(row["n"] for row in theory[0]["best"])):
            line = sorted((row["N"], row["theory"]) for row in theory[0]["best"] if row["n"] == n)
            ax.semilogx(*zip(*line, strict=True), color=PALETTE[number], label=f"{n:,} weights")
            for marker, found in (("o", [record["best"] for record in theory]),
                                  ("x", [record["theorem"] for record in steps])):
                measured = _by(found, n)
                ax.plot(list(measured), [np.mean(angles) for angles in measured.values()], marker,
                        color=PALETTE[number])
        ax.set(xlabel="steps tried, N", ylabel="angle of the best, degrees", ylim=(0, 92))
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _by(records: Sequence[list[dict[str, Any]]], n: int) -> dict[int, list[float]]:
    """The measured angles of n weights by N, one a record."""
    found: dict[int, list[float]] = {}
    for rows in records:
        for row in rows:
            if row["n"] == n and "mean" in row:
                found.setdefault(row["N"], []).append(row["mean"])
    return found


def minibatches(**places: Record) -> Figure:
    """Lengths of minibatch gradients of ten classes, and the angles between them, by batch size; Figure 1.

    Args:
        places: records of `repsearch.reproduce.goea.steps`, by a key of `PLACES`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(places), figsize=(WIDTH, 4.6), squeeze=False)
        for (above, below), (place, record) in zip(axes.T, places.items(), strict=True):
            rows = [row for row in record["batches"] if row["classes"] == 10]
            for number, row in enumerate(rows):
                for ax, key in ((above, "length"), (below, "angle")):
                    density(ax, row[key], PALETTE[number], f"{row['batch']:,}")
            longest = max(row["length"]["percentiles"][-1] for row in rows)  # but for one in twenty
            above.set(title=PLACES[place], xlabel="length of the gradient", yscale="log", xlim=(0, longest))
            below.set(xlabel="angle between two, degrees", xlim=(0, 150), xticks=(0, 45, 90, 135))
        for ax in axes[:, 0]:
            ax.set_ylabel("density")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), title="images a batch", loc="outside lower center",
                      ncols=4, fontsize=9)
    return figure


def density(ax: Axes, described: dict[str, Any], colour: Any, label: str) -> None:
    """A histogram whose area is 1, of counts in equal bins from `low` to `high`."""
    counts = np.array(described["counts"])
    edges = np.linspace(described["low"], described["high"], len(counts) + 1)
    heights = counts / counts.sum() / max(edges[1] - edges[0], 1e-12)
    ax.stairs(heights, edges, color=colour, label=label, linewidth=1.4)


def landscape(**places: Record) -> Figure:
    """What random steps change, in loss and in accuracy; Figure 4.

    Args:
        places: records of `repsearch.reproduce.goea.steps`, by a key of `PLACES`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(places), figsize=(WIDTH, 4.2))
        for (above, below), (place, record) in zip(axes.T, places.items(), strict=True):
            steps = record["steps"]
            density(above, steps["loss"], PALETTE[0], "loss")
            scaled = {**steps["accuracy"], **{key: 100 * steps["accuracy"][key] for key in ("low", "high")}}
            density(below, scaled, PALETTE[1], "accuracy")
            above.set_title(f"{PLACES[place]}\n{steps['improving']:.0%} improve", fontsize=10)
            for ax in (above, below):
                ax.axvline(0, color="black", linewidth=0.8)
                ax.set_yticks([])
            above.set_xlabel("change of loss")
            below.set_xlabel("of accuracy, points")
    return figure


def pairs(**places: Record) -> Figure:
    """Angles between improving steps, and between random ones: of all weights, and in ten dimensions; Figure 5.

    Args:
        places: records of `repsearch.reproduce.goea.steps`, by a key of `PLACES`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(places), figsize=(WIDTH, 4.2), squeeze=False, sharex="row")
        for column, (place, record) in zip(axes.T, places.items(), strict=True):
            for ax, kind in zip(column, ("angles", "subspace"), strict=True):
                density(ax, record[kind]["fresh"], GREY, "random steps")
                density(ax, record[kind]["found"], PALETTE[0], "improving steps")
                n = record[kind].get("n", record["place"]["n"])
                ax.set_title(f"{PLACES[place]}, n = {n:,}\np = {record[kind]['p']:.2g}", fontsize=10)
                ax.set(xlabel="angle, degrees", yticks=[])
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def trainings(records: Sequence[Record], cells: dict[str, str], against: str = "epochs") -> Figure:
    """Loss and accuracy on training images, a line a training; the band is the range over seeds. Figures 2 and 7.

    Args:
        records: of `repsearch.reproduce.goea.greedy`, of one variant, one a seed.
        cells: which trainings, and what they are called.
        against: "epochs", which are generations; or "spent", forward passes of an image.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
        for number, (cell, name) in enumerate(cells.items()):
            curves = np.array([record["cells"][cell]["curve"] for record in records])
            columns = dict(zip(records[0]["columns"], curves.transpose(2, 0, 1), strict=True))
            for ax, key in zip(axes, ("train_loss", "train_accuracy"), strict=True):
                values = columns[key] * (100 if key.endswith("accuracy") else 1)
                places = columns[against][0] * (1 if against == "epochs" else 1e-6)
                ranged_line(ax, values, PALETTE[number], name, xs=places)
        for ax, label in zip(axes, ("loss", "accuracy, %"), strict=True):
            ax.set(xlabel="generation" if against == "epochs" else "forward passes, millions", ylabel=label)
        if len(cells) > 1:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def flatness(records: Sequence[Record], nets: dict[str, str], scale: str = "tensor-mean") -> Figure:
    """Accuracy on known classes of networks that are moved along random directions, by how far: Figures 8 to 13.

    Args:
        records: of `repsearch.reproduce.goea.flatness` or `transfer`, one a seed.
        nets: which networks, and what they are called.
        scale: of the directions.
    """
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 3))
        for number, (net, name) in enumerate(nets.items()):
            moved(ax, [record["nets"][net]["curves"] for record in records], diameters(records[0]), scale,
                  PALETTE[number], name)
        ax.set(xlabel="diameter", ylabel="accuracy, %", ylim=(0, 102))
        ax.legend(fontsize=9)
    return figure


def factors(records: Sequence[Record], panels: dict[str, dict[str, str]], scale: str = "tensor-mean") -> Figure:
    """The same, a panel for each factor of training that is varied: Figures 9 to 12.

    Args:
        records: of `repsearch.reproduce.goea.flatness`, one a seed.
        panels: by title, which networks, and what they are called.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5), sharex=True, sharey=True)
        for ax, (title, nets) in zip(axes.flat, panels.items(), strict=True):
            for number, (net, name) in enumerate(nets.items()):
                moved(ax, [record["nets"][net]["curves"] for record in records], diameters(records[0]), scale,
                      PALETTE[number], name)
            ax.set_title(title, fontsize=11)
            ax.legend(fontsize=8, loc="lower left")
        for ax in axes[1]:
            ax.set_xlabel("diameter")
        for ax in axes[:, 0]:
            ax.set(ylabel="accuracy, %", ylim=(0, 102))
    return figure


def moved(
    ax: Axes, curves: Sequence[dict[str, Any]], places: Sequence[float], scale: str, colour: Any, label: str
) -> None:
    """One network's line, with its range over seeds."""
    ranged_line(ax, [percent(curve[scale]["accuracy"]) for curve in curves], colour, label, xs=places)


def robust(records: Sequence[Record], nets: Sequence[str]) -> Figure:
    """Accuracy and loss as they are, of all classes, and of known classes while features are dropped; Figure 3.

    Args:
        records: of `repsearch.reproduce.goea.transfer`, one a seed.
        nets: names of the networks.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
        for number, net in enumerate(nets):
            for ax, key in zip(axes, ("accuracy", "loss"), strict=True):
                seeds = [[record["nets"][net]["judged"]["all"][key],
                          *(told[key] for told in record["nets"][net]["dropout"].values())] for record in records]
                values = np.array(seeds) * (100 if key == "accuracy" else 1)
                sns.lineplot(x=np.tile(np.arange(values.shape[1]), len(values)), y=values.ravel(), ax=ax,
                             color=PALETTE[number], label=net, marker="o", legend=False, **BAND)
        shares = [f"{float(share):.0%}" for share in records[0]["nets"][nets[0]]["dropout"]]
        for ax, label in zip(axes, ("accuracy, %", "loss"), strict=True):
            ax.set_xticks(range(1 + len(shares)), ["all\nclasses", *shares])
            ax.set(xlabel="features dropped", ylabel=label)
        axes[1].set_yscale("log")
        axes[0].set_ylim(0, 102)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def revealed(records: Sequence[Record], nets: Sequence[str]) -> Figure:
    """Accuracy on all classes by epochs of transfer, each network in its own way and all alike; Figure 15.

    Args:
        records: of `repsearch.reproduce.goea.transfer`, one a seed.
        nets: names of the networks.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
        for ax, (way, title) in zip(axes, (("own", "each in its own way"), ("alike", "all in one way")), strict=True):
            for number, net in enumerate(nets):
                seeds = [[100 * epoch["all"]["accuracy"] for epoch in record["nets"][net]["transfer"][way]]
                         for record in records]
                ranged_line(ax, seeds, PALETTE[number], net, marker=True)
            ax.set(title=title, xlabel="epoch of transfer", xticks=range(len(seeds[0])))
        axes[0].set_ylabel("accuracy, %")
        axes[1].legend(fontsize=9, loc="lower right")
    return figure
