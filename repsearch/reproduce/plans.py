"""Kinds of runs: what computes each, and what it does to a preset. A run and the check of its record read it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.bench.benchmark import Bench
from repsearch.bench.strategies import Setup as StrategyRates
from repsearch.reproduce import untrained
from repsearch.reproduce.loops import LOOPS
from repsearch.reproduce.method_plans import METHODS
from repsearch.reproduce.plan import Plan
from repsearch.reproduce.rival_settings import rival_of
from repsearch.reproduce.search_plans import (
    diversity_setup,
    figure2_setup,
    figure3_setup,
    gradients_setup,
    perturbation_setup,
    places_setup,
    search_setup,
)
from repsearch.reproduce.variants import VARIANTS

if TYPE_CHECKING:
    from repsearch.presets import Preset


def _untrained(preset: Preset, _: str, __: int | None) -> untrained.Setup:
    """What the measured variants start from."""
    setup = VARIANTS["search-based"].setup(preset)
    assert setup.searched is not None
    return untrained.Setup(setup.sample, setup.width, setup.groups, setup.searched, setup.measured)


def _training(preset: Preset, variant: str, train: int | None) -> Any:
    checks.one_of("variant", variant, VARIANTS)
    return VARIANTS[variant].setup(preset, train)


def _rival(preset: Preset, variant: str, train: int | None) -> Any:
    return rival_of(variant, preset, train).setup(preset, train)


def _alternate(preset: Preset, variant: str, train: int | None) -> Any:
    checks.one_of("variant", variant, LOOPS)
    return LOOPS[variant].setup(preset, train)


PLANS = {
    "perturbation": Plan("repsearch.reproduce.perturbation", perturbation_setup),
    "places": Plan("repsearch.reproduce.places", places_setup),
    "fig2": Plan("repsearch.reproduce.scaling", figure2_setup),
    "fig3": Plan("repsearch.reproduce.scaling", figure3_setup),
    "search": Plan("repsearch.reproduce.searches", search_setup),
    "diversity": Plan("repsearch.reproduce.diversity", diversity_setup),
    "gradients": Plan("repsearch.reproduce.gradients", gradients_setup),
    "untrained": Plan("repsearch.reproduce.untrained", _untrained),
    "training": Plan("repsearch.reproduce.trainings", _training),
    "alternate": Plan("repsearch.reproduce.alternated", _alternate, resumed=True),
    "rival": Plan("repsearch.reproduce.rivals", _rival),
    **METHODS,
    "bench": Plan("repsearch.bench.benchmark", lambda *_: Bench(), alone=True),
    "strategy-rates": Plan("repsearch.bench.strategies", lambda *_: StrategyRates(), alone=True),
}
