"""A layer's search by `repsearch.engine.mix_kernel`: what of it is the same for all images, and an image's own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine.compiling import run
from repsearch.engine.conv_kernel import Net, Work
from repsearch.engine.draws import Banks, draw, pack, tiles
from repsearch.engine.kernel import LANES, Array
from repsearch.engine.mix_kernel import Behind, Layer, Pool, Room, search_mixes
from repsearch.networks import rest
from repsearch.operators import pooling_matrix


class Mixes:
    """Searches a layer of one image after the other.

    Args:
        network: the one that `net` is of.
        net: its arrays.
        stage: the first one behind the layer.
        layer: its number.
        shape: (channels, height, width) of its maps.
        banks: of its noise, drawn once a map.
        config, seed: as in `repsearch.search`.
    """

    def __init__(
        self, network: nn.Module, net: Net, stage: int, layer: int, shape: tuple[int, ...], banks: Banks,
        config: SearchConfig, seed: int,
    ) -> None:
        self.network, self.net, self.stage, self.layer, self.shape = network, net, stage, layer, shape
        self.config, self.seed, self.rows = config, seed, banks.rows
        self.noise = np.stack([banks.raw(bank)[:, :LANES] for bank in range(banks.count)])
        schedule, (channels, height, width) = config.schedule[layer], shape
        sides = [pooling_matrix(side, schedule.blur, config.border).sum(1) for side in (height, width)]
        self.profile = torch.outer(*sides)
        self.down, across = (np.pad(side.float().numpy(), 1) for side in sides)
        self.across = np.repeat(across, LANES)
        self.used = np.zeros(tiles(channels) * LANES)
        self.used[:channels] = 1
        self.taps = self._taps()
        self.ones, self.profiles = self._of_head()

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

    def _of_head(self) -> tuple[Tensor, Array]:
        """Logits of ones, without the bias, and those of the profile in one channel (channels, classes)."""
        classes, channels = len(self.net.bias), self.shape[0]
        profiles = np.zeros((len(self.used), classes), np.float32)
        if self.stage < len(self.net.stages):
            return torch.zeros(classes), profiles
        bias = torch.from_numpy(self.net.bias)
        each = torch.eye(channels)[:, :, None, None] * self.profile.float()
        profiles[:channels] = (rest(self.network, self.layer, each) - bias).numpy()
        return rest(self.network, self.layer, torch.ones(1, *self.shape))[0] - bias, profiles

    def search_from(self, parents: Tensor, fitness: Array, image: Split, work: Work) -> tuple[Tensor, Tensor]:
        """The best maps (1, C, H, W), and the best cross-entropy after each generation.

        Args:
            parents: (k, C, H, W), the fittest first; or (1, C, H, W), if they are equal.
            fitness: (k,).
            image: one image.
            work: of this thread.
        """
        config, schedule = self.config, self.config.schedule[self.layer]
        n, (channels, height, width) = config.explorers + config.refiners, self.shape
        pool, layer, behind = self._pool(len(parents), fitness), self._layer(parents), self._behind(parents)
        drawn = draw(self.seed, self.layer, int(image.indices), channels, self.rows, config)
        history = np.zeros(schedule.generations, np.float32)
        run(search_mixes, self.net, self.stage, height, width, layer, behind, pool, drawn.first, drawn.second,
            drawn.noise, self.noise, int(image.labels), config.explorers, float(schedule.strength * schedule.boost),
            float(schedule.strength), config.normalise, history, self._room(n, len(parents)), work)
        shares, beta = torch.from_numpy(pool.shares[0]), torch.from_numpy(pool.beta[0, :channels])
        H = torch.einsum("m,mchw->chw", shares[:-1], parents.double()) + shares[-1]
        return (H + beta[:, None, None] * self.profile).float()[None], torch.from_numpy(history)

    def _pool(self, maps: int, fitness: Array) -> Pool:
        """The parents, and room for their children."""
        k, config = len(fitness), self.config
        everyone = k + config.explorers + config.refiners
        pool = Pool(np.zeros((everyone, maps + 1)), np.zeros((everyone, len(self.used))),
                    np.zeros((everyone, len(self.used))), np.zeros(everyone, np.float32))
        pool.shares[np.arange(k), np.arange(k) if maps > 1 else 0] = 1
        pool.fitness[:k] = fitness
        return pool

    def _layer(self, parents: Tensor) -> Layer:
        """What an image's search mixes."""
        profile = self.profile.expand(1, *self.shape)
        maps = torch.cat([parents.double(), profile]).flatten(2).permute(1, 0, 2)  # (C, maps + 1, positions)
        mean = maps.mean(2, keepdim=True)
        products = (maps - mean) @ (maps - mean).transpose(1, 2)
        return Layer(pack(parents), self.down, self.across, self._filled(products.permute(1, 2, 0)),
                     self._filled(mean[..., 0].T), self.used)

    def _filled(self, values: Tensor) -> Array:
        """Values (..., channels), zero in channels that fill up the last tile."""
        filled: Array = F.pad(values, (0, len(self.used) - self.shape[0])).contiguous().numpy()
        return filled

    def _behind(self, parents: Tensor) -> Behind:
        """What stands behind the layer, for an image's search."""
        maps, classes = len(parents), len(self.net.bias)
        if self.stage < len(self.net.stages):
            s = self.net.stages[self.stage]
            row = (1 + int(s["pooled"])) ** 2 * int(s["width"]) * LANES
            images = np.empty((int(s["height"]), int(s["tiles"]), maps + 1, row), np.float32)
            return Behind(self.taps, images, np.zeros((maps + 1, classes), np.float32), self.profiles)
        logits = rest(self.network, self.layer, parents) - torch.from_numpy(self.net.bias)
        return Behind(self.taps, np.zeros((1, 1, 1, 1), np.float32), torch.cat([logits, self.ones[None]]).numpy(),
                      self.profiles)

    def _room(self, n: int, maps: int) -> Room:
        k, channels = self.config.parents, len(self.used)
        pooled, across = np.zeros((n, 1, 1), np.float32), 1
        if self.stage < len(self.net.stages):
            s = self.net.stages[self.stage]
            pooled = np.empty((n, int(s["tiles"]), int(s["height"] * s["width"]) * LANES), np.float32)
            across = int(s["across"])
        following = Pool(np.zeros((k, maps + 1)), np.zeros((k, channels)), np.zeros((k, channels)),
                         np.zeros(k, np.float32))
        return Room(pooled, np.empty((n, self.taps.shape[1]), np.float32), np.empty((n, maps + 1), np.float32),
                    np.zeros(across * LANES, np.float32), np.zeros(channels), np.zeros(channels),
                    np.zeros(k, np.int64), following)
