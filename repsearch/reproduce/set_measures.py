"""What is measured of a set of models: how different they are, what they gain together, and how they bear shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repsearch.corruptions import CORRUPTIONS, corrupt
from repsearch.differences import (
    chance_disagreement,
    cka,
    disagreement,
    distinct_models,
    divergence,
    ensemble,
    error_correlation,
)
from repsearch.evaluation import logits, share_correct
from repsearch.matching import barrier, match, parameter_distance
from repsearch.networks import Network, activations

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split

REPRESENTED, POINTS = 300, 5
"""Test images whose representations are compared; points on the way from one model to another, both included."""


def compared(models: Sequence[Network], data: Dataset) -> dict[str, Any]:
    """How different models are on the test images, and what they gain together.

    Returns:
        `accuracy` of each, in 0..1; `pairs`, what `repsearch.differences` says of each two, `over_chance` being their
        disagreement as a share of chance's, and what `weights_apart` does; `ensemble`, see `differences.ensemble`;
        `distinct`, the effective number of different predictions.
    """
    split, found = data.test, [logits(model, data.test.images) for model in models]
    accuracy = [share_correct(each, split.labels) for each in found]
    seen = [_representations(model, split.images[:REPRESENTED]) for model in models]
    pairs = []
    for i, j in combinations(range(len(models)), 2):
        differ = disagreement(found[i], found[j])
        pairs.append({
            "models": [i, j], "disagreement": differ,
            "over_chance": differ / chance_disagreement(accuracy[i], accuracy[j], split.classes),
            "error_correlation": error_correlation(found[i], found[j], split.labels),
            "divergence": divergence(found[i], found[j]),
            "cka": [cka(one, other) for one, other in zip(seen[i], seen[j], strict=True)],
            **weights_apart(models[i], models[j], data.train),
        })
    return {"accuracy": accuracy, "pairs": pairs, "ensemble": asdict(ensemble(found, split.labels)),
            "distinct": distinct_models([each.softmax(1) for each in found])}


def weights_apart(one: Network, other: Network, split: Split) -> dict[str, float]:
    """How far weights are apart, and how high the loss rises half way and thereabouts; both also after the channels of
    the second were put in the order in which they are nearest to the first's.

    Args:
        one, other: of one shape.
        split: images of the loss, and of BatchNorm's statistics.
    """
    matched = match(other, one)
    return {"distance": parameter_distance(one, other), "matched_distance": parameter_distance(one, matched),
            "barrier": barrier(one, other, split, split.images, POINTS),
            "matched_barrier": barrier(one, matched, split, split.images, POINTS)}


def _representations(model: Network, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [H.flatten(1) for H in activations(model, images)[:-1]]


def shifted(
    models: Sequence[Network], data: Dataset, count: int, severities: Sequence[int]
) -> dict[str, Any]:
    """Accuracies on the first test images, clean and corrupted, means over the models.

    Args:
        models: to try.
        data: its test images, and the statistics by which they were standardised.
        count: how many images.
        severities: of each corruption.

    Returns:
        `clean`, in 0..1; `corrupted`, by the corruption's name, one number a severity.
    """
    split = data.test[:count]
    mean, std = (each.reshape(1, -1, 1, 1) for each in (data.mean, data.std))
    pixels = (split.images * std + mean).clamp(0, 1)

    def changed(name: str, severity: int) -> Tensor:
        if pixels.shape[1] == 3:
            return (corrupt(pixels, name, severity) - mean) / std
        return (corrupt(pixels.repeat(1, 3, 1, 1), name, severity).mean(1, keepdim=True) - mean) / std

    def accuracy(images: Tensor) -> float:
        return sum(share_correct(logits(model, images), split.labels) for model in models) / len(models)

    return {"clean": accuracy(split.images),
            "corrupted": {name: [accuracy(changed(name, severity)) for severity in severities]
                          for name in CORRUPTIONS}}
