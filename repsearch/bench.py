"""How fast search is: the reference, the engine, and what one would otherwise write with EvoTorch or evosax.

All are timed in one run on this machine, on one image's search layer after another, and compared as ratios.
"""

from __future__ import annotations

import importlib.util
import re
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repsearch import checks, kernel, presets
from repsearch.config import split_population
from repsearch.data import Dataset, Split, load
from repsearch.draws import draw
from repsearch.engine import KernelEngine
from repsearch.networks import search_network
from repsearch.operators import image_generators, select
from repsearch.presets import Preset
from repsearch.records import Record, record
from repsearch.rivals import RIVALS, Runs
from repsearch.run import search
from repsearch.search import check_fit, evaluate, initial_population, propagate, search_layer
from repsearch.tail import without_identities

_PAPER = presets.paper("cifar10")
_GENERATIONS = (60, 30, 30, 10)
SIZES = {  # of the default reading, which asks most of an engine
    "laptop": replace(_PAPER, width=64, search=replace(
        _PAPER.search, **split_population(60, 10),
        schedule=tuple(replace(row, generations=generations)
                       for row, generations in zip(_PAPER.search.schedule, _GENERATIONS, strict=True)),
    )),
    "paper": _PAPER,
}


def bench(sizes: Sequence[str] = ("laptop", "paper"), root: str | None = None, seconds: float = 3.0) -> Record:
    """Candidates a second of every contestant, at every size and layer.

    Args:
        sizes: "laptop" (64 channels, 60 candidates), "paper" (256 channels, 240 candidates), or both.
        root: folder of the CIFAR-10 files; without them, see `repsearch.load`.
        seconds: how long each measurement takes, at least.

    Returns:
        A record: `rows`, each a size, layer and contestant with its candidates a second; `limits`, the engine's share
        of what the machine could do at most; `scaling`, cost against images and population; `memory`, the peak in MB.
    """
    for size in sizes:
        checks.one_of("sizes", size, SIZES)
    data = load("cifar10", root, train=1000, validation=10, test=10)
    began, rows, limits = time.perf_counter(), [], []
    peaks = machine_peaks()
    for size in sizes:
        preset = SIZES[size]
        for layer, contestants in enumerate(_layers(preset, data)):
            for name, (candidates, run) in contestants.items():
                rows.append({"size": size, "layer": f"block{layer}", "contestant": name,
                             "candidates_per_second": _rate(candidates, run, seconds)})
            limits.append(_share_of_limit(size, layer, preset, rows, peaks))
    memory = [{"size": size, "images": n, "peak_mb": peak_memory(size, n, root)} for size in sizes for n in (4, 16)]
    results = {"rows": rows, "limits": limits, "peaks": peaks, "scaling": scaling(data), "memory": memory}
    skipped = [name for name in RIVALS if importlib.util.find_spec(name.lower()) is None]
    return record("bench", 0, time.perf_counter() - began, skipped=skipped, **results)


def _rate(candidates: int, run: Runs, seconds: float) -> float:
    """Candidates a second, over enough generations to take this long, the first ones not counted."""
    run(1)
    start = time.perf_counter()
    run(2)
    generations = max(2, int(seconds / max((time.perf_counter() - start) / 2, 1e-6)))
    start = time.perf_counter()
    run(generations)
    return candidates * generations / (time.perf_counter() - start)


def _layers(preset: Preset, data: Dataset) -> list[dict[str, tuple[int, Runs]]]:
    """For each convolutional layer every contestant: children a generation, and what runs it."""
    config, network = preset.search, search_network(data, preset)
    light, shapes = without_identities(network), check_fit(network, data.train, preset.search)
    engine = KernelEngine(light, config, 0, shapes)
    first, generators = data.train[:1], image_generators(0, data.train.indices[:1].tolist())
    with torch.no_grad():
        population = initial_population(light, first.images, config, generators)
        layers = []
        for layer in range(len(shapes) - 1):
            layers.append(_contestants(layer, population, network, light, engine, first, preset))
            population = propagate(light, layer, population[:, 0], config)
    return layers


def _contestants(
    layer: int, population: Tensor, network: nn.Module, light: nn.Module, engine: KernelEngine, image: Split,
    preset: Preset,
) -> dict[str, tuple[int, Runs]]:
    config = preset.search
    children = config.explorers + config.refiners
    torch.manual_seed(0)

    def reference(net: nn.Module) -> Runs:
        def run(generations: int) -> None:
            long = replace(config, schedule=tuple(replace(row, generations=generations) for row in config.schedule))
            with torch.no_grad():
                search_layer(net, layer, population, image.labels, long, image_generators(0, [0]))

        return run

    found: dict[str, tuple[int, Runs]] = {
        "reference": (children, reference(network)),
        "reference, no identities": (children, reference(light)),
        "engine": (children * torch.get_num_threads(), _engine_runs(engine, layer, population, image)),
    }
    for name, rival in RIVALS.items():
        if importlib.util.find_spec(name.lower()) is not None:
            for tag, net in (("", network), (", no identities", light)):
                runs = rival(net, layer, population[0], int(image.labels), config.schedule[layer])
                found[f"{name}{tag}"] = (config.population, runs)
    return found


def _engine_runs(engine: KernelEngine, layer: int, population: Tensor, image: Split) -> Runs:
    """The engine as `search` runs it: an image a thread."""
    config, banks, schedule = engine.config, engine.banks(layer), engine.config.schedule[layer]
    channels = engine.shapes[layer][0]
    with torch.no_grad():
        parents, fitness = select(
            population, evaluate(engine.light, layer, population, image.labels), config.parents
        )
    noise = engine.noise(layer)

    def one(index: int, generations: int) -> None:
        state, children = engine.parents(layer, parents[0], fitness[0]), engine.children(layer)
        long = replace(config, schedule=tuple(replace(row, generations=generations) for row in config.schedule))
        history = np.zeros(generations, np.float32)
        kernel.search_layer(
            state, children, draw(0, layer, index, channels, banks.rows, long), noise, engine.tails[layer],
            int(image.labels), config.explorers, np.float32(schedule.strength * schedule.boost),
            np.float32(schedule.strength), channels, config.normalise, banks.smoothing, history,
        )

    def run(generations: int) -> None:
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(threads), [generations] * threads))

    return run


# --- the limit, the scaling, the memory -------------------------------------------------------------------------------


def operations(channels: int, positions: int, pooled: Sequence[int], classes: int, per_stage: int = 2) -> int:
    """The fewest floating-point operations that a child needs, crossover to logits.

    A position: mean of two parents 2, noise 2, sum and sum of squares 3. A pooled position, at every stage: three
    comparisons, and for each activation 2 for BatchNorm and 30 for GELU. The head: 2 a feature and class.

    Args:
        channels, positions: of the search layer.
        pooled: positions after each pooling.
        classes: outputs of the head.
        per_stage: activations after each pooling.
    """
    stages = sum(3 * p + per_stage * 32 * p for p in pooled)
    features = channels * (pooled[-1] if pooled else positions)
    return channels * (7 * positions + stages) + 2 * features * classes


def machine_peaks() -> dict[str, float]:
    """What this machine does at most, on all of torch's threads: Gflop/s in a matrix product, GB/s within a cache."""
    a = torch.randn(2048, 2048)
    flops = _best(lambda: a @ a, 2 * 2048**3)
    block = torch.randn(32 * 1024)

    def copy() -> None:
        for _ in range(1000):
            block.clone()

    single = _best(copy, 1000 * 2 * block.numel() * 4)
    return {"gflops": flops / 1e9, "cache_gbs": single * torch.get_num_threads() / 1e9}


def _best(run: Any, work: float) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return work / min(times)


def _share_of_limit(
    size: str, layer: int, preset: Preset, rows: Sequence[dict[str, Any]], peaks: dict[str, float]
) -> dict[str, Any]:
    """The engine's rate as a share of the least time its operations, or the 12 bytes read a position, would take."""
    side, width, stages = (15, 7, 3)[layer], preset.width, 2 - layer
    pooled = [(side >> s + 1) ** 2 for s in range(stages)]
    flops, transfer = operations(width, side * side, pooled, 10), 12 * width * side * side
    least = max(flops / peaks["gflops"] / 1e9, transfer / peaks["cache_gbs"] / 1e9)
    rate = next(row["candidates_per_second"] for row in rows
                if (row["size"], row["layer"], row["contestant"]) == (size, f"block{layer}", "engine"))
    return {"size": size, "layer": f"block{layer}", "operations": flops, "bytes": transfer, "share": rate * least}


def scaling(data: Dataset, images: Sequence[int] = (10, 100, 1000), populations: Sequence[int] = (20, 60, 240)) -> Any:
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


def table(result: Record) -> str:
    """The record for the terminal: candidates a second, and how many times as fast the engine is."""
    lines = []
    for size, layer in dict.fromkeys((row["size"], row["layer"]) for row in result["rows"]):
        here = {row["contestant"]: row["candidates_per_second"] for row in result["rows"]
                if (row["size"], row["layer"]) == (size, layer)}
        lines += ["", f"{size}, {layer}", f"  {'':<28}{'candidates/s':>14}{'engine is':>14}"]
        lines += [f"  {name:<28}{rate:14,.0f}{here['engine'] / rate:13.1f}x" for name, rate in here.items()]
        limit = next(row for row in result["limits"] if (row["size"], row["layer"]) == (size, layer))
        lines.append(f"  the engine reaches {limit['share']:.0%} of the least time its arithmetic takes here")
    lines += ["", f"  {'images':>8}{'population':>12}{'us a candidate':>16}"]
    lines += [f"  {row['images']:>8}{row['population']:>12}{row['microseconds']:16.1f}" for row in result["scaling"]]
    lines += ["", *(f"  {row['size']}, {row['images']} images: peak memory {row['peak_mb']:.0f} MB"
                    for row in result["memory"])]
    lines += [f"  {name}: not installed, skipped; pip install 'repsearch[bench]'" for name in result["skipped"]]
    return "\n".join(lines)
