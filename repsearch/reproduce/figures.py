"""Figures: one function each, from records or tensors to a matplotlib figure that reads in light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from repsearch.reproduce.drawing import BAND, COLOURS, STYLE, WIDTH, percent, ranged_line, ticks_at
from repsearch.reproduce.training_claims import SEARCH_BASED
from repsearch.reproduce.variants import VARIANTS

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record


def search_curves(records: Sequence[Record]) -> Figure:
    """Best cross-entropy against generation, a panel a search layer; the band is the range over seeds."""
    layers = list(records[0]["cross_entropy"])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6), sharey=True)
        for ax, layer in zip(axes.flat, layers, strict=True):
            ranged_line(ax, [record["cross_entropy"][layer] for record in records], COLOURS.get(layer, "C0"), layer)
            ax.set(title=layer, xlabel="generation")
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[0, 0].set_ylim(bottom=0)  # of all panels, once all are drawn
        figure.supylabel("cross-entropy of the best, nats", fontsize=11)
    return figure


def learning_curves(records: Sequence[Record]) -> Figure:
    """Validation accuracy against epoch, of all that a record has; the band is the range over seeds."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
        for name in records[0]["validation_accuracy"]:
            ranged_line(ax, [percent(record["validation_accuracy"][name]) for record in records], COLOURS[name], name)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        ax.set(xlabel="epoch", ylabel="validation accuracy, %", ylim=(0, 100))
        ax.legend(loc="lower right")
    return figure


def accuracies(records: Sequence[Record]) -> Figure:
    """Test accuracy of what a demo has trained; a dot a seed."""
    names = list(records[0]["accuracy"])
    rows = {name: percent([record["accuracy"][name] for record in records]) for name in names}
    return _bars(rows, [COLOURS[name] for name in names])


def scores(records: Sequence[Record], variants: Sequence[str]) -> Figure:
    """Test accuracy of variants, a row each, from the top; a dot a seed.

    Args:
        records: of `repsearch.reproduce.trainings.train`, of one data set.
        variants: in the order to show.
    """
    rows = {VARIANTS[name].what: percent([r["test_accuracy"] for r in records if r["variant"] == name])
            for name in variants}
    kinds = ("SGD" if name.startswith("sgd") else "search-based" if name in SEARCH_BASED else "untrained body"
             for name in variants)
    return _bars(rows, [COLOURS[kind] for kind in kinds])


def target_maps(pixels: Tensor, maps: Sequence[tuple[str, Tensor]], titles: Sequence[str]) -> Figure:
    """Images (n, H, W, C) in 0..1 with their titles, above rows of a name and maps (n, h, w) of their activations."""
    count = len(pixels)
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (WIDTH, 1.1 * WIDTH / count * (1 + len(maps)))
        figure, axes = plt.subplots(1 + len(maps), count, figsize=size, squeeze=False)
        for i in range(count):
            axes[0, i].imshow(pixels[i], cmap="gray", vmin=0, vmax=1)
            axes[0, i].set_title(titles[i], fontsize=9)
            for row, (_, values) in enumerate(maps, start=1):
                limit = float(values.abs().max())
                axes[row, i].imshow(values[i], cmap="RdBu_r", vmin=-limit, vmax=limit)
        for row, name in enumerate(["image", *(name for name, _ in maps)]):
            axes[row, 0].set_ylabel(name, fontsize=9)
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
    return figure


def perturbation(records: Sequence[Record]) -> Figure:
    """Chance and size of an improvement, against dimension and against the number of images served at once."""
    points = [point for record in records for point in record["points"]]
    most, widest = max(point["images"] for point in points), max(point["width"] for point in points)
    cases = (("parameters", 1, ":"), ("parameters", most, "-"), ("activations", most, "-"))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.4), sharey="row")
        for row, (value, label) in enumerate((("chance", "chance of an improvement, %"), ("gain", "best gain, %"))):
            for space, images, line in cases:
                kind = "one image" if space == "activations" or images == 1 else f"{images} images"
                chosen = [p for p in points if (p["space"], p["images"]) == (space, images)]
                _points(axes[row, 0], chosen, "dimension", value, COLOURS[space], f"{space}, for {kind}", line)
            for space in ("parameters", "activations"):
                chosen = [p for p in points if (p["space"], p["width"]) == (space, widest)]
                _points(axes[row, 1], chosen, "images", value, COLOURS[space], space)
            axes[row, 0].set(xscale="log", xlabel="", ylabel=label, ylim=(0, None))
            axes[row, 1].set(xlabel="")
            axes[row, 1].set_xscale("log", base=2)
        axes[1, 0].set_xlabel("dimension of the space")
        axes[1, 1].set_xlabel(f"images served at once (width {widest})")
        axes[1, 0].legend(fontsize=9)
    return figure


def figure2(records: Sequence[Record]) -> Figure:
    """Figure 2: best cross-entropy against population, and against generations for the largest population.

    Args: `records`, with the points of `repsearch.reproduce.scaling.figure2`, one a seed.
    """
    blocks, sizes = (sorted({point[key] for point in records[0]["points"]}) for key in ("block", "population"))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
        for block in blocks:
            curves = {size: [p["curve"] for r in records for p in r["points"]
                             if (p["block"], p["population"]) == (block, size)] for size in sizes}
            colour, label = COLOURS[f"block{block}"], f"block {block}"
            ends = np.array([[curve[-1] for curve in curves[size]] for size in sizes]).T
            ranged_line(axes[0], ends, colour, label, sizes, marker=True)
            ranged_line(axes[1], curves[sizes[-1]], colour, label)
        axes[0].set(xscale="log", xlabel="population", ylabel="cross-entropy of the best, nats", ylim=(0, None))
        ticks_at(axes[0], sizes)
        axes[1].set(xlabel=f"generation (population {sizes[-1]})")
        axes[1].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[1].legend()
    return figure


def figure3(records: Sequence[Record]) -> Figure:
    """Figure 3: effective number of solutions against independent runs, beside unrelated images; a panel a block.

    Args: `records`, with settings and the points of `repsearch.reproduce.scaling.figure3`, one a seed.
    """
    blocks, counts = (sorted({point[key] for point in records[0]["points"]}) for key in ("block", "runs"))
    kinds = (("unrelated", ":", "best candidates of unrelated images"), ("solutions", "-", "solutions of one image"))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(blocks), figsize=(WIDTH, 3.2), sharey=True)
        for ax, block in zip(axes, blocks, strict=True):
            for kind, line, label in kinds:
                most = records[0]["settings"]["images"] if kind == "unrelated" else max(counts)
                rows = {count: [p[kind] for r in records for p in r["points"]
                                if (p["block"], p["runs"]) == (block, count)] for count in counts if count <= most}
                whole = {count: values for count, values in rows.items() if None not in values}
                if whole:
                    colour = COLOURS[f"block{block}" if kind == "solutions" else "untrained body"]
                    ranged_line(ax, np.array(list(whole.values())).T, colour, label, list(whole), line, marker=True)
            ax.set(title=f"block {block}", xlabel="independent runs", xscale="log", yscale="log")
            ticks_at(ax, counts)
            ax.set_yticks(counts, [str(count) for count in counts])
        axes[0].set_ylabel("effective number of solutions")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def figure4(records: Sequence[Record]) -> Figure:
    """Figure 4: what more search buys, against population and against generations.

    Top: validation accuracy of the network that learned; bottom: cross-entropy of the best at block 0 after search.

    Args: `records` of one data set's variants "search-based", "population-x..." and "generations-x...".
    """
    values: tuple[Callable[[Record], float], ...] = (
        lambda r: 100 * float(max(r["validation_accuracy"])), lambda r: float(r["found"]["cross_entropy"]["block0"][1]))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5), sharex="col", sharey="row")
        for column, axis in enumerate(("population", "generations")):
            chosen = [r for r in records if r["variant"] == "search-based" or r["variant"].startswith(axis)]
            sized = [(_compute(r, axis), r) for r in chosen]
            sizes = sorted({size for size, _ in sized})
            for row, value in enumerate(values):
                seeds = np.array([[value(r) for at, r in sized if at == size] for size in sizes]).T
                ranged_line(axes[row, column], seeds, COLOURS["search-based"], "", sizes, marker=True)
            axes[1, column].set(xscale="log", xlabel=axis if axis == "population" else "generations of block 0")
            ticks_at(axes[1, column], sizes)
        axes[0, 0].set_ylabel("validation accuracy, %")
        axes[1, 0].set(ylabel="cross-entropy, block 0, nats", ylim=(0, None))
    return figure


def figure5(records: Sequence[Record]) -> Figure:
    """Figure 5: cosine distance to the searched targets against epoch, a panel a block, with the controls.

    Args: `records` of trainings, measured, of one data set: any of the variants "search-based", "sgd2" and "other".
    """
    lines = (("sgd2", "distance", "SGD", "-", "SGD"),
             ("other", "distance", "untrained body", "-", "trained on others' targets"),
             ("search-based", "distance", "search-based", "-", "search-based"),
             ("search-based", "distance_others", "search-based", ":", "search-based, to others' targets"))
    return _followed(records, lines, "cosine distance to the targets")


def entropies(records: Sequence[Record], kind: str = "within") -> Figure:
    """Figures 6 and 7: collision entropy "within" classes, or "between" them, against epoch, a panel a block.

    Args:
        records: as for `figure5`.
        kind: "within" also shows its control, the entropy with the classes shuffled.
    """
    lines = [("sgd2", kind, "SGD", "-", "SGD"), ("search-based", kind, "search-based", "-", "search-based")]
    if kind == "within":
        lines += [("sgd2", "within_shuffled", "SGD", ":", "SGD, classes shuffled"),
                  ("search-based", "within_shuffled", "search-based", ":", "search-based, classes shuffled")]
    return _followed(records, lines, f"entropy {kind} classes, nats")


def _followed(records: Sequence[Record], lines: Sequence[tuple[str, str, str, str, str]], label: str) -> Figure:
    """A panel a block with lines (variant, measure, colour, style, label) against epoch."""
    blocks = sorted({row["block"] for record in records for row in record["measured"]})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(blocks), figsize=(WIDTH, 3.6), sharey=True)
        for ax, block in zip(axes, blocks, strict=True):
            for variant, key, colour, style, name in lines:
                rows = [row for r in records if r["variant"] == variant for row in r["measured"]
                        if row["block"] == block and row["epoch"] > 0]  # before, BatchNorm has seen no image
                if rows:
                    sns.lineplot(x=[row["epoch"] for row in rows], y=[row[key] for row in rows], ax=ax, label=name,
                                 color=COLOURS[colour], linestyle=style, legend=False, **BAND)
            ax.set(title=f"block {block}", xlabel="epoch")
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[0].set_ylim(bottom=0)  # of all panels, once all are drawn
        axes[0].set_ylabel(label)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _points(
    ax: Axes, points: Sequence[dict[str, Any]], x: str, y: str, colour: Any, label: str, style: str = "-"
) -> None:
    """Mean of `y` in percent, with its range, against `x`."""
    sns.lineplot(x=[p[x] for p in points], y=percent([p[y] for p in points]), ax=ax, color=colour, label=label,
                 linestyle=style, legend=False, marker="o", markersize=5, markeredgewidth=0, **BAND)


def _bars(rows: dict[str, list[float]], colours: Sequence[Any]) -> Figure:
    """A bar a row, from the top, as long as the mean of its values, with a dot each."""
    names = [name for name, values in rows.items() for _ in values]
    values = [value for row in rows.values() for value in row]
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(WIDTH, 0.9 + 0.34 * len(rows)))
        sns.barplot(x=values, y=names, hue=names, palette=list(colours), ax=ax, errorbar=None, width=0.6, legend=False,
                    saturation=1)
        sns.stripplot(x=values, y=names, ax=ax, color="black", size=3.5, jitter=False)
        for place, row in enumerate(rows.values()):
            ax.annotate(f"{mean(row):.1f}", (max(row), place), (6, 0), textcoords="offset points", va="center")
        ax.set(xlabel="test accuracy, %", ylabel="", xlim=(0, None))
        ax.margins(x=0.1)
        ax.grid(axis="y", visible=False)
    return figure


def _compute(record: Record, axis: str) -> int:
    search = record["settings"]["searched"]["search"]
    if axis == "population":
        return int(search["parents"] + search["explorers"] + search["refiners"])
    return int(search["schedule"][0]["generations"])
