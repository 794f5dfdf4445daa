"""Draw the figures of the introduction.

    python book/figures.py

Writes book/_static/evolution.png, the end of one image's search, for readers without JavaScript; turns.svg, what search
and learning in turn have learned after each round; card.png, the same for those who share a link; and claims/paper.svg,
what the paper reports beside what came out here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import repsearch as rs
from repsearch.config import split_population
from repsearch.reference import search_images
from repsearch.reproduce.claim import beside
from repsearch.reproduce.claim_figures import beside_the_paper
from repsearch.reproduce.claims import claims
from repsearch.reproduce.drawing import STYLE
from repsearch.reproduce.turn_claims import PLAIN, climbed
from repsearch.reproduce.turn_figures import climb

STATIC = Path(__file__).resolve().parent / "_static"
IMAGE, SEED = 4, 0
GENERATIONS, EVERY = (60, 30, 30, 10), (3, 2, 2, 1)
NAMES = ("block 0", "block 1", "block 2", "logits")
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


def draw(
    axes: list[plt.Axes], data: rs.Dataset, seen: list[tuple[int, int, torch.Tensor, torch.Tensor]],
    config: rs.SearchConfig, step: int,
) -> None:
    """The image, the best candidate, all candidates, and the cross-entropy so far."""
    layer, generation, population, fitness = seen[step]
    picture, best, cloud, curve = axes
    label = int(data.train.labels[IMAGE])
    picture.imshow(data.pixels(data.train.images)[IMAGE], cmap="gray", vmin=0, vmax=1)
    picture.set(xticks=[], yticks=[], title=f"an image of a {data.classes[label]}")

    H = population[int(fitness.argmax())]
    if layer < 3:
        best.imshow(H[int(H.flatten(1).std(1).argmax())], cmap="RdBu_r", vmin=-3, vmax=3)
        best.set(xticks=[], yticks=[], title=f"{NAMES[layer]}: the best", xlabel="one of its channels")
    else:
        colours = ["#de8f05" if k == label else "#999999" for k in range(len(H))]
        best.bar(range(len(H)), H.softmax(0), color=colours)
        best.set(xticks=range(len(H)), yticks=[], ylim=(0, 1), aspect="auto")
        best.set(title="logits: the best", xlabel="probability of each label")
        best.tick_params(labelsize=8)

    sizes = {"parents": config.parents, "explorers": config.explorers, "refiners": config.refiners}
    distance = (population - H).flatten(1).square().mean(1).sqrt()
    first = 0
    for kind, size in sizes.items():
        rows = slice(first, first + size)
        colour = KINDS[kind] if generation else "#888888"
        cloud.scatter(distance[rows], fitness[rows].exp(), s=14, c=colour, alpha=0.8, linewidth=0,
                      zorder=3 if kind == "parents" else 2)
        first += size
    for i, (kind, colour) in enumerate(KINDS.items()):
        place = {"transform": cloud.transAxes, "ha": "right", "va": "top", "fontsize": 9}
        cloud.text(0.98, 0.9 - 0.085 * i, kind, color=colour, **place)
    cloud.set(xlim=(-0.05, 1.4), ylim=(-0.02, 1.02), title=f"{NAMES[layer]}, generation {generation}",
              xlabel="distance from the best", ylabel="probability of the label")

    loss = [-float(f.max()) for _, _, _, f in seen]
    edges = [i for i, (_, g, _, _) in enumerate(seen) if g == 0] + [len(seen)]
    for (first, last), name in zip(pairwise(edges), NAMES, strict=True):
        curve.axvspan(first, last - 1, color="#f0f0f0", zorder=0)
        curve.text((first + last - 1) / 2, max(loss) * 1.04, name, ha="center", fontsize=8)
        done = range(first, min(last, step + 1))
        curve.plot(done, [loss[i] for i in done], color="#0173b2", linewidth=2)
    curve.plot(step, loss[step], "o", color="#0173b2")
    curve.set(xlim=(-1, len(seen)), ylim=(0, max(loss) * 1.15), xticks=[], xlabel="generations, layer by layer",
              title="cross-entropy of the best")


def save(figure: Figure, name: str, drawn: object) -> None:
    """The picture holds what it was drawn from, so that a test can tell when that is no longer so."""
    with plt.rc_context({"svg.hashsalt": "repsearch"}):
        figure.savefig(STATIC / name, metadata={"Date": None, "Description": json.dumps(drawn)})


def turns() -> None:
    panels = [climbed(row) for row in PLAIN if row.data == "cifar10"]
    drawn = [[title, [record["test"] for record in records], rival] for title, records, rival in panels]
    figure = climb(*panels)
    save(figure, "turns.svg", drawn)
    figure.set_size_inches(8, 4.2)
    figure.savefig(STATIC / "card.png", dpi=150)


def main() -> None:
    turns()
    compared = [[claim.what, reported, list(claim.found.difference)] for claim, reported in beside(claims())]
    save(beside_the_paper(claims()), "claims/paper.svg", compared)
    data, seen, config = evolve()
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 10, "axes.titlesize": 10}):
        figure, axes = plt.subplots(1, 4, figsize=(10, 2.7), dpi=100, width_ratios=[1, 1, 1.35, 1.6])
        draw(list(axes), data, seen, config, len(seen) - 1)
        figure.savefig(STATIC / "evolution.png")


if __name__ == "__main__":
    main()
