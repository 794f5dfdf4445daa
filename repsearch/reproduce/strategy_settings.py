"""Evolution in the space of weights: what is compared on which network, with settings chosen on validation images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.config import FitConfig
from repsearch.reproduce import estimates
from repsearch.reproduce.loops import sample_of
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.strategies import Cell, Setup

if TYPE_CHECKING:
    from repsearch.presets import Preset

DIGITS, MNIST = (64, 32, 10), (784, 128, 128, 10)
SMALL = Sample("digits", 1000, 150, 300)
FOREVER = 10**6  # epochs: the budget ends a training

# --- who sees which images --------------------------------------------------------------------------------------------

ARMS: dict[str, dict[str, Any]] = {
    "antithetic, shared": {}, "antithetic, own of a pair": {"minibatch": "pair"},
    "antithetic, own of a member": {"minibatch": "member"}, "one-sided, shared": {"sampling": "one-sided"},
    "one-sided, shared, baseline": {"sampling": "one-sided", "shaping": "baseline"},
    "one-sided, own of a member": {"sampling": "one-sided", "minibatch": "member"},
    "one-sided, own of a member, baseline": {"sampling": "one-sided", "minibatch": "member", "shaping": "baseline"},
}
ARM_SIGMAS, ARM_RATES = (0.01, 0.1), (0.003, 0.01, 0.03, 0.1, 0.3)
MEMBERS, EACH = 100, 10  # ten images a member, so that a step costs the same in every arm


def _arms() -> Setup:
    cells = []
    for sigma in ARM_SIGMAS:
        for name, arguments in ARMS.items():
            hands = {"pair": MEMBERS // 2, "member": MEMBERS}.get(arguments.get("minibatch", ""), 1)
            cells += [Cell(f"{name}, {sigma}, {rate}", "EvolutionStrategy", _within(1e6, EACH * hands, rate),
                           {"population": MEMBERS, "sigma": sigma, **arguments}) for rate in ARM_RATES]
    return Setup(SMALL, DIGITS, tuple(cells), points=20)


# --- low rank ---------------------------------------------------------------------------------------------------------

RANKS, PAIRS, RANK_RATES = (1, 2, 4, None), (64, 256, 1024), (0.01, 0.03)


def _ranks(preset: Preset) -> Setup:
    """At equal evaluations; rank None is Gaussian noise."""
    cells, budget = [], 4e4 if preset.name == "smoke" else 4e6
    for rank in RANKS:
        for pairs in PAIRS:
            method, more = ("EvolutionStrategy", {}) if rank is None else ("EGGROLL", {"rank": rank})
            cells += [Cell(f"{rank or 'full'}, {pairs}, {rate}", method, _within(budget, 64, rate),
                           {"population": 2 * pairs, "sigma": 0.02, "shaping": "ranks", "optimizer": "adam", **more})
                      for rate in RANK_RATES]
    return Setup(sample_of(preset, None, tested=True), MNIST, tuple(cells), points=20)


# --- every method, on one budget --------------------------------------------------------------------------------------

BUDGET = 16e6
TRIAL = BUDGET / 4


def _within(budget: float, batch: int, rate: float = 1.0, momentum: float = 0.0, decay: float = 0.0) -> FitConfig:
    return FitConfig(FOREVER, batch, rate, momentum, decay, budget=budget)


def _strategy(method: str, rate: float, sigma: float, **more: Any) -> Cell:
    momentum = 0.85 if method == "EvolutionStrategy" else 0.0
    return Cell(f"{method}, {rate}, {sigma}", method, _within(BUDGET, 128, rate, momentum),
                {"population": 256, "sigma": sigma, **more})


RANKED = {"shaping": "ranks", "optimizer": "adam"}
TRIALS: dict[str, list[Cell]] = {
    "sgd": [Cell(f"Backprop, {rate}, {decay}", "Backprop", _within(BUDGET, 125, rate, 0.85, decay))
            for rate in (0.1, 0.3, 1.0) for decay in (5e-4, 5e-3)],
    "es": [_strategy("EvolutionStrategy", rate, sigma) for rate in (0.003, 0.01, 0.03) for sigma in (0.02, 0.05)],
    "openai-es": [_strategy("OpenAIES", rate, sigma) for rate in (0.003, 0.01, 0.03) for sigma in (0.02, 0.05)],
    "eggroll": [_strategy("EGGROLL", rate, sigma, **RANKED) for rate in (0.003, 0.01, 0.03) for sigma in (0.02, 0.05)],
    "snes": [Cell(f"SNES, {population}, {sigma}", "SNES", _within(BUDGET, 128), {"population": population,
                                                                               "sigma": sigma})
             for population in (64, 256) for sigma in (0.02, 0.05, 0.1)],
    "deep-ga": [Cell(f"DeepGA, {parents}, {std}", "DeepGA", _within(BUDGET, 1000),
                     {"population": 100, "parents": parents, "std": std})
                for parents in (5, 20) for std in (0.002, 0.005, 0.02)],
    "goea": [Cell(f"GOEA, {images}, {std}", "GOEA", _within(BUDGET, images), {"population": 20, "std": std})
             for images in (500, 2000) for std in (0.003, 0.01, 0.03)],
}
CHOSEN: dict[str, str] = {}
"""The trial of each method that did best on validation images."""


def es_setup(preset: Preset, variant: str, _: int | None) -> Setup:
    """Trainings, by variant: "arms", "ranks"; "mlp-" and "tuning-mlp-" with a method."""
    if variant == "arms":
        return _arms()
    if variant == "ranks":
        return _ranks(preset)
    method = variant.rpartition("mlp-")[2]
    checks.one_of("variant", method, TRIALS)
    tuning = variant.startswith("tuning-")
    cells = [cell for cell in TRIALS[method] if tuning or cell.name == CHOSEN[method]]
    budget = (TRIAL if tuning else BUDGET) / (100 if preset.name == "smoke" else 1)
    cells = [replace(cell, fit=replace(cell.fit, budget=budget)) for cell in cells]
    return Setup(sample_of(preset, None, tested=not tuning), MNIST, tuple(cells), not tuning)


def estimates_setup(*_: Any) -> estimates.Setup:
    """On digits, whatever the preset."""
    return estimates.Setup(replace(SMALL, train=500))
