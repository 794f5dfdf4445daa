"""Search in activation space: the pseudocode of section 3.1 and appendix A.2, on any network with stem, blocks, head.

This is the reference: it reads like the paper, and everything faster is tested against it. Everything is per image;
tensors hold B images at once as (B, candidates, ...), see `repsearch.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.config import LayerSearch, SearchConfig
from repsearch.data import Split
from repsearch.networks import activations, batch_statistics, check_network, layer_names, rest
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
from repsearch.targets import Found

Watch = Callable[[int, int, Tensor, Tensor], None]
"""Called as watch(layer, generation, population, fitness) after every evaluation; generation 0 is the start."""


@torch.no_grad()
def search_images(
    network: nn.Module, data: Split, config: SearchConfig, seed: int, watch: Watch | None = None
) -> Found:
    """One search layer after the other, each starting from the best of the one before.

    Args:
        network, data, config, seed: as in `search`; all images are in memory together.
        watch: sees every population; see `Watch`.

    Returns:
        `Found`: the best activations of every layer (B, ...), and their cross-entropy (B, generations + 1).
    """
    parts = check_network(network)
    device = next(network.parameters()).device
    images, labels = data.images.to(device), data.labels.to(device)
    generators = image_generators(seed, data.indices.tolist(), device)
    best, histories = [], []

    with evaluation_mode(network, config):
        population = initial_population(network, images, config, generators)
        for layer in range(len(parts.blocks) + 1):
            H, history = search_layer(network, layer, population, labels, config, generators, watch)
            best.append(H.cpu())
            histories.append(history.cpu())
            if layer < len(parts.blocks):
                population = propagate(network, layer, H, config)
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


def propagate(network: nn.Module, layer: int, H: Tensor, config: SearchConfig) -> Tensor:
    """The next layer's first population: copies of what the best activations (B, ...) of `layer` become there."""
    parts = check_network(network)
    last = layer + 1 == len(parts.blocks)
    onward = parts.head(H) if last else parts.blocks[layer + 1](H)
    first = recentre(onward) if last else normalised(onward, config)
    return first[:, None].expand(-1, config.population, *first.shape[1:])


def check_fit(network: nn.Module, data: Split, config: SearchConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every search layer; `InputError` if network, images and schedule do not fit each other."""
    names = layer_names(network)
    if len(config.schedule) != len(names):
        raise InputError(
            f"schedule: has {len(config.schedule)} layers, the network {len(names)} ({', '.join(names)}); give one "
            "LayerSearch for each"
        )
    loose = [
        name for name, m in network.named_modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and not m.track_running_stats
    ]
    if loose and config.statistics == "frozen":
        raise InputError(
            f"network: {loose[0]} has no statistics to freeze; build it with running statistics, or search with "
            "statistics='candidates'"
        )
    device = next(network.parameters()).device
    try:
        with torch.no_grad(), evaluation_mode(network, config):
            layers = activations(network, data.images[:2].to(device))
    except RuntimeError as error:
        shape = tuple(data.images.shape[1:])
        cause = str(error).splitlines()[0]
        raise InputError(f"network: cannot take images of shape {shape} ({cause}); build it for these images") from None
    shapes = {name: tuple(H.shape[1:]) for name, H in zip(names, layers, strict=True)}
    for name, shape in list(shapes.items())[:-1]:
        if len(shape) != 3:
            raise InputError(f"network: {name} gives {shape} an image; expected (channels, height, width)")
    if shapes["logits"] != (data.classes,):
        found = shapes["logits"]
        raise InputError(f"network: its head gives {found} an image; expected ({data.classes},), one a class")
    return shapes


@contextmanager
def evaluation_mode(network: nn.Module, config: SearchConfig) -> Iterator[None]:
    """Eval mode with the configured BatchNorm statistics; the network's own modes come back afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with nullcontext() if config.statistics == "frozen" else batch_statistics(network):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def normalised(H: Tensor, config: SearchConfig) -> Tensor:
    return normalise(H) if config.normalise else H


def each_candidate(
    function: Callable[[Tensor], Tensor], population: Tensor, at_a_time: int | None = None
) -> Tensor:
    """`function` of every candidate, (B, n, ...) to (B, n, ...), of at most so many at a time."""
    flat = population.flatten(0, 1)
    out = torch.cat([function(part) for part in torch.split(flat, at_a_time or len(flat))])
    return out.reshape(*population.shape[:2], *out.shape[1:])
