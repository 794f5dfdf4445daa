"""What reaches the body in training: gradients of each term of the loss (section 4.2), and of SGD's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.airbench import learn_network, search_network
from repsearch.config import LearnConfig, SearchConfig
from repsearch.data import Dataset
from repsearch.learning import objective_parts
from repsearch.networks import activations
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.samples import Sample


@dataclass(frozen=True)
class Setup:
    """The first step of a training.

    Args:
        sample: its training images are searched and learned from.
        width, groups: of the trained network.
        search: its configuration.
        learn: gives the readings of the loss.
        images: of the step.
        statistics: of the trained network at test time.
    """

    sample: Sample
    width: int
    groups: int
    search: SearchConfig
    learn: LearnConfig
    images: int
    statistics: Literal["running", "batch"] = "running"


def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Gradients on the sample's images; see `norms`."""
    data = setup.sample.load(root, seed)
    return {"images": setup.sample.counts(data), "norms": norms(data, setup, seed, store)}


def norms(data: Dataset, setup: Setup, seed: int = 0, store: Path | None = None) -> dict[str, dict[str, float]]:
    """The norm of the gradient in body and head of each term: "block0", ..., "head", and SGD's "cross_entropy".

    Args:
        data: its first training images make the step.
        setup: the step.
        seed: of networks and search.
        store: folder in which searches are kept.
    """
    images = data.train[: setup.images]
    targets = cached_search(search_network(data, setup, seed), images, setup.search, seed, store)
    model = learn_network(data, setup, seed)
    layers = activations(model, images.images, sever_head=True)
    parts = objective_parts(layers, [targets.read(name) for name in targets.layers], setup.learn)
    parts["cross_entropy"] = F.cross_entropy(model(images.images), images.labels)
    trained = {"body": model.blocks, "head": model.head}
    return {name: {part: _norm(loss, module) for part, module in trained.items()} for name, loss in parts.items()}


def _norm(loss: Tensor, module: nn.Module) -> float:
    """Of the gradient of a loss with respect to all trained parameters of a module; 0 where none reaches it."""
    parameters: Sequence[Tensor] = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.square().sum()) for g in found if g is not None))
