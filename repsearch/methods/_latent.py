"""Two searchers in the place of evolution, gradient ascent and random samples; layer after layer, as it searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.cost import multiply_adds
from repsearch.networks import check_network, device_of, undisturbed
from repsearch.operators import Generators, draw_noise, image_generators, recentre
from repsearch.populations import normalised, propagate
from repsearch.reference import Found, evaluate, make_children

if TYPE_CHECKING:
    from repsearch.config import LayerSearch, SearchConfig
    from repsearch.data import Split

Fitness = Callable[[Tensor], Tensor]
Find = Callable[[nn.Module, int, Tensor, Tensor, Generators], tuple[Tensor, Tensor]]
"""Called as find(network, layer, start, labels, generators): the best of each image (B, ...), and how fit the best was
at the start and after each step or sample (B, count + 1)."""

IMAGES = 32
"""Climb together: always so many, the last ones again if need be, for the last bits of a sum depend on it."""
SAMPLES = 25
"""Of an image judged together, and one image at a time."""


def ascend(
    fitness: Fitness, start: Tensor, steps: int, rate: float = 0.1, clip: float = 1.0,
    tidy: Callable[[Tensor], Tensor] = lambda at: at,
) -> tuple[Tensor, Tensor]:
    """Adam with betas (0.9, 0.9) uphill from `start`; the best visited is kept, the start included.

    Args:
        fitness: of latents (B, ...), each by itself: (B,).
        start: (B, ...).
        steps: of Adam, so fitness is asked once more than that.
        rate: of Adam.
        clip: a longer gradient of an image is shortened to this norm.
        tidy: what becomes of the latents after each step.

    Returns:
        The best (B, ...), and the fitness of the best so far at the start and after each step (B, steps + 1).

    Example:
        >>> best, history = ascend(lambda at: -(at - 2).square().sum(1), torch.zeros(1, 3), steps=100)
        >>> bool((best - 2).abs().max() < 0.1), history.shape
        (True, torch.Size([1, 101]))
    """
    best = start.clone()
    with torch.enable_grad():
        at = start.detach().clone().requires_grad_()
        adam = torch.optim.Adam([at], rate, betas=(0.9, 0.9), maximize=True)
        values = fitness(at)
        history = [values.detach()]
        for _ in range(steps):
            at.grad = _clipped(_gradient(values, at), clip)
            adam.step()
            with torch.no_grad():
                at.copy_(tidy(at))
            values = fitness(at)
            better = values.detach() > history[-1]  # a latent without a fitness, NaN, is never better
            best = torch.where(_beside(better, best), at.detach(), best)
            history.append(torch.where(better, values.detach(), history[-1]))
    return best, torch.stack(history, 1)


def scatter(
    fitness: Fitness, start: Tensor, row: LayerSearch, config: SearchConfig, generators: Generators
) -> tuple[Tensor, Tensor]:
    """Independent samples around `start`, mutated, smoothed and normalised as evolution does; the best is kept, the
    start included.

    Args:
        fitness: of candidates (B, n, ...): (B, n).
        start: (B, ...).
        row: `generations` is the number of samples, `strength` their noise, `blur` its smoothing.
        config: the readings of the operators.
        generators: one an image. Draws are made sample by sample, so that the first ones don't depend on how many.

    Returns:
        As `ascend`, a column a sample.
    """
    best, history = start, fitness(start[:, None])
    for first in range(0, row.generations, SAMPLES):
        n = min(SAMPLES, row.generations - first)
        noise = torch.cat([draw_noise((1, *start.shape[1:]), generators, config.noise) for _ in range(n)], 1)
        pairs = torch.zeros(len(start), n, 2, dtype=torch.long, device=start.device)
        samples = make_children(start[:, None], pairs, noise, row.strength, row, config)
        found = fitness(samples)
        found = found.masked_fill(found.isnan(), -torch.inf)
        most, which = found.max(1)
        winners = samples[torch.arange(len(start), device=start.device), which]
        best = torch.where(_beside(most > history.amax(1), best), winners, best)
        history = torch.cat([history, found], 1)
    return best, history.cummax(1).values


def _gradient(values: Tensor, at: Tensor) -> Tensor:
    if not values.requires_grad:
        raise InputError("network: no gradient leads from its logits to its activations; look for detach(), no_grad() "
                         "and steps without a slope, or search with searcher='random'")
    (gradient,) = torch.autograd.grad(values.sum(), at)
    return gradient


def _clipped(gradient: Tensor, clip: float) -> Tensor:
    """As `torch.nn.utils.clip_grad_norm_`, image by image."""
    norms = gradient.flatten(1).norm(dim=1)
    return gradient * _beside((clip / (norms + 1e-6)).clamp(max=1), gradient)


def _beside(one_each: Tensor, H: Tensor) -> Tensor:
    """A number an image (B,), to stand beside (B, ...)."""
    return one_each.reshape(-1, *[1] * (H.ndim - 1))


# --- in a network -----------------------------------------------------------------------------------------------------


def climb(
    network: nn.Module, layer: int, start: Tensor, labels: Tensor, _: Generators, *, config: SearchConfig, rate: float,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """`ascend` in a layer; activations stay normalised, and logits of mean zero, as evolution's children are."""
    return ascend(
        lambda at: evaluate(network, layer, at[:, None], labels)[:, 0], start, config.schedule[layer].generations, rate,
        clip, lambda at: recentre(at) if at.ndim == 2 else normalised(at, config))


def throw(
    network: nn.Module, layer: int, start: Tensor, labels: Tensor, generators: Generators, *, config: SearchConfig
) -> tuple[Tensor, Tensor]:
    """`scatter` in a layer."""
    fitness = partial(evaluate, network, layer, labels=labels)
    return scatter(fitness, start, config.schedule[layer], config, generators)


def search_layers(
    network: nn.Module, split: Split, config: SearchConfig, seed: int, find: Find, together: int
) -> Found:
    """One layer after the other, each from what the best of the layer before becomes there; the first from the images
    as they are. The network stays as it is.

    Args:
        network, split, seed: as in `repsearch.search`.
        config: gives the layers' rows, the readings, and which draws are an image's.
        find: searches a layer.
        together: images searched together, always so many.
    """
    parts, device, found = check_network(network), device_of(network), []
    with undisturbed(network):
        network.eval()
        for first in range(0, len(split), together):
            rows = torch.arange(first, first + together).clamp(max=len(split) - 1)
            labels, draws = split.labels[rows].to(device), map(config.draw_index, split.indices[rows].tolist())
            generators = image_generators(seed, list(draws), device)
            best, losses = list[Tensor](), list[Tensor]()
            H = normalised(parts.blocks[0](parts.stem(split.images[rows].to(device, copy=True))), config)
            for layer in range(len(config.schedule)):
                if layer:
                    H = propagate(network, layer - 1, H, config)[:, 0]
                H, fitness = find(network, layer, H, labels, generators)
                best.append(H[: len(split) - first].cpu())
                losses.append(-fitness[: len(split) - first].cpu())
            found.append(Found(best, losses))
    return Found.concatenate(found)


def latent_multiply_adds(network: nn.Module, image: Tensor, asked: list[int]) -> int:
    """Multiply-adds of a search of one image (1, C, H, W), counted as `repsearch.cost` counts an evolution: the way to
    the first layer, then in each layer so many passes through the rest. The way to the next layer was part of one."""
    counts = multiply_adds(network, image)
    return counts[0] + sum(passes * sum(counts[layer + 1 :]) for layer, passes in enumerate(asked))
