"""How flat the loss is around trained networks, and how well they bear dropout: Figures 3 and 8 to 13.

A network's weights w are moved to w + D d, where d is a random direction and D the "diameter". Networks are trained
with labels 8 and 9 hidden, and judged on images they have not seen.

Where the source's text, code and plots disagree:

- The text measures steps in standard deviations of activations, and calls that strictly equivalent to the filter
  normalisation of Li et al. 2018. The code takes d = N(0, 1) times the mean |w| of each tensor: "tensor-mean" here.
  Filter normalisation, "filter" here, gives the step of each filter the length of that filter, and biases no step. A
  factor a on one layer and 1/a on the next leaves both curves as they are. Other factors for each unit leave neither.
- The code moves every entry of the state dict, so also the singular vectors that spectral norm remembers. Weights are
  then divided by a wrong number, and losses explode. Here only parameters move, and spectral norm is settled after.
- With two labels hidden, 80.17 % of all test images can be right at most, and Figures 3 and 8 begin below that. The
  curves of Figures 9 and 12 begin at 92 and 93 %. So accuracy is recorded on known classes, and on all.
- Figures 8 and 13 are one plot. The number of directions is 5 or 10; here it is 5.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.evaluation import logits, share_correct
from repsearch.reproduce.goea.network import (
    CHUNK,
    CLASSES,
    KNOWN,
    Pixels,
    masked_loss,
    network,
    settle,
    shown,
    train,
)
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split
    from repsearch.reproduce.samples import Sample

SCALES = ("tensor-mean", "filter")
DIAMETERS = (0.001, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
"""Twenty, from .001 to 1.5, as in the source; which ones it does not say."""


@dataclass(frozen=True)
class Training:
    """How a network is trained by SGD.

    Args:
        drop_in, drop: share of the pixels, and of each block's output, that are dropped; DI and DO in the source.
        batch: images a step; B.
        rate: the highest learning rate.
        epochs: passes over the training images.
    """

    drop_in: float = 0.1
    drop: float = 0.1
    batch: int = 32
    rate: float = 0.1
    epochs: int = 8


@dataclass(frozen=True)
class Net:
    """A network to train and to measure.

    Args:
        name: of the network.
        maps, hidden: maps of its first convolution, LM, and width of its hidden layer, LW.
        training: how it is trained.
    """

    name: str
    maps: int
    hidden: int
    training: Training


@dataclass(frozen=True)
class Setup:
    """Networks, and what is measured of each.

    Args:
        sample: images.
        nets: the networks.
        diameters: of the curves.
        directions: that a curve is the mean of, at least two.
        drops: shares of features that are dropped; the share of pixels is .1 then.
        tested: whether test images judge, or validation images.
    """

    sample: Sample
    nets: tuple[Net, ...]
    diameters: tuple[float, ...] = DIAMETERS
    directions: int = 5
    drops: tuple[float, ...] = (0.1, 0.25, 0.5)
    tested: bool = True

    def images(self, root: str | None, seed: int) -> tuple[Dataset, Split]:
        """The images, with those of training in an order of chance, and the split that judges.

        Batches are consecutive images. In the order they are loaded in, batches of four would know five mixtures of
        classes only.
        """
        data = shown(self.sample.load(root, seed))
        order = torch.randperm(len(data.train), generator=generator_of(seed))
        return replace(data, train=data.train[order]), data.test if self.tested else data.validation


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train every network with labels 8 and 9 hidden, and measure it.

    Returns:
        `nets`, by name: what `measured` gives.
    """
    data, split = setup.images(root, seed)
    nets = {net.name: measured(trained(net, data, seed), data, split, setup, seed) for net in setup.nets}
    return {"images": setup.sample.counts(data), "nets": nets}


def trained(net: Net, data: Dataset, seed: int) -> nn.Sequential:
    """The network, trained on the labels of known classes."""
    how = net.training
    made = network(net.maps, net.hidden, how.drop_in, how.drop, seed)
    train(made, data, how.epochs, how.batch, how.rate, KNOWN, seed)
    return made


def measured(net: nn.Sequential, data: Dataset, split: Split, setup: Setup, seed: int) -> dict[str, Any]:
    """What a record says of a network.

    Returns:
        `weights`, how many; `training`, loss and accuracy on the known training images; `judged`, what `judged` gives
        for the split; `dropout`, by share, loss and accuracy under it; `curves`, what `curves` gives.
    """
    return {
        "weights": sum(weight.numel() for weight in net.parameters()), "training": judged(net, data.train)["known"],
        "judged": judged(net, split),
        "dropout": {f"{drop:g}": under_dropout(net, split, drop, seed=seed) for drop in setup.drops},
        "curves": curves(net, split, setup, seed),
    }


def judged(net: nn.Module, split: Split) -> dict[str, dict[str, float]]:
    """Mean cross-entropy, `loss`, and share correct, `accuracy`, without dropout.

    "gen" of Figure 3 is that of all classes, whose accuracy has the known ones' share as its ceiling.

    Returns:
        Both for images of `known` classes, of `new` ones, whose labels were hidden, and of `all`.
    """
    found, known = logits(net, split.images, CHUNK), split.labels < KNOWN
    return {name: _told(found[rows], split.labels[rows])
            for name, rows in (("known", known), ("new", ~known), ("all", known | ~known))}


def _told(found: Tensor, labels: Tensor) -> dict[str, float]:
    return {"loss": float(masked_loss(found, labels, CLASSES)), "accuracy": share_correct(found, labels)}


# --- dropout ----------------------------------------------------------------------------------------------------------


def set_dropout(net: nn.Module, drop_in: float, drop: float) -> None:
    """Have the network drop these shares of pixels and of features when it is trained."""
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = drop_in if isinstance(part, Pixels) else drop


@torch.no_grad()
def under_dropout(net: nn.Module, split: Split, drop: float, drop_in: float = 0.1, seed: int = 0) -> dict[str, float]:
    """Loss and accuracy on images of known classes while features are dropped; Figure 3's "rob".

    One mask an image. All but dropout is as it is without it: spectral norm must not move.

    Args:
        net: left as it was.
        drop, drop_in: shares of the features, and of the pixels.
        seed: of the masks.
    """
    noisy = copy.deepcopy(net).eval()
    set_dropout(noisy, drop_in, drop)
    for part in noisy.modules():
        if isinstance(part, nn.Dropout):
            part.train()
    seen = split[split.labels < KNOWN]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return _told(torch.cat([noisy(images) for images in torch.split(seen.images, CHUNK)]), seen.labels)


# --- flatness ---------------------------------------------------------------------------------------------------------


def direction(net: nn.Module, scale: str, generator: torch.Generator) -> list[Tensor]:
    """A random direction: a step for every parameter, of its shape.

    Args:
        scale: "tensor-mean", N(0, 1) times the mean |w| of the tensor; or "filter", N(0, 1) brought to the length of
            each filter, which is a row of a linear layer and one output's kernel of a convolution, and 0 for biases.

    Raises:
        InputError: a scale that is neither.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> weight, bias = direction(layer, "filter", torch.Generator().manual_seed(0))
        >>> bool((weight.norm(dim=1) - layer.weight.norm(dim=1)).abs().max() < 1e-6), bias.tolist()
        (True, [0.0, 0.0])
    """
    checks.one_of("scale", scale, SCALES)
    steps = []
    for weight in (parameter.detach() for parameter in net.parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if scale == "tensor-mean":
            steps.append(noise * weight.abs().mean())
        elif weight.ndim < 2:
            steps.append(torch.zeros_like(weight))
        else:
            size = weight.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
            steps.append(noise * size.view(-1, *[1] * (weight.ndim - 1)))
    return steps


def curves(net: nn.Module, split: Split, setup: Setup, seed: int) -> dict[str, dict[str, list[float]]]:
    """What `curve` gives, by scale; nothing without diameters."""
    scales = SCALES if setup.diameters else ()
    return {scale: curve(net, split, scale, setup.diameters, setup.directions, seed) for scale in scales}


@torch.no_grad()
def curve(
    net: nn.Module, split: Split, scale: str, diameters: Sequence[float], directions: int, seed: int
) -> dict[str, list[float]]:
    """What becomes of a network along random directions; Figures 8 to 14.

    Networks of one size are moved along the same noise.

    Args:
        net: left as it was, with its spectral norm settled.
        scale: of the directions, as in `direction`.
        diameters: how far it is moved along each, in units of that scale.
        directions: how many.
        seed: of the directions.

    Returns:
        A number a diameter of each: `accuracy` and `loss` on known classes, means over the directions; `spread`, the
        standard deviation of that accuracy among them; `all`, the mean accuracy on all classes.
    """
    centre = [weight.clone() for weight in net.parameters()]
    generator, found = generator_of(seed), torch.empty(directions, len(diameters), 3)
    for row in found:
        steps = direction(net, scale, generator)
        for cell, diameter in zip(row, diameters, strict=True):
            _move(net, centre, steps, diameter)
            there = judged(net, split)
            cell[:] = torch.tensor([there["known"]["accuracy"], there["known"]["loss"], there["all"]["accuracy"]])
        _move(net, centre, steps, 0)
    accuracy, loss, whole = found.mean(0).T.tolist()
    return {"accuracy": accuracy, "loss": loss, "spread": found[:, :, 0].std(0).tolist(), "all": whole}


def _move(net: nn.Module, centre: list[Tensor], steps: list[Tensor], diameter: float) -> None:
    for weight, middle, step in zip(net.parameters(), centre, steps, strict=True):
        weight.copy_(middle + diameter * step)
    settle(net)
