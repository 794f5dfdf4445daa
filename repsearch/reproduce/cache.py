"""Searches that several runs need, kept in one folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from repsearch.config import SearchConfig, as_dict
from repsearch.data import Split
from repsearch.identity import fingerprint, statistics
from repsearch.searching import search
from repsearch.store.reader import Targets
from repsearch.store.statistics import statistics_hash


def cached_search(
    network: nn.Module, images: Split, config: SearchConfig, seed: int, store: Path | None,
    layers: Sequence[str] | None = None,
) -> Targets:
    """Targets of these images; from the store, if they were searched before.

    Args:
        network, images, config, seed, layers: as in `repsearch.search`.
        store: folder of many searches, each in a folder of its own; None keeps nothing.
    """
    engine: Literal["auto", "reference"] = "reference" if config.ties_images else "auto"
    if store is not None:
        network_is = [fingerprint(network), statistics_hash(statistics(network))]
        what = [*network_is, images.fingerprint(), as_dict(config), seed, layers]
        store = store / hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return search(network, images, config, seed, store, progress=False, engine=engine, layers=layers)
