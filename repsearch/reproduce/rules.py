"""Rules that train a network without its end-to-end gradient: trainings as in `strategies`, and how far each rule's
step is from back-propagation's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.airbench import learn_network
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset, Split
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.method import Batch, Method
from repsearch.methods._cut import in_blocks
from repsearch.methods.activity_perturbation import ActivityPerturbation
from repsearch.methods.backprop import Backprop
from repsearch.methods.feedback_alignment import FeedbackAlignment
from repsearch.methods.forward_forward import ForwardForward
from repsearch.methods.local_losses import LocalLosses
from repsearch.methods.target_propagation import DifferenceTargetPropagation, TargetPropagation
from repsearch.reproduce.strategies import Cell, Setup, perceptron, thinned

RULES: dict[str, Callable[..., Method]] = {method.__name__: method for method in (
    Backprop, LocalLosses, FeedbackAlignment, TargetPropagation, DifferenceTargetPropagation, ForwardForward,
    ActivityPerturbation)}
WATCHED = 250
"""Images of the batch on which steps are compared."""


@dataclass(frozen=True)
class RuleCell(Cell):
    """One training.

    Args:
        name, method, fit, arguments: as in `Cell`.
        network: what is special of the network: {"frozen": True}, only its last layer is trained; {"predict": ...}, how
            a network of Forward-Forward predicts.
    """

    network: dict[str, Any] = field(default_factory=dict)


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train once a cell, each from the same weights.

    Returns:
        `cells`, by name, as of `strategies.run`; where the test images are used, with `cosines`, triples of epochs
        done, F spent, and the cosine a stage between the rule's gradient and back-propagation's, at epochs 0, 1, 2, 4,
        8, ...; None of a stage without a gradient, and for networks that have no end-to-end gradient.
    """
    data = setup.sample.load(root, seed)
    return {"images": setup.sample.counts(data),
            "cells": {cell.name: _trained(setup, cell, data, seed) for cell in setup.cells}}


def _trained(setup: Setup, cell: Cell, data: Dataset, seed: int) -> dict[str, Any]:
    model, data = _network(setup, cell, data, seed)
    method, epochs, cosines = RULES[cell.method](**cell.arguments), list[int](), list[list[float | None] | None]()

    def watch(epoch: int, now: nn.Module) -> None:
        if setup.tested and epoch & (epoch - 1) == 0:
            epochs.append(epoch)
            cosines.append(agreement(now, method, first_batch(data.train), cell.fit))

    try:
        history = fit(model, data, method, cell.fit, seed, progress=False, watch=watch)
    except InputError as error:
        return {"failed": str(error)}
    spent = [0.0, *history.spent]
    found = {
        "curve": thinned(list(zip(history.spent, history.validation_accuracy, strict=True)), setup.points),
        "best": max(history.validation_accuracy), "spent": history.spent[-1],
    }
    if setup.tested:
        found["test_accuracy"] = share_correct(logits(model, data.test.images), data.test.labels)
        found["cosines"] = [(epoch, spent[epoch], each) for epoch, each in zip(epochs, cosines, strict=True)]
    return found


def _network(setup: Setup, cell: Cell, data: Dataset, seed: int) -> tuple[nn.Module, Dataset]:
    """The network of a cell, and the images it sees."""
    special = cell.network if isinstance(cell, RuleCell) else {}
    if cell.method == "ForwardForward":
        assert setup.network is not None
        data = cropped(data, setup.network[0])
        return ForwardForward.Net(setup.network[:-1], len(data.classes), seed=seed, **special), data
    model = learn_network(data, setup, seed) if setup.network is None else perceptron(data, setup.network, seed)
    if special.get("frozen"):
        model.requires_grad_(False)
        in_blocks(model).head.requires_grad_(True)
    return model, data


def cropped(data: Dataset, numbers: int) -> Dataset:
    """Images without their margin, so that each has so many numbers.

    Example:
        >>> from repsearch import load
        >>> cropped(load("digits", train=10, validation=10, test=10), 28 * 28).train
        Split(10 images 1x28x28, 10 classes)
    """
    channels, side = data.train.images.shape[1:3]
    margin = (side - round((numbers / channels) ** 0.5)) // 2
    parts = {name: replace(split, images=split.images[:, :, margin : side - margin, margin : side - margin])
             for name in ("train", "validation", "test") if (split := getattr(data, name))}
    return replace(data, **parts)


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
