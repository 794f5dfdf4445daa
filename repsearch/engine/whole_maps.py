"""A layer's search by `repsearch.engine.tile_kernel`, of one image after the other."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine.compiling import run
from repsearch.engine.conv_kernel import Net, Work, begin
from repsearch.engine.draws import Banks, draw, tiles, unpack
from repsearch.engine.kernel import LANES, Array, Children, Draws, Parents, Room, Tail
from repsearch.engine.kernel_engine import KernelEngine
from repsearch.engine.tile_kernel import Behind, search_tiles
from repsearch.operators import select


class WholeMaps(KernelEngine):
    """Searches a layer of one image after the other, in any reading; see `repsearch.engine.mixes.Mixes`.

    Parents and children are those of the other kernel's engine.
    """

    def __init__(
        self, net: Net, stage: int, layer: int, shape: tuple[int, ...], banks: Banks, config: SearchConfig, seed: int
    ) -> None:
        self.net, self.layer, self.shapes = net, layer, [shape] * (layer + 1)
        self.config, self.seed, self.stage = config, seed, np.array([stage])
        noise, sides = banks.for_kernel(), np.array([shape[1:]])
        self.banks, self.noise = cache(lambda _: banks), cache(lambda _: noise)
        self.sides = sides
        nothing = np.zeros((1, 1, 1), np.float32)
        self.tails = [Tail(nothing, nothing, sides, nothing[0], net.bias)] * (layer + 1)

    def search_from(self, population: Array, image: Split, work: Work) -> tuple[Tensor, Tensor]:
        """See `repsearch.engine.mixes.Mixes.search_from`."""
        config, schedule, banks = self.config, self.config.schedule[self.layer], self.banks(self.layer)
        shape, explorers, label = self.shapes[self.layer], config.explorers, int(image.labels)
        parents, fitness = self._first(population, label, work)
        state, children = self.parents(self.layer, parents, fitness), self.children(self.layer)
        drawn = draw(self.seed, self.layer, int(image.indices), shape[0], banks.rows, config)
        history = np.zeros(schedule.generations + 1, np.float32)
        history[0] = -fitness[0]
        run(search_tiles, state, children, Draws(*map(np.ascontiguousarray, drawn)), self.noise(self.layer),
            Behind(self.net, self.stage, self.sides, self.net.bias, work), label, explorers,
            np.float32(schedule.strength * schedule.boost), np.float32(schedule.strength), shape[0],
            config.normalise, banks.smoothing, history[1:], self._room(state, children))
        return unpack(torch.from_numpy(state.H[state.slot[:1]]), *shape), torch.from_numpy(history[None])

    def _first(self, population: Array, label: int, work: Work) -> tuple[Tensor, Tensor]:
        """The first parents (k, C, H, W) and their fitness (k,)."""
        (channels, height, width), k = self.shapes[self.layer], self.config.parents
        images, candidates = np.zeros((0, 1, 1, 1), np.float32), population
        if population.ndim == 4:
            size = (len(population), tiles(channels), height * width * LANES)
            images, candidates = population, np.zeros(size, np.float32)
        found = np.zeros(len(candidates), np.float32)
        run(begin, self.net, int(self.stage[0]), images, channels, self.config.normalise, candidates, height, width,
            label, found, work)
        maps, fitness = unpack(torch.from_numpy(candidates), channels, height, width), torch.from_numpy(found)
        if len(maps) == 1:  # of one candidate all parents are copies
            return maps.expand(k, -1, -1, -1), fitness.expand(k)
        parents, best = select(maps[None], fitness[None], k)
        return parents[0], best[0]

    def _room(self, state: Parents, children: Children) -> Room:
        """Room to work; see `repsearch.engine.kernel.search_layer`."""
        size, k, n = state.H.shape[2], len(state.slot), len(children.fitness)
        row = size if size <= 1024 else size // int(self.sides[0, 0])
        explorers, whole = self.config.explorers, children.pooled[0].size
        lengths = (size, size, row, row, (3, row), (explorers, size), (explorers, LANES), n, n, whole, whole,
                   len(self.net.bias), k + explorers, k, k, k)
        types = [np.float32] * 7 + [np.float64] * 2 + [np.float32] * 3 + [np.int64] * 3 + [np.float32]
        return Room(*map(np.empty, lengths, types))
