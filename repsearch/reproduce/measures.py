"""What is measured of a search, and of a network in training (section 4.5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from repsearch import measure
from repsearch.data import Split
from repsearch.fitting import Watch
from repsearch.networks import activations, device_of, layer_names, modes_kept
from repsearch.reproduce.samples import generator_of
from repsearch.store.reader import Targets


def search_result(targets: Targets, data: Split) -> dict[str, Any]:
    """What a search found, layer by layer: the mean best cross-entropy at the start and the end, and of every
    generation, in nats; the share of images whose best ever rises, whose label has a probability above one half in the
    end, and of the targets' variance that lies between classes."""
    curves = {layer: targets.cross_entropy(layer) for layer in targets.layers}
    return {
        "cross_entropy": {layer: curve.mean(0)[[0, -1]].tolist() for layer, curve in curves.items()},
        "curve": {layer: curve.mean(0).tolist() for layer, curve in curves.items()},
        "rises": {layer: float((curve.diff(dim=1) > 0).any(1).float().mean()) for layer, curve in curves.items()},
        "above_half": {layer: float(((-curve[:, -1]).exp() > 0.5).float().mean()) for layer, curve in curves.items()},
        "between_class_share": {layer: measure.between_class_share(targets.read(layer), data.labels)
                                for layer in targets.layers},
    }


def watcher(
    split: Split, targets: Targets | None, epochs: int, seed: int, measured: list[dict[str, float]]
) -> Watch | None:
    """What `repsearch.fit` calls to add to `measured` before training, about ten times on the way, and after the last
    epoch, unless a budget has made another the last.

    An entry is of a block and a number of epochs done: the mean cosine distance to an image's own targets and to
    another's, within- and between-class entropies in nats, the first also with shuffled labels.

    Args:
        split: images, of which those that have targets are followed.
        targets: of its first images; None measures nothing.
        epochs: of the training.
        seed: of the controls.
        measured: is added to.
    """
    if targets is None:
        return None
    every = max(1, epochs // 10)

    def watch(epoch: int, model: nn.Module) -> None:
        if epoch % every == 0 or epoch == epochs:
            measured.extend({"epoch": epoch, **row} for row in follow(model, split, targets, seed))

    return watch


@torch.no_grad()
def follow(model: nn.Module, split: Split, targets: Targets, seed: int) -> list[dict[str, float]]:
    """Distances and entropies of each block that has targets (section 4.5), with their controls."""
    labels = split.labels[: len(targets)]
    with modes_kept(model):
        model.eval()
        layers = activations(model, split.images[: len(targets)].to(device_of(model)))
    rows = []
    for block, (name, H) in enumerate(zip(layer_names(model)[:-1], layers, strict=False)):
        if name not in targets.layers:
            continue
        H, wanted, generator = H.cpu(), targets.read(name), generator_of(seed, block)
        within, between = measure.class_entropies(H, labels)
        rows.append({
            "block": block, "distance": _mean(measure.cosine_distance(H, wanted)),
            "distance_others": _mean(measure.cosine_distance_null(H, wanted, generator)), "within": within,
            "between": between, "within_shuffled": measure.class_entropies_null(H, labels, generator)[0],
        })
    return rows


def _mean(values: Tensor) -> float:
    return float(values.mean())
