"""Separable natural evolution strategy: a Gaussian around the weights that learns a width for each.

    theta_i = mu + sigma * z_i,  z_i ~ N(0, I)
    mu <- mu + eta_mu sigma sum_i u_i z_i,   sigma <- sigma exp(eta_sigma/2 sum_i u_i (z_i^2 - 1))
    u of the k-th best of M:  max(0, ln(M/2 + 1) - ln k) / sum - 1/M

Source: Wierstra et al. 2014, JMLR 15; Schaul et al. 2011. Cost: F times the population an image.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.config import FitConfig
from repsearch.data import Dataset
from repsearch.method import Batch, Step
from repsearch.methods._members import Offsets
from repsearch.methods._population import Population, Score


class SNES(Population):
    """Natural evolution strategy with a diagonal covariance. It moves the weights itself: `fit`'s rate and momentum
    have no say.

    Args:
        population: members a step.
        sigma: standard deviation of the noise at first; afterwards each weight has its own, `sigmas`.
        rate: eta_mu, of the centre.
        sigma_rate: eta_sigma; by default (3 + ln d) / (5 sqrt d) for d weights.
        fitness, loss: as in `EvolutionStrategy`; only its order counts.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, SNES(population=4), preset.baseline, progress=False)
        >>> history.spent[0]
        500.0
    """

    def __init__(
        self, population: int = 100, sigma: float = 0.05, rate: float = 1.0, sigma_rate: float | None = None,
        fitness: Score | None = None, loss: Score | None = None,
    ) -> None:
        super().__init__(population, fitness, loss)
        self.sigma, self.rate = checks.positive_float("sigma", sigma), checks.positive_float("rate", rate)
        self.sigma_rate = None if sigma_rate is None else checks.positive_float("sigma_rate", sigma_rate)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network without trained weights, and for precisions other than float32."""
        super().start(model, data, config, seed)
        size = self.members.dimension
        self.sigmas = torch.full((size,), self.sigma, device=self.members.device)
        self.adaptation = self.sigma_rate or (3 + math.log(size)) / (5 * math.sqrt(size))

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "sigma": self.sigma, "rate": self.rate, "sigma_rate": self.sigma_rate}

    def state_dict(self) -> dict[str, Any]:
        """Steps done, and the standard deviations."""
        return {**super().state_dict(), "sigmas": self.sigmas}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these steps."""
        super().load_state_dict(state)
        self.sigmas = state["sigmas"].to(self.members.device)

    def offsets(self, drawn: Tensor) -> Offsets:
        """Noise on the weights of D directions, each weight with its own standard deviation."""
        return self.members.parts(drawn * self.sigmas)

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """Another centre, and other standard deviations."""
        scores, kept = self.evaluate(self.population, batch.images, batch.labels)
        weights = utilities(self.survivors(scores)[0])
        first, second = torch.zeros_like(self.sigmas), torch.zeros_like(self.sigmas)
        for start, stop, drawn in self.drawn(self.blocks(self.population), kept):
            first += weights[start:stop] @ drawn
            second += weights[start:stop] @ drawn.square()  # utilities sum to zero: the -1 drops out
        self.members.move(self.members.centre() + self.rate * self.sigmas * first)
        self.sigmas = self.sigmas * torch.exp(self.adaptation / 2 * second)
        return self.done(model, batch, scores, self.population)


def utilities(fitness: Tensor) -> Tensor:
    """What the order of (M,) members is worth: of the k-th best, max(0, ln(M/2 + 1) - ln k) / sum - 1/M.

    Equal members share the mean of theirs.

    Example:
        >>> utilities(torch.tensor([1.0, 4.0, 2.0, 3.0])).mul(1e4).round().tolist()
        [-2500.0, 4804.0, -2500.0, 196.0]
    """
    size = len(fitness)
    raw = (math.log(size / 2 + 1) - torch.arange(1, size + 1).log()).clamp_min(0)
    worth = (raw / raw.sum() - 1 / size).to(fitness.device)
    _, groups, counts = torch.unique(-fitness, return_inverse=True, return_counts=True)
    found: Tensor = torch.zeros(len(counts), device=fitness.device).index_add(0, groups.sort().values, worth) / counts
    each: Tensor = found[groups]
    return each
