"""Rules that train a network without its end-to-end gradient: trainings as in `strategies`, and how far each rule's
step is from back-propagation's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from repsearch.airbench import learn_network
from repsearch.checks import InputError
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.methods._cut import in_blocks
from repsearch.methods.forward_forward import ForwardForward
from repsearch.reproduce.rule_classes import CLASSES
from repsearch.reproduce.rule_steps import agreement, first_batch
from repsearch.reproduce.strategies import Cell, Setup, perceptron, thinned

if TYPE_CHECKING:
    from repsearch.data import Dataset


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
    method, epochs, cosines = CLASSES[cell.method](**cell.arguments), list[int](), list[list[float | None] | None]()

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
