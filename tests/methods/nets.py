"""What the tests of searches in the space of weights share: a network that is its weights, a small one on digits, a stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch.method import Batch

CONFIG = rs.FitConfig(epochs=1, batch=20)


class Point(nn.Module):
    """Gives its weights back, whatever it is shown: fitness is a function of them alone."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())

    def forward(self, images: Tensor) -> Tensor:
        return self.weights.expand(len(images), -1)


def blank(size: int = 2) -> Batch:
    """Images that say nothing."""
    return Batch(torch.zeros(size, 1, 1, 1), torch.zeros(size, dtype=torch.long), 0, size)


def of_weights(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A fitness of a `Point`."""
    return lambda logits, _labels: function(logits[0])


class Recorder:
    """A fitness of a `Point` that remembers what it saw, and what it gave."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self.given, self.seen = function, list[float](), list[Tensor]()

    def __call__(self, logits: Tensor, _labels: Tensor) -> Tensor:
        found = self.function(logits[0])
        self.given.append(float(found))
        self.seen.append(logits.clone())
        return found

    @property
    def weights(self) -> list[Tensor]:
        """Of each member."""
        return [logits[0] for logits in self.seen]

    def clear(self) -> None:
        self.seen.clear()
        self.given.clear()


def mlp(*before_the_last: nn.Module) -> Any:
    """64-32-10, of digits averaged to 8 x 8 pixels, with the same first weights every time."""
    torch.manual_seed(0)
    first, last = nn.Linear(64, 32), nn.Linear(32, 10)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), first, nn.ReLU(), *before_the_last, last)


class StopHereError(Exception):
    """Ends a training from within."""


def stop(epoch: int, _model: nn.Module) -> None:
    """A `watch` that ends it after two epochs."""
    if epoch == 2:
        raise StopHereError
