"""What a network learns from in place of what a round's search found: controls of `repsearch.alternate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from repsearch import measure
from repsearch.data import Dataset, Split
from repsearch.engine.threads import one_thread
from repsearch.moves import gradient_at
from repsearch.networks import activations
from repsearch.populations import normalised, own_activations
from repsearch.remade import remade, tensors_of
from repsearch.searching import search
from repsearch.store.reader import Targets

if TYPE_CHECKING:
    from repsearch.rounds import AlternateConfig

Change = Callable[[int, nn.Module, Targets], Targets]


def first_targets() -> Change:
    """Those of round 0 in every round: as many epochs, and no second search."""
    kept: list[Targets] = []

    def change(number: int, _: nn.Module, targets: Targets) -> Targets:
        if number == 0:
            kept[:] = [targets]
        return kept[0]

    return change


def shrunk(data: Dataset, share: float) -> Change:
    """Targets drawn to the mean of their class, but for a `share` of their distance to it; with none class means."""

    def nearer(_: str, H: Tensor) -> Tensor:
        means = measure.class_means(H, data.train.labels)
        return means + share * (H - means)

    return lambda _, __, targets: targets.changed(nearer)


def wrong_labels(data: Dataset, config: AlternateConfig, seed: int) -> Change:
    """In later rounds blocks are searched for the labels of other images; the head still learns its own image's."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    split = data.train
    others = Split(split.images, split.labels[order], split.classes, split.indices)

    def change(number: int, network: nn.Module, targets: Targets) -> Targets:
        if number == 0:
            return targets
        found = search(network, others, config.search_of(number), seed, progress=False)
        return remade(found, {**tensors_of(found), "logits": targets.read("logits")}, split)

    return change


def still(data: Dataset, config: AlternateConfig) -> Change:
    """In later rounds each block's targets are what the network itself makes of the images; the head learns on."""
    return moved(data, config, torch.zeros(len(data.train), dtype=torch.long), share=0.0)


def others_moves(data: Dataset, config: AlternateConfig, seed: int) -> Change:
    """In later rounds each image is moved as the search moved another: as far, as smooth, and not for its label."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    return moved(data, config, order, share=1.0)


def moved(data: Dataset, config: AlternateConfig, order: Tensor, share: float) -> Change:
    """In later rounds the network's own activations, moved by a `share` of how the search moved the images `order`."""

    def change(number: int, network: nn.Module, targets: Targets) -> Targets:
        if number == 0:
            return targets
        own = activations_of(network, data.train, config)
        return targets.changed(lambda block, H: own[block] + share * (H - own[block])[order])

    return change


def activations_of(network: nn.Module, split: Split, config: AlternateConfig) -> dict[str, Tensor]:
    """What a network that is searched in later rounds itself makes of images, by block."""
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(split), 500):
        with torch.no_grad(), one_thread():
            images = split.images[start : start + 500]
            for block, H in enumerate(own_activations(network, images, replace(config.search_of(1), pull=1.0))):
                if H is not None:
                    parts.setdefault(f"block{block}", []).append(H)
    return {block: torch.cat(part) for block, part in parts.items()}


def downhill(data: Dataset, config: AlternateConfig) -> Change:
    """In later rounds a step of the activations along minus the gradient of the label's cross-entropy, as long as the
    search's own."""

    def change(number: int, network: nn.Module, targets: Targets) -> Targets:
        return targets if number == 0 else targets.changed(stepped(network, data.train, config))

    return change


def stepped(
    network: nn.Module, split: Split, config: AlternateConfig
) -> Callable[[str, Tensor], Tensor]:
    """Of each block, the network's own activations after such a step."""
    own = activations_of(network, split, config)

    def step(block: str, found: Tensor) -> Tensor:
        parts = zip(*(torch.split(H, 500) for H in (own[block], split.labels, found)), strict=True)
        with one_thread():
            return torch.cat([_step(network, int(block.removeprefix("block")), *part) for part in parts])

    return step


def _step(network: nn.Module, block: int, H: Tensor, labels: Tensor, found: Tensor) -> Tensor:
    gradient = gradient_at(network, block, H, labels)
    length = (found - H).flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
    step: Tensor = H - length[:, None, None, None] * gradient
    return step


def taught(teacher: nn.Module, split: Split, config: AlternateConfig) -> Change:
    """What a trained network makes of the images, normalised as targets are."""

    def change(_: int, __: nn.Module, targets: Targets) -> Targets:
        parts = []
        with torch.no_grad(), one_thread():
            for images in torch.split(split.images, 500):
                parts.append([normalised(H, config.search) for H in activations(teacher, images)[:-1]])
        whole = {f"block{block}": torch.cat(layer) for block, layer in enumerate(zip(*parts, strict=True))}
        return targets.changed(lambda block, _: whole[block])

    return change
