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
from repsearch.networks import fingerprint
from repsearch.searching import search
from repsearch.store.reader import Targets


def stored_search(
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
        what = [fingerprint(network), images.fingerprint(), as_dict(config), seed, layers]
        store = store / hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return search(network, images, config, seed, store, progress=False, engine=engine, layers=layers)
