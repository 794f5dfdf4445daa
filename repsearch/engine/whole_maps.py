"""A layer's search by `repsearch.engine.tile_kernel`, of one image after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from repsearch.engine.compiling import run
from repsearch.engine.conv_kernel import Net, Work, begin
from repsearch.engine.draws import Banks, draw, tiles, unpack
from repsearch.engine.kernel import LANES, Array, search_layer
from repsearch.engine.kernel_engine import kernel_children, kernel_parents
from repsearch.engine.tile_kernel import Behind, search_tiles
from repsearch.operators import select

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split


class WholeMaps:
    """Searches a layer of one image after the other, in any reading; see `repsearch.engine.mixes.Mixes`."""

    compiled: ClassVar = (begin, search_tiles)

    def __init__(
        self, net: Net, stage: int, layer: int, shape: tuple[int, ...], banks: Banks, config: SearchConfig, seed: int
    ) -> None:
        self.net, self.stage, self.layer, self.shape = net, np.array([stage]), layer, shape
        self.config, self.seed, self.banks, self.noise = config, seed, banks, banks.for_kernel()
        self.sides = np.array([shape[1:]])

    def search_from(
        self, population: Array, image: Split, work: Work, own: Array | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `repsearch.engine.mixes.Mixes.search_from`."""
        config, schedule, banks = self.config, self.config.schedule[self.layer], self.banks
        channels, label = self.shape[0], int(image.labels)
        nothing, mu = np.zeros((1, 1), np.float32), 0.0 if own is None else float(config.pull)
        behind = Behind(self.net, self.stage, self.sides, self.net.bias, work, nothing if own is None else own, mu)
        parents, fitness, loss = self._first(population, label, behind)
        state = kernel_parents(parents, fitness, banks.smoothing)
        drawn = draw(self.seed, self.layer, int(image.indices), channels, banks.rows, config)
        history = np.zeros(schedule.generations + 1, np.float32)
        history[0] = loss
        search_layer(
            state, kernel_children(channels, self.sides[0], config), drawn, self.noise, behind, label, config.explorers,
            schedule.strength * schedule.boost, schedule.strength, channels, config.normalise, banks.smoothing,
            history[1:], search_tiles)
        return unpack(torch.from_numpy(state.H[state.slot[:1]]), *self.shape), torch.from_numpy(history[None])

    def _first(self, population: Array, label: int, behind: Behind) -> tuple[Tensor, Tensor, float]:
        """The first parents (k, C, H, W), their fitness (k,), and the cross-entropy of the fittest."""
        (channels, height, width), k = self.shape, self.config.parents
        images, candidates = np.zeros((0, 1, 1, 1), np.float32), population
        if population.ndim == 4:
            size = (len(population), tiles(channels), height * width * LANES)
            images, candidates = population, np.zeros(size, np.float32)
        found = np.zeros(len(candidates), np.float32)
        run(begin, self.net, int(self.stage[0]), images, channels, self.config.normalise, candidates, height, width,
            label, found, behind.work)
        pulled = behind.mu / 2 * np.square(candidates - behind.own).sum((1, 2)) / (channels * height * width)
        maps, losses = unpack(torch.from_numpy(candidates), channels, height, width), torch.from_numpy(found)
        fitness = losses - torch.from_numpy(pulled).float()
        if len(maps) == 1:  # of one candidate all parents are copies
            return maps.expand(k, -1, -1, -1), fitness.expand(k), -float(found[0])
        parents, best = select(maps[None], fitness[None], k)
        return parents[0], best[0], -float(losses[fitness.argmax()])
