"""Kinds of runs: what computes each, and what it does to a preset, said once. A run and the check of its record read it
here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from repsearch import checks
from repsearch.bench.benchmark import Bench
from repsearch.config import SearchConfig
from repsearch.presets import Preset
from repsearch.reproduce import perturbation, scaling, searches
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.variants import VARIANTS

READINGS: dict[str, dict[str, Any]] = {
    "child": {"blurred": "child", "noise": "pixel"},  # the literal one
    "noise": {"blurred": "noise", "noise": "pixel"},
    "map": {"blurred": "noise", "noise": "map"},  # the library's default
}
# By preset: widths that section 2 perturbs; images and populations of Figure 2; images, runs, and the numbers of runs
# to measure at of Figure 3.
WIDTHS = {"smoke": (4, 8, 16, 32), "book": (8, 16, 32, 64), "paper": (16, 64, 256)}
FIGURE2 = {"smoke": (8, (12, 24, 48)), "book": (60, (20, 60, 180)), "paper": (8, (60, 240))}
FIGURE3 = {"smoke": (8, 8, (2, 4, 8)), "book": (16, 32, (2, 4, 8, 16, 32)), "paper": (8, 32, (2, 4, 8, 16, 32))}


@dataclass(frozen=True)
class Plan:
    """A kind of runs.

    Args:
        module: that computes them, with its function `run`; a change of its code, or of what it imports, makes their
            records stale.
        setup: what (preset, variant, number of training images) compute; all of it is in the record.
        alone: whether a run measures the machine, and so needs all of it.
    """

    module: str
    setup: Callable[[Preset, str, int | None], Any]
    alone: bool = False


def _sample(preset: Preset) -> Sample:
    """Few images: those that section 2 and Figures 2 and 3 need, and what whitens and calibrates their networks."""
    return Sample(preset.data, 200 if preset.name == "smoke" else 1000, preset.validation, preset.test)


def _read_as(preset: Preset, reading: str) -> SearchConfig:
    checks.one_of("variant", reading, READINGS)
    return replace(preset.search, **READINGS[reading])


def _perturbation(preset: Preset, _: str, __: int | None) -> perturbation.Setup:
    return perturbation.Setup(_sample(preset), WIDTHS[preset.name])


def _figure2(preset: Preset, reading: str, _: int | None) -> scaling.Figure2:
    return scaling.Figure2(_sample(preset), preset.width, _read_as(preset, reading), *FIGURE2[preset.name])


def _figure3(preset: Preset, reading: str, _: int | None) -> scaling.Figure3:
    """At the book preset a search twice as long in a network twice as wide: else few solutions are good enough."""
    search, times = _read_as(preset, reading), 2 if preset.name == "book" else 1
    return scaling.Figure3(_sample(preset), times * preset.width, search.prolonged(times), *FIGURE3[preset.name])


def _search(preset: Preset, _: str, __: int | None) -> searches.Setup:
    """The first hundred images, in the literal reading; the network is whitened by the first 5,000, as at the full
    size."""
    return searches.Setup(replace(_sample(preset), train=5000), preset.width, _read_as(preset, "child"), 100)


def _training(preset: Preset, variant: str, train: int | None) -> Any:
    checks.one_of("variant", variant, VARIANTS)
    return VARIANTS[variant].setup(preset, train)


PLANS = {
    "perturbation": Plan("repsearch.reproduce.perturbation", _perturbation),
    "fig2": Plan("repsearch.reproduce.scaling", _figure2),
    "fig3": Plan("repsearch.reproduce.scaling", _figure3),
    "search": Plan("repsearch.reproduce.searches", _search),
    "training": Plan("repsearch.reproduce.trainings", _training),
    "bench": Plan("repsearch.bench.benchmark", lambda *_: Bench(), alone=True),
}
