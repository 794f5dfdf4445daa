"""Configurations refuse what makes no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

import repsearch as rs
from repsearch.config import LayerSearch, split_population
from repsearch.presets import Preset


@pytest.mark.parametrize(("change", "message"), [
    ({"schedule": ()}, "schedule: expected one LayerSearch a search layer, found none"),
    ({"parents": 0}, "parents=0: expected a whole number of at least 1"),
    ({"explorers": 0, "refiners": 0}, "the population cannot be smaller than parents"),
    ({"input_noise": -0.3}, "input_noise=-0.3: expected a finite number above zero"),
    ({"input_noise": float("nan")}, "input_noise=nan"),
    ({"noise": "voxel"}, "noise='voxel': unknown; choose one of map, pixel"),
    ({"border": "mirror"}, "border='mirror': unknown"),
    ({"shard": 0}, "shard=0"),
])
def test_bad_configuration(preset: Preset, change: dict[str, object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        replace(preset.search, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"generations": -5, "strength": 0.1}, "generations=-5"),
    ({"generations": 5, "strength": 0.0}, "strength=0.0: expected a finite number above zero"),
    ({"generations": 5, "strength": -1.0}, "strength=-1.0"),
    ({"generations": 5, "strength": 0.1, "boost": 0}, "boost=0"),
    ({"generations": 5, "strength": 0.1, "blur": -1}, "blur=-1"),
])
def test_bad_schedule(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        LayerSearch(**arguments)  # type: ignore[arg-type]


def test_a_population_smaller_than_its_parents() -> None:
    with pytest.raises(rs.InputError, match="population=10: expected more than parents=20"):
        split_population(10, 20)


@pytest.mark.parametrize("kind", ["learn", "baseline"])
@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": 0}, "epochs=0"),
    ({"batch": 1}, "batch=1"),
    ({"learning_rate": 0.0}, "learning_rate=0.0"),
    ({"momentum": 1.0}, "momentum=1.0"),
    ({"weight_decay": -0.1}, "weight_decay=-0.1"),
    ({"precision": "float16"}, "precision='float16': unknown; choose one of bfloat16, float32"),
])
def test_bad_training(preset: Preset, kind: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        replace(getattr(preset, kind), **change)


def test_bad_regression(preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="squares='cubes': unknown; choose one of mean, sum"):
        replace(preset.learn, squares="cubes")  # type: ignore[arg-type]
