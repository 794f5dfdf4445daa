"""Evolution in the space of weights: trainings by one method or another, each within a budget of forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from repsearch.airbench import learn_network
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.reproduce.contenders import CONTENDERS

if TYPE_CHECKING:
    from repsearch.data import Dataset
    from repsearch.reproduce.samples import Sample


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        name: of the cell.
        method: a class of `repsearch.methods`.
        arguments: of the method.
        fit: how `repsearch.fit` runs it.
    """

    name: str
    method: str
    fit: FitConfig
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """Trainings of one network on the same images.

    Args:
        sample: images.
        network: sizes of a perceptron's layers, of which the first is how many pixels it sees; or None for the
            convolutional network of the trainings.
        cells: the trainings.
        tested: whether the test images are used, once, at the end of each.
        width, groups, statistics: as in `repsearch.presets.Preset`.
        points: of the curve of validation accuracy that is kept.
    """

    sample: Sample
    network: tuple[int, ...] | None
    cells: tuple[Cell, ...]
    tested: bool = True
    width: int = 32
    groups: int = 1
    statistics: Literal["running", "batch"] = "running"
    points: int = 40


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train once a cell, each from the same weights.

    Returns:
        `cells`, by name: `curve`, pairs of F spent and accuracy on validation images; `best`, the highest of these;
        `spent`, in F; `test_accuracy` with the weights of the best epoch. Or `failed`, where it diverged.
    """
    data = setup.sample.load(root, seed)
    found = {cell.name: _trained(setup, cell, data, seed) for cell in setup.cells}
    return {"images": setup.sample.counts(data), "cells": found}


def _trained(setup: Setup, cell: Cell, data: Dataset, seed: int) -> dict[str, Any]:
    model = learn_network(data, setup, seed) if setup.network is None else perceptron(data, setup.network, seed)
    method = CONTENDERS[cell.method](**cell.arguments)
    try:
        history = fit(model, data, method, cell.fit, seed, progress=False)
    except InputError as error:
        return {"failed": str(error)}
    curve = list(zip(history.spent, history.validation_accuracy, strict=True))
    return {
        "curve": thinned(curve, setup.points), "best": max(history.validation_accuracy), "spent": history.spent[-1],
        "test_accuracy": share_correct(logits(model, data.test.images), data.test.labels) if setup.tested else None,
    }


def perceptron(data: Dataset, sizes: Sequence[int], seed: int) -> nn.Sequential:
    """Layers of these sizes with ReLU between, on images that are averaged to as many pixels as the first size says, or
    lose their margin.

    Example:
        >>> from repsearch import load
        >>> net = perceptron(load("digits", train=50, validation=50, test=50), (64, 32, 10), seed=0)
        >>> sum(weight.numel() for weight in net.parameters())
        2410
    """
    side = data.train.images.shape[-1]
    pixels = round((sizes[0] / data.train.images.shape[1]) ** 0.5)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = [layer for n, m in pairwise(sizes) for layer in (nn.Linear(n, m), nn.ReLU())]
    smaller = nn.AvgPool2d(side // pixels) if side % pixels == 0 else nn.ZeroPad2d((pixels - side) // 2)
    return nn.Sequential(smaller, nn.Flatten(), *layers[:-1])


def thinned(curve: Sequence[tuple[float, float]], points: int) -> list[tuple[float, float]]:
    """At most so many points of it, the last among them."""
    step = max(1, -(-len(curve) // points))
    return list(curve[len(curve) - 1 :: -step])[::-1]
