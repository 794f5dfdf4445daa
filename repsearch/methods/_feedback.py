"""Feedback networks of target propagation: what a stage G is, what it learns, and what that costs."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from repsearch.airbench import kaiming_uniform_
from repsearch.checks import InputError
from repsearch.cost import multiply_adds
from repsearch.method import backward
from repsearch.methods._cut import Noise
from repsearch.networks import Network, batch_statistics, check_network

PASSES = {"plain": 1, "l-drl": 3, "fixed": 0}
"""Forward passes through G that one step of each way to learn takes."""
RATES = {"plain": 0.001, "l-drl": 0.02, "fixed": 0.0}
"""Rates of these steps, if none is given."""


class Feedback:
    """The way back through a network: G_l from layer l to layer l-1, for all layers but the first, and its training.

    Args:
        kind: how it learns: "plain", "l-drl", or "fixed", not at all.
        layers: examples of the search layers and the logits, (B, ...).
        noise: standard deviation of the noise that it learns with.
        rate, momentum: of its SGD.
        seed: of its first weights and its noise.

    Raises:
        InputError: a layer that is neither a vector nor an image.
    """

    def __init__(
        self, kind: str, layers: list[Tensor], noise: float, rate: float | None, momentum: float, seed: int
    ) -> None:
        self.kind, self.noise, self.rate = kind, noise, RATES[kind] if rate is None else rate
        device = layers[0].device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stages = nn.ModuleList(
                feedback_stage(below, above) for below, above in pairwise(layers)).to(device)
        self.optimizer = torch.optim.SGD(self.stages.parameters(), self.rate, momentum)
        self.draws = Noise(device, seed)
        # Of one image, in multiply-adds.
        self.costs = [sum(multiply_adds(Network(nn.Identity(), [stage], nn.Identity()), above[:1]))
                      for stage, above in zip(self.stages, layers[1:], strict=True)]

    def learn(self, network: nn.Module, layers: list[Tensor], steps: int) -> Tensor:
        """Take so many steps on a batch's layers; the loss before the last of them."""
        parts = check_network(network)
        ways = list(zip([*list(parts.blocks)[1:], parts.head], self.stages, layers[:-1], layers[1:], strict=True))
        loss = torch.zeros((), device=layers[0].device)
        for _ in range(steps):
            losses = []
            for forward, back, below, above in ways:
                noise = self.noise * self.draws.like(below)
                with torch.no_grad(), batch_statistics(network):
                    noisy = forward(below + noise)
                if self.kind == "plain":
                    losses.append(reconstruction(back, below + noise, noisy))
                else:
                    losses.append(local_difference(back, noise, noisy, above, self.noise * self.draws.like(above)))
            loss = torch.stack(losses).sum()
            self.optimizer.zero_grad()
            backward(loss)
            self.optimizer.step()
        if not bool(loss.isfinite()):
            raise InputError(f"feedback_rate={self.rate}: the feedback's loss became {loss.item()}; lower it")
        return loss.detach()

    def learning_cost(self, forward: list[int]) -> int:
        """Multiply-adds of one step for one image: each stage once with noise, G forward and backward.

        Args:
            forward: multiply-adds of the network's stages but the first.
        """
        passes = PASSES[self.kind]
        return sum(ahead + 3 * passes * back for ahead, back in zip(forward, self.costs, strict=True) if passes)

    def state_dict(self) -> dict[str, Any]:
        return {"stages": self.stages.state_dict(), "optimizer": self.optimizer.state_dict(),
                "noise": self.draws.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stages.load_state_dict(state["stages"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.draws.load_state_dict(state["noise"])


def feedback_stage(below: Tensor, above: Tensor) -> nn.Module:
    """A stage from what `above` is an example of to what `below` is one of, both (B, ...).

    From a vector, one linear map; from an image to an image, an interpolation to its size and one 3x3 convolution.
    """
    learned: nn.Linear | nn.Conv2d
    if above.ndim == 2:
        learned = nn.Linear(above.shape[1], below[0].numel())
        stage = nn.Sequential(learned, nn.Unflatten(1, tuple(below.shape[1:])))
    elif above.ndim == below.ndim == 4:
        learned = nn.Conv2d(above.shape[1], below.shape[1], 3, padding="same")
        stage = nn.Sequential(nn.Upsample(tuple(below.shape[2:])), learned)
    else:
        raise InputError(f"model: no feedback is known from a layer of shape {tuple(above.shape[1:])} to one of "
                         f"{tuple(below.shape[1:])}; expected vectors, or images (channels, height, width)")
    kaiming_uniform_(learned.weight, math.sqrt(5))
    assert learned.bias is not None
    nn.init.zeros_(learned.bias)
    return stage


def reconstruction(back: nn.Module, below: Tensor, above: Tensor) -> Tensor:
    """|x - G(y)|^2 of a layer x and the next one y, as `_mean`."""
    return _mean((back(above) - below).square(), above)


def local_difference(back: nn.Module, noise: Tensor, noisy: Tensor, above: Tensor, above_noise: Tensor) -> Tensor:
    """L-DRL: -2 xi^T [G(F(x + xi)) - G(y)] + |G(y + eta) - G(y)|^2, as `_mean`, over the mean square of xi, so that a
    rate suits any noise. Its minimum is at a G whose Jacobian is F's transposed, times the ratio of the variances.

    Args:
        back: G.
        noise, noisy: xi and F(x + xi).
        above, above_noise: y = F(x) and eta.
    """
    clean = back(above)
    away = -2 * noise * (back(noisy) - clean) + (back(above + above_noise) - clean).square()
    return _mean(away, above) / noise.square().mean()


def _mean(terms: Tensor, above: Tensor) -> Tensor:
    """Summed over units, averaged over images; and over positions where a G shares its weights among them, so that a
    rate suits layers of all sizes."""
    positions = terms[0, 0].numel() if above.ndim == 4 else 1
    return terms.sum() / (len(terms) * positions)
