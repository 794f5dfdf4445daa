"""How far a rule's step is from back-propagation's, stage by stage."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.method import Batch, Method
from repsearch.methods._cut import in_blocks

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Split

WATCHED = 250
"""Images of the batch on which steps are compared."""


def first_batch(split: Split) -> Batch:
    """The first images of a split."""
    images = split.images[:WATCHED].clone()
    return Batch(images, split.labels[:WATCHED], 0, len(images))


def agreement(model: nn.Module, method: Method, batch: Batch, config: FitConfig) -> list[float | None] | None:
    """The cosine a stage between a method's gradient and that of the batch's cross-entropy, of copies, so that neither
    model nor method changes; None for networks that can't be cut into stages.

    Args:
        model: as `method` was started with.
        method: leaves gradients.
        batch: of the model's images.
        config: that the method is run with.
    """
    try:
        in_blocks(model)
    except InputError:
        return None
    twin, rule = copy.deepcopy((model, method))
    twin.train()
    exact = copy.deepcopy(twin)
    for network in (twin, exact):
        network.zero_grad()
    rule.step(twin, replace(batch, images=batch.images.clone()), config)
    F.cross_entropy(exact(batch.images.clone()), batch.labels).backward()  # type: ignore[no-untyped-call]
    return [_cosine(a, b) for a, b in zip(_by_stage(twin), _by_stage(exact), strict=True)]


def _by_stage(model: nn.Module) -> list[list[Tensor]]:
    """Gradients of each block's weights, and last of the head's; zero where there is none."""
    parts = in_blocks(model)
    return [[torch.zeros_like(p) if p.grad is None else p.grad for p in stage.parameters()]
            for stage in (*parts.blocks, parts.head)]


def _cosine(ours: list[Tensor], theirs: list[Tensor]) -> float | None:
    """Of all numbers together; None where one side is zero."""
    a, b = (torch.cat([part.flatten() for part in side]).double() for side in (ours, theirs))
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size else None
