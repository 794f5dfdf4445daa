"""A layer's search by `repsearch.engine.mix_kernel`: what of it is the same for all images, and an image's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from repsearch.engine.compiling import run
from repsearch.engine.draws import Banks, draw, tiles, unpack
from repsearch.engine.kernel import LANES, Array
from repsearch.engine.mix_kernel import search_mixes
from repsearch.engine.mix_layer import Behind, Layer, Pool, Room
from repsearch.operators import pooling_matrix

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.engine.conv_kernel import Net, Work


class Mixes:
    """Searches a layer of one image after the other.

    Args:
        net: a network.
        stage: the first one behind the layer.
        layer: its number.
        shape: (channels, height, width) of its maps.
        banks: of its noise, drawn once a map.
        config, seed: as in `repsearch.search`.
    """

    compiled: ClassVar = (search_mixes,)

    def __init__(
        self, net: Net, stage: int, layer: int, shape: tuple[int, ...], banks: Banks,
        config: SearchConfig, seed: int,
    ) -> None:
        self.net, self.stage, self.layer, self.shape = net, stage, layer, shape
        self.config, self.seed, self.rows = config, seed, banks.rows
        self.noise = np.stack([banks.drawn(bank)[:, 0] for bank in range(banks.count)])
        schedule, (channels, height, width) = config.schedule[layer], shape
        sides = [pooling_matrix(side, schedule.blur, config.border).sum(1) for side in (height, width)]
        self.down, across = (np.pad(side.float().numpy(), 1) for side in sides)
        self.across = np.repeat(across, LANES)
        self.used = np.zeros(tiles(channels) * LANES)
        self.used[:channels] = 1
        self.taps = self._taps()
        self._nothing = np.zeros((0, 1, 1, 1), np.float32)
        self._tiles = (tiles(channels), height * width * LANES)

    def _taps(self) -> Array:
        """The weights of the stage's convolution by input channel: (channels, window * out)."""
        if self.stage == len(self.net.stages):
            return np.zeros((len(self.used), 1), np.float32)
        s, out = self.net.stages[self.stage], []
        window, channels = int(s["high"] * s["across"]), int(s["channels"])
        at = int(s["weights"])
        for tile in range(0, int(s["tiles"]), 2):
            lanes = min(2, int(s["tiles"]) - tile) * LANES
            size, parts = window * channels * lanes, []
            flat, done = self.net.weights[at : at + size], 0
            for first in range(0, channels, LANES):
                count = min(LANES, channels - first)
                part = flat[done : done + window * count * lanes].reshape(window, count, lanes)
                parts.append(part.transpose(1, 0, 2))
                done += part.size
            out.append(np.concatenate(parts))
            at += size
        taps = np.zeros((len(self.used), window * int(s["tiles"]) * LANES), np.float32)
        taps[:channels] = np.concatenate(out, axis=2).reshape(channels, -1)
        return taps

    def search_from(
        self, population: Array, image: Split, work: Work, own: Array | None = None
    ) -> tuple[Tensor, Tensor]:
        """The best maps (1, C, H, W), and the best cross-entropy at the start and after each generation (1, G + 1).

        Args:
            population: the first candidates (n, tiles, tile), of equal ones one; or images (n, C, H, W), whose maps
                here are the candidates.
            image: the one image that is searched.
            work: of this thread.
            own: the network's own maps (tiles, tile), which pull candidates; None if nothing does.
        """
        config, schedule = self.config, self.config.schedule[self.layer]
        channels, height, width = self.shape
        images, candidates = self._nothing, population
        if population.ndim == 4:
            images, candidates = population, np.zeros((len(population), *self._tiles), np.float32)
        maps = config.parents if len(candidates) > 1 else 1
        drawn = draw(self.seed, self.layer, int(image.indices), channels, self.rows, config)
        history = np.zeros(schedule.generations + 1, np.float32)
        best = np.zeros(self._tiles, np.float32)
        run(search_mixes, self.net, self.stage, images, candidates, height, width, channels, self._layer(maps, own),
            self._behind(maps), self._pool(maps, config.parents + config.explorers + config.refiners), drawn.first,
            drawn.second, drawn.noise, self.noise, int(image.labels), config.explorers,
            float(schedule.strength * schedule.boost), float(schedule.strength), config.normalise, history, best,
            self._room(len(candidates), maps), work)
        return unpack(torch.from_numpy(best[None]), *self.shape), torch.from_numpy(history[None])

    def _pool(self, maps: int, candidates: int) -> Pool:
        channels = len(self.used)
        beta, sigma = np.zeros((candidates, channels)), np.zeros((candidates, channels))
        fitness, pull = np.zeros(candidates, np.float32), np.zeros(candidates, np.float32)
        return Pool(np.zeros((candidates, maps + 1)), beta, sigma, fitness, pull)

    def _layer(self, maps: int, own: Array | None) -> Layer:
        channels, mu = len(self.used), 0.0 if own is None else float(self.config.pull)
        return Layer(np.zeros((maps + 1, *self._tiles), np.float32), self.down, self.across,
                     np.zeros((maps + 1, maps + 1, channels)), np.zeros((maps + 1, channels)), self.used,
                     np.zeros((1, 1), np.float32) if own is None else own, mu, np.zeros(maps + 2 + channels))

    def _behind(self, maps: int) -> Behind:
        classes, shape = len(self.net.bias), (1, 1, 1, 1)
        if self.stage < len(self.net.stages):
            s = self.net.stages[self.stage]
            shape = (int(s["height"]), int(s["tiles"]), maps + 1, (1 + int(s["pooled"])) ** 2 * int(s["width"]) * LANES)
        return Behind(self.taps, np.empty(shape, np.float32), np.zeros((maps + 1, classes), np.float32),
                      np.zeros((len(self.used), classes), np.float32))

    def _room(self, candidates: int, maps: int) -> Room:
        k, channels, n = self.config.parents, len(self.used), self.config.explorers + self.config.refiners
        pooled, across = np.zeros((n, 1, 1), np.float32), 1
        if self.stage < len(self.net.stages):
            s = self.net.stages[self.stage]
            pooled = np.empty((n, int(s["tiles"]), int(s["height"] * s["width"]) * LANES), np.float32)
            across = int(s["across"])
        return Room(pooled, np.empty((n, self.taps.shape[1]), np.float32), np.empty((n, maps + 1), np.float32),
                    np.zeros(across * LANES, np.float32), np.zeros(channels), np.zeros(channels),
                    np.zeros(k, np.int64), np.zeros(candidates, np.float32), self._pool(maps, k))
