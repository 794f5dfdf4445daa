"""The fast engine on the CPU, for the networks of `repsearch.search_network`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from repsearch.engine import kernel
from repsearch.engine.compiling import compiled
from repsearch.engine.draws import Banks, draw, pack, tiles, unpack
from repsearch.engine.kernel import LANES, Array
from repsearch.engine.tail import tail_of
from repsearch.engine.threads import thread_each
from repsearch.operators import image_generators, select
from repsearch.populations import first_population, propagate
from repsearch.reference import Found, evaluate, search_layer

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.engine.interface import Name, Progress


class KernelEngine:
    """Searches on the CPU with `repsearch.engine.kernel`, an image a thread. Logits, a millisecond, with the reference.

    Args:
        light: a network without its identities; see `without_identities`.
        config, seed: as in `repsearch.search`.
        shapes: of all search layers.
        layers: numbers of those to search, in order.
    """

    name: Name = "kernel"
    reason: str | None = None

    def __init__(
        self, light: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]],
        layers: Sequence[int],
    ) -> None:
        self.light, self.config, self.seed = light.eval().requires_grad_(False), config, seed
        self.layers, self.together = layers, torch.get_num_threads()
        self.shapes = list(shapes.values())
        self.tails = [tail_of(light, layer, shape) for layer, shape in enumerate(self.shapes[:-1])]
        self.banks = cache(lambda layer: Banks(seed, layer, self.shapes[layer], config))
        self.noise = cache(lambda layer: self.banks(layer).for_kernel())

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """See `Engine`."""
        for layer in self.layers:
            if layer < len(self.tails):
                self.noise(layer)  # before there are threads

        def one(i: int) -> Found:
            return self.search_image(data[i : i + 1], progress, None if start is None else start[i : i + 1])

        return Found.concatenate(thread_each(one, range(len(data))))

    @property
    def ready(self) -> bool:
        """See `Engine`."""
        return compiled(kernel.search_loop)

    @torch.no_grad()
    def search_image(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """As `repsearch.reference.search_images`, for one image."""
        config, labels = self.config, data.labels
        generators = image_generators(self.seed, list(map(config.draw_index, data.indices.tolist())))
        population = first_population(self.light, data.images, config, generators, self.layers[0], start)
        alike = start is not None  # copies of one candidate, whose fitness is computed once
        best, histories = [], []
        for layer, following in zip_longest(self.layers, self.layers[1:]):
            if layer == len(self.tails):
                H, history = search_layer(self.light, layer, population, labels, config, generators)
            else:
                different = population[:, :1] if alike else population
                fitness = evaluate(self.light, layer, different, labels).expand(-1, config.population)
                H, history = self.search_layer(layer, population, fitness, data)
            best.append(H)
            histories.append(history)
            progress(layer, config.schedule[layer].generations + 1, history[:, -1])
            if following is not None:
                population, alike = propagate(self.light, layer, H, config, following), True
        return Found(best, histories)

    def search_layer(self, layer: int, population: Tensor, fitness: Tensor, image: Split) -> tuple[Tensor, Tensor]:
        """As `repsearch.reference.search_layer`, for one image and a convolutional layer, given the fitness (1, n)."""
        parents, fitness = select(population, fitness, self.config.parents)
        state = kernel_parents(parents[0], fitness[0], self.banks(layer).smoothing)
        later = self.generations(layer, state, int(image.labels), int(image.indices))
        H = unpack(torch.from_numpy(state.H[state.slot[:1]]), *self.shapes[layer])
        return H, torch.cat([-fitness[:, :1], later[None]], 1)

    def generations(self, layer: int, state: kernel.Parents, label: int, index: int) -> Tensor:
        """Run all generations of a layer on `state`; the best cross-entropy after each, (generations,)."""
        banks, config, schedule = self.banks(layer), self.config, self.config.schedule[layer]
        channels, sides = self.shapes[layer][0], self.tails[layer].sides
        drawn = draw(self.seed, layer, index, channels, banks.rows, config)
        history = np.zeros(schedule.generations, np.float32)
        kernel.search_layer(
            state, kernel_children(channels, sides[min(1, len(sides) - 1)], config), drawn,
            self.noise(layer), self.tails[layer], label, config.explorers,
            schedule.strength * schedule.boost, schedule.strength, channels, config.normalise, banks.smoothing, history,
        )
        return torch.from_numpy(history)


def kernel_parents(H: Tensor, fitness: Tensor, smoothing: bool) -> kernel.Parents:
    """The kernel's parents, from maps (k, C, H, W) and their fitness (k,), the fittest first.

    With `smoothing` there is room for smoothed maps beside them.
    """
    packed, slots = pack(H), 2 * len(H)
    maps = np.zeros((slots, *packed.shape[1:]), np.float32)
    maps[: len(H)] = packed
    M, M2 = (np.zeros_like(maps), np.zeros_like(maps)) if smoothing else (maps, maps)
    sigma = np.zeros((slots, packed.shape[1], LANES), np.float32)
    return kernel.Parents(np.arange(len(H)), fitness.numpy().copy(), maps, M, M2, sigma, np.zeros(slots, np.int64))


def kernel_children(channels: int, sides: Array, config: SearchConfig) -> kernel.Children:
    """Room for the children of a generation, of which maps of (height, width) `sides` are kept."""
    n, count = config.explorers + config.refiners, tiles(channels)
    pooled = np.zeros((n, count, int(sides[0] * sides[1]) * LANES), np.float32)
    a, b, fitness = (np.zeros(n, np.float32) for _ in range(3))
    spread = np.zeros((max(config.explorers, 1), count, LANES), np.float32)
    return kernel.Children(pooled, fitness, a, b, np.zeros(n), spread)
