"""The operators of section 3.1, as pure functions.

A population is one tensor: (B, n, C, H, W) for B images of n candidates in a convolutional layer, (B, n, K) for
logits. Randomness comes from one generator an image, so that what an image draws does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Generators = Sequence[torch.Generator]


def image_generators(seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One generator for each image, seeded by (seed, index of the image) and nothing else."""
    states = [np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] for index in indices]
    return [torch.Generator(device).manual_seed(int(state) >> 1) for state in states]


def select(population: Tensor, fitness: Tensor, k: int, together: bool = False) -> tuple[Tensor, Tensor]:
    """The k fittest candidates of each image, best first.

    Args:
        population: (B, n, ...).
        fitness: (B, n).
        k: how many are kept, at most n.
        together: rank candidates by their mean fitness over the images: all images keep the same ones.

    A candidate without a fitness, NaN, ranks last.

    Returns:
        Parents (B, k, ...), unchanged, and their fitness (B, k).
    """
    ranking = fitness.mean(0, keepdim=True).expand_as(fitness) if together else fitness
    top = ranking.masked_fill(ranking.isnan(), -torch.inf).topk(k, dim=1).indices
    return _rows(population, top), fitness.gather(1, top)


def draw_pairs(n: int, k: int, generators: Generators, distinct: bool = False) -> Tensor:
    """Two parents for each of n children, as indices (B, n, 2) in 0 .. k-1, drawn uniformly and with replacement.

    With `distinct`, the second differs from the first.
    """
    first = torch.stack([torch.randint(k, (n,), generator=g, device=g.device) for g in generators])
    if distinct:
        step = torch.stack([torch.randint(1, k, (n,), generator=g, device=g.device) for g in generators])
        return torch.stack([first, (first + step) % k], dim=2)
    second = torch.stack([torch.randint(k, (n,), generator=g, device=g.device) for g in generators])
    return torch.stack([first, second], dim=2)


def draw_noise(shape: Sequence[int], generators: Generators, kind: Literal["pixel", "map"] = "pixel") -> Tensor:
    """Standard normal noise, ``(B, *shape)``: one draw for each pixel, or for each map (H, W)."""
    drawn = [*shape[:-2], 1, 1] if kind == "map" and len(shape) > 2 else list(shape)
    noise = torch.stack([torch.randn(drawn, generator=g, device=g.device) for g in generators])
    return noise.expand(len(generators), *shape)


def crossover(parents: Tensor, pairs: Tensor) -> Tensor:
    """The mean of two parents: H = (H_p1 + H_p2) / 2.

    Args:
        parents: (B, k, ...).
        pairs: (B, n, 2), indices into the parents.

    Returns:
        (B, n, ...).
    """
    return (_rows(parents, pairs[..., 0]) + _rows(parents, pairs[..., 1])) / 2


def spread(H: Tensor) -> Tensor:
    """The standard deviation that scales mutation, shaped to multiply H.

    Convolutional layers: of each channel over its positions, (B, n, C, 1, 1). Logits, and maps of a single position:
    of each candidate over all its values, (B, n, 1) or (B, n, 1, 1, 1).
    """
    if H.ndim == 5 and H.shape[-1] * H.shape[-2] > 1:
        return H.std(dim=(3, 4), keepdim=True)
    return H.flatten(2).std(dim=2).reshape(*H.shape[:2], *[1] * (H.ndim - 2))


def parent_spread(parents: Tensor, pairs: Tensor) -> Tensor:
    """sigma of a child: the mean of its two parents' `spread`. Shapes as in `crossover` and `spread`."""
    return crossover(spread(parents), pairs)


def mutate(H: Tensor, sigma: Tensor, strength: float, noise: Tensor) -> Tensor:
    """H + eps with eps = strength * sigma * noise, so eps ~ N(0, (strength * sigma)^2).

    Args:
        H: (B, n, ...).
        sigma: broadcasts to H.
        strength: alpha, or alpha * boost.
        noise: standard normal, shaped like H.
    """
    return H + strength * sigma * noise


def noisy(images: Tensor, strength: float, generators: Generators) -> Tensor:
    """Images (B, C, H, W) plus noise of `strength` times the standard deviation of each channel of each image."""
    sigma = images.std(dim=(2, 3), keepdim=True)
    return mutate(images, sigma, strength, draw_noise(images.shape[1:], generators))


def smooth(H: Tensor, passes: int, border: Literal["zeros", "inside"] = "zeros") -> Tensor:
    """`passes` times 3x3 average pooling, stride 1, padding 1. Maps (..., H, W) in and out.

    Pooling is linear and separable, so that all passes are one matrix on each axis: S H S^T. `border` "zeros" divides
    by 9 everywhere; "inside" divides by the number of positions within the map.
    """
    height, width = H.shape[-2:]
    rows, columns = pooling_matrix(height, passes, border).to(H), pooling_matrix(width, passes, border).to(H)
    return rows @ H @ columns.T


def pooling_matrix(side: int, passes: int, border: Literal["zeros", "inside"] = "zeros") -> Tensor:
    """The matrix (side, side) that averages each position with its two neighbours, `passes` times.

    Example:
        >>> (pooling_matrix(3, 1) * 3).round()
        tensor([[1., 1., 0.],
                [1., 1., 1.],
                [0., 1., 1.]], dtype=torch.float64)
    """
    neighbours = torch.ones(side, side, dtype=torch.float64).triu(-1).tril(1)
    once = neighbours / (3 if border == "zeros" else neighbours.sum(1, keepdim=True))
    power: Tensor = torch.linalg.matrix_power(once, passes)
    return power


def normalise(H: Tensor, eps: float = 1e-5) -> Tensor:
    """(H - mean) / sqrt(var + eps), over the channels and positions (..., C, H, W) of each candidate."""
    return F.layer_norm(H, H.shape[-3:], eps=eps)


def recentre(logits: Tensor) -> Tensor:
    """Logits (..., K) moved to mean zero, which leaves their softmax unchanged."""
    return logits - logits.mean(dim=-1, keepdim=True)


def _rows(population: Tensor, rows: Tensor) -> Tensor:
    """population[b, rows[b, i]] for every image b: (B, n, ...) and (B, m) to (B, m, ...)."""
    images = torch.arange(len(population), device=population.device)[:, None]
    return population[images, rows]
