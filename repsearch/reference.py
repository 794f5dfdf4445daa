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
from repsearch.networks import batch_statistics, device_of, modes_kept, rest
from repsearch.operators import (
    Generators,
    crossover,
    draw_noise,
    draw_pairs,
    image_generators,
    mutate,
    parent_spread,
    recentre,
    select,
    smooth,
)
from repsearch.populations import each_candidate, first_population, normalised, own_activations, propagate

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
    generators = image_generators(seed, list(map(config.draw_index, data.indices.tolist())), device)
    chosen = range(len(config.schedule)) if layers is None else layers
    best, histories = [], []

    with evaluation_mode(network, config):
        population = first_population(network, images, config, generators, chosen[0], start)
        own = own_activations(network, images, config)
        for layer, following in zip_longest(chosen, chosen[1:]):
            H, history = search_layer(network, layer, population, labels, config, generators, watch, own[layer])
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
    own: Tensor | None = None,
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
        own: what candidates are pulled to, (B, ...); see `own_activations`.

    Returns:
        The best candidate of each image (B, ...), and its cross-entropy after each generation (B, generations + 1).
    """
    schedule = config.schedule[layer]
    together = config.selection == "batch"

    def judged(candidates: Tensor) -> Tensor:
        return evaluate(network, layer, candidates, labels) - pull(candidates, own, config)

    def cross_entropy() -> Tensor:
        best, most = select(population, fitness, 1, together)
        return (-most - pull(best, own, config))[:, 0]

    fitness = judged(population)
    history = [cross_entropy()]
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
            fitness = torch.cat([parent_fitness, judged(population[:, config.parents :])], 1)
        else:
            fitness = judged(population)
        history.append(cross_entropy())
        if watch:
            watch(layer, generation, population, fitness)

    best, _ = select(population, fitness, 1, together)
    return best[:, 0], torch.stack(history, 1)


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
    return fitness_of(each_candidate(lambda H: rest(network, layer, H), population), labels)


def fitness_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Fitness (B, n) of candidates whose logits are (B, n, K)."""
    B, n, K = logits.shape
    loss = F.cross_entropy(logits.reshape(B * n, K), labels.repeat_interleave(n), reduction="none")
    return -loss.reshape(B, n)


def pull(population: Tensor, own: Tensor | None, config: SearchConfig) -> Tensor:
    """What their distance to `own` (B, ...) costs candidates (B, n, ...): mu/2 times the mean square, (B, n).

    mu is `config.pull`.
    """
    if own is None:
        return population.new_zeros(population.shape[:2])
    return config.pull / 2 * (population - own[:, None]).square().flatten(2).mean(2)


@contextmanager
def evaluation_mode(network: nn.Module, config: SearchConfig) -> Iterator[None]:
    """Eval mode with the configured BatchNorm statistics; the network's own modes come back afterwards."""
    with modes_kept(network):
        network.eval()
        with nullcontext() if config.statistics == "frozen" else batch_statistics(network):
            yield
