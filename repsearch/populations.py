"""Where the search of a layer begins: noisy copies of images, and what becomes of candidates on their way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from repsearch.config import SearchConfig
from repsearch.networks import check_network
from repsearch.operators import Generators, draw_noise, mutate, normalise, recentre


def noisy_copies(images: Tensor, config: SearchConfig, generators: Generators) -> Tensor:
    """A population of copies of each image (B, C, H, W) with noise, (B, n, C, H, W)."""
    sigma = images.std(dim=(2, 3), keepdim=True)[:, None]
    noise = draw_noise((config.population, *images.shape[1:]), generators)
    return mutate(images[:, None], sigma, config.input_noise, noise)


def initial_population(network: nn.Module, images: Tensor, config: SearchConfig, generators: Generators) -> Tensor:
    """Noisy copies of each image, propagated to the first search layer: (B, C, H, W) to (B, n, C', H', W').

    They are normalised like every later candidate, which is what the frozen statistics assume. The noise has
    `config.input_noise` times the standard deviation of each channel of that image.
    """
    parts, copies = check_network(network), noisy_copies(images, config, generators)
    # Before the first pooling maps are large: a few copies at a time, unless they share their batch's statistics.
    at_a_time = 48 if config.statistics == "frozen" else copies.shape[0] * copies.shape[1]
    return normalised(each_candidate(lambda x: parts.blocks[0](parts.stem(x)), copies, at_a_time), config)


def first_population(
    network: nn.Module, images: Tensor, config: SearchConfig, generators: Generators, layer: int = 0,
    start: Tensor | None = None,
) -> Tensor:
    """The first candidates (B, n, ...) of a search that begins at `layer`.

    Noisy copies of the images (B, C, H, W), sent through the blocks up to there; or copies of the activations `start`
    (B, ...), if given, as a later layer's first population are copies of what the best before it become.
    """
    if start is not None:
        first = start.to(images)
        return _copies(recentre(first) if first.ndim == 2 else normalised(first, config), config)
    parts = check_network(network)
    population = initial_population(network, images, config, generators)
    for block in parts.blocks[1 : layer + 1]:
        population = normalised(each_candidate(block, population), config)
    return recentre(each_candidate(parts.head, population)) if layer == len(parts.blocks) else population


def propagate(network: nn.Module, layer: int, H: Tensor, config: SearchConfig, to: int | None = None) -> Tensor:
    """The next layer's first population: copies of what the best activations (B, ...) of `layer` become there.

    Args:
        network: offers stem, blocks and head.
        layer: the layer searched last.
        H: (B, ...), its best.
        config: gives the population's size, and whether activations are normalised.
        to: the layer searched next, if it is not the one behind `layer`.
    """
    parts = check_network(network)
    to = layer + 1 if to is None else to
    H = H.clone()  # of which the best stays as it is, should a part change its input in place
    for block in parts.blocks[layer + 1 : to + 1]:
        H = normalised(block(H), config)
    return _copies(recentre(parts.head(H)) if to == len(parts.blocks) else H, config)


def _copies(H: Tensor, config: SearchConfig) -> Tensor:
    """A population of equal candidates: (B, ...) to (B, n, ...)."""
    return H[:, None].expand(-1, config.population, *H.shape[1:])


def own_activations(network: nn.Module, images: Tensor, config: SearchConfig) -> list[Tensor | None]:
    """What a network makes of images (B, C, H, W) in every search layer, normalised as candidates are: (B, ...).

    None for the logits, and for all layers where nothing pulls candidates there.
    """
    parts = check_network(network)
    if not config.pull:
        return [None] * (len(parts.blocks) + 1)
    own: list[Tensor | None] = []
    H = parts.stem(images.clone())
    for block in parts.blocks:
        H = normalised(block(H), config)
        own.append(H)
    return [*own, None]


def normalised(H: Tensor, config: SearchConfig) -> Tensor:
    return normalise(H) if config.normalise else H


def each_candidate(
    function: Callable[[Tensor], Tensor], population: Tensor, at_a_time: int | None = None
) -> Tensor:
    """`function` of every candidate, (B, n, ...) to (B, n, ...), of at most so many at a time."""
    flat = population.flatten(0, 1)
    out = torch.cat([function(part) for part in torch.split(flat, at_a_time or len(flat))])
    return out.reshape(*population.shape[:2], *out.shape[1:])
