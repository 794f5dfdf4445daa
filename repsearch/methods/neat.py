"""NEAT, neuroevolution of augmenting topologies: weights and links evolve, from a network without hidden nodes.

    distance(a, b) = E / N + D / N + 0.4 W,   children of a species ~ mean over its members of rank(fitness)

E excess and D disjoint genes, that is, genes of one genome whose innovation number is not in the other, beyond its last
or before; N genes of the larger genome, or 1 if it has less than twenty; W mean difference of the weights of matching
genes. Genomes nearer than a threshold are of a species, and share their fitness. A node splits a gene and disables it;
a link joins two nodes without closing a cycle. Shared fitness has to be above zero: it is the rank in the population.

Source: Stanley and Miikkulainen 2002, "Evolving neural networks through augmenting topologies". Here the best member
always survives, the best fifth of a species has children, and logits are linear.
Cost: F is one pass of a genome, small or large. A step costs F times the population an image; drawing, sorting and
crossing, which no pass counts, take longer than that where images are few. Needs `NEAT.Net`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.method import Batch, Step
from repsearch.methods._genome import Genome, Innovations, crossed, packed, unpacked, with_link, with_node, with_weights
from repsearch.methods._graph import Graph, passed
from repsearch.methods._population import Population, Score, centred_ranks
from repsearch.methods._species import Species, children, sorted_into

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset

MOVED, ALONE, OUTSIDE = 0.8, 0.25, 0.001
"""Shares of the children whose weights mutate, that have one parent, and that have one of another species."""
CHAMPION = 5
"""The best of a species with more members than this lives on."""
PARENTS = 0.2
"""Share of a species that has children."""


class NEAT(Population):
    """Evolution of networks that are made by `NEAT.Net(inputs, classes, side, capacity, seed)`.

    A step is a generation. The first has the network's genes, with mutated weights. After each the network is the best
    member, which is a member of the next generation, too: with a batch of all training images it is the best so far,
    and never gets worse. It moves the weights itself: `fit`'s rate and momentum have no say. A genome that has as many
    genes as the network has room for grows no more.

    `history.parts` has the number of species, and the hidden nodes and enabled links of the network.

    Args:
        population: members a generation.
        threshold: distance at which another species begins.
        std: standard deviation of the noise on a weight that mutates.
        spread: the same of a weight that is drawn anew.
        add_node, add_link: probability that a child gets a node, or a link.
        fitness, loss: as in `EvolutionStrategy`; only its order counts.

    Raises:
        InputError: arguments out of range; in `start`, another network than a `Net`, and other precisions than float32.

    Example:
        >>> from repsearch import FitConfig, fit, load
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> net = NEAT.Net(64, classes=10, side=8)
        >>> history = fit(net, data, NEAT(population=5), FitConfig(epochs=2, batch=100), progress=False)
        >>> history.spent[0], sorted(history.parts)
        (500.0, ['links', 'lost', 'nodes', 'species'])
    """

    Net = Graph

    def __init__(
        self, population: int = 150, threshold: float = 3.0, std: float = 0.5, spread: float = 1.0,
        add_node: float = 0.03, add_link: float = 0.05, fitness: Score | None = None, loss: Score | None = None,
    ) -> None:
        super().__init__(population, fitness, loss)
        self.threshold = checks.positive_float("threshold", threshold)
        self.std, self.spread = checks.positive_float("std", std), checks.positive_float("spread", spread)
        self.add_node, self.add_link = _probability("add_node", add_node), _probability("add_link", add_link)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for another network than a `Net`, and for precisions other than float32."""
        net = _check(model)
        super().start(model, data, config, seed)
        own, rng = net.genome, self._generator(0)
        self.genomes = [with_weights(own, rng, self.std, self.spread) for _ in range(self.population)]
        self.species = [Species(own)]
        self.innovations = Innovations(int(own.genes[:, 0].max()) + 1, int(own.genes[:, 1:3].max()) + 1)

    def _generator(self, number: int) -> np.random.Generator:
        """What draws the members of this generation: nothing but its number has to be kept."""
        return np.random.default_rng((self.seed, number))

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "threshold": self.threshold, "std": self.std, "spread": self.spread,
                "add_node": self.add_node, "add_link": self.add_link}

    def state_dict(self) -> dict[str, Any]:
        """Generations done, genomes, species, and the next innovation numbers."""
        return {
            **super().state_dict(), "genomes": packed(self.genomes),
            "representatives": packed([one.representative for one in self.species]),
            "records": [one.record for one in self.species], "stale": [one.stale for one in self.species],
            "innovations": [self.innovations.genes, self.innovations.nodes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these generations."""
        super().load_state_dict(state)
        ends = self.genomes[0].inputs, self.genomes[0].outputs
        self.genomes = unpacked(state["genomes"], *ends)
        kept = zip(unpacked(state["representatives"], *ends), state["records"], state["stale"], strict=True)
        self.species = [Species(genome, record, stale) for genome, record, stale in kept]
        self.innovations = Innovations(*state["innovations"])

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """The next generation, and the best member of this one for the network."""
        net = _check(model)
        logits = self._logits(net.numbers(batch.images))
        scores = self.fitness(logits[None], batch.labels)
        fitness = self.survivors(scores, -torch.inf)[0]
        best = fitness.tolist().index(float(fitness.max()))  # the first of equals
        genome = self.genomes[best]
        net.take(genome)
        self._reproduce(fitness, best, net.capacity)
        parts = {"lost": float((~scores.isfinite()).float().mean()), "species": float(len(self.species)),
                 "nodes": float(len(genome.hidden)), "links": float(genome.enabled.sum())}
        return Step(-fitness[best], self.population, {name: torch.tensor(one) for name, one in parts.items()},
                    logits[best])

    def _logits(self, inputs: Tensor) -> Tensor:
        """Of all members, (population, B, classes)."""
        weights = [torch.from_numpy(genome.weights).to(inputs) for genome in self.genomes]
        return torch.stack([passed(*member, inputs) for member in zip(self.genomes, weights, strict=True)])

    # --- the next generation ------------------------------------------------------------------------------------------

    def _reproduce(self, fitness: Tensor, best: int, capacity: int) -> None:
        self.steps += 1
        rng, scores = self._generator(self.steps), fitness.tolist()
        self.innovations.forget()
        self.species = sorted_into(self.species, self.genomes, self.threshold)
        for one in self.species:
            one.rank(scores)
        ranks = 1 + (centred_ranks(fitness) + 0.5) * (self.population - 1)
        born: list[Genome] = []
        counts = children(self.species, ranks.tolist(), best)
        for one, count in zip(self.species, counts, strict=True):
            lives_on = best in one.members or (count > 0 and len(one.members) > CHAMPION)
            born += [self.genomes[one.members[0]]] * lives_on
            born += [self._child(one, scores, capacity, rng) for _ in range(count - lives_on)]
            one.representative = self.genomes[int(rng.choice(one.members))]
        self.species = [one for one, count in zip(self.species, counts, strict=True) if count]
        self.genomes = born

    def _child(self, species: Species, scores: list[float], capacity: int, rng: np.random.Generator) -> Genome:
        """Of one parent or two, mutated."""
        first = _parent(species, rng)
        child = self.genomes[first]
        if rng.random() >= ALONE:
            outside = len(self.species) > 1 and rng.random() < OUTSIDE
            others = [one for one in self.species if one is not species] if outside else [species]
            second = _parent(others[int(rng.integers(len(others)))], rng)
            # Of equals the smaller one says which genes there are.
            order = sorted((first, second), key=lambda number: (-scores[number], len(self.genomes[number])))
            child = crossed(self.genomes[order[0]], self.genomes[order[1]], rng)
        return self._mutated(child, capacity, rng)

    def _mutated(self, child: Genome, capacity: int, rng: np.random.Generator) -> Genome:
        moved, node, link = (rng.random(3) < (MOVED, self.add_node, self.add_link)).tolist()
        if moved:
            child = with_weights(child, rng, self.std, self.spread)
        if node and len(child) + 2 <= capacity:
            child = with_node(child, rng, self.innovations)
        if link and len(child) + 1 <= capacity:
            child = with_link(child, rng, self.innovations, self.spread)
        return child


def _parent(species: Species, rng: np.random.Generator) -> int:
    """The number of one of the best of a species."""
    return species.members[int(rng.integers(-(-len(species.members) // round(1 / PARENTS))))]


def _probability(name: str, value: float) -> float:
    if value != 0:
        checks.positive_float(name, value)
    if value > 1:
        raise InputError(f"{name}={value!r}: expected a probability, from 0 to 1")
    return float(value)


def _check(model: nn.Module) -> Graph:
    if not isinstance(model, Graph):
        raise InputError(f"model: {type(model).__name__} has no genes; train repsearch.methods.NEAT.Net(inputs, "
                         "classes)")
    return model
