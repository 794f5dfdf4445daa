"""The innermost loop of a convolution, in LLVM's instructions: compilers do not find it in loops written in Python.

Sums of a few neighbouring positions and 16 or 32 output channels are held in registers, while the loops go over input
channels and the window; each step multiplies a number of each position by the weights of all those output channels.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils as core_cgutils
from numba.extending import intrinsic as typed_intrinsic

from repsearch.engine.kernel import LANES

cgutils: Any = core_cgutils  # numba's types know only some of this
intrinsic: Any = typed_intrinsic

VECTORS, PLACES = (1, 2), range(1, 9)
REAL, WIDE, WHOLE = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)


@intrinsic
def convolve(  # type: ignore[no-untyped-def]
    _, x, start, pitch, block, channels, high, across, weights, first, out, to, apart, vectors, places
):
    """Convolve `places` neighbouring positions, up to 8, to `vectors` tiles of 16 channels, 1 or 2.

    Args:
        x: flat; tiles of 16 channels, position after position.
        start: where the window of the first position begins.
        pitch, block: numbers in a row of positions, and in a tile.
        channels: that come in.
        high, across: sides of the window.
        weights, first: flat, from `first` on; ordered by input tile, row and column of the window, channel of the tile,
            and output channel.
        out, to, apart: flat, from `to` on; output tiles are `apart` from each other.
    """
    signature = types.void(
        x, start, pitch, block, channels, high, across, weights, first, out, to, apart, vectors, places)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, start, pitch, block, channels, high, across, weights, first, out, to, apart, vectors, places = arguments
        source, begin, target = (
            builder.gep(context.make_array(signature.args[number])(context, builder, array).data, [offset])
            for number, array, offset in ((0, x, start), (7, weights, first), (9, out, to)))
        for v in VECTORS:
            for p in PLACES:
                chosen = builder.and_(_is(builder, vectors, v), _is(builder, places, p))
                with builder.if_then(chosen):
                    sums = _sums(builder, source, pitch, block, channels, high, across, begin, v, p)
                    _store(builder, sums, target, apart)
        return context.get_dummy_value()

    return signature, generate


def _sums(
    builder: Any, source: Any, pitch: Any, block: Any, channels: Any, high: Any, across: Any, begin: Any, vectors: int,
    places: int,
) -> list[list[Any]]:
    """The loops; gives the sums, by place and vector."""
    weight = cgutils.alloca_once_value(builder, begin)
    sums = [[cgutils.alloca_once(builder, WIDE) for _ in range(vectors)] for _ in range(places)]
    for held in sums:
        for one in held:
            builder.store(ir.Constant(WIDE, None), one)
    builder.store(begin, weight)
    tiles = builder.sdiv(builder.add(channels, _whole(LANES - 1)), _whole(LANES))
    with cgutils.for_range(builder, tiles) as tile:
        left = builder.sub(channels, builder.mul(tile.index, _whole(LANES)))
        count = builder.select(builder.icmp_signed("<", left, _whole(LANES)), left, _whole(LANES))
        with cgutils.for_range(builder, high) as row, cgutils.for_range(builder, across) as column:
            offset = builder.add(builder.mul(tile.index, block), builder.mul(row.index, pitch))
            position = builder.gep(source, [builder.add(offset, builder.mul(column.index, _whole(LANES)))])
            with cgutils.for_range(builder, count) as channel:
                _add_channel(builder, builder.gep(position, [channel.index]), weight, sums)
    return sums


def _add_channel(builder: Any, here: Any, weight: Any, sums: list[list[Any]]) -> None:
    """Add one input channel's share to the sums, and move on to the next channel's weights."""
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(WIDE, [WIDE] * 3), f"llvm.fma.v{LANES}f32")
    at, vectors = builder.load(weight), len(sums[0])
    columns = [builder.load(_wide(builder, at, _whole(v * LANES)), align=4) for v in range(vectors)]
    nothing, everywhere = ir.Constant(WIDE, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    for place, held in enumerate(sums):
        value = builder.load(builder.gep(here, [_whole(place * LANES)]))
        first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        same = builder.shuffle_vector(first, nothing, everywhere)
        for one, column in zip(held, columns, strict=True):
            builder.store(builder.call(multiply_add, [same, column, builder.load(one)]), one)
    builder.store(builder.gep(at, [_whole(vectors * LANES)]), weight)


def _store(builder: Any, sums: list[list[Any]], target: Any, apart: Any) -> None:
    for place, held in enumerate(sums):
        for v, one in enumerate(held):
            offset = builder.add(builder.mul(apart, _whole(v)), _whole(place * LANES))
            builder.store(builder.load(one), _wide(builder, target, offset), align=4)


def _wide(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [offset]), WIDE.as_pointer())


def _whole(value: int) -> Any:
    return ir.Constant(WHOLE, value)


def _is(builder: Any, value: Any, wanted: int) -> Any:
    return builder.icmp_signed("==", value, _whole(wanted))
