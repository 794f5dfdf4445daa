"""Draw the animated figure of the introduction: a population evolving at block 0, 1, 2, then logits.

    python book/figures.py

Writes book/_static/evolution.gif and evolution.png, its last frame, for readers who prefer no motion.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

import repsearch as rs
from repsearch.config import split_population
from repsearch.plots import STYLE
from repsearch.search import search_images

STATIC = Path(__file__).resolve().parent / "_static"
IMAGE, SEED = 4, 0
GENERATIONS, EVERY = (60, 30, 30, 10), (3, 2, 2, 1)
KINDS = {"parents": "#000000", "explorers": "#de8f05", "refiners": "#0173b2"}


def evolve() -> tuple[rs.Dataset, list[tuple[int, int, torch.Tensor, torch.Tensor]], rs.SearchConfig]:
    """One digit's search with the paper's population: layer, generation, population, fitness, every few generations."""
    preset = replace(rs.presets.smoke("digits"), width=32)
    data = rs.load("digits", train=preset.train, validation=preset.validation, test=preset.test, seed=SEED)
    rows = zip(preset.search.schedule, GENERATIONS, strict=True)
    schedule = tuple(replace(row, generations=count) for row, count in rows)
    config = replace(preset.search, schedule=schedule, **split_population(240, 20))
    seen: list[tuple[int, int, torch.Tensor, torch.Tensor]] = []

    def watch(layer: int, generation: int, population: torch.Tensor, fitness: torch.Tensor) -> None:
        if generation % EVERY[layer] == 0:
            seen.append((layer, generation, population[0], fitness[0]))

    network = rs.search_network(data, preset, SEED)
    search_images(network, data.train[IMAGE : IMAGE + 1], config, SEED, watch)
    return data, seen, config


def plane(populations: list[torch.Tensor]) -> torch.Tensor:
    """The mean and the two principal directions of a layer's candidates over all generations: (3, values)."""
    flat = torch.cat([population.flatten(1) for population in populations])
    mean = flat.mean(0)
    _, _, directions = torch.pca_lowrank(flat - mean, q=2, center=False)
    return torch.cat([mean[None], directions.T])


def main() -> None:
    torch.manual_seed(0)
    data, seen, config = evolve()
    names = ["block 0", "block 1", "block 2", "logits"]
    planes = {layer: plane([p for at, _, p, _ in seen if at == layer]) for layer in range(4)}
    limits = {}
    for layer in range(4):
        shown = torch.cat([population for at, _, population, _ in seen if at == layer]).flatten(1)
        points = (shown - planes[layer][0]) @ planes[layer][1:].T
        low, high = points.quantile(0.01, 0), points.quantile(0.99, 0)
        limits[layer] = (low - 0.15 * (high - low), high + 0.15 * (high - low))
    loss = [-float(fitness.max()) for _, _, _, fitness in seen]
    edges = [i for i, (_, generation, _, _) in enumerate(seen) if generation == 0] + [len(seen)]

    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(9, 3.1), dpi=100, gridspec_kw={"width_ratios": [1, 1.35, 1.6]}
        )

        def draw(step: int) -> None:
            layer, generation, population, _ = seen[step]
            for ax in (left, middle, right):
                ax.clear()
            left.imshow(data.pixels(data.train.images)[IMAGE], cmap="gray", vmin=0, vmax=1)
            left.set(xticks=[], yticks=[], title=f"an image of a {data.classes[int(data.train.labels[IMAGE])]}")
            left.set_xlabel(f"searched at: {names[layer]}", fontsize=11)

            points = (population.flatten(1) - planes[layer][0]) @ planes[layer][1:].T
            sizes = {"parents": config.parents, "explorers": config.explorers, "refiners": config.refiners}
            kinds = [k for k, n in sizes.items() for _ in range(n)] if generation else ["refiners"] * len(points)
            order = sorted(range(len(points)), key=lambda i: kinds[i] == "parents")
            middle.scatter(
                points[order, 0], points[order, 1], s=[55 if kinds[i] == "parents" else 22 for i in order],
                c=[KINDS[kinds[i]] if generation else "#888888" for i in order], alpha=0.85, linewidth=0,
            )
            low, high = limits[layer]
            middle.set(xticks=[], yticks=[], xlim=(low[0], high[0]), ylim=(low[1], high[1]),
                       title=f"{names[layer]}: the candidates", xlabel=f"generation {generation}")
            for i, (kind, colour) in enumerate(KINDS.items()):
                place = {"transform": middle.transAxes, "va": "top"}
                middle.text(0.02, 0.97 - 0.085 * i, kind, color=colour, fontsize=9, **place)

            for first, last, name in zip(edges, edges[1:], names, strict=False):
                right.axvspan(first, last - 1, color="#f0f0f0", zorder=0)
                right.text((first + last - 1) / 2, max(loss) * 1.04, name, ha="center", fontsize=9)
            for first, last in pairwise(edges):
                done = range(first, min(last, step + 1))
                right.plot(done, [loss[i] for i in done], color="#0173b2", linewidth=2)
            right.plot(step, loss[step], "o", color="#0173b2")
            right.set(xlim=(-1, len(seen)), ylim=(0, max(loss) * 1.15), xticks=[], xlabel="generations, layer by layer",
                      title="cross-entropy of the best, nats")

        frames = [*range(len(seen)), *[len(seen) - 1] * 12]
        FuncAnimation(figure, draw, frames, cache_frame_data=False).save(STATIC / "evolution.gif", PillowWriter(fps=6))
        draw(len(seen) - 1)
        figure.savefig(STATIC / "evolution.png")


if __name__ == "__main__":
    main()
