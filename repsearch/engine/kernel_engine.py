"""The fast engine on the CPU, for the networks of `repsearch.search_network`."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path

import numba
import numpy as np
import torch
from llvmlite import binding  # type: ignore[import-untyped]
from torch import Tensor, nn

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine import kernel
from repsearch.engine.draws import Banks, draw, pack, tiles, unpack
from repsearch.engine.interface import Name, Progress
from repsearch.engine.kernel import LANES
from repsearch.engine.tail import tail_of
from repsearch.engine.threads import thread_each
from repsearch.operators import image_generators, select
from repsearch.reference import Found, evaluate, first_population, propagate, search_layer


def compiled() -> bool:
    """Whether the kernel is compiled: in this process, or in numba's cache, from its file and for this processor.

    As far as can be known: False where numba keeps its cache in a form unknown here.
    """
    try:
        return bool(kernel.search_loop.signatures) or _in_cache(Path(kernel.search_loop.stats.cache_path))
    except Exception:  # whatever another version of numba may do
        return False


def _in_cache(folder: Path) -> bool:
    """Whether numba's cache in a folder has the code. Its index is numba's version, then a stamp of the source, in
    either form that numba has had, and the files of code, by what they were compiled for."""
    source, line = Path(kernel.__file__), kernel.search_loop.py_func.__code__.co_firstlineno
    python = f"py{sys.version_info[0]}{sys.version_info[1]}{sys.abiflags}"
    with (folder / f"kernel.search_loop-{line}.{python}.nbi").open("rb") as index:
        if pickle.load(index) != numba.__version__:
            return False
        stamp, files = pickle.load(index)
    stamps = ((source.stat().st_mtime, source.stat().st_size), hashlib.sha256(source.read_bytes()).digest())
    processor = kernel.config.CPU_NAME or binding.get_host_cpu_name()
    return stamp in stamps and any(processor in key[1] and (folder / name).exists() for key, name in files.items())


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

    @torch.no_grad()
    def search_image(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """As `repsearch.reference.search_images`, for one image."""
        config, labels = self.config, data.labels
        generators = image_generators(self.seed, data.indices.tolist())
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
        state = self.parents(layer, parents[0], fitness[0])
        later = self.generations(layer, state, int(image.labels), int(image.indices))
        H = unpack(torch.from_numpy(state.H[state.slot[:1]]), *self.shapes[layer])
        return H, torch.cat([-fitness[:, :1], later[None]], 1)

    def parents(self, layer: int, H: Tensor, fitness: Tensor) -> kernel.Parents:
        """The kernel's parents, from maps (k, C, H, W) and their fitness (k,), the fittest first."""
        noise, smoothing = self.noise(layer), self.banks(layer).smoothing
        slots, room = 2 * len(H), (tiles(H.shape[1]), noise.ones.shape[1])
        maps = np.zeros((slots, *room), np.float32)
        maps[: len(H)] = pack(H)
        M, M2 = (np.zeros_like(maps), np.zeros_like(maps)) if smoothing else (maps, maps)
        sigma = np.zeros((slots, room[0], LANES), np.float32)
        settled = np.zeros(slots, np.int64)
        return kernel.Parents(np.arange(len(H)), fitness.numpy().copy(), maps, M, M2, sigma, settled)

    def children(self, layer: int) -> kernel.Children:
        """Room for the children of a generation."""
        tail, config = self.tails[layer], self.config
        n, (height, width) = config.explorers + config.refiners, tail.sides[min(1, len(tail.sides) - 1)]
        count = tiles(self.shapes[layer][0])
        pooled = np.zeros((n, count, height * width * LANES), np.float32)
        a, b, fitness = (np.zeros(n, np.float32) for _ in range(3))
        spread = np.zeros((max(config.explorers, 1), count, LANES), np.float32)
        return kernel.Children(pooled, fitness, a, b, np.zeros(n), spread)

    def generations(self, layer: int, state: kernel.Parents, label: int, index: int) -> Tensor:
        """Run all generations of a layer on `state`; the best cross-entropy after each, (generations,)."""
        banks, config, schedule = self.banks(layer), self.config, self.config.schedule[layer]
        channels = self.shapes[layer][0]
        history = np.zeros(schedule.generations, np.float32)
        kernel.search_layer(
            state, self.children(layer), draw(self.seed, layer, index, channels, banks.rows, config),
            self.noise(layer), self.tails[layer], label, config.explorers,
            schedule.strength * schedule.boost, schedule.strength, channels, config.normalise, banks.smoothing, history,
        )
        return torch.from_numpy(history)
