"""A network at some weights, and what steps from there do to its loss and accuracy on fixed images."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from repsearch.reproduce.goea.network import CHUNK, CLASSES, masked_loss, settle

if TYPE_CHECKING:
    from repsearch.data import Split


@dataclass(frozen=True)
class Curvature:
    """Of the loss, as steps of a given size feel it.

    Args:
        slope: |g|, the length of the gradient.
        trace, trace2: of the Hessian and of its square, estimated.
        error: standard error of `trace`.
    """

    slope: float
    trace: float
    trace2: float
    error: float


class Place:
    """A copy of a network, in eval mode, that takes steps from where it is, each from the same weights.

    Spectral norm is settled after each step, so that loss is a function of the weights and nothing else.

    Args:
        net: stays as it is.
        split: images that steps are judged on, and their labels, all of which count.
        exact: whether it reckons in float64, for steps that float32 cannot tell apart.
    """

    def __init__(self, net: nn.Sequential, split: Split, exact: bool = False) -> None:
        self.net = deepcopy(net).double() if exact else deepcopy(net)
        self.net.eval()
        self.images = split.images.double() if exact else split.images
        self.labels = split.labels
        self.centre = parameters_to_vector(self.net.parameters()).detach().clone()
        self.loss, self.accuracy = self.judged(torch.zeros_like(self.centre))

    @property
    def n(self) -> int:
        """Number of weights."""
        return len(self.centre)

    def move(self, step: Tensor) -> None:
        """Go to this step (n,) from the centre."""
        vector_to_parameters(self.centre + step.to(self.centre), self.net.parameters())
        settle(self.net)

    @torch.no_grad()
    def judged(self, step: Tensor) -> tuple[float, float]:
        """Loss and accuracy a step (n,) away."""
        self.move(step)
        found = torch.cat([self.net(images) for images in torch.split(self.images, CHUNK)]).double()
        return float(F.cross_entropy(found, self.labels)), float((found.argmax(1) == self.labels).double().mean())

    def changes(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """By how much each of the steps (N, n) changes loss, (N,), and accuracy, (N,), both float64."""
        found = torch.tensor([self.judged(step) for step in steps], dtype=torch.float64)
        return found[:, 0] - self.loss, found[:, 1] - self.accuracy

    def gradient(
        self, step: Tensor | None = None, images: Tensor | None = None, labels: Tensor | None = None,
        known: int = CLASSES,
    ) -> Tensor:
        """Of the mean loss of these images, by default its own, a step away from the centre; (n,).

        Args:
            known: labels from this class on are hidden.
        """
        self.move(torch.zeros_like(self.centre) if step is None else step)
        images, labels = (self.images, self.labels) if images is None or labels is None else (images, labels)
        total, weights = torch.zeros_like(self.centre), list(self.net.parameters())
        counted = max(1, int((labels < known).sum()))
        for some, its in zip(torch.split(images, CHUNK), torch.split(labels, CHUNK), strict=True):
            share = int((its < known).sum()) / counted
            loss = masked_loss(self.net(some), its, known) * share
            total += torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])
        return total

    def curvature(self, std: float, probes: int, generator: torch.Generator) -> Curvature:
        """Traces of the Hessian and its square, of gradients at both ends of random steps (Hutchinson).

        Differences see what a second derivative doesn't: kinks of ReLU, and singular vectors that turn.
        """
        traces, squares = torch.empty(probes), torch.empty(probes)
        for probe in range(probes):
            v = torch.randn(self.n, generator=generator).to(self.centre)
            Hv = (self.gradient(std * v) - self.gradient(-std * v)) / (2 * std)
            traces[probe], squares[probe] = v @ Hv, Hv @ Hv
        return Curvature(float(self.gradient().norm()), float(traces.mean()), float(squares.mean()),
                         float(traces.std()) / probes**0.5)
