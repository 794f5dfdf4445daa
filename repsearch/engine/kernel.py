"""The CPU kernel of the engine: one image and one convolutional search layer, all generations, compiled by numba.

Arrays are made of tiles. A tile holds the maps of 16 channels, position after position with the channels innermost,
flat: ``(positions * 16,)``. Every loop then runs over contiguous numbers and becomes vector instructions. A candidate
is (blocks, tile); channels that fill up the last block are zero, and stay so.

The steps and names are those of `repsearch.reference`. `M` and `M2` are a candidate's maps smoothed once and twice: a
child is made from smoothed parents and smoothed noise, smooth((p1 + p2)/2 + eps) = (M1 + M2)/2 + smooth(eps), and a
refiner's parent may be an explorer, whose smoothed maps are likewise made from maps smoothed twice.

All of it is one file, however long: numba's cache of compiled code does not see changes in another file's functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 16

Array = NDArray[Any]
# Inlined, a function and those it calls are one piece of code. Else a call would run the code compiled in this process
# the first time, but the caller's own copy, which may add up in another order, once that is read from numba's cache.
_compiled = njit(fastmath=True, error_model="numpy", nogil=True, cache=True, forceinline=True)
_inlined = njit(fastmath=True, error_model="numpy", inline="always")


class Parents(NamedTuple):
    """The parents of one image, k of them in 2k slots, so that the next ones are written beside those in use.

    `slot` (k,) and `fitness` (k,) go from the fittest down. `H`, `M`, `M2` (2k, blocks, tile); `sigma` (2k, blocks, 16)
    is the spread of each channel.
    """

    slot: Array
    fitness: Array
    H: Array
    M: Array
    M2: Array
    sigma: Array


class Noise(NamedTuple):
    """A bank of noise, smoothed once and twice (rows, tile); (blocks, tile) of ones, smoothed likewise; the smoothing.

    `down` (2 * passes + 1, height) and `across` (2 * passes + 1, tile) hold the diagonals of the pooling
    matrices of the two axes: entry (passes + d, i) weighs position i + d in the average at position i.
    """

    once: Array
    twice: Array
    ones: Array
    smoothed_ones: Array
    down: Array
    across: Array


class Tail(NamedTuple):
    """The network behind a search layer: stages of 2x2 max-pooling and GELU(scale * x + shift), then a linear head.

    `scale`, `shift` (stages, per stage, blocks * tile of the first stage), of which a later stage uses as much as it
    has, in its tiles; `sides` (stages + 1, 2), height and width of the search layer, then of each stage's maps as far
    as they are used; `head` (classes, blocks * tile of the last stage); `bias` (classes,).
    """

    scale: Array
    shift: Array
    sides: Array
    head: Array
    bias: Array


class Children(NamedTuple):
    """What a generation keeps of its n children: `pooled` (n, blocks, tile of the first stage), `fitness` (n,), the
    `variance` (n,) before normalisation, and `a`, `b` (n,), the normalisation a * x + b; of its explorers the `spread`
    before it (explorers, blocks, 16)."""

    pooled: Array
    fitness: Array
    a: Array
    b: Array
    variance: Array
    spread: Array


class Draws(NamedTuple):
    """What is drawn for a generation: parents `first`, `second` (n,), and `noise` (n, blocks), rows of the bank; a row
    beyond its end is the row before, with the sign changed."""

    first: Array
    second: Array
    noise: Array


@_inlined
def gelu(x):  # type: ignore[no-untyped-def]
    """x Phi(x), to 1.5e-6. Phi(x) - 1/2 is x times a polynomial in 2x^2/25 - 1, fitted to |x| < 5, constant beyond."""
    z = min(max(x, np.float32(-5)), np.float32(5))
    s = z * z * np.float32(0.08) - np.float32(1)
    p = np.float32(0.00049330136)
    p = p * s + np.float32(-0.0015145945)
    p = p * s + np.float32(0.0020012589)
    p = p * s + np.float32(-0.0029147559)
    p = p * s + np.float32(0.0061657629)
    p = p * s + np.float32(-0.010973905)
    p = p * s + np.float32(0.016497616)
    p = p * s + np.float32(-0.023336523)
    p = p * s + np.float32(0.031426218)
    p = p * s + np.float32(-0.040432974)
    p = p * s + np.float32(0.051521423)
    p = p * s + np.float32(-0.070296652)
    p = p * s + np.float32(0.14136378)
    return x * (np.float32(0.5) + z * p)


@_compiled
def mix(first, second, noise, scale, out):  # type: ignore[no-untyped-def]
    """out = (first + second) / 2 + scale * noise, `scale` being repeated; its sum and sum of squares."""
    row = scale.size
    total, squares = np.float32(0), np.float32(0)
    for start in range(0, out.size, row):
        a, b = first[start : start + row], second[start : start + row]
        e, o = noise[start : start + row], out[start : start + row]
        for i in range(row):
            x = np.float32(0.5) * (a[i] + b[i]) + scale[i] * e[i]
            o[i] = x
            total += x
            squares += x * x
    return total, squares


@_compiled
def normalised_mix(first, second, noise, scale, a, b, ones, out):  # type: ignore[no-untyped-def]
    """out = a * ((first + second) / 2 + scale * noise) + b * ones."""
    row = scale.size
    half = np.float32(0.5) * a
    for start in range(0, out.size, row):
        x, y, e = first[start : start + row], second[start : start + row], noise[start : start + row]
        u, o = ones[start : start + row], out[start : start + row]
        for i in range(row):
            o[i] = half * (x[i] + y[i]) + a * scale[i] * e[i] + b * u[i]


@_compiled
def noise_scale(first, second, factor, scale):  # type: ignore[no-untyped-def]
    """For some positions, `factor` times the mean of two parents' spreads (16,)."""
    for i in range(16):
        scale[i] = factor * np.float32(0.5) * (first[i] + second[i])
    for start in range(16, scale.size, 16):
        for i in range(16):
            scale[start + i] = scale[i]


@_compiled
def lane_spread(tile, sums, out):  # type: ignore[no-untyped-def]
    """The standard deviation of each channel of a tile over its positions, (16,); `sums` (3, row) is room to work."""
    row = sums.shape[1]
    origin, total, squares = sums[0], sums[1], sums[2]
    # Deviations from the middle position, not from zero: a channel may vary little about a large mean.
    middle = tile.size // 32 * 16
    for start in range(0, row, 16):
        for i in range(16):
            origin[start + i] = tile[middle + i]
    total[:] = 0
    squares[:] = 0
    for start in range(0, tile.size, row):
        x = tile[start : start + row]
        for i in range(row):
            d = x[i] - origin[i]
            total[i] += d
            squares[i] += d * d
    for start in range(16, row, 16):
        for i in range(16):
            total[i] += total[start + i]
            squares[i] += squares[start + i]
    positions = np.float32(tile.size // 16)
    for i in range(16):
        variance = (squares[i] - total[i] * total[i] / positions) / max(positions - np.float32(1), np.float32(1))
        out[i] = np.sqrt(max(variance, np.float32(0)))


@_compiled
def smooth(tile, down, across, work, out):  # type: ignore[no-untyped-def]
    """Average pooling of a tile, all passes at once: the weights of each axis in turn; see `Noise`."""
    passes, height = down.shape[0] // 2, down.shape[1]
    row = tile.size // height
    for y in range(height):
        o = work[y * row : (y + 1) * row]
        o[:] = 0
        for source in range(max(0, y - passes), min(height, y + passes + 1)):
            weight, x = down[passes + source - y, y], tile[source * row : (source + 1) * row]
            for i in range(row):
                o[i] += weight * x[i]
    out[:] = 0
    for d in range(-passes, passes + 1):
        low, high = max(0, -d) * 16, tile.size - max(0, d) * 16
        if low < high:
            weights, o, x = across[passes + d, low:high], out[low:high], work[low + d * 16 : high + d * 16]
            for i in range(o.size):
                o[i] += weights[i] * x[i]


@_compiled
def smooth_rows(tiles, down, across, out):  # type: ignore[no-untyped-def]
    """`smooth` of every tile (n, tile)."""
    work = np.empty(tiles.shape[1], np.float32)
    for i in range(tiles.shape[0]):
        smooth(tiles[i], down, across, work, out[i])


@_compiled
def pool(tile, width, height_out, width_out, buffer, out):  # type: ignore[no-untyped-def]
    """2x2 max-pooling of a tile of maps `width` wide, as far as (height_out, width_out)."""
    row = width * 16
    for y in range(height_out):
        upper, lower = tile[2 * y * row : (2 * y + 1) * row], tile[(2 * y + 1) * row : (2 * y + 2) * row]
        for i in range(row):
            buffer[i] = max(upper[i], lower[i])
        for i in range(row - 16):
            buffer[i] = max(buffer[i], buffer[i + 16])
        for x in range(width_out):
            for i in range(16):
                out[(y * width_out + x) * 16 + i] = buffer[x * 32 + i]


@_compiled
def dot(weights, x):  # type: ignore[no-untyped-def]
    """The sum of weights * x."""
    total = np.float32(0)
    for i in range(x.size):
        total += weights[i] * x[i]
    return total


@_compiled
def activate(x, scale, shift):  # type: ignore[no-untyped-def]
    """x = GELU(scale * x + shift), in place."""
    for i in range(x.size):
        x[i] = gelu(scale[i] * x[i] + shift[i])


@_compiled
def logits_of(children, tail, child, work, other, buffer, logits):  # type: ignore[no-untyped-def]
    """The rest of the network for one child: normalisation, activations, poolings but the first, head."""
    a, b = children.a[child], children.b[child]
    stages, per_stage = tail.scale.shape[:2]
    blocks, pooled = children.pooled.shape[1], children.pooled[child].ravel()
    x, y = work, other
    size = pooled.size
    for i in range(size):
        x[i] = a * pooled[i] + b
    for stage in range(stages):
        if stage > 0:
            width_in, (height, width) = tail.sides[stage, 1], tail.sides[stage + 1]
            before, size = size // blocks, height * width * 16
            for block in range(blocks):
                source, target = x[block * before : (block + 1) * before], y[block * size : (block + 1) * size]
                pool(source, width_in, height, width, buffer, target)
            x, y = y, x
            size *= blocks
        for step in range(per_stage):
            activate(x[:size], tail.scale[stage, step], tail.shift[stage, step])
    for k in range(logits.size):
        logits[k] = tail.bias[k] + dot(tail.head[k, :size], x[:size])


@_compiled
def minus_cross_entropy(logits, label):  # type: ignore[no-untyped-def]
    """log softmax(logits)[label]."""
    largest = logits.max()
    total = 0.0
    for k in range(logits.size):
        total += np.exp(np.float64(logits[k] - largest))
    return np.float32(logits[label] - largest - np.log(total))


@_compiled
def generation(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, tail, label, explorers, explore, refine, channels, normalised, smoothing
):
    """Reproduce, evaluate and select once: the parents are replaced by the fittest of parents and children.

    Args:
        parents: `Parents`, changed in place.
        children: `Children`, overwritten.
        draws: `Draws` of this generation; a refiner's parents are indices into parents and explorers.
        noise: `Noise`.
        tail: `Tail`.
        label: of the image.
        explorers: the first so many children; the others are refiners.
        explore, refine: their noise, as a share of the parents' spread.
        channels: of the layer, those that fill up the last block not counted.
        normalised: whether children are normalised.
        smoothing: whether parents' maps are smoothed, so that M and M2 differ from H.
    """
    k, n = parents.slot.size, draws.first.size
    blocks, size = parents.H.shape[1], parents.H.shape[2]
    row, values = _row(noise), channels * (size // 16)
    tile, scale, sums = np.empty(size, np.float32), np.empty(row, np.float32), np.empty((3, row), np.float32)
    buffer = np.empty(row, np.float32)
    smoothed = np.empty((max(explorers, 1), size), np.float32)
    explorer_sigma = np.empty((max(explorers, 1), 16), np.float32)
    total, squares = np.zeros(n), np.zeros(n)

    # Explorers first: a refiner whose parent is one needs it normalised.
    for block in range(blocks):
        for child in range(explorers):
            p1, p2 = parents.slot[draws.first[child]], parents.slot[draws.second[child]]
            e, sign = _bank_row(draws.noise[child, block], noise.once.shape[0])
            noise_scale(parents.sigma[p1, block], parents.sigma[p2, block], sign * explore, scale)
            s, q = mix(parents.M[p1, block], parents.M[p2, block], noise.once[e], scale, tile)
            total[child] += s
            squares[child] += q
            lane_spread(tile, sums, children.spread[child, block])
            _keep(tile, tail.sides, buffer, children.pooled[child, block])
    _normalisation(children, total, squares, 0, explorers, values, normalised)
    if size == 16:  # a single position: the spread is taken over all channels
        for child in range(explorers):
            spread = np.float32(np.sqrt(children.variance[child] * values / (values - 1)))
            for block in range(blocks):
                children.spread[child, block] = spread * noise.ones[block]

    needed = np.zeros(k + explorers, np.bool_)
    needed[draws.first[explorers:]] = True
    needed[draws.second[explorers:]] = True
    for block in range(blocks):
        for child in range(explorers):
            if needed[k + child]:
                _smoothed_explorer(parents, children, draws, noise, child, block, explore, scale, smoothed[child])
                for lane in range(16):
                    explorer_sigma[child, lane] = children.a[child] * children.spread[child, block, lane]
        for child in range(explorers, n):
            i, j = draws.first[child], draws.second[child]
            e, sign = _bank_row(draws.noise[child, block], noise.once.shape[0])
            m1 = parents.M[parents.slot[i], block] if i < k else smoothed[i - k]
            m2 = parents.M[parents.slot[j], block] if j < k else smoothed[j - k]
            s1 = parents.sigma[parents.slot[i], block] if i < k else explorer_sigma[i - k]
            s2 = parents.sigma[parents.slot[j], block] if j < k else explorer_sigma[j - k]
            noise_scale(s1, s2, sign * refine, scale)
            s, q = mix(m1, m2, noise.once[e], scale, tile)
            total[child] += s
            squares[child] += q
            _keep(tile, tail.sides, buffer, children.pooled[child, block])
    _normalisation(children, total, squares, explorers, n, values, normalised)

    logits, all_blocks = np.empty(tail.bias.size, np.float32), children.pooled[0].size
    this, that = np.empty(all_blocks, np.float32), np.empty(all_blocks, np.float32)
    for child in range(n):
        logits_of(children, tail, child, this, that, buffer, logits)
        children.fitness[child] = minus_cross_entropy(logits, label)

    replace_parents(parents, children, draws, noise, explorers, explore, refine, channels, smoothing)


@_compiled
def replace_parents(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, explorers, explore, refine, channels, smoothing
):
    """Select the fittest of parents and children. Arguments as in `generation`.

    Of a child only the pooled map was kept: one that becomes a parent is made again, from what was drawn for it.
    """
    k, size = parents.slot.size, parents.H.shape[2]
    blocks, row = parents.H.shape[1], _row(noise)
    left, right, work = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    scale, sums = np.empty(row, np.float32), np.empty((3, row), np.float32)
    everyone = np.concatenate((parents.fitness, children.fitness))
    order = np.argsort(-everyone, kind="mergesort")[:k]
    taken = np.zeros(2 * k, np.bool_)
    taken[parents.slot] = True
    chosen, free = np.empty(k, np.int64), 0
    for rank in range(k):
        if order[rank] < k:
            chosen[rank] = parents.slot[order[rank]]
            continue
        while taken[free]:
            free += 1
        taken[free] = True
        chosen[rank] = free
        child = order[rank] - k
        i, j = draws.first[child], draws.second[child]
        factor = explore if child < explorers else refine
        for block in range(blocks):
            e, sign = _bank_row(draws.noise[child, block], noise.once.shape[0])
            m1, m2, s1, s2 = left, right, sums[0, :16], sums[1, :16]
            if i < k:
                m1, s1 = parents.M[parents.slot[i], block], parents.sigma[parents.slot[i], block]
            else:
                _smoothed_explorer(parents, children, draws, noise, i - k, block, explore, scale, left)
                for lane in range(16):
                    s1[lane] = children.a[i - k] * children.spread[i - k, block, lane]
            if j < k:
                m2, s2 = parents.M[parents.slot[j], block], parents.sigma[parents.slot[j], block]
            else:
                _smoothed_explorer(parents, children, draws, noise, j - k, block, explore, scale, right)
                for lane in range(16):
                    s2[lane] = children.a[j - k] * children.spread[j - k, block, lane]
            noise_scale(s1, s2, sign * factor, scale)
            a, b, ones = children.a[child], children.b[child], noise.ones[block]
            normalised_mix(m1, m2, noise.once[e], scale, a, b, ones, parents.H[free, block])
            settle(parents, free, block, noise, smoothing, sums, work)
        if size == 16:
            _single_position(parents, free, noise, channels)
    parents.slot[:] = chosen
    parents.fitness[:] = everyone[order]


@_compiled
def search_layer(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, tail, label, explorers, explore, refine, channels, normalised, smoothing, history
):
    """All generations of one layer. As `generation`, but `draws` and the two banks of `noise` have a first axis more:
    one entry a generation, and one a bank, which the generations use in turn. `history` (generations,) is filled with
    the best cross-entropy after each."""
    banks = noise.once.shape[0]
    for g in range(history.size):
        drawn = Draws(draws.first[g], draws.second[g], draws.noise[g])
        now = Noise(
            noise.once[g % banks], noise.twice[g % banks], noise.ones, noise.smoothed_ones, noise.down, noise.across
        )
        generation(
            parents, children, drawn, now, tail, label, explorers, explore, refine, channels, normalised, smoothing
        )
        history[g] = -parents.fitness[0]


@_compiled
def settle(parents, slot, block, noise, smoothing, sums, work):  # type: ignore[no-untyped-def]
    """What a new parent's H entails: its spread, and its smoothed maps."""
    lane_spread(parents.H[slot, block], sums, parents.sigma[slot, block])
    if smoothing:
        smooth(parents.H[slot, block], noise.down, noise.across, work, parents.M[slot, block])
        smooth(parents.M[slot, block], noise.down, noise.across, work, parents.M2[slot, block])


@_compiled
def settle_all(parents, noise, channels, smoothing):  # type: ignore[no-untyped-def]
    """`settle` for the first parents, those in use."""
    work, sums = np.empty(noise.ones.shape[1], np.float32), np.empty((3, _row(noise)), np.float32)
    for slot in parents.slot:
        for block in range(parents.H.shape[1]):
            settle(parents, slot, block, noise, smoothing, sums, work)
        if parents.H.shape[2] == 16:
            _single_position(parents, slot, noise, channels)


@_compiled
def _single_position(parents, slot, noise, channels):  # type: ignore[no-untyped-def]
    """Where maps are a single position, the spread is taken over all channels."""
    total, squares = 0.0, 0.0
    for x in parents.H[slot].ravel():
        total += x
        squares += x * x
    variance = (squares - total * total / channels) / (channels - 1)
    for block in range(parents.H.shape[1]):
        parents.sigma[slot, block] = np.float32(np.sqrt(variance)) * noise.ones[block]


@_inlined
def _row(noise):  # type: ignore[no-untyped-def]
    """How many numbers of a tile the inner loops take at a time: a row of positions, or all of a small tile."""
    size = noise.ones.shape[1]
    return size if size <= 1024 else size // noise.down.shape[1]


@_inlined
def _bank_row(drawn, rows):  # type: ignore[no-untyped-def]
    """Row of the bank, and sign, that a number below 2 * rows stands for."""
    return (drawn, np.float32(1)) if drawn < rows else (drawn - rows, np.float32(-1))


@_compiled
def _keep(tile, sides, buffer, out):  # type: ignore[no-untyped-def]
    """The part of a child that its evaluation needs: pooled if the network pools, else all of it."""
    if sides.shape[0] > 1:
        pool(tile, sides[0, 1], sides[1, 0], sides[1, 1], buffer, out)
    else:
        out[:] = tile


@_compiled
def _normalisation(children, total, squares, start, stop, values, normalised):  # type: ignore[no-untyped-def]
    """The a and b of children start .. stop-1: (x - mean) / sqrt(var + 1e-5) = a * x + b."""
    for child in range(start, stop):
        mean = total[child] / values
        children.variance[child] = squares[child] / values - mean * mean
        children.a[child], children.b[child] = 1, 0
        if normalised:
            children.a[child] = 1 / np.sqrt(children.variance[child] + 1e-5)
            children.b[child] = -mean * children.a[child]


@_compiled
def _smoothed_explorer(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, child, block, explore, scale, out
):
    """The smoothed maps of an explorer, from maps and noise smoothed twice."""
    p1, p2 = parents.slot[draws.first[child]], parents.slot[draws.second[child]]
    e, sign = _bank_row(draws.noise[child, block], noise.twice.shape[0])
    noise_scale(parents.sigma[p1, block], parents.sigma[p2, block], sign * explore, scale)
    normalised_mix(
        parents.M2[p1, block], parents.M2[p2, block], noise.twice[e], scale, children.a[child], children.b[child],
        noise.smoothed_ones[block], out,
    )
