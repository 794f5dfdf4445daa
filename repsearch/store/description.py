"""What a search is of, for the manifest of its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from repsearch.config import SearchConfig, as_dict
from repsearch.cost import search_multiply_adds
from repsearch.data import Split
from repsearch.identity import fingerprint, statistics, weights_of_0_2
from repsearch.networks import device_of
from repsearch.store.manifest import ALGORITHM, FORMAT, Manifest
from repsearch.store.statistics import Statistics, statistics_hash
from repsearch.version import __version__


@dataclass(frozen=True)
class Description:
    """What a search is of.

    Args:
        manifest: of the search, without any shard done.
        statistics: of the network; its manifest has their hash.
        weights: what the network is to a manifest of format 2 or 3.
    """

    manifest: Manifest
    statistics: Statistics
    weights: str


def describe(
    network: nn.Module, data: Split, config: SearchConfig, seed: int, engine: str, shapes: dict[str, tuple[int, ...]],
    layers: Sequence[int], start: Tensor | None,
) -> Description:
    """The description of a search that has not begun.

    Args:
        network, data, config, seed, start: as in `repsearch.search`.
        engine: name of the engine that searches.
        shapes: of all search layers.
        layers: numbers of those searched.
    """
    image = data.images[:1].to(device_of(network))
    begin = None if start is None else np.ascontiguousarray(start.detach().cpu().float().numpy())
    names, own = [list(shapes)[layer] for layer in layers], statistics(network)
    manifest = {
        "format": FORMAT, "algorithm": ALGORITHM, "library": __version__, "engine": engine, "data": data.fingerprint(),
        "network": fingerprint(network), "statistics": statistics_hash(own), "configuration": as_dict(config),
        "seed": seed, "images": len(data), "layers": {name: list(shapes[name]) for name in names},
        "start": None if begin is None else hashlib.sha256(begin.data).hexdigest(),
        "multiply_adds": search_multiply_adds(network, image, config, list(layers)), "shards": {},
    }
    return Description(manifest, own, weights_of_0_2(network))
