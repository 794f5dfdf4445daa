"""Evolution in the space of weights: what is compared on which network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repsearch.config import FitConfig
from repsearch.reproduce import estimates, topology
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


def arms() -> Setup:
    """All at equal evaluations."""
    cells = []
    for sigma in ARM_SIGMAS:
        for name, arguments in ARMS.items():
            hands = {"pair": MEMBERS // 2, "member": MEMBERS}.get(arguments.get("minibatch", ""), 1)
            # The last weights: arms have epochs of different lengths, and the best of more is better.
            cells += [Cell(f"{name}, {sigma}, {rate}", "EvolutionStrategy",
                           replace(within(1e6, EACH * hands, rate), keep="last"),
                           {"population": MEMBERS, "sigma": sigma, **arguments}) for rate in ARM_RATES]
    return Setup(SMALL, DIGITS, tuple(cells), points=20)


# --- low rank ---------------------------------------------------------------------------------------------------------

RANKS, PAIRS, RANK_RATES = (1, 2, 4, None), (64, 256, 1024), (0.01, 0.03)


def ranks(preset: Preset) -> Setup:
    """At equal evaluations; rank None is Gaussian noise."""
    cells, budget = [], 4e4 if preset.name == "smoke" else 4e6
    for rank in RANKS:
        for pairs in PAIRS:
            method, more = ("EvolutionStrategy", {}) if rank is None else ("EGGROLL", {"rank": rank})
            cells += [Cell(f"{rank or 'full'}, {pairs}, {rate}", method, within(budget, 64, rate),
                           {"population": 2 * pairs, "sigma": 0.02, "shaping": "ranks", "optimizer": "adam", **more})
                      for rate in RANK_RATES]
    return Setup(sample_of(preset, None, tested=True), MNIST, tuple(cells), points=20)


def within(budget: float, batch: int, rate: float) -> FitConfig:
    """Whatever fits into a budget, in F."""
    return FitConfig(FOREVER, batch, rate, momentum=0.0, budget=budget)


def topology_setup(*_: Any) -> topology.Setup:
    """On digits, whatever the preset."""
    return topology.Setup(replace(SMALL, train=500), FitConfig(100, 50, 0.1))


def estimates_setup(*_: Any) -> estimates.Setup:
    """On digits, whatever the preset."""
    return estimates.Setup(replace(SMALL, train=500))
