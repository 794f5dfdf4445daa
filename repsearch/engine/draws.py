"""The random draws of the engine: made for whole layers, from keys instead of running generators.

What an image draws depends on (seed, layer, index of the image) alone. The noise itself lies in banks of smoothed maps
that depend on (seed, layer) alone and serve every image; an image draws rows of them, and signs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from repsearch.config import SearchConfig
from repsearch.engine.kernel import LANES, Array, Draws, Noise, smooth_rows
from repsearch.operators import pooling_matrix

BANKS = 8  # of a layer; its generations use them in turn
ROWS = 256  # of a bank, for maps of up to 256 positions; fewer for larger ones, so that a bank stays in the cache


def draw(seed: int, layer: int, index: int, channels: int, rows: int, config: SearchConfig) -> Draws:
    """All draws of one image in one layer: each array has the generations first.

    Args:
        seed, layer, index: what the draws depend on; `index` is the image's entry in `data.indices`, and has no say
            where images share their draws.
        channels: of the layer.
        rows: of a bank.
        config: gives the numbers of children and generations, and how parents are paired.

    Example:
        >>> from repsearch import presets
        >>> draws = draw(0, 0, 7, 64, 256, presets.book().search)
        >>> draws.first.shape, draws.noise.shape
        ((30, 50), (30, 50, 4))
    """
    generations, n = config.schedule[layer].generations, config.explorers + config.refiners
    key = (1, layer, config.draw_index(index))
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    words = generator.integers(2**32, size=(generations, n, 2 + tiles(channels)), dtype=np.uint32)
    pool = np.full(n, config.parents)
    if config.refine_from == "parents and explorers":
        pool[config.explorers :] += config.explorers
    first = _choose(words[..., 0], pool)
    if config.pairs == "distinct":
        second = (first + 1 + _choose(words[..., 1], pool - 1)) % pool
    else:
        second = _choose(words[..., 1], pool)
    return Draws(first, second, _choose(words[..., 2:], 2 * rows).astype(np.int16))


def _choose(words: Array, options: Array | int) -> Array:
    """A number below `options` for each 32-bit word, uniform to one part in 2^32 / options."""
    chosen: Array = (words.astype(np.uint64) * np.asarray(options, np.uint64) >> np.uint64(32)).astype(np.int64)
    return chosen


class Banks:
    """Standard normal noise for one layer, smoothed as its children are.

    Args:
        seed, layer: what the noise depends on.
        shape: (channels, height, width) of the layer.
        config: gives the kind of noise and the smoothing.
    """

    def __init__(self, seed: int, layer: int, shape: tuple[int, ...], config: SearchConfig) -> None:
        self.channels, self.height, self.width = shape
        positions = self.height * self.width
        self.rows = min(ROWS, max(LANES, ROWS * ROWS // positions))
        schedule = config.schedule[layer]
        self.smoothing = schedule.blur > 0 and config.blurred == "child"
        self.down = _diagonals(pooling_matrix(self.height, schedule.blur, config.border), schedule.blur)
        across = _diagonals(pooling_matrix(self.width, schedule.blur, config.border), schedule.blur)
        self.across = np.tile(np.repeat(across, LANES, axis=1), self.height)

        self.seed, self.layer, self.kind = seed, layer, config.noise
        self.count = min(BANKS, max(1, schedule.generations))
        self.blurred = schedule.blur > 0

    @cached_property
    def once(self) -> Array:
        """All banks, smoothed: (banks, rows, positions * 16)."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            made = pool.map(lambda bank: self._smooth(self.raw(bank)) if self.blurred else self.raw(bank),
                            range(self.count))
            return np.stack(list(made))

    def drawn(self, bank: int) -> Array:
        """What is drawn for a bank: standard normal, float32 (rows, positions or 1, 16)."""
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, self.layer, bank)))
        drawn = self.height * self.width if self.kind == "pixel" else 1
        noise: Array = generator.standard_normal((self.rows, drawn, LANES), dtype=np.float32)
        return noise

    def raw(self, bank: int) -> Array:
        """A bank before it is smoothed: standard normal, float32 (rows, positions * 16)."""
        positions = self.height * self.width
        return np.broadcast_to(self.drawn(bank), (self.rows, positions, LANES)).reshape(self.rows, -1)

    def for_kernel(self) -> Noise:
        """What the CPU kernel needs: the noise smoothed once and twice, and ones that are zero in unused channels."""
        used = np.arange(tiles(self.channels) * LANES) < self.channels
        ones = np.tile(used.reshape(-1, LANES), self.height * self.width).astype(np.float32)
        if not self.smoothing:
            return Noise(self.once, self.once, ones, ones, self.down, self.across)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            twice = np.stack(list(pool.map(self._smooth, self.once)))
        return Noise(self.once, twice, ones, self._smooth(ones), self.down, self.across)

    def rows_of(self, generation: int, noise: Array, smoothed: bool = True) -> Tensor:
        """The noise maps (..., channels, height, width) that draws (..., blocks) of a generation stand for."""
        turn = generation % self.count
        bank = self.once[turn] if smoothed else self.raw(turn)
        sign = np.where(noise < self.rows, 1, -1).astype(np.float32)
        maps = torch.from_numpy(bank[noise % self.rows] * sign[..., None])
        return unpack(maps, self.channels, self.height, self.width)

    def _smooth(self, maps: Array) -> Array:
        flat = np.ascontiguousarray(maps).reshape(-1, maps.shape[-1])
        out = np.empty_like(flat)
        smooth_rows(flat, self.down, self.across, out)
        return out.reshape(maps.shape)


def tiles(channels: int) -> int:
    """Tiles of 16 channels that hold this many."""
    return -(-channels // LANES)


def pack(maps: Tensor) -> Array:
    """Maps (..., C, H, W) as the kernel's tiles (..., blocks, H * W * 16), float32, zero in unused channels."""
    *lead, channels, height, width = maps.shape
    padded = torch.zeros(*lead, tiles(channels) * LANES, height * width)
    padded[..., :channels, :] = maps.flatten(-2)
    packed = padded.reshape(*lead, -1, LANES, height * width).transpose(-1, -2)
    return packed.reshape(*lead, tiles(channels), -1).contiguous().numpy()


def unpack(packed: Tensor, channels: int, height: int, width: int) -> Tensor:
    """The maps (..., C, H, W) in the kernel's tiles (..., blocks, H * W * 16)."""
    maps = packed.reshape(*packed.shape[:-1], height * width, LANES).transpose(-1, -2).flatten(-3, -2)
    return maps[..., :channels, :].reshape(*maps.shape[:-2], channels, height, width)


def _diagonals(matrix: Tensor, passes: int) -> Array:
    """Entry (passes + d, i) is matrix[i, i + d], zero where there is none: (2 * passes + 1, side)."""
    side = len(matrix)
    out = np.zeros((2 * passes + 1, side), np.float32)
    for d in range(-min(passes, side - 1), min(passes, side - 1) + 1):
        out[passes + d, max(0, -d) : side - max(0, d)] = matrix.diagonal(d)
    return out
