"""Figures: one function each, from records or tensors to a matplotlib figure that reads in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from repsearch.evidence import SEARCH_BASED

COLOURS = dict(zip(
    ("block0", "block1", "block2", "logits", "search-based", "SGD", "untrained", "parameters", "activations"),
    np.array(sns.color_palette("colorblind", 10))[[0, 1, 2, 4, 0, 1, 7, 1, 0]].tolist(), strict=True,
))
STYLE: Any = {  # A white ground on every page: a transparent one would lose the black text in dark mode.
    "figure.facecolor": "white", "axes.grid": True, "grid.color": "#dddddd", "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "font.size": 11,
    "figure.constrained_layout.use": True, "savefig.facecolor": "white",
}


def search_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """Best cross-entropy against generation, a panel a search layer; the band is the range over seeds."""
    layers = list(records[0]["cross_entropy"])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(layers), figsize=(9, 2.9), sharey=True)
        for ax, layer in zip(axes, layers, strict=True):
            _band(ax, [record["cross_entropy"][layer] for record in records], COLOURS.get(layer, "C0"), layer)
            ax.set(title=layer, xlabel="generation")
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[0].set_ylim(bottom=0)  # of all panels, once all are drawn
        axes[0].set_ylabel("cross-entropy of the best, nats")
    return figure


def learning_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """Validation accuracy against epoch, search-based and SGD; the band is the range over seeds."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 3.4))
        for name in ("SGD", "search-based"):
            curves = [[100 * v for v in record["validation_accuracy"][name]] for record in records]
            _band(ax, curves, COLOURS[name], name)
        chance = 100 * float(np.mean([record["accuracy"]["untrained"] for record in records]))
        ax.axhline(chance, color=COLOURS["untrained"], linestyle=":", label="wholly untrained (test images)")
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        ax.set(xlabel="epoch", ylabel="validation accuracy, %", ylim=(0, 100))
        ax.legend(loc="center right")
    return figure


def target_maps(pixels: Tensor, maps: Sequence[tuple[str, Tensor]], titles: Sequence[str]) -> Figure:
    """Images above maps of their activations.

    Args:
        pixels: (n, H, W, C) in 0..1.
        maps: for each row its name and its maps (n, h, w).
        titles: one an image.
    """
    count = len(pixels)
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(1 + len(maps), count, figsize=(1.25 * count, 1.35 * (1 + len(maps))), squeeze=False)
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


def framework(records: Sequence[dict[str, Any]]) -> Figure:
    """Chance and size of an improvement, against dimension and against the number of images served at once."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9, 5.6), sharey="row")
        most = max(point["images"] for point in records[0]["points"])
        widest = max(point["width"] for point in records[0]["points"])
        cases = (("parameters", 1, ":"), ("parameters", most, "-"), ("activations", most, "-"))
        for row, (value, label) in enumerate((("chance", "chance of an improvement, %"), ("gain", "best gain, %"))):
            for space, images, line in cases:
                kind = "one image" if space == "activations" or images == 1 else f"{images} images"
                _points(axes[row, 0], records, "dimension", value, {"space": space, "images": images},
                        COLOURS[space], line, f"{space}, for {kind}")
            for space in ("parameters", "activations"):
                _points(axes[row, 1], records, "images", value, {"space": space, "width": widest},
                        COLOURS[space], "-", space)
            axes[row, 0].set(xscale="log", ylabel=label, ylim=(0, None))
            axes[row, 1].set_xscale("log", base=2)
        axes[1, 0].set_xlabel("dimension of the space")
        axes[1, 1].set_xlabel(f"images served at once (width {widest})")
        axes[1, 0].legend(fontsize=9)
    return figure


def figure2(records: Sequence[dict[str, Any]]) -> Figure:
    """Figure 2: best cross-entropy against population, and against generations for the largest population.

    Args:
        records: of `repsearch.scaling.figure2`, one a seed.
    """
    blocks, sizes = (sorted({point[key] for point in records[0]["points"]}) for key in ("block", "population"))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
        for block in blocks:
            curves = {size: [p["curve"] for r in records for p in r["points"]
                             if (p["block"], p["population"]) == (block, size)] for size in sizes}
            ends = np.array([[curve[-1] for curve in curves[size]] for size in sizes])
            colour, label = COLOURS[f"block{block}"], f"block {block}"
            axes[0].plot(sizes, ends.mean(1), color=colour, marker="o", markersize=4, label=label)
            axes[0].fill_between(sizes, ends.min(1), ends.max(1), color=colour, alpha=0.2, linewidth=0)
            _band(axes[1], curves[sizes[-1]], colour, label)
        axes[0].set(xscale="log", xlabel="population", ylabel="cross-entropy of the best, nats", ylim=(0, None))
        axes[0].set_xticks(sizes, [str(size) for size in sizes])
        axes[0].minorticks_off()
        axes[1].set(xlabel=f"generation (population {sizes[-1]})")
        axes[1].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[1].legend()
    return figure


def figure3(records: Sequence[dict[str, Any]]) -> Figure:
    """Figure 3: effective number of solutions against independent runs, beside unrelated images; a panel a block.

    Args:
        records: of `repsearch.scaling.figure3`, one a seed.
    """
    blocks, counts = (sorted({point[key] for point in records[0]["points"]}) for key in ("block", "runs"))
    kinds = (("unrelated", ":", "best candidates of unrelated images"), ("solutions", "-", "solutions of one image"))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(blocks), figsize=(9, 3.4), sharey=True)
        for ax, block in zip(axes, blocks, strict=True):
            for kind, line, label in kinds:
                rows = [[p[kind] for r in records for p in r["points"] if (p["block"], p["runs"]) == (block, count)]
                        for count in counts]
                # There can be no more unrelated solutions than images.
                most = records[0]["images"] if kind == "unrelated" else max(counts)
                whole = [(count, row) for count, row in zip(counts, rows, strict=True)
                         if count <= most and None not in row]
                if whole:
                    xs, values = [count for count, _ in whole], np.array([row for _, row in whole])
                    colour = COLOURS[f"block{block}"] if kind == "solutions" else COLOURS["untrained"]
                    ax.plot(xs, values.mean(1), color=colour, linestyle=line, marker="o", markersize=4, label=label)
                    ax.fill_between(xs, values.min(1), values.max(1), color=colour, alpha=0.2, linewidth=0)
            ax.set(title=f"block {block}", xlabel="independent runs", xscale="log", yscale="log")
            ax.set_xticks(counts, [str(count) for count in counts])
            ax.set_yticks(counts, [str(count) for count in counts])
            ax.minorticks_off()
        axes[0].set_ylabel("effective number of solutions")
        axes[0].legend(fontsize=8)
    return figure


def figure4(records: Sequence[dict[str, Any]]) -> Figure:
    """Figure 4: what more search buys, against population and against generations.

    Top: validation accuracy of the network that learned; bottom: cross-entropy of the best at block 0 after search.

    Args:
        records: of `repsearch.trainings.train`: the variants "search", "population-x..." and "generations-x..." of one
            data set.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), sharex="col", sharey="row")
        for column, axis in enumerate(("population", "generations")):
            shares = {r["variant"]: 1.0 if r["variant"] == "search" else float(r["variant"].split("-x")[1])
                      for r in records if r["variant"] == "search" or r["variant"].startswith(axis)}
            names = sorted(shares, key=lambda name: shares[name])
            sizes = [_compute(next(r for r in records if r["variant"] == name), axis) for name in names]
            for row, value in enumerate((_best_accuracy, _block0_loss)):
                rows = np.array([[value(r) for r in records if r["variant"] == name] for name in names])
                axes[row, column].plot(sizes, rows.mean(1), color=COLOURS["search-based"], marker="o", markersize=4)
                axes[row, column].fill_between(sizes, rows.min(1), rows.max(1), color=COLOURS["search-based"],
                                               alpha=0.2, linewidth=0)
            axes[1, column].set(xscale="log", xlabel=axis if axis == "population" else "generations of block 0")
            axes[1, column].set_xticks(sizes, [str(size) for size in sizes])
            axes[1, column].minorticks_off()
        axes[0, 0].set_ylabel("validation accuracy, %")
        axes[1, 0].set(ylabel="cross-entropy, block 0, nats", ylim=(0, None))
    return figure


def figure5(records: Sequence[dict[str, Any]]) -> Figure:
    """Figure 5: cosine distance to the searched targets against epoch, a panel a block, with the controls.

    Args:
        records: of `repsearch.trainings.train`, measured, of one data set: any of the variants "search", "sgd2" and
            "other".
    """
    lines = (("sgd2", "distance", "SGD", "-", "SGD"),
             ("other", "distance", "untrained", "-", "trained on others' targets"),
             ("search", "distance", "search-based", "-", "search-based"),
             ("search", "distance_others", "search-based", ":", "search-based, to others' targets"))
    return _followed(records, lines, "cosine distance to the targets")


def entropies(records: Sequence[dict[str, Any]], kind: str = "within") -> Figure:
    """Figures 6 and 7: collision entropy "within" classes, or "between" them, against epoch, a panel a block.

    Args:
        records: as for `figure5`.
        kind: "within" also shows its control, the entropy with the classes shuffled.
    """
    lines = [("sgd2", kind, "SGD", "-", "SGD"), ("search", kind, "search-based", "-", "search-based")]
    if kind == "within":
        lines += [("sgd2", "within_shuffled", "SGD", ":", "SGD, classes shuffled"),
                  ("search", "within_shuffled", "search-based", ":", "search-based, classes shuffled")]
    return _followed(records, lines, f"entropy {kind} classes, nats")


def _followed(
    records: Sequence[dict[str, Any]], lines: Sequence[tuple[str, str, str, str, str]], label: str
) -> Figure:
    """A panel a block with lines (variant, measure, colour, style, label) against epoch."""
    blocks = sorted({row["block"] for record in records for row in record["measured"]})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(blocks), figsize=(9, 3.6), sharey=True)
        for ax, block in zip(axes, blocks, strict=True):
            for variant, key, colour, style, name in lines:
                chosen = [[row for row in r["measured"] if row["block"] == block]
                          for r in records if r["variant"] == variant]
                if not chosen:
                    continue
                epochs = [row["epoch"] for row in chosen[0]]
                values = np.array([[row[key] for row in rows] for rows in chosen])
                ax.plot(epochs, values.mean(0), color=COLOURS[colour], linestyle=style, label=name)
                ax.fill_between(epochs, values.min(0), values.max(0), color=COLOURS[colour], alpha=0.2, linewidth=0)
            ax.set(title=f"block {block}", xlabel="epoch")
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes[0].set_ylim(bottom=0)  # of all panels, once all are drawn
        axes[0].set_ylabel(label)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def scores(records: Sequence[dict[str, Any]], variants: Sequence[str]) -> Figure:
    """Test accuracy of variants, a row each, from the top; a dot a seed.

    Args:
        records: of `repsearch.trainings.train`, of one data set.
        variants: in the order to show.
    """
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(8, 0.6 + 0.34 * len(variants)))
        labels = []
        for row, name in enumerate(variants):
            chosen = [r for r in records if r["variant"] == name]
            values = [100 * r["test_accuracy"] for r in chosen]
            labels.append(chosen[0]["what"])
            ours = "search-based" if name in SEARCH_BASED else "untrained"
            colour = COLOURS["SGD" if name.startswith("sgd") else ours]
            ax.barh(row, float(np.mean(values)), color=colour, height=0.6)
            ax.plot(values, [row] * len(values), "k.", markersize=5)
            ax.annotate(f"{np.mean(values):.1f}", (max(values), row), (6, 0), textcoords="offset points", va="center")
        ax.set(yticks=range(len(variants)), yticklabels=labels, xlabel="test accuracy, %", xlim=(0, None))
        ax.margins(x=0.1)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    return figure


def _compute(record: dict[str, Any], axis: str) -> int:
    search = record["search"]
    if axis == "population":
        return int(search["parents"] + search["explorers"] + search["refiners"])
    return int(search["schedule"][0]["generations"])


def _best_accuracy(record: dict[str, Any]) -> float:
    return 100 * float(max(record["validation_accuracy"]))


def _block0_loss(record: dict[str, Any]) -> float:
    return float(record["found"]["cross_entropy"]["block0"][1])


def _points(
    ax: Axes,
    records: Sequence[dict[str, Any]],
    x: str,
    y: str,
    where: dict[str, Any],
    colour: Any,
    line: str,
    label: str,
) -> None:
    """Mean of y over records, with its range, at each x of the points that have the values `where`."""
    chosen = [[p for p in record["points"] if all(p[k] == v for k, v in where.items())] for record in records]
    values = 100 * np.array([[point[y] for point in points] for points in chosen])
    places = [point[x] for point in chosen[0]]
    ax.plot(places, values.mean(0), color=colour, linestyle=line, marker="o", markersize=4, label=label)
    ax.fill_between(places, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)


def _band(ax: Axes, curves: Sequence[Sequence[float]], colour: Any, label: str) -> None:
    """Mean of curves of equal length, with their range."""
    values = np.array(curves)
    steps = np.arange(values.shape[1])
    ax.plot(steps, values.mean(0), color=colour, label=label)
    ax.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)


def accuracies(records: Sequence[dict[str, Any]]) -> Figure:
    """Test accuracy of the search-based, the SGD-trained and an untrained network; a dot a seed."""
    names = ("search-based", "SGD", "untrained")
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 2.6))
        for row, name in enumerate(names):
            values = [100 * record["accuracy"][name] for record in records]
            ax.barh(row, float(np.mean(values)), color=COLOURS[name], height=0.55)
            ax.plot(values, [row] * len(values), "k.", markersize=5)
            ax.text(max(values) + 1, row, f"{np.mean(values):.1f}", va="center")
        ax.set(yticks=range(len(names)), yticklabels=names, xlabel="test accuracy, %", xlim=(0, 108))
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    return figure
