"""Figures of sets of models: how far they differ and what they gain together, and how they bear corruption."""

from __future__ import annotations

import textwrap
from statistics import mean
from typing import TYPE_CHECKING, Any

import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from repsearch.reproduce.drawing import COLOURS, STYLE, WIDTH, ranged_line
from repsearch.reproduce.set_settings import ARMS, SHIFTED
from repsearch.reproduce.set_tables import COMPARED, in_pairs, sets

if TYPE_CHECKING:
    from repsearch.reproduce.sets import Arm

KINDS = {"once": COLOURS["one shot"], "loop": COLOURS["in turn"], "sgd": COLOURS["SGD"], "matched": COLOURS["SGD"],
         "untrained": COLOURS["untrained body"]}
FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "plasma", "fog", "brightness"),
    "digital": ("contrast", "elastic", "pixelate", "jpeg"),
}
"""Of the corruptions, as the benchmark groups them."""


def _name(arm: Arm, width: int = 26) -> str:
    return textwrap.fill(arm.what, width)


def apart() -> Figure:
    """Disagreement of two models as a share of chance's, and what a set gains together: a dot a set, a row an arm."""
    arms = [arm for arm in COMPARED if ARMS[arm].learns != "untrained"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 6), sharey=True)
        for row, arm in enumerate(arms):
            records, colour = sets(arm), KINDS[ARMS[arm].learns]
            for ax, values in zip(axes, ([in_pairs(record, "over_chance") for record in records],
                                         [100 * record["ensemble"]["gain"] for record in records]), strict=True):
                ax.plot(values, [row] * len(values), "o", color=colour, alpha=0.6, markeredgewidth=0)
                ax.plot(mean(values), row, "|", color="black", markersize=14)
        axes[0].set_yticks(range(len(arms)), [_name(ARMS[arm]) for arm in arms], fontsize=9)
        axes[0].invert_yaxis()
        axes[0].set_xlabel("disagreement,\nshare of chance's")
        axes[1].set_xlabel("gain of three together,\npoints")
    return figure


def under_shift() -> Figure:
    """Accuracy on corrupted images against severity, 0 being clean, a panel a family of corruptions."""
    colours = sns.color_palette("colorblind", len(SHIFTED))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 6), sharex=True, sharey=True)
        for ax, (family, names) in zip(axes.flat, FAMILIES.items(), strict=True):
            for colour, arm in zip(colours, SHIFTED, strict=True):
                ranged_line(ax, [_by_severity(record["shift"], names) for record in sets(arm)], colour,
                            ARMS[arm].what.partition(",")[0])
            ax.set_title(family, fontsize=11)
        for ax in axes[1]:
            ax.set_xlabel("severity")
        for ax in axes[:, 0]:
            ax.set_ylabel("accuracy, %")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _by_severity(shift: dict[str, Any], names: tuple[str, ...]) -> list[float]:
    """Percent, clean and at each severity, the mean over some corruptions."""
    found: dict[str, list[float]] = shift["corrupted"]
    return [100 * float(value) for value in (
        shift["clean"], *(mean(each) for each in zip(*(found[name] for name in names), strict=True)))]
