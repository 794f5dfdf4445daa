"""Figures of rules that train a network without its end-to-end gradient."""

from __future__ import annotations

from statistics import mean
from typing import Any

import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repsearch.reproduce.drawing import COLOURS, STYLE, WIDTH, ranged_line
from repsearch.reproduce.records import read_records
from repsearch.reproduce.rule_settings import RULES
from repsearch.reproduce.rule_tables import STAGES, cosines

LAYERS = ("image", "$h_1$", "$h_2$", "logits")
FORWARD, MESSAGE = "#767676", COLOURS["SGD"]
COMPARED = ("feedback-alignment", "direct-feedback", "sign-symmetric", "kolen-pollack", "local-losses",
            "target-propagation", "difference-targets", "perturbation")
"""Rules whose steps can be held beside back-propagation's."""


def pathways() -> Figure:
    """What comes to each hidden layer, by rule: a stack of layers each, and arrows."""
    down, direct = ((3, 2), (2, 1)), ((3, 2), (3, 1))
    panels: dict[str, tuple[Any, str]] = {
        "back-propagation": (down, "$W^\\top$"), "feedback\nalignment": (down, "$B^\\top$"),
        "direct feedback\nalignment": (direct, "$B^\\top$"), "local losses": ((), "$A$"),
        "target\npropagation": (down, "$G$"), "perturbed\nactivities": ((), "loss"),
    }
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 6.2))
        for ax, (title, (arrows, name)) in zip(axes.flat, panels.items(), strict=True):
            _stack(ax)
            ax.set_title(title, fontsize=11)
            for start, end in arrows:
                _arrow(ax, start, end, name, bend=-0.5 if start - end > 1 else -0.3)
            if not arrows:
                _beside(ax, name)
    return figure


def _stack(ax: Axes) -> None:
    """The layers, and the forward pass between them."""
    for height, layer in enumerate(LAYERS):
        ax.text(0, height, layer, ha="center", va="center", fontsize=11,
                bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": FORWARD})
        if height:
            ax.annotate("", (0, height - 0.25), (0, height - 0.75),
                        arrowprops={"arrowstyle": "->", "color": FORWARD, "linewidth": 1.5})
    ax.set(xlim=(-1, 1.4), ylim=(-0.5, 3.5))
    ax.axis("off")


def _arrow(ax: Axes, start: int, end: int, name: str, bend: float) -> None:
    """A message from one layer down to another."""
    ax.annotate("", (0.3, end), (0.4 if start == 3 else 0.3, start), arrowprops={
        "arrowstyle": "->", "color": MESSAGE, "linewidth": 2, "connectionstyle": f"arc3,rad={bend}"})
    across, up = (1.05, 1.7) if start - end > 1 else (0.62, (start + end) / 2)
    ax.text(across, up, name, color=MESSAGE, va="center", fontsize=11)


def _beside(ax: Axes, name: str) -> None:
    """A message to each hidden layer from beside it, or one number for all that were shaken."""
    for height in (1, 2):
        if name == "loss":
            ax.text(-0.42, height, "$\\pm u$", color=MESSAGE, ha="right", va="center", fontsize=11)
            ax.annotate("", (0.3, height), (0.95, 2.55), arrowprops={
                "arrowstyle": "->", "color": MESSAGE, "linewidth": 1, "linestyle": "--"})
        else:
            ax.annotate("", (0.3, height), (0.85, height),
                        arrowprops={"arrowstyle": "<->", "color": MESSAGE, "linewidth": 2})
            ax.text(0.95, height, f"{name}$_{height}$", color=MESSAGE, va="center", fontsize=11)
    if name == "loss":
        ax.text(0.95, 2.7, name, color=MESSAGE, ha="center", va="center", fontsize=11)


def agreement(data: str = "mnist") -> Figure:
    """The cosine between each rule's step and back-propagation's through the training, a panel a hidden layer; the band
    is the range over seeds."""
    colours = sns.color_palette("colorblind", len(COMPARED))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True, sharey=True)
        for stage, ax in enumerate(axes):
            for colour, rule in zip(colours, COMPARED, strict=True):
                seeds = cosines(data, rule, stage)
                common = sorted(set.intersection(*({epoch for epoch, _ in seed} for seed in seeds)))
                values = [[dict(seed)[epoch] for epoch in common] for seed in seeds]
                ranged_line(ax, values, colour, RULES[rule].title, [epoch + 1 for epoch in common])
            ax.axhline(0, color=FORWARD, linewidth=0.8)
            ax.set(ylabel=f"cosine, {STAGES[stage]}", xscale="log")
        axes[1].set_xlabel("epochs + 1")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def bridge() -> Figure:
    """Cosines of what each asks of activations with evolution's move, and with minus the gradient, a bar a block; and,
    as a cross, with another image's. A row a moment."""
    records = read_records("bridge-cifar10-book-all-*")
    places = records[0]["places"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 9.4), sharey=True, sharex="col")
        for row, place in zip(axes, places, strict=True):
            for ax, (key, null) in zip(row, (("found", "others"), ("gradient", "others_gradient")), strict=True):
                names = [name for name in places[place] if key != "found" or name != "evolution"]
                for block in range(3):
                    values, nulls = ([mean(record["places"][place][name][block][which] for record in records)
                                      for name in names] for which in (key, null))
                    heights = [list(places[place]).index(name) + (block - 1) * 0.27 for name in names]
                    ax.barh(heights, values, 0.25, color=COLOURS[f"block{block}"], label=f"block {block}")
                    ax.plot(nulls, heights, "x", color="black", markersize=3.5)
                ax.axvline(0, color=FORWARD, linewidth=0.8)
                ax.set_yticks(range(len(places[place])), list(places[place]), fontsize=9)
                ax.set_title(f"{place},\n" + ("with evolution's move" if key == "found" else "with minus the gradient"),
                             fontsize=10)
        axes[0, 0].invert_yaxis()
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure
