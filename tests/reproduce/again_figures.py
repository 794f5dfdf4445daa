"""The numbers of claims a second time: those of figures 2 and 3."""

from __future__ import annotations

from typing import Any

import numpy as np
from again import BLOCKS, Again, Numbers, blocks, each, together

FIGURE3 = "fig3-cifar100-book-noise"


def figure2() -> np.ndarray:
    """Nats of (seeds, smallest and largest population, blocks, first and last generation)."""

    def value(record: Any) -> Any:
        sizes, by = record["settings"]["populations"], {(p["population"], p["block"]): p["curve"] for p in record["points"]}
        return [[[by[size, block][0], by[size, block][-1]] for block in range(3)] for size in (min(sizes), max(sizes))]

    return together(each("fig2-cifar100-book-map", value))[0]


def population() -> Again:
    lower = 100 * (figure2()[:, 0] - figure2()[:, 1]) / figure2()[:, 0]
    return blocks(lower[..., 1], 10, lower[..., 1])


def luck() -> Again:
    lower = 100 * (figure2()[:, 0] - figure2()[:, 1]) / figure2()[:, 0]
    return blocks(lower[..., 1] - lower[..., 0], 0, lower[..., 1] - lower[..., 0])


def generations() -> Again:
    first, last = np.moveaxis(figure2()[:, 1], -1, 0)
    return blocks(100 * (first - last) / first, 10, 100 * (first - last) / first)


def easiest() -> Again:
    end = figure2()[:, 1, :, 1]
    return Again({f"block 2 against block {block}": (end[:, block] - end[:, 2], 0) for block in (0, 1)}, end.T)


def solutions(block: int, runs: int, name: str = FIGURE3) -> Numbers:
    def value(record: Any) -> Any:
        (found,) = [p["solutions"] for p in record["points"] if (p["block"], p["runs"]) == (block, runs)]
        return found

    return each(name, value)


def growth(block: int, few: int = 2, many: int = 16) -> Numbers:
    less, more = solutions(block, few), solutions(block, many)
    return {seed: more[seed] - less[seed] for seed in less if seed in more}


def grow() -> Again:
    return Again({name: (together(growth(block))[0], 0.5) for block, name in enumerate(BLOCKS)},
                 [together(solutions(block, runs))[0] for runs in (2, 16) for block in range(3)])


def steadily() -> Again:
    return Again({f"{few} to {2 * few} runs": (together(growth(0, few, 2 * few))[0], 0) for few in (2, 4, 8, 16)},
                 [together(solutions(0, runs))[0] for runs in (2, 4, 8, 16, 32)])


def fastest() -> Again:
    parts = {f"block 0 against block {block}": (np.subtract(*together(growth(0), growth(block))), 0) for block in (1, 2)}
    return Again(parts, [together(growth(block))[0] for block in range(3)])


def grow_with(axis: str) -> Again:
    name = f"fig3-cifar100-book-{axis}-x0.5"
    found = [together(solutions(block, 16), solutions(block, 16, name)) for block in range(3)]
    return Again({BLOCKS[block]: (full - half, 0) for block, (full, half) in enumerate(found) if len(half)},
                 [together(solutions(block, 16, of))[0] for of in (name, FIGURE3) for block in range(3)])
