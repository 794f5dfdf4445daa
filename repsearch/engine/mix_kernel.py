"""The search of one layer in a network of convolutions, where noise is drawn once a map and smoothed alone.

Every candidate is then a mix of the maps that the search began with, plus in each channel a number times one map, the
profile that smoothing leaves of a constant map, plus a constant. A candidate is kept as these numbers. Its mean,
variance and spread come from products of the maps with each other; and the first convolution behind the layer, which
is linear, gives the same mix of what it makes of those maps.
"""

from __future__ import annotations

import numpy as np

from repsearch.engine.compiling import entry, inlined, leaf
from repsearch.engine.conv_kernel import convolve_row, judge_maps, pool_rows, propagate_all, put_row, through
from repsearch.engine.kernel import LANES, fittest, minus_cross_entropy
from repsearch.engine.mix_layer import begin_layer, copy, prepare, prepare_head, rebuild


@leaf
def add_maps(shares, maps, out):  # type: ignore[no-untyped-def]
    """Add shares (m,) times maps (m, size) to `out`."""
    fours = shares.size // 4 * 4
    for m in range(0, fours, 4):
        a, b, c, d = shares[m], shares[m + 1], shares[m + 2], shares[m + 3]
        w, x, y, z = maps[m], maps[m + 1], maps[m + 2], maps[m + 3]
        for i in range(out.size):
            out[i] += a * w[i] + b * x[i] + c * y[i] + d * z[i]
    for m in range(fours, shares.size):
        a, w = shares[m], maps[m]
        for i in range(out.size):
            out[i] += a * w[i]


@leaf
def weighted_sum(weights, vectors, out):  # type: ignore[no-untyped-def]
    """out = the sum of weights (m,) times vectors (m, size)."""
    out[:] = 0
    for m in range(weights.size):
        w, x = np.float32(weights[m]), vectors[m]
        for i in range(out.size):
            out[i] += w * x[i]


@inlined
def move(source, row, target, to):  # type: ignore[no-untyped-def]
    """Copy a candidate to another pool."""
    copy(source.shares[row], target.shares[to])
    copy(source.beta[row], target.beta[to])
    copy(source.sigma[row], target.sigma[to])
    target.fitness[to] = source.fitness[row]
    target.pull[to] = source.pull[row]


@inlined
def measure(layer, pool, row, positions, room):  # type: ignore[no-untyped-def]
    """A candidate's sums of squared deviations and means, a channel; gives its mean, and its variance over all."""
    maps, channels = layer.maps.shape[0] - 1, layer.used.size
    shares, beta, sums, average = pool.shares[row], pool.beta[row], room.sums, room.average
    for c in range(channels):
        sums[c] = beta[c] * beta[c] * layer.products[maps, maps, c]
        average[c] = (shares[maps] + beta[c] * layer.means[maps, c]) * layer.used[c]
    for i in range(maps):
        for c in range(channels):
            average[c] += shares[i] * layer.means[i, c]
            sums[c] += 2 * shares[i] * beta[c] * layer.products[i, maps, c]
        for j in range(i + 1):
            both = shares[i] * shares[j] * (1 if i == j else 2)
            for c in range(channels):
                sums[c] += both * layer.products[i, j, c]
    total, squares, count = 0.0, 0.0, 0.0
    for c in range(channels):
        sums[c] = max(sums[c], 0.0)
        total += average[c]
        count += layer.used[c]
    mean = total / count
    for c in range(channels):
        squares += sums[c] + positions * layer.used[c] * (average[c] - mean) * (average[c] - mean)
    return mean, squares / (count * positions), count * positions


@inlined
def settle(layer, pool, row, positions, normalised, room):  # type: ignore[no-untyped-def]
    """Normalise a candidate, if children are; find its spread, and what its distance to the own maps costs."""
    maps, channels = layer.maps.shape[0] - 1, layer.used.size
    mean, variance, values = measure(layer, pool, row, positions, room)
    a = 1.0
    if normalised:
        a = 1 / np.sqrt(variance + 1e-5)
        for m in range(maps):
            pool.shares[row, m] *= a
        pool.shares[row, maps] = a * (pool.shares[row, maps] - mean)
        for c in range(channels):
            pool.beta[row, c] *= a
    for c in range(channels):
        if positions > 1:
            pool.sigma[row, c] = a * np.sqrt(room.sums[c] / (positions - 1))
        else:  # a single position: the spread is taken over all channels
            pool.sigma[row, c] = a * np.sqrt(variance * values / (values - 1)) * layer.used[c]
    if layer.mu > 0:
        squares = a * a * variance * values + (0.0 if normalised else values * mean * mean)
        total = squares + layer.alike[maps + 1]
        for m in range(maps + 1):
            total -= 2 * pool.shares[row, m] * layer.alike[m]
        for c in range(channels):
            total -= 2 * pool.beta[row, c] * layer.alike[maps + 2 + c]
        pool.pull[row] = layer.mu / 2 * max(total, 0.0) / values


@inlined
def reproduce(pool, row, first, second, noise, bank, strength):  # type: ignore[no-untyped-def]
    """A child, not yet normalised: the mean of two candidates, and noise."""
    for m in range(pool.shares.shape[1]):
        pool.shares[row, m] = (pool.shares[first, m] + pool.shares[second, m]) / 2
    rows = bank.shape[0]
    for tile in range(noise.size):
        drawn = noise[tile]
        at, signed = (drawn, strength) if drawn < rows else (drawn - rows, -strength)
        for lane in range(LANES):
            c = tile * LANES + lane
            eps = signed * (pool.sigma[first, c] + pool.sigma[second, c]) / 2 * bank[at, lane]
            pool.beta[row, c] = (pool.beta[first, c] + pool.beta[second, c]) / 2 + eps


@inlined
def mix(net, stage, layer, behind, pool, room, work):  # type: ignore[no-untyped-def]
    """The first stage behind the layer, up to its pooling, of all children."""
    s = net.stages[stage]
    n, k = room.pooled.shape[0], room.order.size
    wide, length = s.width * (1 + s.pooled), s.width * LANES
    for child in range(n):
        weighted_sum(pool.beta[k + child], behind.taps, room.taps[child])
        for m in range(room.shares.shape[1]):
            room.shares[child, m] = pool.shares[k + child, m]
    rows = work.rows[: behind.images.shape[3]]
    for y in range(s.height):  # the maps of a row are read once for all children
        for tile in range(s.tiles):
            for child in range(n):
                for r in range(1 + s.pooled):
                    top = y * (1 + s.pooled) + r + s.origin
                    for i in range(s.across * LANES):
                        room.column[i] = 0
                    for h in range(s.high):
                        for w in range(s.across):
                            at, weight = ((h * s.across + w) * s.tiles + tile) * LANES, layer.down[top + h]
                            for lane in range(LANES):
                                room.column[w * LANES + lane] += weight * room.taps[child, at + lane]
                    convolve_row(layer.across, s.origin * LANES, 0, 0, 1, 1, s.across, room.column, 0, rows,
                                 r * wide * LANES, 0, 1, wide)
                add_maps(room.shares[child], behind.images[y, tile], rows)
                out = room.pooled[child, tile, y * length : (y + 1) * length]
                if s.pooled:
                    pool_rows(rows, out)
                else:
                    copy(rows, out)


@inlined
def judge_children(net, stage, layer, behind, pool, label, room, work):  # type: ignore[no-untyped-def]
    """The fitness of all children."""
    n, k, last = room.pooled.shape[0], room.order.size, net.stages.size
    if stage < last:
        mix(net, stage, layer, behind, pool, room, work)
    for child in range(n):
        if stage < last:
            s = net.stages[stage]
            length = s.width * LANES
            for tile in range(s.tiles):
                for y in range(s.height):
                    row = room.pooled[child, tile, y * length : (y + 1) * length]
                    put_row(net, stage, tile, y, row, work.maps)
            through(net, stage + 1, last, work)
            pool.fitness[k + child] = judge_maps(net, label, work) - pool.pull[k + child]
        else:
            weighted_sum(pool.shares[k + child], behind.logits, work.logits)
            for c in range(layer.used.size):
                for i in range(work.logits.size):
                    work.logits[i] += np.float32(pool.beta[k + child, c]) * behind.profiles[c, i]
            for i in range(work.logits.size):
                work.logits[i] += net.bias[i]
            pool.fitness[k + child] = minus_cross_entropy(work.logits, label) - pool.pull[k + child]


@inlined
def select(pool, room):  # type: ignore[no-untyped-def]
    """Replace the parents by the fittest of parents and children."""
    k = room.order.size
    fittest(pool.fitness[:k], pool.fitness[k:], room.order)
    for rank in range(k):
        move(pool, room.order[rank], room.next, rank)
    for rank in range(k):
        move(room.next, rank, pool, rank)


@entry
def search_mixes(  # type: ignore[no-untyped-def]
    net, stage, images, candidates, height, width, channels, layer, behind, pool, first, second, noise, banks, label,
    explorers, explore, refine, normalised, history, best, room, work
):
    """The search of one layer, of `height` and `width`: in each generation reproduce, evaluate and select.

    `stage` is the first one behind the layer. `images` (n, C, H, W) are sent through the stages before it to
    `candidates` (n, tiles, tile), unless there are none, and the candidates are given. `first`, `second` (generations,
    n) and `noise` (generations, n, tiles) are drawn, and `banks` (banks, rows, 16) hold the noise. `history`
    (generations + 1,) gets the best cross-entropy of the first candidates, and after each generation; `best` (tiles,
    tile) the maps it is of.
    """
    if images.shape[0] > 0:
        propagate_all(net, stage, images, channels, normalised, candidates, work)
    begin_layer(net, stage, candidates, height, width, layer, pool, label, room, work)
    k, n, positions = room.order.size, first.shape[1], height * width
    for row in range(k):
        settle(layer, pool, row, positions, False, room)
    history[0] = -pool.fitness[0] - pool.pull[0]
    if stage < net.stages.size:
        prepare(net, stage, layer, behind, height, width, work)
    else:
        prepare_head(net, layer, behind, height, width, work)
    for g in range(history.size - 1):
        bank = banks[g % banks.shape[0]]
        for child in range(n):
            strength = explore if child < explorers else refine
            reproduce(pool, k + child, first[g, child], second[g, child], noise[g, child], bank, strength)
            settle(layer, pool, k + child, positions, normalised, room)
        judge_children(net, stage, layer, behind, pool, label, room, work)
        select(pool, room)
        history[g + 1] = -pool.fitness[0] - pool.pull[0]
    rebuild(layer, pool, 0, best)
