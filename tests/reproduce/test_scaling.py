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
from repsearch.reproduce.samples import Sample, generator_of
from repsearch.reproduce.scaling import Figure2, Figure3, _diversity, figure2, figure3

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


def test_diversity_by_hand() -> None:
    """Three runs of two images: the first image's solutions are alike, the second has one that is kept."""
    e = torch.eye(4)
    solutions, good = torch.stack([e[[0, 1]], e[[0, 2]], e[[3, 3]]]), torch.tensor([[True, True], [True, False], [False, False]])
    found = _diversity(solutions, good, torch.Generator().manual_seed(0))
    # The runs kept are 2 of the first image, 1 of the second. As unrelated ones stand the first run's of both images.
    assert found["kept"] == 1.5 and found["measured_images"] == 1
    assert found["solutions"] == pytest.approx(1) and found["noise"] == pytest.approx(1)
    assert found["unrelated"] == pytest.approx(2)
    good[1, 1] = True
    found = _diversity(solutions, good, torch.Generator().manual_seed(0))
    assert found["kept"] == 2 and found["measured_images"] == 2
    assert found["solutions"] == pytest.approx((1 + 2) / 2) and found["unrelated"] == pytest.approx(2)
    nothing = _diversity(solutions, torch.zeros_like(good), torch.Generator().manual_seed(0))
    assert nothing == {"kept": 0, "measured_images": 0, "solutions": None, "noise": None, "unrelated": None}
    one = _diversity(solutions[:, :1], good[:, :1], torch.Generator().manual_seed(0))
    assert one["measured_images"] == 1 and one["unrelated"] is None  # there is no second image


def test_figure3_is_the_measure_of_separate_searches(
    data: rs.Dataset, preset: Preset, longer: rs.SearchConfig, three: dict[str, Any]
) -> None:
    """The point of two runs at block 2, computed by hand."""
    network = rs.search_network(data, replace(preset, search=longer))
    light, shapes = without_identities(network), layer_shapes(network, data.train, longer)
    runs = [KernelEngine(light, longer, seed, shapes, [2]).search(data.train[:6], lambda *_: None) for seed in (0, 1)]
    good = torch.stack([run.cross_entropy[0][:, -1] < torch.tensor(2.0).log() for run in runs])
    numbers = [effective_number(torch.stack([run.activations[0][i].half().float() for run in runs])) for i in range(6)
               if good[:, i].all()]
    (point,) = (p for p in three["points"] if (p["block"], p["runs"]) == (2, 2))
    assert point["kept"] == pytest.approx(good.sum() / 6)
    assert point["measured_images"] == len(numbers) > 0
    assert point["solutions"] == pytest.approx(sum(numbers) / len(numbers))


def test_a_number_of_runs_more_changes_no_other_point(
    data: rs.Dataset, preset: Preset, longer: rs.SearchConfig, three: dict[str, Any]
) -> None:
    more = figure3(data, Figure3(SAMPLE, preset.width, longer, images=6, runs=4, counts=(2, 3, 4)))
    assert [point for point in more if point["runs"] != 3] == three["points"]
    first = [float(torch.rand(1, generator=generator_of(seed, block, count)))
             for seed in (0, 1) for block in (0, 1, 2) for count in (2, 3, 4)]
    assert len(set(first)) == len(first)


def test_figures_show_what_is_in_the_records(two: dict[str, Any], three: dict[str, Any]) -> None:
    by_population, by_generation = figures.figure2([two, two]).axes
    for block, (short, long) in enumerate(zip(by_population.lines, by_generation.lines, strict=False)):
        curves = [point["curve"] for point in two["points"] if point["block"] == block]
        assert list(short.get_ydata()) == pytest.approx([curve[-1] for curve in curves])
        assert list(long.get_ydata()) == pytest.approx(curves[-1])
    assert len(by_population.lines) == len(by_generation.lines) == 3
    for block, ax in enumerate(figures.figure3([three]).axes):
        shown = [point["solutions"] for point in three["points"] if point["block"] == block and point["solutions"]]
        assert shown and any(list(line.get_ydata()) == pytest.approx(shown) for line in ax.lines)
