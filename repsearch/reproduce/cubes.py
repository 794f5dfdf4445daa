"""What smoothing does to fitness of the third degree, where its gradient is known: measured beside closed forms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DIMENSIONS, RANKS = (10, 100, 1000), (1, 2, 4, 8)
SIGMA, WIDE, PAIRS, SIDE, ENTRY = 0.1, 0.5, 200_000, 4, 0.3


def growth(seed: int) -> list[dict[str, float]]:
    """Of x_1 |x|^2 at the first unit vector: how far the first component of the estimate is above that of the gradient,
    by dimension d, beside sigma^2 (d + 2)."""
    rows = []
    for d in DIMENSIONS:
        generator, total, squares = torch.Generator().manual_seed(seed), 0.0, 0.0
        for _ in range(PAIRS // 1000):
            eps = torch.randn(1000, d, generator=generator)
            x = torch.zeros(d)
            x[0] = 1
            plus, minus = (_first_times_length(x + side * SIGMA * eps) for side in (1, -1))
            found = (plus - minus) / (2 * SIGMA) * eps[:, 0] - 3
            total, squares = total + float(found.sum()), squares + float(found.square().sum())
        rows.append({"d": d, "theory": SIGMA**2 * (d + 2), **_mean(total, squares)})
    return rows


def low_rank(seed: int) -> list[dict[str, float]]:
    """Of the sum of cubes of a matrix's entries: how far an entry of the low-rank estimate is, in the mean, above that
    of the Gaussian one, by rank r, beside 6 sigma^2 / r."""
    rows = []
    for rank in RANKS:
        generator, total, squares = torch.Generator().manual_seed(seed), 0.0, 0.0
        for _ in range(PAIRS // 1000):
            left, right = (torch.randn(1000, SIDE, rank, generator=generator) for _ in range(2))
            E = left @ right.transpose(1, 2) / rank**0.5
            cubes = [(ENTRY + side * WIDE * E).pow(3).sum((1, 2)) for side in (1, -1)]
            found = ((cubes[0] - cubes[1])[:, None, None] / (2 * WIDE) * E).mean((1, 2)) - 3 * (ENTRY**2 + WIDE**2)
            total, squares = total + float(found.sum()), squares + float(found.square().sum())
        rows.append({"rank": rank, "theory": 6 * WIDE**2 / rank, **_mean(total, squares)})
    return rows


def _first_times_length(x: Tensor) -> Tensor:
    return x[:, 0] * x.square().sum(1)


def _mean(total: float, squares: float) -> dict[str, Any]:
    mean = total / PAIRS
    return {"mean": mean, "error": ((squares / PAIRS - mean**2) / PAIRS) ** 0.5}
