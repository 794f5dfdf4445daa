"""The network of the papers on greedy evolution, the images as it is shown them, and its training by SGD.

conv 5x5 - ReLU - pool 2 - conv 5x5 - ReLU - pool 2 - conv 3x3 - ReLU - conv 3x3 - ReLU - linear - ReLU - linear, with
maps m, 2m, m, m/2 and a hidden layer; 9,854 weights with its defaults. All layers but the last have spectral norm.

Source: Kucharavy, Guerraoui, Dolamic 2023, and its code; the sizes are those of its appendix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.method import Batch, Method, Step, backward

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split
    from repsearch.training import History

SIDE, CLASSES = 28, 10
KNOWN = 8
"""Classes whose labels are seen before transfer: the digits 0 to 7."""
CHUNK = 400
"""Images that are judged at once; more of them leave a core's cache, and are slower."""


def network(
    maps: int = 8, hidden: int = 24, drop_in: float = 0.1, drop: float = 0.1, seed: int = 0, spectral: bool = True
) -> nn.Sequential:
    """The network, with torch's own initial weights.

    Args:
        maps: of the first convolution, an even number; LM in the source.
        hidden: width of the hidden layer; LW.
        drop_in: share of the pixels that are dropped in training; DI.
        drop: share of what comes out of each convolution's block that is; DO.
        seed: of the initial weights.
        spectral: whether every layer but the last is divided by its largest singular value.

    Returns:
        Images (B, 1, 28, 28) to logits (B, 10).

    Raises:
        InputError: an odd number of maps.

    Example:
        >>> sum(weight.numel() for weight in network().parameters())
        9854
    """
    if maps % 2:
        raise InputError(f"maps={maps}: the last convolution has half as many; expected an even number")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)

        def normed(layer: nn.Module) -> nn.Module:
            return spectral_norm(layer) if spectral else layer

        return nn.Sequential(
            Pixels(drop_in),
            normed(nn.Conv2d(1, maps, 5, padding=2)), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(drop),
            normed(nn.Conv2d(maps, 2 * maps, 5, padding=2)), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(drop),
            normed(nn.Conv2d(2 * maps, maps, 3, padding=1)), nn.ReLU(), nn.Dropout(drop),
            normed(nn.Conv2d(maps, maps // 2, 3, padding=1)), nn.ReLU(), nn.Flatten(), nn.Dropout(drop),
            normed(nn.Linear(maps // 2 * (SIDE // 4) ** 2, hidden)), nn.ReLU(),
            nn.Linear(hidden, CLASSES),
        )


class Pixels(nn.Dropout):
    """Dropout of pixels. It lays grey images out so that the maps made of them have their channels last: max-pooling is
    then several times faster on a CPU, and the network twice."""

    def forward(self, input: Tensor) -> Tensor:
        """Images (B, 1, H, W) to the same."""
        dropped = super().forward(input)
        return torch.empty_like(dropped, memory_format=torch.channels_last).copy_(dropped)


@torch.no_grad()
def settle(net: nn.Module, *_: Any) -> None:
    """Let spectral norm know the weights as they are now: what power iterations without end would come to.

    It remembers a pair of singular vectors, and brings them up to date by one power iteration a forward pass, in train
    mode only. Weights that are moved by hand are divided by a wrong number until then. Call it after each move; or
    register it as a forward pre-hook, where something else moves them.
    """
    for normed in net.modules():
        if isinstance(normed, ParametrizationList):
            weight: Any = normed.original
            norm: Any = normed[0]
            W = weight.flatten(1)
            u = torch.linalg.eigh(W @ W.T).eigenvectors[:, -1]
            norm._u.copy_(u)
            norm._v.copy_(F.normalize(W.T @ u, dim=0))


# --- images -----------------------------------------------------------------------------------------------------------


def shown(data: Dataset) -> Dataset:
    """The images as the source shows them: 28 x 28, pixels from -1 to 1.

    Raises:
        InputError: images of colour, or smaller than that.

    Example:
        >>> from repsearch import load
        >>> shown(load("digits", train=100, validation=50, test=50)).train.images.shape
        torch.Size([100, 1, 28, 28])
    """
    channels, *sides = data.train.images.shape[1:]
    if channels != 1 or min(sides) < SIDE:
        raise InputError(f"data={data.name!r}: expected grey images of {SIDE}x{SIDE} or more")
    train, validation, test = (_shown(split, data) for split in (data.train, data.validation, data.test))
    half = torch.full((1,), 0.5)
    return replace(data, train=train, validation=validation, test=test, mean=half, std=half)


def _shown(split: Split, data: Dataset) -> Split:
    top, left = ((side - SIDE) // 2 for side in split.images.shape[2:])
    images = split.images[:, :, top : top + SIDE, left : left + SIDE] * data.std[:, None, None]
    images = (images + data.mean[:, None, None]).clamp(0, 1) * 2 - 1
    return replace(split, images=images.contiguous())


# --- training and judgement -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Masked(Method):
    """Back-propagation of the cross-entropy, where labels from `known` on are hidden: their images are shown, and count
    for nothing. A batch without a known label has no loss, and no gradient.

    Args:
        known: the first so many classes have labels.
    """

    known: int = KNOWN

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:  # noqa: ARG002
        """One gradient of the mean cross-entropy of the batch's known labels."""
        found = model(batch.images)
        loss = masked_loss(found, batch.labels, self.known)
        backward(loss)
        return Step(loss, cost=3, logits=found)

    def identity(self) -> Any:
        """Its name and the number of known classes."""
        return {"method": type(self).__name__, "known": self.known}


def masked_loss(found: Tensor, labels: Tensor, known: int = CLASSES) -> Tensor:
    """Mean cross-entropy of logits (B, 10) for the labels (B,) below `known`; 0 where there are none."""
    hidden = torch.where(labels < known, labels, -1)
    return F.cross_entropy(found, hidden, ignore_index=-1, reduction="sum") / (hidden >= 0).sum().clamp_min(1)


def train(
    net: nn.Sequential, data: Dataset, epochs: int, batch: int = 32, rate: float = 0.1, known: int = CLASSES,
    seed: int = 0, momentum: float = 0.0,
) -> History:
    """Train by SGD through `repsearch.fit`, to the last epoch; spectral norm is settled afterwards.

    The rate rises and falls as in every training of this book; `rate` is its peak. The source has a constant .002, for
    60,000 images and 10 epochs; a rate for fewer steps was chosen on validation images.

    Args:
        net: trained in place.
        data: as `shown` gives it.
        known: labels from this class on are hidden.

    Returns:
        The history; its validation accuracy is over all classes, and so at most the share of those known.
    """
    config = FitConfig(epochs, batch, rate, momentum, keep="last")
    history = fit(net, data, Masked(known), config, seed, progress=False)
    settle(net)
    return history


def judge(net: nn.Module, split: Split, known: int = CLASSES) -> tuple[float, float]:
    """Mean cross-entropy over the known labels, and share correct of all images, in eval mode and in chunks."""
    found = logits(net, split.images, CHUNK)
    return float(masked_loss(found, split.labels, known)), share_correct(found, split.labels)
