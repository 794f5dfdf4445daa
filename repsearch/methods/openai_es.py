"""OpenAI's evolution strategy: mirror images, centred ranks, weight decay, Adam.

    g = 1/(2N) sum_i (rank of theta + sigma eps_i  -  rank of theta - sigma eps_i) eps_i,  Adam on  l2 theta - g

Source: Salimans et al. 2017, arXiv 1703.03864, and the code that came with it, where the estimate isn't divided by
sigma. Cost: F times the population an image.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from repsearch import checks
from repsearch.methods._population import Score
from repsearch.methods.evolution import EvolutionStrategy


class OpenAIES(EvolutionStrategy):
    """`EvolutionStrategy` as Salimans et al. have it. Give `fit` no momentum: Adam has its own.

    Members are seeds: ranks of `torchrun` exchange fitness alone, and each rebuilds the update from seeds and fitness.

    Args:
        population, sigma: as in `EvolutionStrategy`.
        l2: weight decay, added to the gradient that Adam sees.
        fitness, loss: as in `EvolutionStrategy`.

    Example:
        >>> from dataclasses import replace
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> config = replace(preset.baseline, learning_rate=0.01, momentum=0)
        >>> history = fit(learn_network(data, preset), data, OpenAIES(population=4), config, progress=False)
        >>> history.spent[0]
        500.0
    """

    def __init__(
        self, population: int = 100, sigma: float = 0.02, l2: float = 0.005, fitness: Score | None = None,
        loss: Score | None = None,
    ) -> None:
        super().__init__(population, sigma, shaping="ranks", optimizer="adam", fitness=fitness, loss=loss)
        self.l2 = checks.positive_float("l2", l2) if l2 else 0.0

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "l2": self.l2}

    def _adam(self, gradient: Tensor) -> Tensor:
        return super()._adam(self.sigma * gradient + self.l2 * self.members.centre())
