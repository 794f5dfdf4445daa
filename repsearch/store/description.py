"""What a search is of, for the manifest of its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from repsearch.config import SearchConfig, as_dict
from repsearch.cost import search_multiply_adds
from repsearch.data import Split
from repsearch.networks import fingerprint
from repsearch.store.manifest import ALGORITHM, FORMAT, Manifest
from repsearch.version import __version__


def describe(
    network: nn.Module, data: Split, config: SearchConfig, seed: int, engine: str, shapes: dict[str, tuple[int, ...]],
    layers: Sequence[int], start: Tensor | None,
) -> Manifest:
    """The manifest of a search that has not begun.

    Args:
        network, data, config, seed, start: as in `repsearch.search`.
        engine: name of the engine that searches.
        shapes: of all search layers.
        layers: numbers of those searched.
    """
    image = data.images[:1].to(next(network.parameters()).device)
    begin = None if start is None else np.ascontiguousarray(start.detach().cpu().float().numpy())
    names = [list(shapes)[layer] for layer in layers]
    return {
        "format": FORMAT, "algorithm": ALGORITHM, "library": __version__, "engine": engine, "data": data.fingerprint(),
        "network": fingerprint(network), "configuration": as_dict(config), "seed": seed, "images": len(data),
        "layers": {name: list(shapes[name]) for name in names},
        "start": None if begin is None else hashlib.sha256(begin.data).hexdigest(),
        "multiply_adds": search_multiply_adds(network, image, config, list(layers)), "shards": {},
    }
