"""Trainings of the source's network by greedy evolution and by what it is compared with; Figures 2 and 7."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from repsearch.config import FitConfig
from repsearch.fitting import fit
from repsearch.method import Batch
from repsearch.methods.backprop import Backprop
from repsearch.methods.goea import GOEA
from repsearch.reproduce.goea.mixed import Mixed
from repsearch.reproduce.goea.network import judge, network, settle, shown

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split
    from repsearch.reproduce.samples import Sample

METHODS = {"Backprop": Backprop, "GOEA": GOEA, "Mixed": Mixed}


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        name: of the cell.
        method: a key of `METHODS`.
        fit: how `repsearch.fit` runs it; a generation is an epoch, whose one batch is all training images.
        arguments: of the method.
    """

    name: str
    method: str
    fit: FitConfig
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """Trainings from the same weights on the same images, without dropout.

    Args:
        sample: images.
        cells: the trainings.
        every: epochs from one look at loss and accuracy to the next.
        start: share of training images that greedy evolution teaches the network before; 0 is from its initial weights.
        patience: generations of that at most.
    """

    sample: Sample
    cells: tuple[Cell, ...]
    every: int = 10
    start: float = 0.0
    patience: int = 400


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train once a cell.

    Returns:
        `start`: generations before. `cells`, by name: `curve`, rows of what `COLUMNS` says; `spent`, in F; and of
        evolution `stalls`, generations that took no step, and `rise`, by how much its loss rose at most from one
        generation to the next, 0 if it never did.
    """
    data = shown(setup.sample.load(root, seed))
    net = network(drop_in=0, drop=0, seed=seed)
    return {"images": setup.sample.counts(data), "start": _brought(setup, net, data.train, seed), "columns": COLUMNS,
            "cells": {cell.name: _trained(setup, cell, deepcopy(net), data, seed) for cell in setup.cells}}


APART = 10**6
"""Added to the seed of what comes before the trainings, so that they don't draw its steps again."""
COLUMNS = ("epochs", "spent", "train_loss", "train_accuracy", "test_loss", "test_accuracy")


def _brought(setup: Setup, net: nn.Sequential, split: Split, seed: int) -> int:
    """Bring the network to where `setup` starts; the generations that took.

    By algorithm 1 as printed, which is quicker than the best of a generation. Where SGD learns as much, the loss curves
    so strongly that steps of the usual size all make it worse.
    """
    if setup.start == 0:
        return 0
    method, config = GOEA(accept="first", dropout="off"), FitConfig(epochs=1, batch=len(split))
    batch, hook = Batch(split.images, split.labels, 0, len(split)), net.register_forward_pre_hook(settle)
    method.start(net, None, config, seed + APART)  # type: ignore[arg-type]
    generation = 0
    while generation < setup.patience and judge(net, split)[1] < setup.start:
        method.step(net, batch, config)
        generation += 1
    hook.remove()
    return generation


def _trained(setup: Setup, cell: Cell, net: nn.Sequential, data: Dataset, seed: int) -> dict[str, Any]:
    method = METHODS[cell.method](**cell.arguments)
    if cell.method != "Backprop":
        # Members are made of weights that no power iteration has seen.
        net.register_forward_pre_hook(settle)
    looks: list[tuple[int, list[float]]] = []

    def look(epoch: int, model: nn.Module) -> None:
        if epoch % setup.every == 0:
            looks.append((epoch, [*judge(model, data.train), *judge(model, data.test)]))

    with warnings.catch_warnings():
        # A first generation without an improvement is one of those that are counted.
        warnings.filterwarnings("ignore", ".*left no gradient and moved no weight")
        history = fit(net, data, method, cell.fit, seed, progress=False, watch=look)
    if looks[-1][0] < len(history.loss):
        looks.append((len(history.loss), [*judge(net, data.train), *judge(net, data.test)]))
    spent = [0.0, *history.spent]
    found: dict[str, Any] = {"curve": [[epoch, spent[epoch], *row] for epoch, row in looks], "spent": spent[-1]}
    if "accepted" in history.parts:
        found["stalls"] = sum(share == 0 for share in history.parts["accepted"])
        found["rise"] = max([0.0, *(after - before for before, after in pairwise(history.loss))])
    return found
