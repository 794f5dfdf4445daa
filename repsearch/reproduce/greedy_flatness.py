"""How flat the minima of SGD are, and what that is good for: figures 3, 8 to 13, 14 and 15.

    tensor-mean   delta = diameter * mean|W| * eps        of each tensor W, eps ~ N(0, I)
    filter        delta_i = diameter * |W_i| * eps_i / |eps_i|  of each filter or unit W_i; none of biases

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD": its code has the first, its
text names the second, which is Li et al. 2018's. Weights alone are moved; its code moves the buffers of the spectral
norm, too. Its figures 8 and 13 are the same plot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from repsearch.reproduce.greedy_network import (
    ARCHETYPES,
    DEFAULT,
    HIDDEN,
    Recipe,
    flat,
    greedy_network,
    learn,
    measure,
    pictures,
    place,
    shown,
)
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.data import Split
    from repsearch.reproduce.samples import Sample

Scale = Literal["tensor-mean", "filter"]
SCALES: tuple[Scale, ...] = ("tensor-mean", "filter")
ROBUST = (0.1, 0.25, 0.5)
"""Feature dropout of figure 3; that of the input is 0.1 with all of them."""
SWEEPS: dict[str, dict[float, Recipe]] = {
    "dropout": {0.0: replace(DEFAULT, input_dropout=0.0, dropout=0.0), 0.1: DEFAULT,
                0.25: replace(DEFAULT, input_dropout=0.25, dropout=0.25),
                0.5: replace(DEFAULT, input_dropout=0.5, dropout=0.5)},
    "maps": {4: replace(DEFAULT, maps=4, hidden=12), 8: DEFAULT, 16: replace(DEFAULT, maps=16),
             32: replace(DEFAULT, maps=32, hidden=48)},
    "batch": {4: replace(DEFAULT, batch=4), 32: DEFAULT, 128: replace(DEFAULT, batch=128)},
    "epochs": {2: replace(DEFAULT, epochs=2), 8: replace(DEFAULT, epochs=8), 32: replace(DEFAULT, epochs=32)},
}
"""Figures 9 to 12: one thing changed at a time, in all ten classes; sizes are those of the source's code."""
RECIPES: dict[str, Recipe] = {**ARCHETYPES, "default": DEFAULT} | {
    f"{what}-{value}": recipe for what, recipes in SWEEPS.items() for value, recipe in recipes.items()
    if recipe != DEFAULT}
"""By the name of the variant; archetypes see the labels of eight classes before the transfer."""


@dataclass(frozen=True)
class Setup:
    """A training, and the surroundings of where it ends.

    Args:
        sample: its training images are trained on, its test images looked at.
        recipe: the network, and SGD.
        occluded: whether SGD gets no labels of the hidden classes before the transfer.
        transfer: epochs of SGD with all labels after it.
        transfer_rate: of SGD in them; that of the training lets the brittle networks swing from class to class.
        diameters: of perturbations.
        directions: random ones, each followed through all diameters.
        images: first test images, whose accuracy and loss are followed.
    """

    sample: Sample
    recipe: Recipe
    occluded: bool = False
    transfer: int = 0
    transfer_rate: float = 0.006
    diameters: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5)
    directions: int = 5
    images: int = 1000


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train, and look around.

    Accuracies are shares of all test images, in 0..1. Before the transfer, where labels are occluded, `flatness` and
    `robustness` know no label of the hidden classes either: they count as wrong, and not in the loss.

    Returns:
        `test`, `loss` and `accuracy` of all ten classes, without dropout, and `new`, the accuracy of the hidden ones;
        `flatness` by scale: see `flatness`; where labels are occluded, `robustness`, `loss` and `accuracy` by feature
        dropout; and `transfer`: after each epoch of it `test` and `flatness`, of the scale "tensor-mean".
    """
    data, generator = pictures(setup.sample, root, seed), generator_of(seed, 2)
    train, test = data.train, data.test
    hide = shown if setup.occluded else _all
    model = greedy_network(setup.recipe, seed)
    learn(model, train.images, hide(train.labels), setup.recipe, generator)
    found: dict[str, Any] = {"images": setup.sample.counts(data), "test": tested(model, test), "transfer": []}
    found["flatness"] = {scale: flatness(model, test.images, hide(test.labels), setup, scale, seed) for scale in SCALES}
    if setup.occluded:
        found["robustness"] = {str(share): robustness(model, test, share, seed) for share in ROBUST}
    recipe = replace(setup.recipe, rate=setup.transfer_rate, epochs=1)
    for _epoch in range(setup.transfer):
        learn(model, train.images, train.labels, recipe, generator)
        around = flatness(model, test.images, test.labels, setup, "tensor-mean", seed)
        found["transfer"].append({"test": tested(model, test), "flatness": around})
    return found


def tested(model: nn.Module, test: Split) -> dict[str, float]:
    """Loss and accuracy of all classes, and accuracy of the hidden ones."""
    loss, accuracy = measure(model, test.images, test.labels)
    new = torch.isin(test.labels, torch.tensor(HIDDEN))
    return {"loss": loss, "accuracy": accuracy, "new": measure(model, test.images[new], test.labels[new])[1]}


def _all(labels: Tensor) -> Tensor:
    return labels


# --- flatness ---------------------------------------------------------------------------------------------------------


def flatness(
    model: nn.Module, images: Tensor, labels: Tensor, setup: Setup, scale: Scale, seed: int
) -> list[dict[str, Any]]:
    """Along random directions.

    Args:
        model: in eval mode; it ends as it was.
        images, labels: the first `setup.images` are looked at.

    Returns:
        Of each diameter, 0 the first, `accuracy` and `loss`, means over the directions, and the `accuracies`.
    """
    images, labels = images[: setup.images], labels[: setup.images]
    start, generator = flat(model.parameters()), generator_of(seed, 3)
    lines = [direction(list(model.parameters()), scale, generator) for _ in range(setup.directions)]
    loss, accuracy = measure(model, images, labels)
    found = [{"diameter": 0.0, "accuracy": accuracy, "loss": loss, "accuracies": [accuracy]}]
    for diameter in setup.diameters:
        losses, accuracies = [], []
        for line in lines:
            place(model, start + diameter * line)
            loss, accuracy = measure(model, images, labels)
            losses.append(loss)
            accuracies.append(accuracy)
        found.append({"diameter": diameter, "accuracy": sum(accuracies) / len(lines),
                      "loss": sum(losses) / len(lines), "accuracies": accuracies})
    place(model, start)
    return found


def direction(weights: Sequence[Tensor], scale: Scale, generator: torch.Generator) -> Tensor:
    """A random direction of the length of a diameter of 1, (dimension,), for these weights, in order."""
    parts = []
    for weight in weights:
        noise = torch.randn(weight.shape, generator=generator)
        parts.append(noise * weight.detach().abs().mean() if scale == "tensor-mean" else _like_filters(noise, weight))
    return flat(parts)


def _like_filters(noise: Tensor, weight: Tensor) -> Tensor:
    """Each filter of the noise with the norm of the weight's; 0 for a bias."""
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    dimensions = list(range(1, weight.ndim))
    wanted, drawn = (part.detach().square().sum(dimensions, keepdim=True).sqrt() for part in (weight, noise))
    return noise * wanted / drawn


# --- robustness -------------------------------------------------------------------------------------------------------


def robustness(model: nn.Module, test: Split, share: float, seed: int) -> dict[str, float]:
    """Loss and accuracy of the shown classes with dropout in the input, 0.1, and before layers 2 to 5.

    The model, in eval mode, ends as it was.
    """
    places = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    before = [module.p for module in places]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(seed, 4).initial_seed())
        for number, module in enumerate(places):
            module.p = share if number else 0.1
            module.train()
        loss, accuracy = measure(model, test.images, shown(test.labels))
    for module, p in zip(places, before, strict=True):
        module.p = p
        module.eval()
    return {"loss": loss, "accuracy": accuracy}
