"""The figure of the claims page: what the paper reports beside what came out here."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repsearch.reproduce.claim import Claim, beside
from repsearch.reproduce.drawing import COLOURS, STYLE, WIDTH
from repsearch.reproduce.intervals import FAILS, HOLDS, interval

VERDICT_COLOURS = {HOLDS: COLOURS["search-based"], FAILS: COLOURS["SGD"]}
"""Other verdicts are grey."""


def beside_the_paper(found: Sequence[Claim]) -> Figure:
    """A row for each claim of which the paper reports a difference in accuracy: its number, and ours with its interval.

    Args:
        found: the claims in their order; those without a number of the paper's are left out. What stands before the
            colon of `Claim.what` heads the rows that share it.
    """
    chosen = beside(found)
    groups: dict[str, list[tuple[Claim, float]]] = defaultdict(list)
    for claim, reported in chosen:
        groups[claim.what.rpartition(": ")[0]].append((claim, reported))
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 0.42 * (len(chosen) + 1.5 * len(groups))))
        place, places, names = 0.0, [], []
        for title, rows in groups.items():
            place += 1.9
            ax.text(0.01, place - 0.95, textwrap.fill(title, 58), transform=ax.get_yaxis_transform(),
                    va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
            for claim, reported in rows:
                _row(ax, claim, reported, place)
                places.append(place)
                names.append(claim.what.rpartition(": ")[2])
                place += 1
            place -= 0.6
        ax.axvline(0, color="#000000", linewidth=1)
        ax.set_yticks(places, names)
        ax.set(ylim=(place + 0.1, 0.3), xlabel="difference in accuracy, points")
        ax.grid(axis="y", visible=False)
        ax.plot([], [], "D", markerfacecolor="none", color="#000000", label="paper")
        ax.plot([], [], "o-", color="#000000", label="here, mean and 95 % interval")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    return figure


def _row(ax: Axes, claim: Claim, reported: float, place: float) -> None:
    """Both numbers, ours in the colour of the verdict, which stands behind them."""
    ours, verdict = interval(claim.found.difference), claim.found.verdict
    colour = VERDICT_COLOURS.get(verdict, "#767676")
    ax.plot([ours.low, ours.high], [place, place], color=colour, linewidth=2)
    ax.plot(ours.mean, place, "o", color=colour)
    ax.plot(reported, place, "D", markerfacecolor="none", color="#000000")
    ax.annotate(verdict, (1.02, place), xycoords=ax.get_yaxis_transform(), va="center")
