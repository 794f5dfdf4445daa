"""What all figures share: colours, style, width, and a line with its range over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from repsearch.reproduce.records import FOLDER

COLOURS = dict(zip(
    ("block0", "block1", "block2", "logits", "search-based", "SGD", "untrained body", "parameters", "activations",
     "one shot", "in turn"),
    np.array(sns.color_palette("colorblind", 10))[[0, 1, 2, 4, 0, 1, 7, 1, 0, 9, 0]].tolist(), strict=True,
))
WIDTH = 6.4
"""Inches: a column of the book. What is drawn wider than it is shown has small text, on a phone unreadable."""
STYLE: Any = {  # A white ground, and black text: the book turns both round for dark pages.
    "figure.facecolor": "white", "axes.grid": True, "grid.color": "#dddddd", "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "font.size": 11,
    "figure.constrained_layout.use": True, "savefig.facecolor": "white",
}


def networks() -> str:
    """Both networks, and what goes from one to the other; drawn by hand, as SVG."""
    return (FOLDER / "networks.svg").read_text(encoding="utf-8")


BAND: dict[str, Any] = {"estimator": "mean", "errorbar": ("pi", 100), "err_kws": {"linewidth": 0}}
"""The mean over seeds, and as a band the range of all of them."""


def ranged_line(
    ax: Axes, seeds: Any, colour: Any, label: str, xs: Sequence[float] | None = None, style: str = "-",
    marker: bool = False,
) -> None:
    """Mean and range of (seeds, points) against `xs`, or against 0, 1, 2, ..."""
    values = np.array(seeds)
    places = np.arange(values.shape[1]) if xs is None else np.array(xs)
    dots = {"marker": "o", "markersize": 5, "markeredgewidth": 0} if marker else {}
    sns.lineplot(x=np.tile(places, len(values)), y=values.ravel(), ax=ax, color=colour, label=label or None,
                 linestyle=style, legend=False, **dots, **BAND)


def percent(values: Sequence[float]) -> list[float]:
    """Shares in 0..1 as percent."""
    return [100 * value for value in values]


def ticks_at(ax: Axes, places: Sequence[float]) -> None:
    """Ticks at the places that were measured."""
    ax.set_xticks(places, [str(place) for place in places])
    ax.minorticks_off()
