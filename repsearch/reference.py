"""Search in activation space: the pseudocode of section 3.1 and appendix A.2, on any network with stem, blocks, head.

This is the reference: it reads like the paper, and everything faster is tested against it. Everything is per image;
tensors hold B images at once as (B, candidates, ...), see `repsearch.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.config import LayerSearch, SearchConfig
from repsearch.data import Split
from repsearch.networks import batch_statistics, check_network, device_of, modes_kept, rest
from repsearch.operators import (
    Generators,
    crossover,
    draw_noise,
    draw_pairs,
    image_generators,
    mutate,
    normalise,
    parent_spread,
    recentre,
    select,
    smooth,
)

Watch = Callable[[int, int, Tensor, Tensor], None]
"""Called as watch(layer, generation, population, fitness) after every evaluation; generation 0 is the start."""


@dataclass
class Found:
    """What a search found for B images: of each layer searched the best activations (B, ...), and their cross-entropies
    (B, generations+1)."""

    activations: list[Tensor]
    cross_entropy: list[Tensor]

    @staticmethod
    def concatenate(parts: Sequence[Found]) -> Found:
        """One `Found` for the images of all parts, in order."""
        return Found(
            [torch.cat(layer) for layer in zip(*(part.activations for part in parts), strict=True)],
            [torch.cat(layer) for layer in zip(*(part.cross_entropy for part in parts), strict=True)],
        )


@torch.no_grad()
def search_images(
    network: nn.Module, data: Split, config: SearchConfig, seed: int, watch: Watch | None = None,
    layers: Sequence[int] | None = None, start: Tensor | None = None,
) -> Found:
    """One search layer after the other, each starting from the best of the one before.

    Args:
        network, data, config, seed: as in `repsearch.search`; all images are in memory together.
        watch: sees every population; see `Watch`.
        layers: numbers of the layers to search, in order; None is all of them.
        start: activations (B, ...) of the first of them, to start from in place of noisy copies of the images.

    Returns:
        `Found`: the best activations of every layer (B, ...), and their cross-entropy (B, generations + 1).
    """
    device = device_of(network)
    images, labels = data.images.to(device), data.labels.to(device)
    generators = image_generators(seed, data.indices.tolist(), device)
    chosen = range(len(config.schedule)) if layers is None else layers
    best, histories = [], []

    with evaluation_mode(network, config):
        population = first_population(network, images, config, generators, chosen[0], start)
        for layer, following in zip_longest(chosen, chosen[1:]):
            H, history = search_layer(network, layer, population, labels, config, generators, watch)
            best.append(H.cpu())
            histories.append(history.cpu())
            if following is not None:
                population = propagate(network, layer, H, config, following)
    return Found(best, histories)


def search_layer(
    network: nn.Module,
    layer: int,
    population: Tensor,
    labels: Tensor,
    config: SearchConfig,
    generators: Generators,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor]:
    """Selection, exploration and refinement for the generations of one search layer.

    Args:
        network: offers stem, blocks and head.
        layer: 0 for the first block's output, len(blocks) for the logits.
        population: (B, n, ...), the layer's first candidates.
        labels: (B,).
        config: the search's configuration.
        generators: one an image.
        watch: sees every population.

    Returns:
        The best candidate of each image (B, ...), and its cross-entropy after each generation (B, generations + 1).
    """
    schedule = config.schedule[layer]
    together = config.selection == "batch"
    fitness = evaluate(network, layer, population, labels)
    history = [select(population, fitness, 1, together)[1][:, 0]]
    if watch:
        watch(layer, 0, population, fitness)

    for generation in range(1, schedule.generations + 1):
        parents, parent_fitness = select(population, fitness, config.parents, together)
        explorers = reproduce(
            parents, config.explorers, schedule.strength * schedule.boost, schedule, config, generators
        )
        pool = parents if config.refine_from == "parents" else torch.cat([parents, explorers], 1)
        refiners = reproduce(pool, config.refiners, schedule.strength, schedule, config, generators)

        population = torch.cat([parents, explorers, refiners], 1)
        if config.statistics == "frozen":
            # Parents are unchanged, and so is their fitness: the best never falls, not even by a rounding.
            children_fitness = evaluate(network, layer, population[:, config.parents :], labels)
            fitness = torch.cat([parent_fitness, children_fitness], 1)
        else:
            fitness = evaluate(network, layer, population, labels)
        history.append(select(population, fitness, 1, together)[1][:, 0])
        if watch:
            watch(layer, generation, population, fitness)

    best, _ = select(population, fitness, 1, together)
    return best[:, 0], -torch.stack(history, 1)


def reproduce(
    parents: Tensor, n: int, strength: float, schedule: LayerSearch, config: SearchConfig, generators: Generators
) -> Tensor:
    """n children: two parents each, crossover, mutation, then smoothing and normalisation, or recentring of logits.

    Args:
        parents: (B, k, ...).
        n: children an image.
        strength: of the mutation: alpha, or alpha * boost.
        schedule: the layer's row of the schedule; gives the blur passes.
        config: the readings of the operators.
        generators: one an image.

    Returns:
        (B, n, ...).
    """
    pairs = draw_pairs(n, parents.shape[1], generators, distinct=config.pairs == "distinct")
    noise = draw_noise((n, *parents.shape[2:]), generators, config.noise)
    return make_children(parents, pairs, noise, strength, schedule, config)


def make_children(
    parents: Tensor, pairs: Tensor, noise: Tensor, strength: float, schedule: LayerSearch, config: SearchConfig
) -> Tensor:
    """The children that these draws give: `reproduce` without its randomness.

    Args:
        parents: (B, k, ...).
        pairs: (B, n, 2), indices into the parents.
        noise: (B, n, ...), standard normal.
        strength, schedule, config: as in `reproduce`.
    """
    convolutional = parents.ndim == 5
    if convolutional and config.blurred == "noise":
        noise = smooth(noise, schedule.blur, config.border)
    children = mutate(crossover(parents, pairs), parent_spread(parents, pairs), strength, noise)
    if not convolutional:
        return recentre(children)
    if config.blurred == "child":
        children = smooth(children, schedule.blur, config.border)
    return normalised(children, config)


def evaluate(network: nn.Module, layer: int, population: Tensor, labels: Tensor) -> Tensor:
    """Fitness (B, n) of candidates (B, n, ...): minus the cross-entropy of the label after the rest of the network."""
    logits = each_candidate(lambda H: rest(network, layer, H), population)
    B, n, K = logits.shape
    loss = F.cross_entropy(logits.reshape(B * n, K), labels.repeat_interleave(n), reduction="none")
    return -loss.reshape(B, n)


def initial_population(network: nn.Module, images: Tensor, config: SearchConfig, generators: Generators) -> Tensor:
    """Noisy copies of each image, propagated to the first search layer: (B, C, H, W) to (B, n, C', H', W').

    They are normalised like every later candidate, which is what the frozen statistics assume. The noise has
    `config.input_noise` times the standard deviation of each channel of that image.
    """
    parts = check_network(network)
    sigma = images.std(dim=(2, 3), keepdim=True)[:, None]
    noise = draw_noise((config.population, *images.shape[1:]), generators)
    copies = mutate(images[:, None], sigma, config.input_noise, noise)
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


@contextmanager
def evaluation_mode(network: nn.Module, config: SearchConfig) -> Iterator[None]:
    """Eval mode with the configured BatchNorm statistics; the network's own modes come back afterwards."""
    with modes_kept(network):
        network.eval()
        with nullcontext() if config.statistics == "frozen" else batch_statistics(network):
            yield


def normalised(H: Tensor, config: SearchConfig) -> Tensor:
    return normalise(H) if config.normalise else H


def each_candidate(
    function: Callable[[Tensor], Tensor], population: Tensor, at_a_time: int | None = None
) -> Tensor:
    """`function` of every candidate, (B, n, ...) to (B, n, ...), of at most so many at a time."""
    flat = population.flatten(0, 1)
    out = torch.cat([function(part) for part in torch.split(flat, at_a_time or len(flat))])
    return out.reshape(*population.shape[:2], *out.shape[1:])
