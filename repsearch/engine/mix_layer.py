"""What a search by mixes begins with, and ends with; see `repsearch.engine.mix_kernel`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repsearch.engine.compiling import inlined, leaf
from repsearch.engine.conv_kernel import convolve_rows, judge_all, lay
from repsearch.engine.kernel import LANES, Array, dot, fittest


class Pool(NamedTuple):
    """Parents, then children, k + n in all: `shares` (k + n, maps + 1), of the first maps and the constant; `beta`,
    `sigma` (k + n, channels), shares of the profile, and spreads; `fitness` (k + n,), of which `pull` (k + n,) has been
    taken for the distance to the network's own maps."""

    shares: Array
    beta: Array
    sigma: Array
    fitness: Array
    pull: Array


class Layer(NamedTuple):
    """What a search mixes: `maps` (maps + 1, tiles, tile), the fittest that it begins with, or one if all are equal,
    and the profile, the product of `down` (height + 2,) and every 16th of `across` ((width + 2) * 16,), both with a
    border of zeros. `products` (maps + 1, maps + 1, channels) of deviations from the mean, and `means` (maps + 1,
    channels), where channels that fill up the last tile are zero. `used` (channels,) is 1, or 0 for those. `own`
    (tiles, tile), the network's own maps, to which half of `mu` times the mean squared distance pulls candidates;
    `alike` (maps + 2 + channels,), products with them: of the maps, of ones, of themselves, and of the profile in each
    channel."""

    maps: Array
    down: Array
    across: Array
    products: Array
    means: Array
    used: Array
    own: Array
    mu: float
    alike: Array


class Behind(NamedTuple):
    """What stands behind the layer. `taps` (channels, window * out), the weights of the first stage's convolution, and
    `images` (height, tiles, maps + 1, rows), what it makes of the maps and of ones. Where no stage is left, of the
    head: `logits` (maps + 1, classes), without the bias, of maps and ones, and `profiles` (channels, classes), of the
    profile in one channel."""

    taps: Array
    images: Array
    logits: Array
    profiles: Array


class Room(NamedTuple):
    """Room to work. `pooled` (n, tiles, height * width * 16), what the first stage makes of the children before its
    activation; `taps` (n, window * out), of their profiles; `shares` (n, maps + 1); `column` (window's width * 16,);
    `sums`, `average` (channels,); `order` (k,); `fitness` (first candidates,); `next` (k, ...), the parents to be."""

    pooled: Array
    taps: Array
    shares: Array
    column: Array
    sums: Array
    average: Array
    order: Array
    fitness: Array
    next: Pool


@leaf
def copy(x, out):  # type: ignore[no-untyped-def]
    """out = x; numpy's own assignment would have to look whether they overlap."""
    for i in range(x.size):
        out[i] = x[i]


@inlined
def prepare(net, stage, layer, behind, height, width, work):  # type: ignore[no-untyped-def]
    """What the convolution of the first stage behind the layer makes of the maps, and of ones."""
    s = net.stages[stage]
    maps, tiles = layer.maps.shape[0] - 1, layer.maps.shape[1]
    size = behind.images.shape[3]
    for m in range(maps + 1):
        if m < maps:
            lay(layer.maps[m], net, stage, height, width, work.maps)
        else:
            for tile in range(tiles):
                for y in range(height):
                    begin = s.source + tile * s.size + (y + 1) * s.pitch + LANES
                    for x in range(width):
                        for lane in range(LANES):
                            work.maps[begin + x * LANES + lane] = layer.used[tile * LANES + lane]
        for tile in range(0, s.tiles, 2):
            many = min(2, s.tiles - tile)
            for y in range(s.height):
                convolve_rows(net, stage, tile, many, y, work.maps, work.rows)
                for t in range(many):
                    for i in range(size):
                        behind.images[y, tile + t, m, i] = work.rows[t * size + i]


@inlined
def prepare_head(net, layer, behind, height, width, work):  # type: ignore[no-untyped-def]
    """The logits of the maps, of ones, and of the profile in one channel, all without the bias."""
    maps, last = layer.maps.shape[0] - 1, net.stages[net.stages.size - 1]
    size = net.head.shape[1]
    x = work.maps[last.target : last.target + size]
    for m in range(maps):
        lay(layer.maps[m], net, net.stages.size, height, width, work.maps)
        for i in range(net.bias.size):
            behind.logits[m, i] = dot(net.head[i], x)
    for i in range(net.bias.size):
        behind.logits[maps, i] = 0
        for c in range(layer.used.size):
            behind.profiles[c, i] = 0
            start = c // LANES * last.target_size + c % LANES
            for y in range(1, height + 1):
                for z in range(1, width + 1):
                    weight = net.head[i, start + y * last.target_pitch + z * LANES]
                    behind.logits[maps, i] += weight
                    behind.profiles[c, i] += weight * layer.down[y] * layer.across[z * LANES]


@inlined
def multiply_maps(layer, m, tile, positions, product):  # type: ignore[no-untyped-def]
    """A map's means in a tile's channels, and its products with itself and the maps before it."""
    means, values = layer.means[m, tile * LANES : (tile + 1) * LANES], layer.maps[m, tile]
    means[:] = 0
    for p in range(0, values.size, LANES):
        for lane in range(LANES):
            means[lane] += values[p + lane]
    for lane in range(LANES):
        means[lane] /= positions
    for other in range(m + 1):
        others, seconds = layer.means[other, tile * LANES : (tile + 1) * LANES], layer.maps[other, tile]
        product[:] = 0
        for p in range(0, values.size, LANES):
            for lane in range(LANES):
                product[lane] += (values[p + lane] - means[lane]) * (seconds[p + lane] - others[lane])
        for lane in range(LANES):
            layer.products[m, other, tile * LANES + lane] = product[lane]
            layer.products[other, m, tile * LANES + lane] = product[lane]


@inlined
def multiply_own(layer):  # type: ignore[no-untyped-def]
    """What the network's own maps give when multiplied with what candidates are mixed of."""
    maps = layer.maps.shape[0] - 1
    layer.alike[:] = 0
    for tile in range(layer.own.shape[0]):
        own, profile = layer.own[tile], layer.maps[maps, tile]
        for m in range(maps):
            values = layer.maps[m, tile]
            for i in range(own.size):
                layer.alike[m] += np.float64(values[i]) * own[i]
        for i in range(own.size):
            layer.alike[maps] += own[i]
            layer.alike[maps + 1] += np.float64(own[i]) * own[i]
            layer.alike[maps + 2 + tile * LANES + i % LANES] += np.float64(profile[i]) * own[i]


@inlined
def pull_of_map(maps, own, values, mu):  # type: ignore[no-untyped-def]
    """Half of mu times the mean squared distance of maps (tiles, tile) to `own`, over so many `values`."""
    total = 0.0
    for tile in range(own.shape[0]):
        for i in range(own.shape[1]):
            d = np.float64(maps[tile, i]) - own[tile, i]
            total += d * d
    return mu / 2 * total / values


@inlined
def begin_layer(net, stage, candidates, height, width, layer, pool, label, room, work):  # type: ignore[no-untyped-def]
    """Choose the first parents, and find what their mixes need."""
    k, maps = room.order.size, layer.maps.shape[0] - 1
    judge_all(net, stage, candidates, height, width, label, room.fitness, work)
    if layer.mu > 0:
        channels = 0.0
        for c in range(layer.used.size):
            channels += layer.used[c]
        for i in range(candidates.shape[0]):
            pulled = pull_of_map(candidates[i], layer.own, channels * height * width, layer.mu)
            room.fitness[i] -= np.float32(pulled)
    room.order[:] = 0  # of one candidate all parents are copies
    if candidates.shape[0] > 1:
        fittest(room.fitness[:k], room.fitness[k:], room.order)
    for rank in range(k):
        pool.fitness[rank] = room.fitness[room.order[rank]]
        pool.shares[rank, min(rank, maps - 1)] = 1
    for m in range(maps):
        for tile in range(candidates.shape[1]):
            copy(candidates[room.order[m], tile], layer.maps[m, tile])
    for tile in range(candidates.shape[1]):
        for y in range(height):
            for x in range(width):
                for lane in range(LANES):
                    value = layer.down[y + 1] * layer.across[(x + 1) * LANES] * layer.used[tile * LANES + lane]
                    layer.maps[maps, tile, (y * width + x) * LANES + lane] = value
    for m in range(maps + 1):
        for tile in range(candidates.shape[1]):
            multiply_maps(layer, m, tile, height * width, room.sums[:LANES])
    if layer.mu > 0:
        multiply_own(layer)


@inlined
def rebuild(layer, pool, row, out):  # type: ignore[no-untyped-def]
    """The maps (tiles, tile) of a candidate."""
    maps = layer.maps.shape[0] - 1
    for tile in range(out.shape[0]):
        for i in range(out.shape[1]):
            c = tile * LANES + i % LANES
            total = pool.shares[row, maps] * layer.used[c] + pool.beta[row, c] * layer.maps[maps, tile, i]
            for m in range(maps):
                total += pool.shares[row, m] * layer.maps[m, tile, i]
            out[tile, i] = np.float32(total)
