"""The engine for any network with frozen statistics, on any device torch has."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from repsearch.data import Split
from repsearch.engine.draws import Banks, draw, unpack
from repsearch.engine.threads import thread_each
from repsearch.networks import device_of, rest
from repsearch.operators import crossover, image_generators, mutate, select, smooth, spread
from repsearch.populations import each_candidate, first_population, normalised, own_activations, propagate
from repsearch.reference import Found, fitness_of, pull, search_layer

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.engine.interface import Name, Progress


class TorchEngine:
    """Searches in torch, on any device: smooths the pool of parents instead of all children, and draws from banks.

    Args:
        light: a network without its identities, on the device that is to search.
        config, seed: as in `repsearch.search`.
        shapes: of all search layers.
        layers: numbers of those to search, in order.
        batch: images in memory together; by default one on the CPU, where each has a thread, and as many as 4 GiB of
            activations hold on other devices. The last batch is filled up, so that every image is computed in a batch
            of that size.
        reason: why no faster engine can do it.
    """

    name: Name = "torch"
    ready = True

    def __init__(
        self, light: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]],
        layers: Sequence[int], batch: int | None = None, reason: str | None = None,
    ) -> None:
        self._light, self._here = light.eval().requires_grad_(False), threading.local()
        self.config, self.seed, self.layers, self.reason = config, seed, layers, reason
        self.shapes = list(shapes.values())
        self.device = device_of(light)
        largest = max(int(np.prod(shape)) for shape in self.shapes)
        held = 4 * 2**30 // (4 * 6 * config.population * largest)
        on_cpu = self.device.type == "cpu"
        self.batch = batch or (1 if on_cpu else max(1, min(held, config.shard)))
        self.together = torch.get_num_threads() if on_cpu and self.batch == 1 else self.batch
        self.banks = cache(lambda layer: Banks(seed, layer, self.shapes[layer], config))
        self.maps = cache(lambda layer: torch.from_numpy(self.banks(layer).once).to(self.device))

    @property
    def light(self) -> nn.Module:
        """The network, a copy a thread: a module may keep something of an image while it computes."""
        if not hasattr(self._here, "light"):
            self._here.light = copy.deepcopy(self._light)
        network: nn.Module = self._here.light
        return network

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """See `Engine`."""
        for layer in self.layers:
            if layer < len(self.shapes) - 1:
                self.maps(layer)  # before there are threads

        def some(first: int) -> Found:
            rows = torch.arange(first, first + self.batch).clamp(max=len(data) - 1)
            count = min(self.batch, len(data) - first)
            batch = Split(data.images[rows], data.labels[rows], data.classes, data.indices[rows])
            found = self.search_images(batch, progress, None if start is None else start[rows])
            return Found([H[:count] for H in found.activations], [ce[:count] for ce in found.cross_entropy])

        firsts = range(0, len(data), self.batch)
        return Found.concatenate(thread_each(some, firsts) if self.device.type == "cpu" else list(map(some, firsts)))

    @torch.no_grad()
    def search_images(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """As `repsearch.reference.search_images`."""
        config, labels = self.config, data.labels.to(self.device)
        generators = image_generators(self.seed, list(map(config.draw_index, data.indices.tolist())), self.device)
        images, first = data.images.to(self.device), self.layers[0]
        population = first_population(self.light, images, config, generators, first, start)
        own = own_activations(self.light, images, config)
        best, histories = [], []
        for layer, following in zip_longest(self.layers, self.layers[1:]):
            if layer == len(config.schedule) - 1:
                H, history = search_layer(self.light, layer, population, labels, config, generators)
            else:
                H, history = self.search_layer(layer, population, labels, data.indices.tolist(), own[layer])
            if following is not None:
                population = propagate(self.light, layer, H, config, following)
            best.append(H.cpu())
            histories.append(history.cpu())
            progress(layer, history.shape[1] * len(H), histories[-1][:, -1])
        return Found(best, histories)

    def search_layer(
        self, layer: int, population: Tensor, labels: Tensor, indices: Sequence[int], own: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `repsearch.reference.search_layer`, for a convolutional layer; `indices` give the draws."""
        config, banks = self.config, self.banks(layer)
        channels = self.shapes[layer][0]
        drawn = [draw(self.seed, layer, index, channels, banks.rows, config) for index in indices]
        fitness = self.judged(layer, population, labels) - pull(population, own, config)
        parents, fitness = select(population, fitness, config.parents)
        history = [(-fitness - pull(parents[:, :1], own, config))[:, 0]]
        for generation in range(config.schedule[layer].generations):
            pairs = torch.from_numpy(np.stack([(d.first[generation], d.second[generation]) for d in drawn]))
            rows = np.stack([d.noise[generation] for d in drawn])
            children = self.children(
                layer, parents, pairs.transpose(1, 2).to(self.device), self.noise(layer, generation, rows)
            )
            judged = self.judged(layer, children, labels) - pull(children, own, config)
            everyone, fitness = torch.cat([parents, children], 1), torch.cat([fitness, judged], 1)
            parents, fitness = select(everyone, fitness, config.parents)
            history.append((-fitness - pull(parents[:, :1], own, config))[:, 0])
        return parents[:, 0], torch.stack(history, 1)

    def judged(self, layer: int, candidates: Tensor, labels: Tensor) -> Tensor:
        """As `repsearch.reference.evaluate`, in the precision that the configuration asks for."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits = each_candidate(lambda H: rest(self.light, layer, H), candidates)
        return fitness_of(logits.to(candidates.dtype), labels)

    def noise(self, layer: int, generation: int, rows: np.ndarray) -> Tensor:
        """The smoothed noise (B, n, C, H, W) that draws (B, n, tiles) stand for, gathered where the search runs."""
        banks, chosen = self.banks(layer), torch.from_numpy(rows).to(self.device).long()
        maps = self.maps(layer)[generation % banks.count][chosen % banks.rows]
        sign = torch.where(chosen < banks.rows, 1.0, -1.0)
        return unpack(maps * sign[..., None], *self.shapes[layer])

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
