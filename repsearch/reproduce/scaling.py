"""Section 3.2: how search improves with its population and generations (Figure 2), and how many different solutions it
finds (Figure 3). Each block is searched alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repsearch.airbench import search_network
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Dataset
from repsearch.measure import effective_number, effective_number_null
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.samples import Sample, generator_of


@dataclass(frozen=True)
class Figure2:
    """Figure 2: cross-entropy of the best candidate against population and generations.

    Args:
        sample: its first training images are searched.
        width: of the network.
        search: its schedule, and the share of parents in a population.
        images: how many are searched.
        populations: sizes to try, all with the same generations.
    """

    sample: Sample
    width: int
    search: SearchConfig
    images: int
    populations: tuple[int, ...]


@dataclass(frozen=True)
class Figure3:
    """Figure 3: the effective number of solutions against the number of independent runs.

    Args:
        sample: its first training images are searched, each `runs` times.
        width: of the network.
        search: its configuration.
        images: how many are searched.
        runs: independent searches of each image.
        counts: numbers of runs to measure at.
    """

    sample: Sample
    width: int
    search: SearchConfig
    images: int
    runs: int
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.runs < max(self.counts):
            raise InputError(f"runs={self.runs}: expected at least the largest of counts={self.counts}")


def run(setup: Figure2 | Figure3, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Compute the points of the figure on the sample's images."""
    data = setup.sample.load(root, seed)
    make: Callable[..., list[dict[str, Any]]] = figure2 if isinstance(setup, Figure2) else figure3
    return {"images": setup.sample.counts(data), "points": make(data, setup, seed, store)}


def figure2(data: Dataset, setup: Figure2, seed: int = 0, store: Path | None = None) -> list[dict[str, Any]]:
    """A list of points: block, population, and the curve of the mean cross-entropy, whose first entry is the best of as
    many noisy copies, before any evolution.

    Args:
        data: its first training images are searched.
        setup: the figure.
        seed: of network and search.
        store: folder in which searches are kept.
    """
    network, points = search_network(data, setup, seed), []
    for population in setup.populations:
        config = setup.search.resized(population)
        for block in range(len(config.schedule) - 1):
            name = f"block{block}"
            found = cached_search(network, data.train[: setup.images], config, seed, store, (name,))
            curve = found.cross_entropy(name).mean(0).tolist()
            points.append({"block": block, "population": population, "curve": curve})
    return points


def figure3(data: Dataset, setup: Figure3, seed: int = 0, store: Path | None = None) -> list[dict[str, Any]]:
    """A list of points: block, runs, kept (solutions an image), and N_eff, mean over the images that kept at least two.

    A run's solution is its best candidate, kept if it gives the label a probability above one half. N_eff is that of
    the solutions; of `noise`, `measure.effective_number_null` of them; of `unrelated`, the best candidates of as many
    different images, good or not, where there are that many.

    Args:
        data: its first training images are searched.
        setup: the figure.
        seed: of the network; the runs have seeds of their own.
        store: folder in which searches are kept.
    """
    network, images, points = search_network(data, setup, seed), data.train[: setup.images], []
    for block in range(len(setup.search.schedule) - 1):
        name = f"block{block}"
        found = [cached_search(network, images, setup.search, 1000 * seed + run, store, (name,))
                 for run in range(setup.runs)]
        solutions = torch.stack([targets.read(name) for targets in found])
        good = torch.stack([targets.probability > 0.5 for targets in found])
        points += [{"block": block, "runs": count,
                    **_diversity(solutions[:count], good[:count], generator_of(seed, block, count))}
                   for count in setup.counts]
    return points


def _diversity(solutions: Tensor, good: Tensor, generator: torch.Generator) -> dict[str, Any]:
    """N_eff of the kept solutions of (runs, images, ...), averaged over images, beside its controls."""
    rows: dict[str, list[float]] = {"solutions": [], "noise": [], "unrelated": []}
    for image in range(solutions.shape[1]):
        own = solutions[good[:, image], image]
        if len(own) < 2:
            continue
        rows["solutions"].append(effective_number(own))
        rows["noise"].append(effective_number_null(own, generator))
        others = solutions[0, torch.randperm(solutions.shape[1], generator=generator)[: len(own)]]
        if len(others) == len(own):
            rows["unrelated"].append(effective_number(others))
    return {
        "kept": float(good.float().sum(0).mean()), "measured_images": len(rows["solutions"]),
        **{name: sum(values) / len(values) if values else None for name, values in rows.items()},
    }
