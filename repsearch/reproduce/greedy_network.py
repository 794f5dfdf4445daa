"""What the experiments of greedy evolution share: its network, pictures, SGD beside it, and losses at given weights.

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD". Its network has 9,854
weights; spectral norm on all layers but the last divides a weight by its largest singular value. That value comes from
two buffers, singular vectors, which belong to the weights: they are made anew wherever weights have been moved. Or it
is found afresh in each forward pass, which takes longer to learn by, and makes losses a function of the weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from repsearch.data import Dataset, Split, load
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Sample

SIDE, CLASSES = 28, 10
HIDDEN = (8, 9)
"""Classes that SGD is not told of before the transfer."""
CHUNK = 400
"""Images that go through the network at once; more of them leave the cache."""
Way = Literal["one", "best", "mean", "sum"]
"""How a step is made of many; see `combined`."""


@dataclass(frozen=True)
class Recipe:
    """A network and how SGD trains it, at a constant rate and without momentum.

    Args:
        maps: LM; the four convolutions have LM, 2 LM, LM and LM/2 maps.
        hidden: LW, units of the hidden layer.
        input_dropout: DI, share of the pixels that are left out.
        dropout: DO, share of the features that are left out before each of the layers 2 to 5.
        batch: images a step.
        epochs: passes over the training images, in a new order each.
        rate: of SGD. The source has .002 and 60,000 images. With a sixth of the images it takes twelve times as much
            for the slowest archetype to learn in ten epochs, on validation images.
    """

    maps: int = 8
    hidden: int = 24
    input_dropout: float = 0.1
    dropout: float = 0.1
    batch: int = 32
    epochs: int = 10
    rate: float = 0.024


DEFAULT = Recipe()
PLAIN = Recipe(input_dropout=0.0, dropout=0.0)
"""Without dropout, so that fitness is a function of the weights alone."""
ARCHETYPES = {
    "robust-wide": Recipe(maps=16, hidden=48, dropout=0.25, batch=4),
    "brittle-narrow": replace(PLAIN, maps=4, hidden=12, batch=128),
    "brittle-wide": replace(PLAIN, maps=16, hidden=48, batch=128),
}


def greedy_network(recipe: Recipe, seed: int, exact: bool = False) -> nn.Sequential:
    """Images (B, 1, 28, 28) to logits (B, 10), in train mode.

    Args:
        recipe: gives sizes and dropout.
        seed: of the initial weights.
        exact: whether the spectral norm finds singular values afresh; else by a power iteration in train mode.

    Example:
        >>> sum(weight.numel() for weight in greedy_network(Recipe(), seed=0).parameters())
        9854
    """
    maps, features = recipe.maps, recipe.maps // 2 * (SIDE // 4) ** 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(seed, 0).initial_seed())
        layers = (nn.Conv2d(1, maps, 5, padding=2), nn.Conv2d(maps, 2 * maps, 5, padding=2),
                  nn.Conv2d(2 * maps, maps, 3, padding=1), nn.Conv2d(maps, maps // 2, 3, padding=1),
                  nn.Linear(features, recipe.hidden))
        last = nn.Linear(recipe.hidden, CLASSES)
        first, second, third, fourth, wide = (
            parametrize.register_parametrization(layer, "weight", _Divided()) if exact else spectral_norm(layer)
            for layer in layers)
    out = recipe.dropout
    return nn.Sequential(
        nn.Dropout(recipe.input_dropout), first, nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(out), second, nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(out), third, nn.ReLU(), nn.Dropout(out), fourth, nn.ReLU(), nn.Flatten(),
        nn.Dropout(out), wide, nn.ReLU(), last).to(memory_format=torch.channels_last)


class _Divided(nn.Module):
    """A weight divided by its largest singular value."""

    def forward(self, weight: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.matrix_norm(weight.flatten(1), 2)
        return weight / norm


@torch.no_grad()
def settle(model: nn.Module) -> None:
    """Give the spectral norms the singular vectors of the weights as they are: what power iterations tend to."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            weight: Any = module.parametrizations.weight  # type: ignore[union-attr]
            if isinstance(weight[0], _Divided):
                continue
            U, _, Vh = torch.linalg.svd(weight.original.flatten(1), full_matrices=False)
            weight[0]._u.copy_(U[:, 0])
            weight[0]._v.copy_(Vh[0])


# --- pictures ---------------------------------------------------------------------------------------------------------


def pictures(sample: Sample, root: str | None, seed: int) -> Dataset:
    """The images that this seed takes, 28x28, with pixels in -1..1; the training images in random order.

    The order that `load` gives them has each class in turn, so that batches would differ less than those of SGD.
    """
    data = load(sample.data, root, sample.train, sample.test, seed, sample.validation, size=SIDE)
    half = torch.full_like(data.mean, 0.5)
    parts = (_scaled(part, data) for part in (data.train, data.validation, data.test))
    train, validation, test = parts
    order = torch.randperm(len(train), generator=generator_of(seed, 1))
    return replace(data, train=train[order], validation=validation, test=test, mean=half, std=half)


def _scaled(split: Split, data: Dataset) -> Split:
    pixels = split.images * data.std[:, None, None] + data.mean[:, None, None]
    return replace(split, images=2 * pixels - 1)


def shown(labels: Tensor) -> Tensor:
    """Labels (N,), those of hidden classes as -100, which cross-entropy passes over."""
    return labels.masked_fill(torch.isin(labels, torch.tensor(HIDDEN)), -100)


# --- SGD and losses ---------------------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over images (N, classes) whose label (N,) is not -100; 0 where there is none, and not NaN."""
    return F.cross_entropy(logits, labels, reduction="sum") / (labels >= 0).sum().clamp(min=1)


def learn(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, generator: torch.Generator,
    epochs: int | None = None,
) -> None:
    """Train the network by SGD; it ends in eval mode, its spectral norms settled.

    Args:
        model: trained in place.
        images, labels: (N, 1, 28, 28), (N,); images with label -100 are fed, and count for nothing.
        recipe: gives batch, rate, and epochs.
        generator: of the order of the images, and of dropout.
        epochs: in place of the recipe's.
    """
    optimizer = torch.optim.SGD(model.parameters(), recipe.rate)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        for _ in range(recipe.epochs if epochs is None else epochs):
            order = torch.randperm(len(images), generator=generator)
            for rows in torch.split(order, recipe.batch):
                optimizer.zero_grad()
                loss = cross_entropy(model(_fast(images[rows])), labels[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    model.eval()
    settle(model)


@torch.no_grad()
def measure(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Loss over the images whose label is not -100, and the share of all images that are labelled right, in 0..1.

    Whether dropout is active, and which singular vectors the spectral norms have, is the caller's.
    """
    logits = torch.cat([model(_fast(part)) for part in torch.split(images, CHUNK)])
    return float(cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())


def gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of the mean cross-entropy, with respect to all weights, (dimension,)."""
    loss = cross_entropy(model(_fast(images)), labels)
    return flat(torch.autograd.grad(loss, list(model.parameters())))


def flat(parts: Any) -> Tensor:
    """Tensors as one vector, in order."""
    return torch.cat([part.detach().flatten() for part in parts])


@torch.no_grad()
def place(model: nn.Module, weights: Tensor) -> None:
    """Give the network these weights (dimension,), in the order of `flat(model.parameters())`, and settle it."""
    start = 0
    for weight in model.parameters():
        weight.copy_(weights[start : start + weight.numel()].view(weight.shape))
        start += weight.numel()
    settle(model)


def combined(steps: Tensor, gains: Tensor, way: Way) -> Tensor:
    """One step (dimension,) of N: the first that gains, the best, the mean of those that gain, or the sum of all
    weighted with what they gain more than the mean.

    Where none gains, the first two are the first step and the best, and the mean is 0.

    Args:
        steps: (N, dimension).
        gains: (N,), over the weights that the steps start from.
    """
    if way in ("one", "best"):
        return steps[int((gains > 0).int().argmax() if way == "one" else gains.argmax())]
    weights = (gains > 0).to(steps.dtype) if way == "mean" else gains - gains.mean()
    return weights @ steps / len(steps)


def _fast(images: Tensor) -> Tensor:
    """In the order of memory in which convolutions are faster."""
    return images.to(memory_format=torch.channels_last) if images.dtype == torch.float32 else images.contiguous()
