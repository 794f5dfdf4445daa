"""Runs of searches: what each variant of a figure computes at a preset, said once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.reproduce import diversity, gradients, perturbation, places, scaling, searches
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.variant import generations, population, without_explorers

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.presets import Preset

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
# Figure 3 at fewer runs, with half the population or the generations.
SIZES: dict[str, Callable[[SearchConfig], SearchConfig]] = {
    "population-x0.5": population(0.5), "generations-x0.5": generations(0.5)}
EXPLORERS: dict[str, Callable[[SearchConfig], SearchConfig]] = {
    "explorers": lambda config: config, "no-explorers": without_explorers}
# Of "search": training images that whiten the network, images searched, blocks searched alone beside.
SEARCHED = {"first100": (5000, 100, ()), "chained": (1000, 200, ("block1", "block2"))}


def _sample(preset: Preset) -> Sample:
    """Few images: those that section 2 and Figures 2 and 3 need, and what whitens and calibrates their networks."""
    return Sample(preset.data, 200 if preset.name == "smoke" else 1000, preset.validation, preset.test)


def _read_as(preset: Preset, reading: str) -> SearchConfig:
    checks.one_of("variant", reading, READINGS)
    return replace(preset.search, **READINGS[reading])


def perturbation_setup(preset: Preset, _: str, __: int | None) -> perturbation.Setup:
    """Section 2."""
    return perturbation.Setup(_sample(preset), WIDTHS[preset.name])


def places_setup(preset: Preset, _: str, __: int | None) -> places.Setup:
    """Where to search."""
    generations = 2 if preset.name == "smoke" else 30
    return places.Setup(_sample(preset), preset.width, generations=generations)


def figure2_setup(preset: Preset, reading: str, _: int | None) -> scaling.Figure2:
    """Figure 2, in a reading."""
    return scaling.Figure2(_sample(preset), preset.width, _read_as(preset, reading), *FIGURE2[preset.name])


def figure3_setup(preset: Preset, variant: str, _: int | None) -> scaling.Figure3:
    """At the book preset a search twice as long in a network twice as wide: else few solutions are good enough."""
    times, (images, runs, counts) = 2 if preset.name == "book" else 1, FIGURE3[preset.name]
    if variant in READINGS:
        search = _read_as(preset, variant).prolonged(times)
    else:
        checks.one_of("variant", variant, (*READINGS, *SIZES))
        search, runs = SIZES[variant](_read_as(preset, "noise").prolonged(times)), min(16, runs)
    return scaling.Figure3(_sample(preset), times * preset.width, search, images, runs,
                           tuple(count for count in counts if count <= runs))


def search_setup(preset: Preset, variant: str, _: int | None) -> searches.Setup:
    """The first hundred images at the paper's sizes, in a network whitened by the first 5,000, as at the full size; or
    layer after layer beside each layer alone."""
    checks.one_of("variant", variant, SEARCHED)
    whitening, images, alone = SEARCHED[variant]
    sample = replace(_sample(preset), train=whitening)
    return searches.Setup(sample, preset.width, preset.search, images, alone)


def diversity_setup(preset: Preset, variant: str, _: int | None) -> diversity.Setup:
    """The reference's populations, with explorers or without."""
    checks.one_of("variant", variant, EXPLORERS)
    return diversity.Setup(_sample(preset), preset.width, EXPLORERS[variant](preset.search), 8)


def gradients_setup(preset: Preset, _: str, __: int | None) -> gradients.Setup:
    """The first step of a training."""
    return gradients.Setup(_sample(preset), preset.width, preset.groups, preset.search, preset.learn, 50)
