"""What the tests of NEAT share: genomes made by hand and by many mutations, and the exclusive or."""

from __future__ import annotations

import numpy as np
import torch

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods import NEAT
from repsearch.methods._genome import Genome, Innovations, crossed, minimal, with_link, with_node, with_weights
from repsearch.methods._graph import Graph

CONFIG = rs.FitConfig(epochs=1, batch=400)
CORNERS = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]).view(4, 1, 1, 2)
XOR = Batch(CORNERS, torch.tensor([0, 1, 1, 0]), 0, 4)
Row = tuple[int, int, int, int, float]


def made(rows: list[Row], inputs: int = 2, outputs: int = 1) -> Genome:
    """A genome of (number, source, target, enabled, weight); with two inputs and an output, 2 is the bias, 3 the output."""
    genes = np.array([row[:4] for row in rows], dtype=np.int64)
    return Genome(genes, np.array([row[4] for row in rows], dtype=np.float32), inputs, outputs)


def first(inputs: int = 2, outputs: int = 1, seed: int = 0) -> tuple[Genome, Innovations, np.random.Generator]:
    rng, count = np.random.default_rng(seed), (inputs + 1) * outputs
    genome = minimal(inputs, outputs, rng.standard_normal(count, np.float32))
    return genome, Innovations(count, inputs + 1 + outputs), rng


def evolved(seed: int, mutations: int, inputs: int = 2, outputs: int = 2) -> list[Genome]:
    """A line of descent: each differs from the one before by a mutation, sometimes by a crossover with an ancestor."""
    genome, innovations, rng = first(inputs, outputs, seed)
    line = [genome]
    for _ in range(mutations):
        kind = rng.integers(4)
        if kind == 0:
            genome = with_node(genome, rng, innovations)
        elif kind == 1:
            genome = crossed(genome, line[int(rng.integers(len(line)))], rng)
        else:
            genome = with_link(genome, rng, innovations, 1.0)
        innovations.forget()
        genome = with_weights(genome, rng, 0.5, 1.0)
        line.append(genome)
    return line


def ends(genome: Genome) -> list[tuple[int, int]]:
    return [(int(source), int(target)) for source, target in genome.genes[:, 1:3]]


def numbers(genome: Genome) -> list[int]:
    return [int(number) for number in genome.genes[:, 0]]


def same(one: Genome, other: Genome) -> bool:
    return np.array_equal(one.genes, other.genes) and np.array_equal(one.weights, other.weights)


def known(genome: Genome, others: list[Genome]) -> bool:
    return any(same(genome, other) for other in others)


def started(method: NEAT, net: Graph, seed: int = 0) -> NEAT:
    method.start(net, None, CONFIG, seed)  # type: ignore[arg-type]
    return method
