"""Whole searches: what a candidate costs in them, and how much memory they take."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from repsearch.airbench import search_network
from repsearch.bench.sizes import SIZES
from repsearch.config import split_population
from repsearch.data import Dataset, load
from repsearch.searching import search


def cost_of_candidates(
    data: Dataset, images: Sequence[int] = (10, 100, 1000), populations: Sequence[int] = (20, 60, 240)
) -> list[dict[str, float]]:
    """Microseconds a candidate of whole searches at the laptop's sizes, for numbers of images and sizes of populations.

    A twelfth of a population are parents. All that a search needs is counted, what it prepares once included.
    """
    preset = SIZES["laptop"]
    network, rows = search_network(data, preset), []
    for count, population in [(n, 60) for n in images] + [(50, n) for n in populations]:
        config = replace(preset.search, **split_population(population, max(2, population // 12)))
        start = time.perf_counter()
        search(network, data.train[:count], config, progress=False)
        candidates = count * population * sum(row.generations + 1 for row in config.schedule)
        rows.append({"images": count, "population": population,
                     "microseconds": 1e6 * (time.perf_counter() - start) / candidates})
    return rows


def peak_memory(size: str, images: int, root: str | None) -> float:
    """Peak memory in MB of a process while it searches so many images at these sizes, for a few generations.

    All that the process holds is counted; where the peak can be reset, what building the network took is not.
    """
    context = get_context("spawn")
    with context.Pool(1) as pool:
        peak: float = pool.apply(_searched_peak, (size, images, root))
    return peak


def _searched_peak(size: str, images: int, root: str | None) -> float:
    preset = SIZES[size]
    data = load("cifar10", root, train=600, validation=10, test=10)
    schedule = tuple(replace(row, generations=8) for row in preset.search.schedule)
    network, status = search_network(data, preset), Path("/proc/self/status")
    if status.exists():
        Path("/proc/self/clear_refs").write_text("5")
    search(network, data.train[:images], replace(preset.search, schedule=schedule), progress=False)
    # Where /proc exists: getrusage's peak begins with that of the parent process.
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1e3  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
