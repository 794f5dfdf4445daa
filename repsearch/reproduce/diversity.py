"""How alike the parents of a search become, generation by generation, with explorers and without (section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repsearch.airbench import search_network
from repsearch.config import SearchConfig
from repsearch.data import Dataset
from repsearch.measure import effective_number
from repsearch.operators import select
from repsearch.reference import search_images
from repsearch.reproduce.samples import Sample


@dataclass(frozen=True)
class Setup:
    """One search by the reference, whose populations can be looked at.

    Args:
        sample: its training images give the network's statistics.
        width: of the network.
        search: its configuration.
        images: the first so many training images are searched.
    """

    sample: Sample
    width: int
    search: SearchConfig
    images: int


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Search the sample's images; see `parents_of`."""
    data = setup.sample.load(root, seed)
    return {"images": setup.sample.counts(data), "points": parents_of(data, setup, seed)}


def parents_of(data: Dataset, setup: Setup, seed: int = 0) -> list[dict[str, Any]]:
    """A list of points, one a block: the effective number of different parents, and the best cross-entropy in nats, of
    every generation, means over the images. Generation 0 has the fittest of noisy copies.

    Args:
        data: its first training images are searched.
        setup: the search.
        seed: of network and search.
    """
    network, blocks = search_network(data, setup, seed), len(setup.search.schedule) - 1
    rows: dict[int, list[list[float]]] = {block: [] for block in range(blocks)}

    def watch(layer: int, _: int, population: Tensor, fitness: Tensor) -> None:
        if layer < blocks:
            parents, _best = select(population, fitness, setup.search.parents)
            rows[layer].append([effective_number(own) for own in parents])

    found = search_images(network, data.train[: setup.images], setup.search, seed, watch)
    return [{"block": block, "parents": torch.tensor(numbers).mean(1).tolist(),
             "cross_entropy": found.cross_entropy[block].mean(0).tolist()} for block, numbers in rows.items()]
