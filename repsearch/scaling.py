"""The experiments of section 3.2: how search improves with its population and generations, and how many different
solutions it finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from repsearch.checks import InputError
from repsearch.config import SearchConfig, as_dict, split_population
from repsearch.data import Dataset, Split
from repsearch.engine import KernelEngine
from repsearch.measure import effective_number, effective_number_null
from repsearch.networks import Network, search_network
from repsearch.presets import Preset
from repsearch.records import Record, record
from repsearch.search import check_fit
from repsearch.tail import without_identities

# By preset: images and populations of Figure 2; images, runs, and the numbers of runs to measure at of Figure 3.
FIGURE2 = {"smoke": (8, (12, 24, 48)), "book": (60, (20, 60, 180)), "paper": (8, (60, 240))}
FIGURE3 = {"smoke": (8, 8, (2, 4, 8)), "book": (16, 32, (2, 4, 8, 16, 32)), "paper": (8, 32, (2, 4, 8, 16, 32))}


def figure2(
    data: Dataset, preset: Preset, seed: int = 0, images: int = 100, populations: Sequence[int] = (20, 60, 180)
) -> Record:
    """Figure 2: cross-entropy of the best candidate against population and generations, each block searched alone.

    Args:
        data: its first training images are searched.
        preset: gives width, schedule, and the share of parents in a population.
        seed: of network and search.
        images: how many.
        populations: sizes to try, all with the preset's generations.

    Returns:
        A record with a list of points: block, population, and the curve of the mean cross-entropy, whose first entry
        is the best of as many noisy copies, before any evolution.
    """
    start, points = time.perf_counter(), []
    network = search_network(data, preset, seed)
    for population in populations:
        parents = max(2, round(population * preset.search.parents / preset.search.population))
        config = replace(preset.search, **split_population(population, parents))
        engine = _engine(network, data.train, config, seed)
        for block in range(len(engine.tails)):
            _, curves = engine.search_block(data.train[:images], block)
            points.append({"block": block, "population": population, "curve": curves.mean(0).tolist()})
    return record(
        "figure2", seed, time.perf_counter() - start, data=data.name, preset=preset.name, width=preset.width,
        images=min(images, len(data.train)), search=as_dict(preset.search), points=points,
    )


def figure3(
    data: Dataset, preset: Preset, seed: int = 0, images: int = 20, runs: int = 32,
    counts: Sequence[int] = (2, 4, 8, 16, 32),
) -> Record:
    """Figure 3: the effective number of solutions against the number of independent runs, each block searched alone.

    A run's solution is its best candidate, kept if it gives the label a probability above one half.

    Args:
        data: its first training images are searched, each `runs` times.
        preset: gives width and search.
        seed: of the network; the runs have seeds of their own.
        images: how many.
        runs: independent searches of each image.
        counts: numbers of runs to measure at.

    Returns:
        A record with a list of points: block, runs, kept (solutions an image), and N_eff, mean over the images that
        kept at least two, of: the solutions; `noise`, `measure.effective_number_null` of them; `unrelated`, the best
        candidates of as many different images, good or not, where there are that many.
    """
    if runs < max(counts):
        raise InputError(f"runs={runs}: expected at least the largest of counts={tuple(counts)}")
    start, points = time.perf_counter(), []
    network, split = search_network(data, preset, seed), data.train[:images]
    generator = torch.Generator().manual_seed(seed)
    for block in range(len(preset.search.schedule) - 1):
        found: list[Tensor] = []
        kept: list[Tensor] = []
        for run in range(runs):
            H, curves = _engine(network, data.train, preset.search, 1000 * seed + run).search_block(split, block)
            found.append(H)
            kept.append((-curves[:, -1]).exp() > 0.5)
        solutions, good = torch.stack(found), torch.stack(kept)
        points += [{"block": block, "runs": count, **_diversity(solutions[:count], good[:count], generator)}
                   for count in counts]
    return record(
        "figure3", seed, time.perf_counter() - start, data=data.name, preset=preset.name, width=preset.width,
        images=len(split), runs=runs, search=as_dict(preset.search), points=points,
    )


def _engine(network: Network, data: Split, config: SearchConfig, seed: int) -> KernelEngine:
    return KernelEngine(without_identities(network), config, seed, check_fit(network, data, config))


def _diversity(solutions: Tensor, good: Tensor, generator: torch.Generator) -> dict[str, Any]:
    """N_eff of the kept solutions of (runs, images, ...), averaged over images, beside its controls."""
    rows: dict[str, list[float]] = {"solutions": [], "noise": [], "unrelated": []}
    for image in range(solutions.shape[1]):
        own = solutions[good[:, image], image]
        if len(own) < 2:
            continue
        rows["solutions"].append(effective_number(own))
        rows["noise"].append(effective_number_null(own, generator))
        others = solutions[0, torch.randperm(solutions.shape[1], generator=generator)[: len(own)]]
        if len(others) == len(own):
            rows["unrelated"].append(effective_number(others))
    return {
        "kept": float(good.float().sum(0).mean()), "measured_images": len(rows["solutions"]),
        **{name: sum(values) / len(values) if values else None for name, values in rows.items()},
    }
