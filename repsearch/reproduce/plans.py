"""Kinds of runs: what computes each, and what it does to a preset. A run and the check of its record read it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.bench.benchmark import Bench
from repsearch.bench.strategies import Setup as StrategyRates
from repsearch.reproduce import untrained
from repsearch.reproduce.arena_settings import es_setup, perceptron_turns_setup
from repsearch.reproduce.bridge_settings import bridge_setup
from repsearch.reproduce.goea.settings import SETUPS as GOEA
from repsearch.reproduce.loops import LOOPS
from repsearch.reproduce.rival_settings import rival_of
from repsearch.reproduce.rule_settings import rules_setup
from repsearch.reproduce.search_plans import (
    diversity_setup,
    figure2_setup,
    figure3_setup,
    gradients_setup,
    perturbation_setup,
    places_setup,
    search_setup,
)
from repsearch.reproduce.strategy_settings import estimates_setup
from repsearch.reproduce.variants import VARIANTS

if TYPE_CHECKING:
    from repsearch.presets import Preset


@dataclass(frozen=True)
class Plan:
    """A kind of runs.

    Args:
        module: that computes them, with its function `run`; a change of its code, or of what it imports, makes their
            records stale.
        setup: what (preset, variant, number of training images) compute; all of it is in the record.
        alone: whether a run measures the machine, and so needs all of it.
        resumed: whether a run keeps what it has half done in its store, and not only searches, which others may use.
    """

    module: str
    setup: Callable[[Preset, str, int | None], Any]
    alone: bool = False
    resumed: bool = False


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
    "es": Plan("repsearch.reproduce.strategies", es_setup),
    "es-turns": Plan("repsearch.reproduce.perceptron_turns", perceptron_turns_setup),
    "bridge": Plan("repsearch.reproduce.bridge", bridge_setup),
    "rules": Plan("repsearch.reproduce.rules", rules_setup),
    "es-estimates": Plan("repsearch.reproduce.estimates", estimates_setup),
    **{f"goea-{name}": Plan(f"repsearch.reproduce.goea.{name}", setup) for name, setup in GOEA.items()},
    "bench": Plan("repsearch.bench.benchmark", lambda *_: Bench(), alone=True),
    "strategy-rates": Plan("repsearch.bench.strategies", lambda *_: StrategyRates(), alone=True),
}
