"""How long a search will take: a short one of the first image, timed layer by layer."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor
from tqdm import tqdm

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine.interface import Engine
from repsearch.engine.kernel_engine import compiled

SHORT = 3  # generations a layer


def shortened(config: SearchConfig) -> SearchConfig:
    """The same search of a few generations a layer."""
    return replace(config, schedule=tuple(
        replace(row, generations=min(SHORT, row.generations)) for row in config.schedule))


def seconds_an_image(
    make: Callable[[SearchConfig], Engine], image: Split, config: SearchConfig, start: Tensor | None = None
) -> float:
    """What a search of one image takes, from a short one; a rough guess, without what it takes to begin.

    Args:
        make: gives the engine for a configuration.
        image: one image.
        config: of the search.
        start: as in `repsearch.search`, of this image.
    """
    short, times = shortened(config), dict[int, float]()
    engine = make(short)
    engine.search(image, lambda *_: None, start)  # what is compiled and drawn once is not counted
    last = time.perf_counter()

    def watch(layer: int, _: int, __: Tensor) -> None:
        nonlocal last
        now = time.perf_counter()
        times[layer], last = times.get(layer, 0.0) + now - last, now

    engine.search(image, watch, start)
    return sum(t * (config.schedule[layer].generations + 1) / (short.schedule[layer].generations + 1)
               for layer, t in times.items())


def announce(searcher: Engine, images: float, forecast: Callable[[], float]) -> None:
    """Say which engine searches, and for about how long.

    Args:
        searcher: the engine.
        images: this process's share of those to be searched.
        forecast: gives the seconds an image takes.
    """
    if searcher.name == "kernel" and not compiled():
        tqdm.write("search: compiling the kernel, once in this environment", file=sys.stderr)
    why = f" (the faster kernel cannot: {searcher.reason})" if searcher.reason else ""
    seconds = forecast() * math.ceil(images / searcher.together)
    size, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "hours")
    tqdm.write(f"search: {math.ceil(images)} images with the {searcher.name} engine{why}, about "
               f"{seconds / size:.0f} {unit}", file=sys.stderr)
