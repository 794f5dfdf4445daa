"""Evolution strategies: the gradient of a smoothed fitness, from forward passes alone.

    J(theta) = E F(theta + sigma eps),  eps ~ N(0, I)
    antithetic, N pairs:   grad J ~ 1/(2 N sigma) sum_i [F(theta + sigma eps_i) - F(theta - sigma eps_i)] eps_i
    one-sided, M members:  grad J ~ 1/(M sigma) sum_i F(theta + sigma eps_i) eps_i

Source: Salimans et al. 2017, arXiv 1703.03864; Wierstra et al. 2014. Cost: F times the population an image, where all
members see the whole batch; no backward pass, and no gradient anywhere in the network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset
from repsearch.method import Batch, Step
from repsearch.methods._population import Population, Score, centred_ranks

SAMPLING = ("antithetic", "one-sided")
MINIBATCH = ("shared", "pair", "member")
SHAPING = ("none", "baseline", "ranks", "z-scores")
OPTIMIZERS = ("sgd", "adam")
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam


class EvolutionStrategy(Population):
    """Isotropic Gaussian search around the weights. `repsearch.fit` takes the step: its rate, momentum and decay.

    Directions are drawn from seeds, a block at a time, so that memory does not grow with the population; the ranks of
    `torchrun` share them, exchange scores only, and end with the bytes of one process. Any network and any fitness
    will do, also one that has no gradient.

    BatchNorm in train mode takes the statistics of the batch for each member apart, and running ones at the centre
    alone; where members see different images, they differ in their statistics, too.

    Args:
        population: members a step; antithetic ones come in pairs.
        sigma: standard deviation of the noise on every weight.
        sampling: "antithetic", a member and its mirror image, or "one-sided".
        minibatch: who sees which images of a batch: "shared", all of them everyone; "pair", each direction a part of
            its own; "member", each member one.
        shaping: what is done to fitness: "none"; "baseline", the mean of the others is taken off; "ranks", centred,
            from -1/2 to 1/2; "z-scores".
        optimizer: "sgd" leaves the estimate to `fit`, "adam" the direction of Adam.
        fitness: logits (B, classes) and labels (B,) to one number, which is maximised; by default the mean
            log-probability of the label.
        loss: the same, minimised; give one of the two.

    Raises:
        InputError: arguments that are none of these, and both a fitness and a loss.

    Example:
        >>> from dataclasses import replace
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> config = replace(preset.baseline, epochs=1, batch=100)
        >>> method = EvolutionStrategy(population=4)
        >>> history = fit(learn_network(data, preset), data, method, config, progress=False)
        >>> history.spent[0]  # 100 images, 4 members and the centre, whose BatchNorm counts
        500.0
    """

    def __init__(
        self, population: int = 100, sigma: float = 0.05, sampling: str = "antithetic", minibatch: str = "shared",
        shaping: str = "none", optimizer: str = "sgd", fitness: Score | None = None, loss: Score | None = None,
    ) -> None:
        super().__init__(population, fitness, loss)
        self.sigma = checks.positive_float("sigma", sigma)
        for name, value, options in (("sampling", sampling, SAMPLING), ("minibatch", minibatch, MINIBATCH),
                                     ("shaping", shaping, SHAPING), ("optimizer", optimizer, OPTIMIZERS)):
            checks.one_of(name, value, options)
        mirrored = sampling == "antithetic"
        if mirrored and population % 2:
            raise InputError(f"population={population}: antithetic members come in pairs; expected an even number")
        if mirrored and shaping == "baseline":
            raise InputError("shaping='baseline': it cancels within a pair; use sampling='one-sided', or 'none'")
        self.minibatch, self.shaping, self.optimizer = minibatch, shaping, optimizer
        self.scales = (self.sigma, -self.sigma) if mirrored else (self.sigma,)
        self.directions = population // len(self.scales)
        self.moments: list[Tensor] = []

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network without trained weights, and for precisions other than float32."""
        super().start(model, data, config, seed)
        self.moments = []

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "sigma": self.sigma, "sampling": SAMPLING[2 - len(self.scales)],
                "minibatch": self.minibatch, "shaping": self.shaping, "optimizer": self.optimizer}

    def state_dict(self) -> dict[str, Any]:
        """Steps done, and the moments of Adam."""
        return {**super().state_dict(), "moments": self.moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these steps."""
        super().load_state_dict(state)
        self.moments = [moment.to(self.members.device) for moment in state["moments"]]

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """The estimate of the gradient, as the loss has it, left in `parameter.grad`."""
        images, labels, own = self._dealt(batch)
        scores, kept = self.evaluate(self.directions, images, labels, own)
        gradient = -self._estimate(self._shaped(self.survivors(scores)), kept)
        if self.optimizer == "adam":
            gradient = self._adam(gradient)
        for name, part in self.members.parts(gradient).items():
            self.members.weights[name].grad = part.clone()
        return self.done(model, batch, scores, self.population * images.shape[own] / len(batch))

    def _dealt(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """Images and labels for all, for each direction, or for each member; and which of the three, as a number."""
        if self.minibatch == "shared":
            return batch.images, batch.labels, 0
        lead = (self.directions,) if self.minibatch == "pair" else (len(self.scales), self.directions)
        hands = self.directions if self.minibatch == "pair" else self.population
        each = len(batch) // hands
        if each == 0:
            raise InputError(f"batch: {len(batch)} images are fewer than the {hands} parts that minibatch="
                             f"{self.minibatch!r} deals them into; use larger batches, or a smaller population")
        images, labels = (part[: hands * each].reshape(*lead, each, *part.shape[1:])
                          for part in (batch.images, batch.labels))
        return images, labels, len(lead)

    def _shaped(self, fitness: Tensor) -> Tensor:
        """What each member's direction is weighted with, (S, directions)."""
        if self.shaping == "baseline":
            return (fitness - fitness.mean()) * fitness.numel() / (fitness.numel() - 1)
        if self.shaping == "ranks":
            return centred_ranks(fitness)
        if self.shaping == "z-scores":
            return (fitness - fitness.mean()) / fitness.std(correction=0).clamp_min(1e-12)
        return fitness

    def _estimate(self, weights: Tensor, kept: dict[int, Tensor]) -> Tensor:
        """The ascent direction, (dimension,)."""
        weights = (weights[0] - weights[1]) / 2 if len(weights) == 2 else weights[0]
        total = torch.zeros(self.members.dimension, device=weights.device)
        for start, stop, drawn in self.drawn(self.blocks(self.directions), kept):
            total += self.summed(weights[start:stop], drawn)
        return total / (self.directions * self.sigma)

    def summed(self, weights: Tensor, drawn: Tensor) -> Tensor:
        """The sum of these directions' noise, weighted, (dimension,)."""
        return weights @ drawn

    def _adam(self, gradient: Tensor) -> Tensor:
        """Adam's direction; `fit` multiplies it by its rate."""
        first, second = self.moments or (torch.zeros_like(gradient), torch.zeros_like(gradient))
        first = torch.lerp(gradient, first, BETAS[0])
        second = torch.lerp(gradient.square(), second, BETAS[1])
        self.moments = [first, second]
        unbiased = [1 - beta ** (self.steps + 1) for beta in BETAS]
        return (first / unbiased[0]) / ((second / unbiased[1]).sqrt() + EPSILON)
