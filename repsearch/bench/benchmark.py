"""How fast search is: the reference, the engine, and what one would otherwise write with EvoTorch or evosax.

All are timed in one run on this machine, on one image's search layer after another, and compared as ratios.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repsearch import checks
from repsearch.bench.contestants import LIBRARIES, Runs
from repsearch.bench.layers import contestants_by_layer
from repsearch.bench.machine import machine_peaks, share_of_limit
from repsearch.bench.sizes import SIZES
from repsearch.bench.trained import OLD, trained_rows
from repsearch.bench.whole import cost_of_candidates, peak_memory
from repsearch.data import load


@dataclass(frozen=True)
class Bench:
    """What is timed.

    Args:
        sizes: "laptop" (64 channels, 60 candidates), "paper" (256 channels, 240 candidates), or both.
        seconds: how long each measurement takes, at least.
    """

    sizes: tuple[str, ...] = ("laptop", "paper")
    seconds: float = 3.0

    def __post_init__(self) -> None:
        for size in self.sizes:
            checks.one_of("sizes", size, SIZES)


def run(setup: Bench, _: int = 0, root: str | None = None, __: Path | None = None) -> dict[str, Any]:
    """Candidates a second of every contestant, at every size and layer.

    Args:
        setup: what is timed.
        root: folder of the CIFAR-10 files; without them, see `repsearch.load`.

    Returns:
        `rows`, each a size, layer and contestant with its candidates a second; `trained`, images a second of whole
        searches of trained networks, by network, reading and contestant; `limits`, the engine's share of what the
        machine could do at most; `scaling`, cost against images and population; `memory`, the peak in MB.
    """
    data = load("cifar10", root, train=1000, validation=10, test=10)
    rows: list[dict[str, Any]] = []
    limits, peaks = [], machine_peaks()
    for size in setup.sizes:
        preset = SIZES[size]
        for layer, contestants in enumerate(contestants_by_layer(preset, data)):
            for name, (candidates, runs) in contestants.items():
                rows.append({"size": size, "layer": f"block{layer}", "contestant": name,
                             "candidates_per_second": _rate(candidates, runs, setup.seconds)})
            limits.append(share_of_limit(size, layer, preset.width, rows, peaks))
    memory = [{"size": size, "images": n, "peak_mb": peak_memory(size, n, root)}
              for size in setup.sizes for n in (4, 16)]
    skipped = [name for name in LIBRARIES if importlib.util.find_spec(name.lower()) is None]
    trained = trained_rows(data, setup.seconds)
    return {"rows": rows, "trained": trained, "limits": limits, "peaks": peaks, "scaling": cost_of_candidates(data),
            "memory": memory, "skipped": skipped}


def _rate(candidates: int, run: Runs, seconds: float) -> float:
    """Candidates a second, over enough generations to take this long, the first ones not counted."""
    run(1)
    start = time.perf_counter()
    run(2)
    generations = max(2, int(seconds / max((time.perf_counter() - start) / 2, 1e-6)))
    start = time.perf_counter()
    run(generations)
    return candidates * generations / (time.perf_counter() - start)


def table(result: dict[str, Any]) -> str:
    """The record for the terminal: candidates a second, and how many times as fast the engine is."""
    lines = []
    for size, layer in dict.fromkeys((row["size"], row["layer"]) for row in result["rows"]):
        here = {row["contestant"]: row["candidates_per_second"] for row in result["rows"]
                if (row["size"], row["layer"]) == (size, layer)}
        lines += ["", f"{size}, {layer}", f"  {'':<28}{'candidates/s':>14}{'engine is':>14}"]
        lines += [f"  {name:<28}{rate:14,.0f}{here['engine'] / rate:13.1f}x" for name, rate in here.items()]
        limit = next(row for row in result["limits"] if (row["size"], row["layer"]) == (size, layer))
        lines.append(f"  the engine reaches {limit['share']:.0%} of the least time its arithmetic takes here")
    for network, reading in dict.fromkeys((row["network"], row["reading"]) for row in result["trained"]):
        rates = {row["contestant"]: row["images_per_second"] for row in result["trained"]
                 if (row["network"], row["reading"]) == (network, reading)}
        lines += ["", f"{network}, trained, {reading}", f"  {'':<28}{'images/s':>14}{'times ' + OLD:>32}"]
        lines += [f"  {name:<28}{rate:14.2f}{rate / rates[OLD]:31.1f}x" for name, rate in rates.items()]
    lines += ["", f"  {'images':>8}{'population':>12}{'us a candidate':>16}"]
    lines += [f"  {row['images']:>8}{row['population']:>12}{row['microseconds']:16.1f}" for row in result["scaling"]]
    lines += ["", *(f"  {row['size']}, {row['images']} images: peak memory {row['peak_mb']:.0f} MB"
                    for row in result["memory"])]
    lines += [f"  {name}: not installed, skipped; pip install 'repsearch[bench]'" for name in result["skipped"]]
    return "\n".join(lines)
