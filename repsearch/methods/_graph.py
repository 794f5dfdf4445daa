"""The network of NEAT: nodes and links as a genome has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.methods._genome import SOURCE, TARGET, Genome, minimal
from repsearch.networks import own_settings

ROOM = 200
"""Genes that a network has room for by default, beside those it begins with."""


class Graph(nn.Module):
    """A network without layers: its nodes and links are those of a `Genome`, and no link leads back.

        hidden: v_j = 1 / (1 + exp(-4.9 sum_i w_ij v_i)),   logits: sum_i w_ij v_i,   with v = 1 at the bias

    It begins with all inputs and the bias linked to all classes. Links stand in tensors of a fixed size, so that its
    `state_dict` fits whatever it becomes.

    Args:
        inputs: numbers of an image (channels x height x width).
        classes: number of classes.
        side: averages images to as many pixels a side first; then `inputs` is channels x side x side.
        capacity: genes that there is room for, disabled ones included; by default 200 more than at the start.
        seed: decides the initial weights: Gaussian, of variance 1 / (inputs + 1).

    Raises:
        InputError: a number out of range, a side that does not divide the inputs, less room than the start takes.

    Example:
        >>> net = Graph(64, classes=2, side=8)
        >>> net(torch.rand(3, 1, 32, 32)).shape, len(net.genome)
        (torch.Size([3, 2]), 130)
    """

    genes: Tensor

    def __init__(
        self, inputs: int, classes: int, side: int | None = None, capacity: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.inputs, self.classes = checks.positive_int("inputs", inputs), checks.positive_int("classes", classes, 2)
        self.side = None if side is None else checks.positive_int("side", side)
        if self.side is not None and self.inputs % self.side**2:
            raise InputError(f"inputs={inputs}: averaged to side={side}, images have a multiple of {self.side**2} "
                             "numbers")
        count = (self.inputs + 1) * self.classes
        self.capacity = count + ROOM if capacity is None else checks.positive_int("capacity", capacity)
        if self.capacity < count:
            raise InputError(f"capacity={capacity}: it begins with {count} genes; expected at least as many")
        rng = np.random.default_rng(checks.seed(seed))
        with own_settings():
            self.weights = nn.Parameter(torch.zeros(self.capacity))
            self.register_buffer("genes", torch.zeros(self.capacity, 4, dtype=torch.long))
        drawn = rng.standard_normal(count, np.float32) / np.sqrt(np.float32(self.inputs + 1))
        self.take(minimal(self.inputs, self.classes, drawn))

    @property
    def genome(self) -> Genome:
        """What it is, with all genes."""
        genes = self.genes[self.genes[:, SOURCE] >= 0].cpu().numpy()
        return Genome(genes, self.weights.detach()[: len(genes)].cpu().numpy().copy(), self.inputs, self.classes)

    @torch.no_grad()
    def take(self, genome: Genome) -> None:
        """Become what a genome says, which has room."""
        self.genes.fill_(-1)
        self.weights.zero_()
        self.genes[: len(genome)] = torch.from_numpy(genome.genes)
        self.weights[: len(genome)] = torch.from_numpy(genome.weights)

    def numbers(self, images: Tensor) -> Tensor:
        """Inputs (B, n) of images (B, C, H, W)."""
        return (images if self.side is None else F.adaptive_avg_pool2d(images, self.side)).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return passed(self.genome, self.weights, self.numbers(images))


def steep(x: Tensor) -> Tensor:
    """A sigmoid that is nearly linear within half a unit around zero, and nearly a step beyond.

    Example:
        >>> steep(torch.tensor([0.0, 0.5]))
        tensor([0.5000, 0.9206])
    """
    return torch.sigmoid(4.9 * x)


def passed(genome: Genome, weights: Tensor, inputs: Tensor, squash: Callable[[Tensor], Tensor] = steep) -> Tensor:
    """Logits (B, outputs) of inputs (B, n).

    Args:
        weights: of the genes, (G,) or more, on the device of the inputs.
        squash: what hidden nodes make of their sum.
    """
    levels, *places = order(genome)
    rows, columns, genes = (torch.from_numpy(place).to(inputs.device) for place in places)
    hidden = sum(levels)
    matrix = weights.new_zeros(hidden + genome.outputs, genome.inputs + 1 + hidden)
    matrix = matrix.index_put((rows, columns), weights[genes])
    values, done = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1), 0
    for count in levels:
        sums = F.linear(values, matrix[done : done + count, : values.shape[1]])
        values, done = torch.cat([values, squash(sums)], 1), done + count
    return F.linear(values, matrix[done:])


Places = NDArray[np.int64]


def order(genome: Genome) -> tuple[list[int], Places, Places, Places]:
    """How to compute a network: how many hidden nodes there are of each depth, which are computed at once; and of every
    enabled gene the row of its target, hidden nodes before outputs, the column of its source, and its place."""
    depths, first = _depths(genome), genome.inputs + 1
    place = {node: number for number, node in enumerate(sorted(depths, key=lambda node: (depths[node], node)))}
    genes = np.flatnonzero(genome.enabled)
    sources, targets = genome.genes[genes, SOURCE], genome.genes[genes, TARGET]
    rows, columns = targets - first + len(place), sources.copy()
    for node, number in place.items():
        rows[targets == node] = number
        columns[sources == node] = first + number
    counts = Counter(depths.values())
    return [counts[depth] for depth in sorted(counts)], rows, columns, genes


def _depths(genome: Genome) -> dict[int, int]:
    """Of hidden nodes: 1 if no hidden one leads there, else one more than the deepest that does."""
    hidden = genome.hidden
    depths, inner, moved = dict.fromkeys(hidden, 1), genome.inner(enabled=True) if hidden else [], True
    while moved:
        moved = False
        for source, target in inner:
            if depths[target] <= depths[source]:
                depths[target], moved = depths[source] + 1, True
    return depths
