"""Exponential natural evolution strategy: a Gaussian around the weights that learns its whole covariance.

    theta_i = mu + sigma B z_i,  z_i ~ N(0, I),  det B = 1
    G_mu = sum_i u_i z_i,  G_M = sum_i u_i (z_i z_i^T - I),  G_sigma = tr G_M / d
    mu <- mu + eta_mu sigma B G_mu,  sigma <- sigma exp(eta_sigma/2 G_sigma),  B <- B exp(eta_B/2 (G_M - G_sigma I))

Source: Wierstra et al. 2014, JMLR 15; Glasmachers et al. 2010. Cost: F times the population an image, and O(d^3) a step
for d weights: for at most a hundred.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.methods._population import Population, Score
from repsearch.methods.snes import utilities

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset
    from repsearch.method import Batch, Step
    from repsearch.methods._members import Offsets

DIMENSIONS = 100


class XNES(Population):
    """Natural evolution strategy with a full covariance, of networks with up to a hundred trained weights. It moves the
    weights itself: `fit`'s rate and momentum have no say.

    Args:
        population: members a step; by default 4 + floor(3 ln d) for d weights.
        sigma: standard deviation of the noise at first.
        rate: eta_mu, of the centre.
        shape_rate: eta_sigma and eta_B; by default (9 + 3 ln d) / (5 d sqrt d).
        fitness, loss: as in `EvolutionStrategy`; only its order counts.

    Raises:
        InputError: in `start`, for more than a hundred weights.

    Example:
        >>> from repsearch import FitConfig, fit, load
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> two = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 10))
        >>> history = fit(two, data, XNES(), FitConfig(epochs=1, batch=100), progress=False)
        >>> history.spent[0]  # 50 weights: 15 members
        1500.0
    """

    def __init__(
        self, population: int | None = None, sigma: float = 0.1, rate: float = 1.0, shape_rate: float | None = None,
        fitness: Score | None = None, loss: Score | None = None,
    ) -> None:
        super().__init__(2 if population is None else population, fitness, loss)
        self.asked = population
        self.sigma, self.rate = checks.positive_float("sigma", sigma), checks.positive_float("rate", rate)
        self.shape_rate = None if shape_rate is None else checks.positive_float("shape_rate", shape_rate)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network with more trained weights than a hundred, or none."""
        super().start(model, data, config, seed)
        size = self.members.dimension
        if size > DIMENSIONS:
            raise InputError(f"model: it has {size} trained weights; XNES keeps a matrix of their square, and takes "
                             f"at most {DIMENSIONS}; use SNES")
        if self.asked is None:
            self.population = 4 + int(3 * math.log(size))
        self.adaptation = self.shape_rate or (9 + 3 * math.log(size)) / (5 * size * math.sqrt(size))
        self.shape = self.sigma * torch.eye(size, device=self.members.device)

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "population": self.asked, "sigma": self.sigma, "rate": self.rate,
                "shape_rate": self.shape_rate}

    def state_dict(self) -> dict[str, Any]:
        """Steps done, and sigma B."""
        return {**super().state_dict(), "shape": self.shape}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these steps."""
        super().load_state_dict(state)
        self.shape = state["shape"].to(self.members.device)

    def offsets(self, drawn: Tensor) -> Offsets:
        """Noise on the weights of D directions, of this covariance."""
        return self.members.parts(drawn @ self.shape.T)

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """Another centre, and another covariance."""
        scores, kept = self.evaluate(self.population, batch.images, batch.labels)
        weights = utilities(self.survivors(scores)[0])
        size = self.members.dimension
        first = torch.zeros(size, device=self.members.device)
        second = torch.zeros(size, size, device=self.members.device)
        for start, stop, drawn in self.drawn(self.blocks(self.population), kept):
            first += weights[start:stop] @ drawn
            second += (drawn.T * weights[start:stop]) @ drawn  # utilities sum to zero: the identity drops out
        self.members.move(self.members.centre() + self.rate * self.shape @ first)
        # sigma and B have one rate, so that both are one matrix exponential.
        self.shape = self.shape @ torch.linalg.matrix_exp(self.adaptation / 2 * second)
        return self.done(model, batch, scores, self.population)
