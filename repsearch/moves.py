"""How far a search moves a network's activations, and whether downhill: its targets beside the gradient there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.networks import device_of, modes_kept, rest
from repsearch.populations import own_activations

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.store.reader import Targets


@dataclass(frozen=True)
class Move:
    """From the activations H of images to their targets T in one block, means over the images.

    Args:
        length: of T - H, as a share of H's.
        downhill: cosine of T - H and minus the gradient of the label's cross-entropy at H, which is the direction that
            back-propagation would move H in.
        others: the same cosine with another image's gradient.
    """

    length: float
    downhill: float
    others: float


def moves(
    network: nn.Module, targets: Targets, split: Split, config: SearchConfig, images: int = 256
) -> dict[str, Move]:
    """The moves of each block that has targets, for the first so many images.

    Args:
        network: the one that was searched.
        targets: what was found.
        split: of these images.
        config: of the search; says whether activations are normalised.
    """
    some, found = split[:images], {}
    with modes_kept(network):
        network.eval()
        x, labels = some.images.to(device_of(network)), some.labels.to(device_of(network))
        with torch.no_grad():
            layers = own_activations(network, x, replace(config, pull=1.0))
        for block, H in enumerate(layers):
            name = f"block{block}"
            if H is not None and name in targets.layers:
                downhill = -gradient_at(network, block, H, labels)
                moved = targets.read(name, 0, len(some)).to(H) - H
                found[name] = Move(
                    float((moved.flatten(1).norm(dim=1) / H.flatten(1).norm(dim=1)).mean()),
                    float(F.cosine_similarity(moved.flatten(1), downhill.flatten(1)).mean()),
                    float(F.cosine_similarity(moved.flatten(1), downhill.roll(1, 0).flatten(1)).mean()),
                )
    return found


def mean_of(parts: Sequence[dict[str, Move]]) -> dict[str, Move]:
    """The moves of as many images each, together."""
    return {name: Move(*(sum(getattr(part[name], entry.name) for part in parts) / len(parts) for entry in fields(Move)))
            for name in (parts[0] if parts else ())}


def gradient_at(network: nn.Module, block: int, H: Tensor, labels: Tensor) -> Tensor:
    """Of each image's cross-entropy by its activations H (B, C, H, W) of a block."""
    with torch.enable_grad():
        at = H.detach().requires_grad_()
        loss = F.cross_entropy(rest(network, block, at), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, at)
    return gradient
