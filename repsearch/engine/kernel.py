"""The CPU kernel of the engine: one image and one convolutional search layer, all generations, compiled by numba.

Arrays are made of tiles. A tile holds the maps of 16 channels, position after position with the channels innermost,
flat: ``(positions * 16,)``. Every loop then runs over contiguous numbers and becomes vector instructions. A candidate
is (blocks, tile); channels that fill up the last block are zero, and stay so.

The steps and names are those of `repsearch.reference`. `M` and `M2` are a candidate's maps smoothed once and twice: a
child is made from smoothed parents and smoothed noise, smooth((p1 + p2)/2 + eps) = (M1 + M2)/2 + smooth(eps), and a
refiner's parent may be an explorer, whose smoothed maps are likewise made from maps smoothed twice.

All of it is one file, however long: its steps are read together, and share their small functions.

Compiling it takes seconds, at first use. So a step stands in one place, arrays of one type each come in, and there are
loops where numpy's sorting and broadcasting, with its messages, would have to be compiled too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from repsearch.engine.compiling import entry, exact_leaf, inlined, leaf, run

LANES = 16

Array = NDArray[Any]


class Parents(NamedTuple):
    """The parents of one image, k of them in 2k slots, so that the next ones are written beside those in use.

    `slot` (k,) and `fitness` (k,) go from the fittest down. `H`, `M`, `M2` (2k, blocks, tile); `sigma` (2k, blocks, 16)
    is the spread of each channel. `settled` (2k,) is 1 for slots in use whose `M`, `M2` and `sigma` are those of `H`,
    else 0.
    """

    slot: Array
    fitness: Array
    H: Array
    M: Array
    M2: Array
    sigma: Array
    settled: Array


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


class Room(NamedTuple):
    """Room to work, that nobody else reads.

    Of a tile: `tile`, `work` (tile,); of what inner loops take of one at a time: `scale`, `buffer` (row,), `sums` (3,
    row). Of explorers that are parents, numbered as children: `smoothed` (explorers, tile), `sigma` (explorers, 16). Of
    children: `total`, `squares` (n,). Of a child's evaluation: `this`, `that` (blocks * tile of the first stage,),
    `logits` (classes,). Of parents and explorers, the latter numbered from k on: `needed` (k + explorers,). Of the next
    parents: `order`, `slot`, `fitness` (k,).
    """

    tile: Array
    work: Array
    scale: Array
    buffer: Array
    sums: Array
    smoothed: Array
    sigma: Array
    total: Array
    squares: Array
    this: Array
    that: Array
    logits: Array
    needed: Array
    order: Array
    slot: Array
    fitness: Array


@inlined
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


@leaf
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


@leaf
def normalised_mix(first, second, noise, scale, a, b, ones, out):  # type: ignore[no-untyped-def]
    """out = a * ((first + second) / 2 + scale * noise) + b * ones."""
    row = scale.size
    half = np.float32(0.5) * a
    for start in range(0, out.size, row):
        x, y, e = first[start : start + row], second[start : start + row], noise[start : start + row]
        u, o = ones[start : start + row], out[start : start + row]
        for i in range(row):
            o[i] = half * (x[i] + y[i]) + a * scale[i] * e[i] + b * u[i]


@leaf
def noise_scale(first, second, factor, scale):  # type: ignore[no-untyped-def]
    """For some positions, `factor` times the mean of two parents' spreads (16,)."""
    for i in range(16):
        scale[i] = factor * np.float32(0.5) * (first[i] + second[i])
    for start in range(16, scale.size, 16):
        for i in range(16):
            scale[start + i] = scale[i]


@leaf
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


@leaf
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


@leaf
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


@leaf
def dot(weights, x):  # type: ignore[no-untyped-def]
    """The sum of weights * x."""
    total = np.float32(0)
    for i in range(x.size):
        total += weights[i] * x[i]
    return total


@leaf
def activate(x, scale, shift):  # type: ignore[no-untyped-def]
    """x = GELU(scale * x + shift), in place."""
    for i in range(x.size):
        x[i] = gelu(scale[i] * x[i] + shift[i])


@leaf
def minus_cross_entropy(logits, label):  # type: ignore[no-untyped-def]
    """log softmax(logits)[label]."""
    largest = logits[0]
    for k in range(logits.size):
        largest = max(largest, logits[k])
    total = 0.0
    for k in range(logits.size):
        total += np.exp(np.float64(logits[k] - largest))
    return np.float32(logits[label] - largest - np.log(total))


@leaf
def sums_of(x):  # type: ignore[no-untyped-def]
    """The sum of x and that of its squares."""
    total, squares = 0.0, 0.0
    for i in range(x.size):
        total += x[i]
        squares += x[i] * x[i]
    return total, squares


@exact_leaf
def fittest(parents, children, order):  # type: ignore[no-untyped-def]
    """Fill `order` (k,) with the fittest of parents (k,) and children (n,), which are numbered from k on, the fittest
    first; among equals the first, and NaN last."""
    k = order.size
    for new in range(k + children.size):
        x = parents[new] if new < k else children[new - k]
        rank = min(new, k)
        while rank > 0:
            other = order[rank - 1]
            y = parents[other] if other < k else children[other - k]
            if not (y < x or (np.isnan(y) and not np.isnan(x))):
                break
            if rank < k:
                order[rank] = other
            rank -= 1
        if rank < k:
            order[rank] = new


@leaf
def normalisation(children, total, squares, start, stop, values, normalised):  # type: ignore[no-untyped-def]
    """The a and b of children start .. stop-1: (x - mean) / sqrt(var + 1e-5) = a * x + b."""
    for child in range(start, stop):
        mean = total[child] / values
        children.variance[child] = squares[child] / values - mean * mean
        children.a[child], children.b[child] = 1, 0
        if normalised:
            children.a[child] = 1 / np.sqrt(children.variance[child] + 1e-5)
            children.b[child] = -mean * children.a[child]


@inlined
def _bank_row(drawn, rows):  # type: ignore[no-untyped-def]
    """Row of the bank, and sign, that a number below 2 * rows stands for."""
    return (drawn, np.float32(1)) if drawn < rows else (drawn - rows, np.float32(-1))


@inlined
def _parent(parents, room, number, block):  # type: ignore[no-untyped-def]
    """Smoothed maps and spread, of a block, of a parent; or of an explorer, which are numbered from k on."""
    k = parents.slot.size
    maps = parents.M[parents.slot[number], block] if number < k else room.smoothed[number - k]
    sigma = parents.sigma[parents.slot[number], block] if number < k else room.sigma[number - k]
    return maps, sigma


@inlined
def _smooth_explorer(parents, children, draws, noise, child, block, explore, room):  # type: ignore[no-untyped-def]
    """Make the smoothed maps of an explorer, from maps and noise smoothed twice, and its spread."""
    p1, p2 = parents.slot[draws.first[child]], parents.slot[draws.second[child]]
    e, sign = _bank_row(draws.noise[child, block], noise.twice.shape[0])
    noise_scale(parents.sigma[p1, block], parents.sigma[p2, block], sign * explore, room.scale)
    normalised_mix(
        parents.M2[p1, block], parents.M2[p2, block], noise.twice[e], room.scale, children.a[child], children.b[child],
        noise.smoothed_ones[block], room.smoothed[child],
    )
    for lane in range(16):
        room.sigma[child, lane] = children.a[child] * children.spread[child, block, lane]


@inlined
def _keep(tile, sides, buffer, out):  # type: ignore[no-untyped-def]
    """The part of a child that its evaluation needs: pooled if the network pools, else all of it."""
    if sides.shape[0] > 1:
        pool(tile, sides[0, 1], sides[1, 0], sides[1, 1], buffer, out)
    else:
        for i in range(tile.size):
            out[i] = tile[i]


@inlined
def _settle(parents, slot, noise, channels, smoothing, room):  # type: ignore[no-untyped-def]
    """What a new parent's H entails: its spread, and its smoothed maps."""
    blocks, size = parents.H.shape[1:]
    for block in range(blocks):
        H, M, M2 = parents.H[slot, block], parents.M[slot, block], parents.M2[slot, block]
        lane_spread(H, room.sums, parents.sigma[slot, block])
        if smoothing:
            for again in range(2):
                smooth(M if again else H, noise.down, noise.across, room.work, M2 if again else M)
    if size == 16:  # a single position: the spread is taken over all channels
        for block in range(blocks):
            for lane in range(16):
                room.this[16 * block + lane] = parents.H[slot, block, lane]
        total, squares = sums_of(room.this)
        spread = np.float32(np.sqrt((squares - total * total / channels) / (channels - 1)))
        for block in range(blocks):
            for lane in range(16):
                parents.sigma[slot, block, lane] = spread * noise.ones[block, lane]
    parents.settled[slot] = 1


@inlined
def _reproduce(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, sides, explorers, explore, refine, channels, normalised, room
):
    """Make the children, but keep of them what `Children` says. Explorers first: a refiner whose parent is one needs it
    normalised."""
    k, n = parents.slot.size, draws.first.size
    blocks, size = parents.H.shape[1:]
    values = channels * (size // 16)
    room.total[:] = 0
    room.squares[:] = 0
    room.needed[:] = 0
    for refiner in range(explorers, n):
        room.needed[draws.first[refiner]] = 1
        room.needed[draws.second[refiner]] = 1
    for refining in range(2):
        start, stop, strength = (explorers, n, refine) if refining else (0, explorers, explore)
        for block in range(blocks):
            for child in range(explorers if refining else 0):
                if room.needed[k + child]:
                    _smooth_explorer(parents, children, draws, noise, child, block, explore, room)
            for child in range(start, stop):
                m1, s1 = _parent(parents, room, draws.first[child], block)
                m2, s2 = _parent(parents, room, draws.second[child], block)
                e, sign = _bank_row(draws.noise[child, block], noise.once.shape[0])
                noise_scale(s1, s2, sign * strength, room.scale)
                total, squares = mix(m1, m2, noise.once[e], room.scale, room.tile)
                room.total[child] += total
                room.squares[child] += squares
                if not refining:
                    lane_spread(room.tile, room.sums, children.spread[child, block])
                _keep(room.tile, sides, room.buffer, children.pooled[child, block])
        normalisation(children, room.total, room.squares, start, stop, values, normalised)
        if size == 16 and not refining:  # a single position: the spread is taken over all channels
            for child in range(explorers):
                spread = np.float32(np.sqrt(children.variance[child] * values / (values - 1)))
                for block in range(blocks):
                    for lane in range(16):
                        children.spread[child, block, lane] = spread * noise.ones[block, lane]


@inlined
def _evaluate(children, tail, label, room):  # type: ignore[no-untyped-def]
    """The rest of the network for every child: normalisation, activations, poolings but the first, head."""
    n, blocks = children.pooled.shape[:2]
    stages, per_stage = tail.scale.shape[:2]
    for child in range(n):
        a, b, x, y, size = children.a[child], children.b[child], room.this, room.that, children.pooled.shape[2]
        for block in range(blocks):
            source, target = children.pooled[child, block], x[block * size : (block + 1) * size]
            for i in range(size):
                target[i] = a * source[i] + b
        size *= blocks
        for stage in range(stages):
            if stage > 0:
                width_in, (height, width) = tail.sides[stage, 1], tail.sides[stage + 1]
                before, size = size // blocks, height * width * 16
                for block in range(blocks):
                    source, target = x[block * before : (block + 1) * before], y[block * size : (block + 1) * size]
                    pool(source, width_in, height, width, room.buffer, target)
                x, y = y, x
                size *= blocks
            for step in range(per_stage):
                activate(x[:size], tail.scale[stage, step], tail.shift[stage, step])
        for c in range(room.logits.size):
            room.logits[c] = tail.bias[c] + dot(tail.head[c, :size], x[:size])
        children.fitness[child] = minus_cross_entropy(room.logits, label)


@inlined
def _select(parents, children, draws, noise, explorers, explore, refine, room):  # type: ignore[no-untyped-def]
    """Replace the parents by the fittest of parents and children. Those that are new have yet to be settled.

    Of a child only the pooled map was kept: one that becomes a parent is made again, from what was drawn for it.
    """
    order, slot, fitness = room.order, room.slot, room.fitness
    fittest(parents.fitness, children.fitness, order)
    k, free = parents.slot.size, 0
    for rank in range(k):
        if order[rank] < k:
            slot[rank], fitness[rank] = parents.slot[order[rank]], parents.fitness[order[rank]]
            continue
        while parents.settled[free]:
            free += 1
        child = order[rank] - k
        slot[rank], fitness[rank] = free, children.fitness[child]
        first, second = draws.first[child], draws.second[child]
        for block in range(parents.H.shape[1]):
            for which in range(2):
                parent = second if which else first
                if parent >= k:
                    _smooth_explorer(parents, children, draws, noise, parent - k, block, explore, room)
            m1, s1 = _parent(parents, room, first, block)
            m2, s2 = _parent(parents, room, second, block)
            e, sign = _bank_row(draws.noise[child, block], noise.once.shape[0])
            noise_scale(s1, s2, sign * (explore if child < explorers else refine), room.scale)
            a, b, ones = children.a[child], children.b[child], noise.ones[block]
            normalised_mix(m1, m2, noise.once[e], room.scale, a, b, ones, parents.H[free, block])
        free += 1
    parents.settled[:] = 0
    for rank in range(k):
        parents.slot[rank], parents.fitness[rank] = slot[rank], fitness[rank]
        if order[rank] < k:
            parents.settled[slot[rank]] = 1


@entry
def search_loop(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, tail, label, explorers, explore, refine, channels, normalised, smoothing, history,
    room
):
    """See `search_layer`."""
    banks = noise.once.shape[0]
    for g in range(history.size + 1):
        for rank in range(parents.slot.size):
            if not parents.settled[parents.slot[rank]]:
                _settle(parents, parents.slot[rank], noise, channels, smoothing, room)
        if g == history.size:
            break
        drawn = Draws(draws.first[g], draws.second[g], draws.noise[g])
        now = Noise(
            noise.once[g % banks], noise.twice[g % banks], noise.ones, noise.smoothed_ones, noise.down, noise.across
        )
        _reproduce(parents, children, drawn, now, tail.sides, explorers, explore, refine, channels, normalised, room)
        _evaluate(children, tail, label, room)
        _select(parents, children, drawn, now, explorers, explore, refine, room)
        history[g] = -parents.fitness[0]


@entry
def smooth_loop(tiles, down, across, work, out):  # type: ignore[no-untyped-def]
    """See `smooth_rows`."""
    for i in range(tiles.shape[0]):
        smooth(tiles[i], down, across, work, out[i])


def search_layer(
    parents: Parents, children: Children, draws: Draws, noise: Noise, tail: Any, label: int, explorers: int,
    explore: float, refine: float, channels: int, normalised: bool, smoothing: bool, history: Array,
    loop: Any = search_loop,
) -> None:
    """All generations of one layer: in each, reproduce, evaluate and select.

    Args:
        parents: changed in place; those that are not settled are settled first.
        children: overwritten.
        draws: arrays with a first axis more, the generations; a refiner's parents are numbers of parents and, from k
            on, of explorers.
        noise: `once` and `twice` with a first axis more, the banks, which the generations use in turn.
        tail: of the network.
        label: of the image.
        explorers: the first so many children; the others are refiners.
        explore, refine: their noise, as a share of the parents' spread.
        channels: of the layer, those that fill up the last block not counted.
        normalised: whether children are normalised.
        smoothing: whether parents' maps are smoothed, so that M and M2 differ from H.
        history: (generations,), filled with the best cross-entropy after each; it may be empty.
        loop: compiled; another takes another `tail`, whose `bias` is (classes,), too.
    """
    size, k, n = parents.H.shape[2], len(parents.slot), len(children.fitness)
    row = size if size <= 1024 else size // noise.down.shape[1]  # a row of positions, or all of a small tile
    lengths = (size, size, row, row, (3, row), (explorers, size), (explorers, LANES), n, n, children.pooled[0].size,
               children.pooled[0].size, len(tail.bias), k + explorers, k, k, k)
    types = [np.float32] * 7 + [np.float64] * 2 + [np.float32] * 3 + [np.int64] * 3 + [np.float32]
    room = Room(*map(np.empty, lengths, types))
    # One type for each argument: for any other all would be compiled again.
    run(
        loop, parents, children, Draws(*map(np.ascontiguousarray, draws)), noise, tail, int(label),
        int(explorers), np.float32(explore), np.float32(refine), int(channels), bool(normalised), bool(smoothing),
        history, room,
    )


def smooth_rows(tiles: Array, down: Array, across: Array, out: Array) -> None:
    """`smooth` of every tile (n, tile)."""
    work = np.empty(tiles.shape[1], np.float32)
    run(smooth_loop, np.require(tiles, requirements=["C", "W"]), down, across, work, out)
