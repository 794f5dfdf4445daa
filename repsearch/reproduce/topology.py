"""Networks whose links evolve beside their weights (NEAT), at its own size: the exclusive or, and odd and even digits,
where back-propagation stands beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from repsearch.config import FitConfig
from repsearch.data import Dataset, Split
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.methods.backprop import Backprop
from repsearch.methods.neat import NEAT
from repsearch.reproduce.strategies import perceptron

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Sample

ARMS: dict[str, dict[str, Any]] = {"weights and links": {}, "weights alone": {"add_node": 0, "add_link": 0}}
CORNERS, EXCLUSIVE = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).view(4, 1, 1, 2), torch.tensor([0, 1, 1, 0])


@dataclass(frozen=True)
class Setup:
    """Two tasks, each with links that evolve, and with those to begin with.

    Args:
        sample: images of digits.
        sgd: how a perceptron with one hidden layer is trained on the digits.
        hidden: its units.
        side: pixels of a side that the networks see.
        population: members a generation.
        patience: generations for the exclusive or.
        generations: for odd and even digits.
    """

    sample: Sample
    sgd: FitConfig
    hidden: int = 8
    side: int = 8
    population: int = 150
    patience: int = 100
    generations: int = 60


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Evolve, and train.

    Returns:
        `exclusive_or` and `digits`, by arm: of the generation that does best on validation images, the first of equals,
        its `validation` accuracy, hidden `nodes` and enabled `links`, and `passes`, evaluations of a network until
        then; and the `test` accuracy. Of `digits` also "back-propagation". Accuracies are in 0..1.
    """
    data = setup.sample.load(root, seed)
    digits = replace(data, classes=("even", "odd"), train=odd(data.train), validation=odd(data.validation),
                     test=odd(data.test))
    corners = Split(CORNERS, EXCLUSIVE, 2, torch.arange(4))
    table = Dataset("corners", ("same", "different"), corners, corners, corners, torch.zeros(1), torch.ones(1))
    return {"images": setup.sample.counts(data), "exclusive_or": _arms(setup, table, seed, setup.patience),
            "digits": {**_arms(setup, digits, seed, setup.generations, setup.side),
                       "back-propagation": _by_gradient(setup, digits, seed)}}


def _arms(setup: Setup, data: Dataset, seed: int, generations: int, side: int | None = None) -> dict[str, Any]:
    found = {}
    for arm, more in ARMS.items():
        net = NEAT.Net(side**2 if side else 2, 2, side=side, seed=seed)
        config = FitConfig(epochs=generations, batch=len(data.train))
        history = fit(net, data, NEAT(setup.population, **more), config, seed, progress=False)
        best = max(history.validation_accuracy)
        at = history.validation_accuracy.index(best)
        found[arm] = {
            "validation": best, "test": share_correct(logits(net, data.test.images), data.test.labels),
            "passes": (at + 1) * setup.population, **{key: history.parts[key][at] for key in ("nodes", "links")}}
    return found


def _by_gradient(setup: Setup, data: Dataset, seed: int) -> dict[str, Any]:
    sizes = (setup.side**2, setup.hidden, 2)
    net = perceptron(data, sizes, seed)
    history = fit(net, data, Backprop(), setup.sgd, seed, progress=False)
    best = max(history.validation_accuracy)
    epochs = history.validation_accuracy.index(best) + 1
    return {"validation": best, "test": share_correct(logits(net, data.test.images), data.test.labels),
            "passes": 3 * epochs, "nodes": setup.hidden, "links": setup.hidden * (sizes[0] + sizes[2])}


def odd(split: Split) -> Split:
    """Images of digits, whose label is 1 if the digit is odd.

    Example:
        >>> from repsearch import load
        >>> odd(load("digits", train=50, validation=50, test=50).train)
        Split(50 images 1x32x32, 2 classes)
    """
    return Split(split.images, split.labels % 2, 2, split.indices)
