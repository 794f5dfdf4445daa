"""EGGROLL: an evolution strategy whose noise on each matrix has a low rank, and is never written out.

    W_i = W + sigma E_i,  E_i = A_i B_i^T / sqrt(r),  A_i (m, r), B_i (n, r) ~ N(0, 1)
    x W_i^T = x W^T + sigma/sqrt(r) (x B_i) A_i^T

Source: Sarkar et al. 2025, arXiv 2511.16652. Cost: F times the population an image, as for any evolution strategy; but
a member's noise is r (m + n) numbers instead of m n, and members that see the same input share its product with W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset
from repsearch.methods._members import Offset, Offsets
from repsearch.methods._population import Score
from repsearch.methods.evolution import EvolutionStrategy


class EGGROLL(EvolutionStrategy):
    """Evolution strategy with low-rank noise on weight matrices and convolutions, whose kernels count as matrices of
    one row an output channel. Biases, and matrices of no higher rank than that, get Gaussian noise on each number.

    Where a weight isn't a plain layer's own, as in attention or under spectral norm, its noise is written out.

    Args:
        rank: r, of the noise on each matrix.
        population, sigma, sampling, minibatch, shaping, optimizer, fitness, loss: as in `EvolutionStrategy`.

    Raises:
        InputError: as `EvolutionStrategy`; and in `start`, a rank that no matrix of the network exceeds.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, EGGROLL(rank=2, population=4), preset.baseline,
        ...               progress=False)
        >>> history.spent[0]
        500.0
    """

    def __init__(
        self, rank: int = 1, population: int = 100, sigma: float = 0.05, sampling: str = "antithetic",
        minibatch: str = "shared", shaping: str = "none", optimizer: str = "sgd", fitness: Score | None = None,
        loss: Score | None = None,
    ) -> None:
        super().__init__(population, sigma, sampling, minibatch, shaping, optimizer, fitness, loss)
        self.rank = checks.positive_int("rank", rank)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network without a matrix of higher rank than that."""
        super().start(model, data, config, seed)
        sizes = {name: (len(weight), weight[0].numel()) for name, weight in self.members.weights.items()
                 if weight.ndim > 1}
        self.sizes = {name: size for name, size in sizes.items() if min(size) > self.rank}
        if not self.sizes:
            highest = max((min(size) for size in sizes.values()), default=0)
            found = f"have ranks up to {highest}; expected a lower one" if highest else "are none that can be trained"
            raise InputError(f"rank={self.rank}: the network's matrices {found}, or EvolutionStrategy, whose noise has "
                             "every rank")
        self.lengths = [self.rank * sum(self.sizes[name]) if name in self.sizes else weight.numel()
                        for name, weight in self.members.weights.items()]

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "rank": self.rank}

    @property
    def width(self) -> int:
        """Numbers that are drawn for a direction."""
        return sum(self.lengths)

    def offsets(self, drawn: Tensor) -> Offsets:
        """Factors (D, m, r) and (D, n, r) for matrices, noise (D, ...) for the rest."""
        pieces = torch.split(drawn, self.lengths, dim=1)
        return {name: self._offset(name, weight, piece)
                for (name, weight), piece in zip(self.members.weights.items(), pieces, strict=True)}

    def _offset(self, name: str, weight: Tensor, drawn: Tensor) -> Offset:
        if name not in self.sizes:
            return drawn.reshape(-1, *weight.shape)
        left, right = torch.split(drawn, [self.rank * size for size in self.sizes[name]], dim=1)
        return left.reshape(len(drawn), -1, self.rank), right.reshape(len(drawn), -1, self.rank)

    def summed(self, weights: Tensor, drawn: Tensor) -> Tensor:
        """The sum of these directions' noise, weighted, (dimension,): one product of matrices each."""
        total = {}
        for name, offset in self.offsets(drawn).items():
            if isinstance(offset, tuple):
                left, right = offset
                rows = (left * weights[:, None, None]).movedim(0, 1).flatten(1)
                total[name] = rows @ right.movedim(2, 1).flatten(0, 1) / self.rank**0.5
            else:
                total[name] = weights @ offset.flatten(1)
        return self.members.flat(total)
