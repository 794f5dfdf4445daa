"""A search of some images, and what it found, layer by layer: how the paper's own sizes do (section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repsearch.airbench import search_network
from repsearch.config import SearchConfig
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.samples import Sample
from repsearch.store.reader import Targets


@dataclass(frozen=True)
class Setup:
    """One search.

    Args:
        sample: its training images give the network's statistics.
        width: of the network.
        search: its configuration.
        images: the first so many training images are searched.
        alone: blocks that are searched a second time, each alone, from noisy copies passed on by those before it.
    """

    sample: Sample
    width: int
    search: SearchConfig
    images: int
    alone: tuple[str, ...] = ()


def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Search the sample's images."""
    data = setup.sample.load(root, seed)
    network, images = search_network(data, setup, seed), data.train[: setup.images]
    found = found_by(cached_search(network, images, setup.search, seed, store))
    alone = {layer: cached_search(network, images, setup.search, seed, store, (layer,)) for layer in setup.alone}
    curves = {layer: targets.cross_entropy(layer).mean(0).tolist() for layer, targets in alone.items()}
    return {"images": setup.sample.counts(data), **found, "alone": curves}


def found_by(targets: Targets) -> dict[str, Any]:
    """Of each layer: the mean curve, and the label's probability before and after, its mean and how often it is above
    one half."""
    finals = {layer: (-targets.cross_entropy(layer)[:, [0, -1]]).exp() for layer in targets.layers}
    return {
        "engine": targets.manifest["engine"],
        "cross_entropy": {layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers},
        "probability": {layer: final.mean(0).tolist() for layer, final in finals.items()},
        "above_half": {layer: (final > 0.5).float().mean(0).tolist() for layer, final in finals.items()},
    }
