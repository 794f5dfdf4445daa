"""Where the trainings of section 4.5 start: the network that none of them has touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from repsearch.airbench import learn_network, search_network
from repsearch.networks import batch_statistics
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.measures import follow
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.targets import Searched


@dataclass(frozen=True)
class Setup:
    """One network, measured as trainings are.

    Args:
        sample: its training images give BatchNorm's statistics; the first validation images are measured.
        width, groups: of the network.
        searched: how the targets of the validation images are searched.
        measured: how many there are.
        statistics: of the network at test time.
    """

    sample: Sample
    width: int
    groups: int
    searched: Searched
    measured: int
    statistics: Literal["running", "batch"] = "running"


@torch.no_grad()
def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Distances and entropies of the untrained network; see `measures.follow`.

    BatchNorm has the statistics of up to 512 training images. A training's own first measurement, before any step, has
    those that BatchNorm is made with, of no image at all.
    """
    data, how = setup.sample.load(root, seed), setup.searched
    network = search_network(data, how, seed, how.head_init)
    targets = cached_search(network, data.validation[: setup.measured], how.search, seed, store)
    model = learn_network(data, setup, seed)
    with batch_statistics(model, momentum=1.0):
        model(data.train.images[:512])
    return {"images": setup.sample.counts(data), "points": follow(model, data.validation, targets, seed)}
