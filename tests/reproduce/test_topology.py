"""NEAT at its own size: its tasks, and what a record holds."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean
from typing import Any

import pytest
import torch

import repsearch as rs
from repsearch import presets
from repsearch.reproduce import topology
from repsearch.reproduce.runs import Run
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.strategy_settings import topology_setup
from repsearch.reproduce.topology_claims import accuracy, better, topology_table

SMALL = replace(topology_setup(), sample=Sample("digits", 60, 50, 50), sgd=rs.FitConfig(20, 20, 0.1), population=12,
                patience=2, generations=3)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return topology.run(SMALL, seed=0)


def test_the_exclusive_or_is_one() -> None:
    inputs = topology.CORNERS.flatten(1)
    assert topology.EXCLUSIVE.tolist() == [int(a) ^ int(b) for a, b in inputs.tolist()]
    assert len({tuple(row) for row in inputs.tolist()}) == 4


def test_odd_digits_are_told_from_even_ones() -> None:
    split = rs.load("digits", train=50, validation=50, test=50).train
    told = topology.odd(split)
    assert told.labels.tolist() == [label % 2 for label in split.labels.tolist()] and told.classes == 2
    assert torch.equal(told.images, split.images) and torch.equal(told.indices, split.indices)


def test_weights_alone_add_neither_units_nor_links(found: dict[str, Any]) -> None:
    for task, inputs in (("exclusive_or", 2), ("digits", 64)):
        alone = found[task]["weights alone"]
        assert alone["nodes"] == 0 and 0 < alone["links"] <= 2 * (inputs + 1)
    assert found["exclusive_or"]["weights alone"]["test"] <= 0.75  # a line can't tell


def test_passes_are_those_until_the_best(found: dict[str, Any]) -> None:
    for task, generations in (("exclusive_or", 2), ("digits", 3)):
        for arm in topology.ARMS:
            assert found[task][arm]["passes"] in [12 * n for n in range(1, generations + 1)]
    gradient = found["digits"]["back-propagation"]
    assert gradient["passes"] % 3 == 0 and gradient["passes"] <= 3 * 20
    assert (gradient["nodes"], gradient["links"]) == (8, 8 * 64 + 8 * 2)
    assert gradient["validation"] > 0.7  # with a gradient, few images are enough for this


def test_a_run_comes_out_again(found: dict[str, Any]) -> None:
    assert topology.run(SMALL, seed=0) == found != topology.run(SMALL, seed=1)


def test_the_records_are_of_these_settings_and_the_table_shows_them() -> None:
    run = Run("topology", "digits", "smoke", "both", 0)
    assert run.settings["population"] == 150 and run.settings["sample"]["train"] == 500
    assert topology_setup(presets.smoke()) == topology_setup(presets.book("mnist"))
    lines = topology_table().splitlines()
    assert len(lines) == 2 + 5
    for task, arm in (("exclusive_or", "weights and links"), ("digits", "back-propagation")):
        assert sum(f"{mean(accuracy(task, arm).values()):.1f} ±" in line and arm in line for line in lines) >= 1
    assert better("digits", "weights alone", "weights alone").verdict == "fails"
