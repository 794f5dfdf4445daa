"""Genomes of NEAT: what they are, how they mutate and cross, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

NUMBER, SOURCE, TARGET, ENABLED = range(4)  # columns of genes
REDRAWN, DISABLED = 0.1, 0.75
EXCESS, DISJOINT, WEIGHTS = 1.0, 1.0, 0.4  # c1, c2, c3 of the distance
SMALL = 20
TRIES = 20


@dataclass(frozen=True, eq=False)
class Genome:
    """Connection genes, and through the nodes that they name the node genes: a node never loses its genes.

    Nodes count from 0: inputs, the bias, outputs, then hidden ones. Nothing leads into inputs or out of outputs.

    Args:
        genes: (G, 4) of innovation number, by which they are sorted, source, target, and 1 if enabled.
        weights: float32 (G,).
        inputs, outputs: how many there are, without the bias.
    """

    genes: NDArray[np.int64]
    weights: NDArray[np.float32]
    inputs: int
    outputs: int

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def enabled(self) -> NDArray[np.bool_]:
        """Which genes take part in the network, (G,)."""
        enabled: NDArray[np.bool_] = self.genes[:, ENABLED] == 1
        return enabled

    @property
    def hidden(self) -> list[int]:
        """The hidden nodes, sorted; sources will do, for a node begins with a gene out of it."""
        sources = self.genes[:, SOURCE]
        return sorted(set(sources[sources > self.inputs + self.outputs].tolist()))

    def inner(self, enabled: bool = False) -> list[tuple[int, int]]:
        """Source and target of the genes from hidden nodes to hidden ones, of all or of those enabled."""
        chosen = (self.genes[:, [SOURCE, TARGET]] > self.inputs + self.outputs).all(1)
        chosen &= self.enabled | (not enabled)
        return [(int(source), int(target)) for source, target in self.genes[chosen][:, [SOURCE, TARGET]]]

    def leads(self, start: int, end: int) -> bool:
        """Whether there is a way from a node to another; disabled genes count, for they may be enabled again."""
        inner, reached = self.inner(), {start}
        while end not in reached:
            further = {target for source, target in inner if source in reached} - reached
            if not further:
                return False
            reached |= further
        return True

    def has(self, source: int, target: int) -> bool:
        """Whether a gene, enabled or not, links these nodes."""
        return bool(((self.genes[:, SOURCE] == source) & (self.genes[:, TARGET] == target)).any())


@dataclass
class Innovations:
    """Gives innovation numbers to genes and nodes: in one generation the same to the same mutation.

    Args:
        genes, nodes: the next ones.
    """

    genes: int
    nodes: int
    links: dict[tuple[int, int], int] = field(default_factory=dict)
    splits: dict[int, int] = field(default_factory=dict)

    def link(self, source: int, target: int) -> int:
        """The number of a gene between these nodes."""
        if (source, target) not in self.links:
            self.links[source, target] = self.genes
            self.genes += 1
        return self.links[source, target]

    def split(self, number: int) -> int:
        """The node that splits the gene of this number."""
        if number not in self.splits:
            self.splits[number] = self.nodes
            self.nodes += 1
        return self.splits[number]

    def forget(self) -> None:
        """A generation ends."""
        self.links.clear()
        self.splits.clear()


def minimal(inputs: int, outputs: int, weights: NDArray[np.float32]) -> Genome:
    """All inputs and the bias linked to all outputs, with weights ((inputs + 1) * outputs,), output by output."""
    sources = np.tile(np.arange(inputs + 1), outputs)
    targets = np.repeat(np.arange(inputs + 1, inputs + 1 + outputs), inputs + 1)
    genes = np.stack([np.arange(len(sources)), sources, targets, np.ones_like(sources)], axis=1)
    return Genome(genes, weights, inputs, outputs)


# --- mutations --------------------------------------------------------------------------------------------------------


def with_weights(genome: Genome, rng: np.random.Generator, std: float, spread: float) -> Genome:
    """All weights moved by Gaussian noise of this std, or one in ten drawn anew, with a std of `spread`."""
    noise = rng.standard_normal(len(genome), np.float32)
    redrawn = rng.random(len(genome)) < REDRAWN
    weights = np.where(redrawn, np.float32(spread) * noise, genome.weights + np.float32(std) * noise)
    return Genome(genome.genes, weights, genome.inputs, genome.outputs)


def with_node(genome: Genome, rng: np.random.Generator, innovations: Innovations) -> Genome:
    """A node in the middle of an enabled gene, which is disabled: weight 1 leads into it, the old weight out of it."""
    enabled = np.flatnonzero(genome.enabled)
    if len(enabled) == 0:
        return genome
    place = int(rng.choice(enabled))
    number, source, target, _ = map(int, genome.genes[place])
    node, genes = innovations.split(number), genome.genes.copy()
    genes[place, ENABLED] = 0
    rows = [(innovations.link(*ends), *ends, 1) for ends in ((source, node), (node, target))]
    return _joined(genome, genes, rows, [1.0, float(genome.weights[place])])


def with_link(genome: Genome, rng: np.random.Generator, innovations: Innovations, spread: float) -> Genome:
    """A gene between two nodes that had none, with a weight of this std, if some draws find a pair without a cycle."""
    hidden, outputs = genome.hidden, range(genome.inputs + 1, genome.inputs + 1 + genome.outputs)
    sources, targets = [*range(genome.inputs + 1), *hidden], [*hidden, *outputs]
    for _ in range(TRIES):
        source, target = sources[int(rng.integers(len(sources)))], targets[int(rng.integers(len(targets)))]
        if not genome.has(source, target) and not genome.leads(target, source):
            row = (innovations.link(source, target), source, target, 1)
            return _joined(genome, genome.genes, [row], [spread * float(rng.standard_normal())])
    return genome


def _joined(
    genome: Genome, genes: NDArray[np.int64], rows: list[tuple[int, int, int, int]], weights: list[float]
) -> Genome:
    genes = np.concatenate([genes, np.array(rows, dtype=np.int64)])
    joined = np.concatenate([genome.weights, np.array(weights, dtype=np.float32)])
    order = np.argsort(genes[:, NUMBER], kind="stable")  # an older number of this generation may come second
    return Genome(genes[order], joined[order], genome.inputs, genome.outputs)


# --- two genomes ------------------------------------------------------------------------------------------------------


def crossed(fitter: Genome, other: Genome, rng: np.random.Generator) -> Genome:
    """A child: matching genes of either parent at random, the others of the fitter one.

    A gene that is disabled in a parent is disabled with probability 3/4, and else enabled.
    """
    at, matching = _matches(fitter.genes[:, NUMBER], other)
    weights = np.where(matching & (rng.random(len(fitter)) < 0.5), other.weights[at], fitter.weights)
    off = ~fitter.enabled | (matching & ~other.enabled[at])
    genes = fitter.genes.copy()
    genes[:, ENABLED] = ~(off & (rng.random(len(fitter)) < DISABLED))
    return Genome(genes, weights, fitter.inputs, fitter.outputs)


def distances(one: Genome, others: Sequence[Genome]) -> NDArray[np.float64]:
    """c1 E / N + c2 D / N + c3 W for each of the others, of which there is at least one.

    E excess genes come after the other genome's last, D disjoint ones before, W is the mean difference in weight of
    matching ones. N is the number of genes of the larger genome, or 1 if it has less than twenty.
    """
    numbers, last = np.concatenate([other.genes[:, NUMBER] for other in others]), one.genes[-1, NUMBER]
    lengths = np.array([len(other) for other in others])
    starts = lengths.cumsum() - lengths
    at, matching = _matches(numbers, one)
    apart = np.abs(np.concatenate([other.weights for other in others]) - one.weights[at]) * matching
    shared = np.add.reduceat(matching, starts, dtype=np.int64)
    excess = np.add.reduceat(numbers > last, starts, dtype=np.int64)
    excess += len(one) - one.genes[:, NUMBER].searchsorted(numbers[starts + lengths - 1], "right")
    disjoint, larger = len(one) + lengths - 2 * shared - excess, np.maximum(lengths, len(one))
    structure = (EXCESS * excess + DISJOINT * disjoint) / np.where(larger < SMALL, 1, larger)
    found: NDArray[np.float64] = structure + WEIGHTS * np.add.reduceat(apart, starts, dtype=np.float64) / shared.clip(1)
    return found


def _matches(numbers: NDArray[np.int64], other: Genome) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each innovation number a gene of the other's, and whether that has this number."""
    own = other.genes[:, NUMBER]
    at = np.minimum(own.searchsorted(numbers), len(own) - 1)
    return at, own[at] == numbers


# --- in checkpoints ---------------------------------------------------------------------------------------------------


def packed(genomes: Sequence[Genome]) -> dict[str, Any]:
    """Genomes as tensors, one after the other."""
    return {"lengths": [len(genome) for genome in genomes],
            "genes": torch.from_numpy(np.concatenate([genome.genes for genome in genomes])),
            "weights": torch.from_numpy(np.concatenate([genome.weights for genome in genomes]))}


def unpacked(state: dict[str, Any], inputs: int, outputs: int) -> list[Genome]:
    """What was `packed`."""
    genes, weights = (part.cpu().split(state["lengths"]) for part in (state["genes"], state["weights"]))
    return [Genome(rows.numpy(), own.numpy(), inputs, outputs) for rows, own in zip(genes, weights, strict=True)]
