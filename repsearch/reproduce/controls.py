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
    """In later rounds searches for the labels of other images."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    split = data.train
    others = Split(split.images, split.labels[order], split.classes, split.indices)

    def change(number: int, network: nn.Module, targets: Targets) -> Targets:
        if number == 0:
            return targets
        found = search(network, others, config.search_of(number), seed, progress=False)
        return remade(found, tensors_of(found), split)

    return change


def downhill(data: Dataset, config: AlternateConfig) -> Change:
    """In later rounds a step of the activations along minus the gradient of the label's cross-entropy, as long as the
    search's own."""

    def change(number: int, network: nn.Module, targets: Targets) -> Targets:
        return targets if number == 0 else targets.changed(stepped(network, data.train, config, targets))

    return change


def stepped(
    network: nn.Module, split: Split, config: AlternateConfig, targets: Targets
) -> Callable[[str, Tensor], Tensor]:
    """Of each block, the network's own activations after such a step."""
    own: dict[str, list[Tensor]] = {}
    for start in range(0, len(split), 500):
        some = split[start : start + 500]
        with one_thread():
            with torch.no_grad():
                layers = own_activations(network, some.images, replace(config.search_of(1), pull=1.0))
            for block, H in enumerate(layers):
                if H is not None:
                    found = targets.read(f"block{block}", start, start + len(some))
                    own.setdefault(f"block{block}", []).append(_step(network, block, H, some.labels, found))
    return lambda block, _: torch.cat(own[block])


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
