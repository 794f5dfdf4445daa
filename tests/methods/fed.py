"""What the tests of feedback alignment share: images, a step's gradients, the angle between two, a perceptron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from nets import CONFIG
from torch import Tensor, nn

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods.feedback_alignment import FeedbackAlignment


class Images:
    """Stands for a data set."""

    def __init__(self, images: Tensor, classes: int = 5) -> None:
        self.train = self
        self.images, self.labels, self.classes = images, torch.arange(len(images)) % classes, classes

    def batch(self) -> Batch:
        return Batch(self.images.clone(), self.labels, 0, len(self.images))


def images(*shape: int) -> Images:
    return Images(torch.randn(12, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def started(net: nn.Module, data: Images, kind: str, **options: float) -> FeedbackAlignment:
    method = FeedbackAlignment(kind, **options)
    method.start(net, data, CONFIG, 0)  # type: ignore[arg-type]
    return method


def gradients(net: nn.Module, method: Any, data: Images, config: rs.FitConfig = CONFIG) -> dict[str, Tensor]:
    net.zero_grad()
    method.step(net, data.batch(), config)
    return {name: weight.grad.clone() for name, weight in net.named_parameters() if weight.grad is not None}


def angle(one: Tensor, other: Tensor) -> float:
    return float(torch.rad2deg(torch.acos(torch.cosine_similarity(one.flatten(), other.flatten(), dim=0))))


def perceptron(act: Callable[[], nn.Module] = nn.Tanh, bias: bool = True) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 32, bias), act(), nn.Linear(32, 32, bias), act(),
                         nn.Linear(32, 10, bias))
