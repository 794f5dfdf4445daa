"""Figures 2 and 3, in small on the embedded digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import repsearch as rs
from repsearch.config import as_dict
from repsearch.engine.kernel_engine import KernelEngine
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.measure import effective_number
from repsearch.presets import Preset
from repsearch.reproduce import figures
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.scaling import Figure2, Figure3, figure2, figure3

SAMPLE = Sample("digits", train=20, validation=20, test=40)


@pytest.fixture(scope="module")
def smoothed_noise(preset: Preset) -> rs.SearchConfig:
    return replace(preset.search, blurred="noise", input_noise=0.3)


@pytest.fixture(scope="module")
def longer(smoothed_noise: rs.SearchConfig) -> rs.SearchConfig:
    return replace(smoothed_noise, schedule=tuple(replace(row, generations=15) for row in smoothed_noise.schedule))


@pytest.fixture(scope="module")
def two(data: rs.Dataset, preset: Preset, smoothed_noise: rs.SearchConfig) -> dict[str, Any]:
    setup = Figure2(SAMPLE, preset.width, smoothed_noise, images=6, populations=(8, 20))
    return {"settings": as_dict(setup), "points": figure2(data, setup)}


@pytest.fixture(scope="module")
def three(data: rs.Dataset, preset: Preset, longer: rs.SearchConfig) -> dict[str, Any]:
    setup = Figure3(SAMPLE, preset.width, longer, images=6, runs=4, counts=(2, 4))
    return {"settings": as_dict(setup), "points": figure3(data, setup)}


def test_figure2_curves_never_rise_and_larger_populations_start_lower(two: dict[str, Any]) -> None:
    assert [(p["block"], p["population"]) for p in two["points"]] == [(b, n) for n in (8, 20) for b in range(3)]
    for point in two["points"]:
        assert all(later <= earlier for earlier, later in zip(point["curve"], point["curve"][1:], strict=False))
    first = {(p["block"], p["population"]): p["curve"][0] for p in two["points"]}
    assert all(first[block, 20] < first[block, 8] for block in range(3))


def test_figure3_counts_what_was_kept(three: dict[str, Any]) -> None:
    for point in three["points"]:
        assert 0 <= point["kept"] <= point["runs"]
        if point["measured_images"]:
            assert 1 <= point["solutions"] <= point["runs"] and 1 <= point["noise"] <= point["runs"]
    assert any(point["measured_images"] for point in three["points"])


def test_figure3_is_the_measure_of_separate_searches(
    data: rs.Dataset, preset: Preset, longer: rs.SearchConfig, three: dict[str, Any]
) -> None:
    """The point of two runs at block 2, computed by hand."""
    network = rs.search_network(data, replace(preset, search=longer))
    light, shapes = without_identities(network), layer_shapes(network, data.train, longer)
    runs = [KernelEngine(light, longer, seed, shapes, [2]).search(data.train[:6], lambda *_: None) for seed in (0, 1)]
    numbers = [effective_number(torch.stack([run.activations[0][i].half().float() for run in runs])) for i in range(6)
               if all(run.cross_entropy[0][i, -1] < torch.tensor(2.0).log() for run in runs)]
    (point,) = (p for p in three["points"] if (p["block"], p["runs"]) == (2, 2))
    assert point["measured_images"] == len(numbers)
    if numbers:
        assert point["solutions"] == pytest.approx(sum(numbers) / len(numbers))


def test_figures_are_drawn(two: dict[str, Any], three: dict[str, Any]) -> None:
    assert len(figures.figure2([two, two]).axes) == 2
    assert len(figures.figure3([three]).axes) == 3
