"""The CPU kernel for networks with convolutions: maps through a network.

Maps are in tiles of 16 channels, as in `repsearch.engine.kernel`. What a convolution reads has a border of zeros.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repsearch.engine.compiling import entry, inlined, leaf, shared
from repsearch.engine.convolution import convolve
from repsearch.engine.kernel import LANES, Array, dot, gelu, minus_cross_entropy

STAGE = np.dtype([(name, np.int64) for name in (
    "channels", "high", "across", "origin", "pooled", "height", "width", "tiles", "weights", "affine",
    "source", "pitch", "size", "target", "target_pitch", "target_size",
)])
"""A convolution, 2x2 max-pooling if `pooled` is 1, then GELU(scale * x + shift).

`channels` come in; the window is `high` times `across`, and that of the first position begins `origin` rows and columns
into the padded maps. Out go `tiles` of (`height`, `width`) maps. `weights` and `affine` say where its numbers begin.
Its input begins at `source`, of which a row is `pitch` numbers and a tile `size`; its output likewise.
"""


class Net(NamedTuple):
    """A network's convolutions (`STAGE`), their `weights`, `scale` and `shift` (a row of positions each, a tile after
    the other); `head` (classes, tiles * size of the last maps) and `bias` (classes,)."""

    stages: Array
    weights: Array
    scale: Array
    shift: Array
    head: Array
    bias: Array


class Work(NamedTuple):
    """Room of a thread. `maps`: the padded input of every stage and of the head; `rows`, `row`: of a stage's output
    before and after its pooling; `logits` (classes,)."""

    maps: Array
    rows: Array
    row: Array
    logits: Array


@shared
def convolve_row(  # type: ignore[no-untyped-def]
    x, start, pitch, block, channels, high, across, weights, first, out, to, apart, tiles, width
):
    """`convolve` of a row of `width` positions."""
    done, pieces = 0, (width + 7) // 8
    for piece in range(pieces):
        places = (width - done) // (pieces - piece)
        convolve(x, start + done * LANES, pitch, block, channels, high, across, weights, first, out, to + done * LANES,
                 apart, tiles, places)
        done += places


@inlined
def convolve_rows(net, stage, tile, tiles, y, maps, rows):  # type: ignore[no-untyped-def]
    """Row `y` of a stage's output, or the two that are pooled to it, before pooling and activation: of `tiles` tiles
    from `tile` on, written to `rows` tile after tile."""
    s = net.stages[stage]
    width = s.width * (1 + s.pooled)
    first = s.weights + tile * s.channels * s.high * s.across * LANES
    for r in range(1 + s.pooled):
        start = s.source + (y * (1 + s.pooled) + r + s.origin) * s.pitch + s.origin * LANES
        convolve_row(maps, start, s.pitch, s.size, s.channels, s.high, s.across, net.weights, first, rows,
                     r * width * LANES, (1 + s.pooled) * width * LANES, tiles, width)


@leaf
def pool_rows(rows, out):  # type: ignore[no-untyped-def]
    """2x2 max-pooling of two rows, one after the other; the first is overwritten."""
    half = rows.size // 2
    upper, lower = rows[:half], rows[half:]
    for i in range(half):
        upper[i] = max(upper[i], lower[i])
    for x in range(out.size // 16):
        for i in range(16):
            out[x * 16 + i] = max(upper[x * 32 + i], upper[x * 32 + 16 + i])


@leaf
def activate_row(x, scale, shift, out):  # type: ignore[no-untyped-def]
    """out = GELU(scale * x + shift)."""
    for i in range(x.size):
        out[i] = gelu(scale[i] * x[i] + shift[i])


@inlined
def put_row(net, stage, tile, y, row, maps):  # type: ignore[no-untyped-def]
    """A row of a stage's output, activated, into the maps that the next one reads."""
    s = net.stages[stage]
    at, size = s.affine + tile * s.width * LANES, s.width * LANES
    to = s.target + tile * s.target_size + (y + 1) * s.target_pitch + LANES
    activate_row(row[:size], net.scale[at : at + size], net.shift[at : at + size], maps[to : to + size])


@inlined
def through(net, first, last, work):  # type: ignore[no-untyped-def]
    """Stages first .. last-1 of what is in the maps of the first."""
    for stage in range(first, last):
        s = net.stages[stage]
        length = (1 + s.pooled) * (1 + s.pooled) * s.width * LANES
        for tile in range(0, s.tiles, 2):
            tiles = min(2, s.tiles - tile)
            for y in range(s.height):
                convolve_rows(net, stage, tile, tiles, y, work.maps, work.rows)
                for t in range(tiles):
                    row = work.rows[t * length : (t + 1) * length]
                    if s.pooled:
                        pool_rows(row, work.row[: s.width * LANES])
                        row = work.row[: s.width * LANES]
                    put_row(net, stage, tile + t, y, row, work.maps)


@inlined
def judge_maps(net, label, work):  # type: ignore[no-untyped-def]
    """The fitness of what is in the maps of the head."""
    last = net.stages[net.stages.size - 1]
    size = net.head.shape[1]
    x = work.maps[last.target : last.target + size]
    for c in range(work.logits.size):
        work.logits[c] = net.bias[c] + dot(net.head[c], x)
    return minus_cross_entropy(work.logits, label)


@inlined
def lay(tiles, net, stage, height, width, maps):  # type: ignore[no-untyped-def]
    """Maps (tiles, height * width * 16) into those that a stage, or behind the last one the head, reads."""
    count = net.stages.size
    s = net.stages[min(stage, count - 1)]
    start, pitch, size = s.source, s.pitch, s.size
    if stage == count:
        start, pitch, size = s.target, s.target_pitch, s.target_size
    for tile in range(tiles.shape[0]):
        for y in range(height):
            to = start + tile * size + (y + 1) * pitch + LANES
            for i in range(width * LANES):
                maps[to + i] = tiles[tile, y * width * LANES + i]


@inlined
def propagate_all(net, last, images, channels, normalised, out, work):  # type: ignore[no-untyped-def]
    """Images (n, C, H, W) through the stages before `last`, to `out` (n, tiles, tile) of `channels` channels, which is
    normalised if `normalised`."""
    first = net.stages[0]
    for i in range(images.shape[0]):
        for c in range(images.shape[1]):
            begin = first.source + c // LANES * first.size + c % LANES + LANES
            for y in range(images.shape[2]):
                for x in range(images.shape[3]):
                    work.maps[begin + (y + 1) * first.pitch + x * LANES] = images[i, c, y, x]
        through(net, 0, last, work)
        s = net.stages[last - 1]
        total, squares = 0.0, 0.0
        for tile in range(s.tiles):
            for y in range(s.height):
                begin = s.target + tile * s.target_size + (y + 1) * s.target_pitch + LANES
                for p in range(s.width * LANES):
                    x = work.maps[begin + p]
                    out[i, tile, y * s.width * LANES + p] = x
                    total += x
                    squares += x * x
        if normalised:
            values = channels * s.height * s.width
            mean = total / values
            a = 1 / np.sqrt(squares / values - mean * mean + 1e-5)
            for tile in range(s.tiles):
                used = min(LANES, channels - tile * LANES)
                for p in range(s.height * s.width):
                    for lane in range(used):
                        out[i, tile, p * LANES + lane] = np.float32(a * (out[i, tile, p * LANES + lane] - mean))


@inlined
def judge_all(net, stage, candidates, height, width, label, fitness, work):  # type: ignore[no-untyped-def]
    """The fitness (n,) of candidates (n, tiles, height * width * 16) that go into a stage."""
    for i in range(candidates.shape[0]):
        lay(candidates[i], net, stage, height, width, work.maps)
        through(net, stage, net.stages.size, work)
        fitness[i] = judge_maps(net, label, work)


@entry
def begin(  # type: ignore[no-untyped-def]
    net, stage, images, channels, normalised, candidates, height, width, label, fitness, work
):
    """`propagate_all` of images, if there are any, to candidates; then `judge_all` of these."""
    if images.shape[0] > 0:
        propagate_all(net, stage, images, channels, normalised, candidates, work)
    judge_all(net, stage, candidates, height, width, label, fitness, work)
