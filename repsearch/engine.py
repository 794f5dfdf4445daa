"""The same search as `repsearch.search`, fast: three engines behind one interface, and which one applies.

- "kernel" runs on the CPU, for networks that are poolings, BatchNorms and GELUs behind the first block once
  convolutions that are the identity are left out: all that `search_network` makes.
- "torch" runs any network with frozen statistics on any device; noise and smoothing are as in the kernel.
- "reference" is `repsearch.search` itself, and runs every reading.

The first two make the same draws; "reference" makes its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from repsearch import checks, kernel
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.draws import Banks, blocks, draw, pack, unpack
from repsearch.kernel import LANES
from repsearch.networks import check_network
from repsearch.operators import crossover, image_generators, mutate, select, smooth, spread
from repsearch.search import (
    each_candidate,
    evaluate,
    initial_population,
    normalised,
    propagate,
    search_images,
    search_layer,
)
from repsearch.tail import tail_of, why_not_kernel, without_identities
from repsearch.targets import Found

Name = Literal["kernel", "torch", "reference"]
Progress = Callable[[int, int, Tensor], None]
"""Called as progress(layer, image generations done, best cross-entropy of each image at work (B,))."""


T = TypeVar("T")


class Engine(Protocol):
    """Searches images: a name, which the targets' manifest keeps, and `search`."""

    name: Name

    def search(self, data: Split, progress: Progress) -> Found:
        """What a search of these images finds; every image's result is independent of the others."""
        ...


def choose(
    network: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]], name: str = "auto"
) -> Engine:
    """The engine called `name`; with "auto" the fastest that applies.

    Args:
        network, config, seed: as in `repsearch.search`.
        shapes: of the search layers, from `check_fit`.
        name: "auto", "kernel", "torch" or "reference".

    Raises:
        InputError: the engine asked for cannot run this network or reading.
    """
    checks.one_of("engine", name, ("auto", "kernel", "torch", "reference"))
    if config.ties_images:
        tie = "statistics='candidates'" if config.statistics == "candidates" else "selection='batch'"
        if name == "auto":
            warnings.warn(
                f"{tie} ties images to each other, which the engines do not do: searching with the "
                "reference, many times slower (engine='reference' searches so without this warning)", stacklevel=3,
            )
        elif name != "reference":
            raise InputError(f"engine={name!r}: {tie} needs engine='reference'")
        return Reference(network, config, seed)
    if name == "reference":
        return Reference(network, config, seed)
    light = without_identities(network)
    reason = why_not_kernel(light, shapes)
    if name == "kernel" and reason:
        raise InputError(f"engine='kernel': {reason}; use engine='torch'")
    if name == "torch" or reason:
        return TorchEngine(light, config, seed, shapes)
    return KernelEngine(light, config, seed, shapes)


class Reference:
    """`repsearch.search.search_images`: images one by one, or together where the reading ties them."""

    name: Name = "reference"

    def __init__(self, network: nn.Module, config: SearchConfig, seed: int) -> None:
        self.network, self.config, self.seed = network, config, seed

    def search(self, data: Split, progress: Progress) -> Found:
        """See `Engine`."""
        # One image at a time: its arithmetic, to the last bit, is then the same whatever else is searched.
        together = self.config.shard if self.config.ties_images else 1

        def watch(layer: int, _: int, __: Tensor, fitness: Tensor) -> None:
            progress(layer, len(fitness), -fitness.amax(1))

        parts = [
            search_images(self.network, data[i : i + together], self.config, self.seed, watch)
            for i in range(0, len(data), together)
        ]
        return Found.concatenate(parts)


class KernelEngine:
    """Searches on the CPU with `repsearch.kernel`, an image a thread. The logits, a millisecond, with the reference.

    Args:
        light: a network without its identities; see `without_identities`.
        config, seed: as in `repsearch.search`.
        shapes: of the search layers.
    """

    name: Name = "kernel"

    def __init__(self, light: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]]) -> None:
        self.light, self.config, self.seed = light.eval().requires_grad_(False), config, seed
        self.shapes = list(shapes.values())
        self.tails = [tail_of(light, layer, shape) for layer, shape in enumerate(self.shapes[:-1])]
        self.banks = cache(lambda layer: Banks(seed, layer, self.shapes[layer], config))
        self.noise = cache(lambda layer: self.banks(layer).for_kernel())

    def search(self, data: Split, progress: Progress) -> Found:
        """See `Engine`."""
        for layer in range(len(self.tails)):
            self.noise(layer)  # before there are threads
        return Found.concatenate(_a_thread_an_image(lambda image: self.search_image(image, progress), data))

    @torch.no_grad()
    def search_image(self, data: Split, progress: Progress) -> Found:
        """As `repsearch.search.search_images`, for one image."""
        config, labels = self.config, data.labels
        generators = image_generators(self.seed, data.indices.tolist())
        population = initial_population(self.light, data.images, config, generators)
        best, histories = [], []
        for layer, schedule in enumerate(config.schedule):
            if layer == len(self.tails):
                H, history = search_layer(self.light, layer, population, labels, config, generators)
            else:
                different = population if layer == 0 else population[:, :1]
                fitness = evaluate(self.light, layer, different, labels).expand(-1, config.population)
                H, history = self.search_layer(layer, population, fitness, data)
            best.append(H)
            histories.append(history)
            progress(layer, schedule.generations + 1, history[:, -1])
            if layer < len(self.tails):
                population = propagate(self.light, layer, H, config)
        return Found(best, histories)

    def search_block(self, data: Split, layer: int) -> tuple[Tensor, Tensor]:
        """Search one block alone (section 3.2): from noisy copies of the images, sent through the blocks up to it.

        Returns:
            The best activations (B, C, H, W), and their cross-entropy after each generation (B, generations + 1).
        """
        self.noise(layer)  # before there are threads

        @torch.no_grad()
        def one(image: Split) -> tuple[Tensor, Tensor]:
            generators = image_generators(self.seed, image.indices.tolist())
            population = initial_population(self.light, image.images, self.config, generators)
            for block in list(check_network(self.light).blocks)[1 : layer + 1]:
                population = normalised(each_candidate(block, population), self.config)
            return self.search_layer(layer, population, evaluate(self.light, layer, population, image.labels), image)

        best, histories = zip(*_a_thread_an_image(one, data), strict=True)
        return torch.cat(best), torch.cat(histories)

    def search_layer(self, layer: int, population: Tensor, fitness: Tensor, image: Split) -> tuple[Tensor, Tensor]:
        """As `repsearch.search.search_layer`, for one image and a convolutional layer, given the fitness (1, n)."""
        parents, fitness = select(population, fitness, self.config.parents)
        state = self.parents(layer, parents[0], fitness[0])
        later = self.generations(layer, state, int(image.labels), int(image.indices))
        H = unpack(torch.from_numpy(state.H[state.slot[:1]]), *self.shapes[layer])
        return H, torch.cat([-fitness[:, :1], later[None]], 1)

    def parents(self, layer: int, H: Tensor, fitness: Tensor) -> kernel.Parents:
        """The kernel's parents, from maps (k, C, H, W) and their fitness (k,), the fittest first."""
        noise, smoothing = self.noise(layer), self.banks(layer).smoothing
        slots, tiles = 2 * len(H), (blocks(H.shape[1]), noise.ones.shape[1])
        maps = np.zeros((slots, *tiles), np.float32)
        maps[: len(H)] = pack(H)
        M, M2 = (np.zeros_like(maps), np.zeros_like(maps)) if smoothing else (maps, maps)
        sigma = np.zeros((slots, tiles[0], LANES), np.float32)
        state = kernel.Parents(np.arange(len(H)), fitness.numpy().copy(), maps, M, M2, sigma)
        kernel.settle_all(state, noise, H.shape[1], smoothing)
        return state

    def children(self, layer: int) -> kernel.Children:
        """Room for the children of a generation."""
        tail, config = self.tails[layer], self.config
        n, (height, width) = config.explorers + config.refiners, tail.sides[min(1, len(tail.sides) - 1)]
        count = blocks(self.shapes[layer][0])
        pooled = np.zeros((n, count, height * width * LANES), np.float32)
        a, b, fitness = (np.zeros(n, np.float32) for _ in range(3))
        spread = np.zeros((max(config.explorers, 1), count, LANES), np.float32)
        return kernel.Children(pooled, fitness, a, b, np.zeros(n), spread)

    def generations(self, layer: int, state: kernel.Parents, label: int, index: int) -> Tensor:
        """Run all generations of a layer on `state`; the best cross-entropy after each, (generations,)."""
        banks, config, schedule = self.banks(layer), self.config, self.config.schedule[layer]
        channels = self.shapes[layer][0]
        history = np.zeros(schedule.generations, np.float32)
        explore, refine = np.float32(schedule.strength * schedule.boost), np.float32(schedule.strength)
        kernel.search_layer(
            state, self.children(layer), draw(self.seed, layer, index, channels, banks.rows, config),
            self.noise(layer), self.tails[layer], label, config.explorers, explore, refine, channels,
            config.normalise, banks.smoothing, history,
        )
        return torch.from_numpy(history)


class TorchEngine:
    """Searches in torch, on any device: smooths the pool of parents instead of all children, and draws from banks.

    Args:
        light: a network without its identities, on the device that is to search.
        config, seed: as in `repsearch.search`.
        shapes: of the search layers.
        together: images in memory together; by default one on the CPU, and as many as 4 GiB of activations hold on
            other devices. The last batch is filled up, so that every image is computed in a batch of that size.
    """

    name: Name = "torch"

    def __init__(
        self, light: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]],
        together: int | None = None,
    ) -> None:
        self.light, self.config, self.seed = light.eval().requires_grad_(False), config, seed
        self.shapes = list(shapes.values())
        self.device = next(light.parameters()).device
        largest = max(int(np.prod(shape)) for shape in self.shapes)
        held = 4 * 2**30 // (4 * 6 * config.population * largest)
        self.together = together or (1 if self.device.type == "cpu" else max(1, min(held, config.shard)))
        self.banks = cache(lambda layer: Banks(seed, layer, self.shapes[layer], config))

    def search(self, data: Split, progress: Progress) -> Found:
        """See `Engine`."""
        parts = []
        with _one_thread() if self.device.type == "cpu" else nullcontext():
            for start in range(0, len(data), self.together):
                rows = torch.arange(start, start + self.together)
                filled, count = rows.clamp(max=len(data) - 1), min(self.together, len(data) - start)
                batch = Split(data.images[filled], data.labels[filled], data.classes, data.indices[filled])
                found = self.search_images(batch, progress)
                parts.append(Found([H[:count] for H in found.activations], [ce[:count] for ce in found.cross_entropy]))
        return Found.concatenate(parts)

    @torch.no_grad()
    def search_images(self, data: Split, progress: Progress) -> Found:
        """As `repsearch.search.search_images`."""
        config, labels = self.config, data.labels.to(self.device)
        generators = image_generators(self.seed, data.indices.tolist(), self.device)
        population = initial_population(self.light, data.images.to(self.device), config, generators)
        best, histories, last = [], [], len(config.schedule) - 1
        for layer in range(last + 1):
            if layer == last:
                H, history = search_layer(self.light, layer, population, labels, config, generators)
            else:
                H, history = self.search_layer(layer, population, labels, data.indices.tolist())
                population = propagate(self.light, layer, H, config)
            best.append(H.cpu())
            histories.append(history.cpu())
            progress(layer, history.shape[1] * len(H), histories[-1][:, -1])
        return Found(best, histories)

    def search_layer(
        self, layer: int, population: Tensor, labels: Tensor, indices: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """As `repsearch.search.search_layer`, for a convolutional layer; `indices` give the draws."""
        config, banks = self.config, self.banks(layer)
        channels = self.shapes[layer][0]
        drawn = [draw(self.seed, layer, index, channels, banks.rows, config) for index in indices]
        fitness = evaluate(self.light, layer, population, labels)
        parents, fitness = select(population, fitness, config.parents)
        history = [fitness[:, 0]]
        for generation in range(config.schedule[layer].generations):
            pairs = torch.from_numpy(np.stack([(d.first[generation], d.second[generation]) for d in drawn]))
            rows = np.stack([d.noise[generation] for d in drawn])
            noise = banks.rows_of(generation, rows).to(self.device)
            children = self.children(layer, parents, pairs.transpose(1, 2).to(self.device), noise)
            everyone = torch.cat([fitness, evaluate(self.light, layer, children, labels)], 1)
            parents, fitness = select(torch.cat([parents, children], 1), everyone, config.parents)
            history.append(fitness[:, 0])
        return parents[:, 0], -torch.stack(history, 1)

    def children(self, layer: int, parents: Tensor, pairs: Tensor, noise: Tensor) -> Tensor:
        """Explorers and refiners (B, n, C, H, W), from smoothed parents and smoothed noise.

        Args:
            layer: the search layer.
            parents: (B, k, C, H, W).
            pairs: (B, n, 2), indices into the parents; of refiners, into parents and explorers.
            noise: (B, n, C, H, W), smoothed.
        """
        config, schedule = self.config, self.config.schedule[layer]
        M, sigma, n = self._smoothed(layer, parents), spread(parents), config.explorers
        explorers = self._reproduce(M, sigma, pairs[:, :n], schedule.strength * schedule.boost, noise[:, :n])
        if n and config.refine_from == "parents and explorers":
            M, sigma = torch.cat([M, self._smoothed(layer, explorers)], 1), torch.cat([sigma, spread(explorers)], 1)
        refiners = self._reproduce(M, sigma, pairs[:, n:], schedule.strength, noise[:, n:])
        return torch.cat([explorers, refiners], 1)

    def _reproduce(self, M: Tensor, sigma: Tensor, pairs: Tensor, strength: float, noise: Tensor) -> Tensor:
        return normalised(mutate(crossover(M, pairs), crossover(sigma, pairs), strength, noise), self.config)

    def _smoothed(self, layer: int, H: Tensor) -> Tensor:
        blurred = self.config.blurred == "child"
        return smooth(H, self.config.schedule[layer].blur, self.config.border) if blurred else H


def _a_thread_an_image(function: Callable[[Split], T], data: Split) -> list[T]:
    """`function` of every image, on as many threads as torch has."""
    with _one_thread() as threads, ThreadPoolExecutor(threads, "search", torch.set_num_threads, (1,)) as pool:
        jobs = [pool.submit(function, data[i : i + 1]) for i in range(len(data))]
        try:
            return [job.result() for job in jobs]
        finally:
            for job in jobs:
                job.cancel()


@contextmanager
def _one_thread() -> Iterator[int]:
    """Within the context torch computes on one thread, so that results do not depend on how many there are; how many
    there were is what the context gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
