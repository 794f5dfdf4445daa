"""The search of one layer in a network of convolutions, in every reading that keeps images apart: children are made
whole, as by `repsearch.engine.kernel`, and judged by `repsearch.engine.conv_kernel`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repsearch.engine.compiling import entry, inlined
from repsearch.engine.conv_kernel import Net, Work, judge_maps, lay, through
from repsearch.engine.kernel import LANES, Array, Draws, Noise, _reproduce, _select, _settle


class Behind(NamedTuple):
    """What stands behind a layer: the network, the number of the first of its stages there (1,), the layer's height and
    width (1, 2), the network's `bias`, and the thread's room to work; its own maps (tiles, tile), to which half of `mu`
    times the mean squared distance pulls candidates."""

    net: Net
    stage: Array
    sides: Array
    bias: Array
    work: Work
    own: Array
    mu: float


@inlined
def pull(maps, behind, channels):  # type: ignore[no-untyped-def]
    """What the distance of maps (tiles, tile) to the network's own costs."""
    if behind.mu == 0:
        return 0.0
    total = 0.0
    for tile in range(behind.own.shape[0]):
        used = min(LANES, channels - tile * LANES)
        for p in range(0, behind.own.shape[1], LANES):
            for lane in range(used):
                d = np.float64(maps[tile, p + lane]) - behind.own[tile, p + lane]
                total += d * d
    return behind.mu / 2 * total / (channels * (behind.own.shape[1] // LANES))


@inlined
def evaluate(children, behind, label, channels):  # type: ignore[no-untyped-def]
    """The rest of the network for every child, once it is normalised."""
    net, work, stage = behind.net, behind.work, behind.stage[0]
    for child in range(children.fitness.size):
        a, b, maps = children.a[child], children.b[child], children.pooled[child]
        for block in range(maps.shape[0]):
            tile = maps[block]
            for i in range(tile.size):  # channels that fill up the last block are read by nobody
                tile[i] = a * tile[i] + b
        lay(maps, net, stage, behind.sides[0, 0], behind.sides[0, 1], work.maps)
        through(net, stage, net.stages.size, work)
        children.fitness[child] = judge_maps(net, label, work) - pull(maps, behind, channels)


@entry
def search_tiles(  # type: ignore[no-untyped-def]
    parents, children, draws, noise, behind, label, explorers, explore, refine, channels, normalised, smoothing,
    history, room
):
    """As `repsearch.engine.kernel.search_loop`, with this network's `behind` in place of its `tail`."""
    banks = noise.once.shape[0]
    for g in range(history.size + 1):
        for rank in range(parents.slot.size):
            if not parents.settled[parents.slot[rank]]:
                _settle(parents, parents.slot[rank], noise, channels, smoothing, room)
        if g == history.size:
            break
        drawn, turn = Draws(draws.first[g], draws.second[g], draws.noise[g]), g % banks
        now = Noise(noise.once[turn], noise.twice[turn], noise.ones, noise.smoothed_ones, noise.down, noise.across)
        _reproduce(parents, children, drawn, now, behind.sides, explorers, explore, refine, channels, normalised, room)
        evaluate(children, behind, label, channels)
        _select(parents, children, drawn, now, explorers, explore, refine, room)
        history[g] = -parents.fitness[0] - pull(parents.H[parents.slot[0]], behind, channels)
