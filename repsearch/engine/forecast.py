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

SHORT, LONGER = 1, 4  # generations a layer


def shortened(config: SearchConfig, generations: int) -> SearchConfig:
    """The same search, of so many generations a layer at most."""
    return replace(config, schedule=tuple(
        replace(row, generations=min(generations, row.generations)) for row in config.schedule))


def seconds_an_image(
    make: Callable[[SearchConfig], Engine], image: Split, config: SearchConfig, start: Tensor | None = None
) -> float:
    """What a search of one image takes, from two short ones, whose difference says what a generation takes; a rough
    guess, without what is compiled and drawn once.

    Args:
        make: gives the engine for a configuration.
        image: one image.
        config: of the search.
        start: as in `repsearch.search`, of this image.
    """
    few, more = (_times(make(shortened(config, generations)), image, start) for generations in (SHORT, LONGER))
    total = 0.0
    for layer, least in few.items():
        left = config.schedule[layer].generations - LONGER
        total += more[layer] + max(0, left) * max(0.0, more[layer] - least) / (LONGER - SHORT)
    return total


def _times(engine: Engine, image: Split, start: Tensor | None) -> dict[int, float]:
    """Seconds that each layer takes of an image, once all is compiled and drawn."""
    times = dict[int, float]()
    engine.search(image, lambda *_: None, start)
    last = time.perf_counter()

    def watch(layer: int, _: int, __: Tensor) -> None:
        nonlocal last
        now = time.perf_counter()
        times[layer], last = times.get(layer, 0.0) + now - last, now

    engine.search(image, watch, start)
    return times


def announce(searcher: Engine, images: float, forecast: Callable[[], float]) -> None:
    """Say which engine searches, and for about how long.

    Args:
        searcher: the engine.
        images: this process's share of those to be searched.
        forecast: gives the seconds an image takes.
    """
    if not searcher.ready:
        tqdm.write(f"search: compiling the {searcher.name} engine, once in this environment", file=sys.stderr)
    why = f" (none faster can: {searcher.reason})" if searcher.reason else ""
    seconds = forecast() * math.ceil(images / searcher.together)
    size, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "hours")
    tqdm.write(f"search: {math.ceil(images)} images with the {searcher.name} engine{why}, about "
               f"{seconds / size:.0f} {unit}", file=sys.stderr)
