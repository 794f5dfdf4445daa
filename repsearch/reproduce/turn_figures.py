"""Figures of search and learning in turn, from records to matplotlib figures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repsearch.reproduce.drawing import COLOURS, STYLE, WIDTH, ranged_line
from repsearch.reproduce.intervals import interval

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

BLOCKS = ("block0", "block1", "block2")


def climb(*panels: tuple[str, Sequence[Record], float]) -> Figure:
    """Test accuracy after each round, a thin line a seed, and SGD as a dashed line.

    Args:
        panels: of each its title; records of `repsearch.reproduce.alternated`, of one way, one a seed; and SGD's
            accuracy in percent.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.4), squeeze=False, sharey=True)
        for ax, (title, records, sgd) in zip(axes[0], panels, strict=True):
            seeds = np.array([[100 * value for value in record["test"]] for record in records])
            for seed in seeds:
                ax.plot(seed, color=COLOURS["search-based"], linewidth=0.7, alpha=0.5)
            ranged_line(ax, seeds, COLOURS["search-based"], "search and learning in turn", marker=True)
            ax.axhline(sgd, color=COLOURS["SGD"], linestyle="--", label="SGD, tuned, as many epochs")
            ax.set(xlabel="round", xticks=range(seeds.shape[1]))
            ax.set_title(textwrap.fill(title, 24), fontsize=11)
        axes[0, 0].set_ylabel("test accuracy, %")
        axes[0, -1].legend(fontsize=9, loc="lower right")
    return figure


def why(records: Sequence[Record]) -> Figure:
    """What changes from round to round, a line a block: how much of the targets is about the class, how much of them is
    learned, and how far they lie downhill; the band is the range over seeds.

    Args:
        records: of `repsearch.reproduce.alternated`, of one way, one a seed.
    """
    panels: tuple[tuple[str, Any], ...] = (
        ("share of variance\nbetween classes", lambda one, block: one["between_class"][block]),
        ("regression error", lambda one, block: one["errors"][block]),
        ("length of the move,\nshare of the activations'", lambda one, block: one["moves"][block]["length"]),
        ("cosine of the move\nwith minus the gradient", lambda one, block: one["moves"][block]["downhill"]),
    )
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5))
        for ax, (title, value) in zip(axes.flat, panels, strict=True):
            for block in BLOCKS:
                seeds = [[value(one, block) for one in record["rounds"]] for record in records]
                ranged_line(ax, seeds, COLOURS[block], block.replace("block", "block "), marker=True)
            _null(ax, records, title)
            ax.set(title=title, xlabel="round", xticks=range(len(records[0]["rounds"])))
            ax.title.set_fontsize(10)
            ax.set_ylim(bottom=-0.04 if "cosine" in title else 0)  # the null is as often below zero
        figure.legend(*axes[1, 1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _null(ax: Axes, records: Sequence[Record], title: str) -> None:
    """Of the cosine, that with another image's gradient."""
    if "cosine" in title:
        seeds = [[np.mean([one["moves"][block]["others"] for block in BLOCKS]) for one in record["rounds"]]
                 for record in records]
        ranged_line(ax, seeds, COLOURS["untrained body"], "with another image's", style=":")


def gaps(rows: Sequence[tuple[float, str, Sequence[float]]], label: str) -> Figure:
    """Points ahead of SGD against a size, with 95 % intervals.

    Args:
        rows: size, name of the way, and its points ahead of SGD, one a seed.
        label: of the size.
    """
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
        for name, colour in (("loop", "search-based"), ("one shot", "untrained body")):
            chosen = [(size, interval(values)) for size, way, values in sorted(rows) if way == name]
            if chosen:
                found = [one for _, one in chosen]
                ends = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
                ax.errorbar([size for size, _ in chosen], [one.mean for one in found], ends, marker="o", capsize=3,
                            color=COLOURS[colour], label=name)
        ax.axhline(0, color=COLOURS["SGD"], label="SGD")
        ax.set(xscale="log", xlabel=label, ylabel="points ahead of SGD")
        sizes = sorted({size for size, *_ in rows})
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.legend(fontsize=9)
    return figure
