"""Deep genetic algorithm: truncation selection of networks that are written down as lists of seeds.

    theta(s_0, ..., s_g) = theta_0 + std eps(s_0) + ... + std eps(s_g)

Source: Such et al. 2017, arXiv 1712.06567. There the first seed draws the initial weights, and the ten best are
evaluated again to find the elite; here the first mutates the network's own weights, and the elite is evaluated on every
batch. Cost: F times the population an image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset
from repsearch.method import Batch, Step
from repsearch.methods._population import Population, Score, noise

Genome = tuple[int, ...]


class DeepGA(Population):
    """Genetic algorithm without crossover: each child is a parent and Gaussian noise on all its weights.

    The network has the elite's weights after each generation. It moves the weights itself: `fit`'s rate and momentum
    have no say. `genomes` are the parents', the elite's first.

    Args:
        population: members a generation; from the second on, the elite is one of them.
        parents: the best that have children.
        std: standard deviation of a mutation, on every weight.
        fitness, loss: as in `EvolutionStrategy`; only its order counts.

    Raises:
        InputError: no fewer parents than members.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> method = DeepGA(population=4, parents=2)
        >>> history = fit(learn_network(data, preset), data, method, preset.baseline, progress=False)
        >>> len(method.genomes), history.spent[0]
        (2, 500.0)
    """

    scales = ()

    def __init__(
        self, population: int = 100, parents: int = 10, std: float = 0.02, fitness: Score | None = None,
        loss: Score | None = None,
    ) -> None:
        super().__init__(population, fitness, loss)
        self.parents, self.std = checks.positive_int("parents", parents), checks.positive_float("std", std)
        if parents >= population:
            raise InputError(f"parents={parents}: expected fewer than population={population}")
        self.genomes: list[Genome] = []

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network without trained weights, and for precisions other than float32."""
        super().start(model, data, config, seed)
        self.origin, self.genomes = self.members.centre(), [()]
        self.vectors = [self.origin]

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "parents": self.parents, "std": self.std}

    def state_dict(self) -> dict[str, Any]:
        """Steps done, the parents' seeds, and the weights that they are mutations of."""
        return {**super().state_dict(), "origin": self.origin, "genomes": [list(genome) for genome in self.genomes]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these steps."""
        super().load_state_dict(state)
        self.origin = state["origin"].to(self.members.device)
        self.genomes = [tuple(genome) for genome in state["genomes"]]
        self.vectors = [self.decode(genome) for genome in self.genomes]

    def decode(self, genome: Genome) -> Tensor:
        """The weights (dimension,) that these seeds stand for."""
        vector = self.origin
        for seed in genome:
            vector = self._mutated(vector, seed)
        return vector

    def _mutated(self, vector: Tensor, seed: int) -> Tensor:
        return vector + self.std * noise((seed,), 1, len(vector))[0].to(vector.device)

    def draw(self, start: int, stop: int) -> Tensor:
        """The weights (stop - start, dimension) of these members."""
        return torch.stack([self._member(number)[1] for number in range(start, stop)])

    def _member(self, number: int) -> tuple[Genome, Tensor]:
        """The genome and the weights of a member of this generation; the first is the elite, if there is one."""
        if number == 0 and self.steps > 0:
            return self.genomes[0], self.vectors[0]
        generator = np.random.default_rng((self.seed, self.steps, number))
        parent, seed = int(generator.integers(len(self.genomes))), int(generator.integers(2**63))
        return (*self.genomes[parent], seed), self._mutated(self.vectors[parent], seed)

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """The next generation's parents, and the elite's weights for the network."""
        scores, _ = self.evaluate(self.population, batch.images, batch.labels)
        fitness = self.survivors(scores, -torch.inf)[0]
        best = torch.argsort(fitness, descending=True, stable=True)[: self.parents]
        chosen = [self._member(int(number)) for number in best]
        self.genomes, self.vectors = [genome for genome, _ in chosen], [vector for _, vector in chosen]
        self.members.move(self.vectors[0])
        return self.done(model, batch, scores, self.population, -fitness[best[0]])
