"""Rules that train a network without its end-to-end gradient, on one network and budget: what was tried of each on
validation images, and the best of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.reproduce.loops import sample_of
from repsearch.reproduce.rules import RuleCell
from repsearch.reproduce.strategies import Setup
from repsearch.reproduce.strategy_settings import MNIST, within

if TYPE_CHECKING:
    from repsearch.presets import Preset

BUDGET, TRIED = 4e6, 1e6
"""In F: of the table, and of a trial."""


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Args:
        title: of the row.
        method: a class of `repsearch.methods`.
        backward: whether gradients pass "all" layers, each layer "alone", or none, "no".
        arguments: of the method, in every trial.
        network: as in `RuleCell`.
    """

    title: str
    method: str
    backward: str = "alone"
    arguments: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)


RULES = {
    "backprop": Rule("SGD", "Backprop", "all"),
    "untrained": Rule("untrained body", "Backprop", "no", network={"frozen": True}),
    "local-losses": Rule("local losses", "LocalLosses"),
    "feedback-alignment": Rule("feedback alignment", "FeedbackAlignment", "all", {"kind": "random"}),
    "direct-feedback": Rule("direct feedback alignment", "FeedbackAlignment", "alone", {"kind": "direct"}),
    "sign-symmetric": Rule("sign-symmetric feedback", "FeedbackAlignment", "all", {"kind": "sign-symmetric"}),
    "kolen-pollack": Rule("Kolen-Pollack", "FeedbackAlignment", "all", {"kind": "kolen-pollack"}),
    "target-propagation": Rule("target propagation", "TargetPropagation"),
    "difference-targets": Rule("difference target propagation", "DifferenceTargetPropagation"),
    "fixed-targets": Rule("difference targets, feedback fixed", "DifferenceTargetPropagation", "alone",
                          {"feedback": "fixed"}),
    "forward-forward": Rule("Forward-Forward", "ForwardForward"),
    "perturbation": Rule("perturbed activities", "ActivityPerturbation"),
}
RATES, DECAYS = (0.03, 0.1, 0.3, 1), (5e-4, 2e-3, 5e-3)
Trial = tuple[float, float, dict[str, Any], dict[str, Any]]
"""Learning rate, weight decay, more arguments of the method and of the network."""


def trial(rate: float, decay: float = 5e-4, /, network: dict[str, Any] | None = None, **more: Any) -> Trial:
    return rate, decay, more, network or {}


TRIALS: dict[str, Sequence[Trial]] = {
    **{name: [trial(*one) for one in product(RATES, DECAYS)] for name in ("backprop", "untrained", "local-losses")},
    **{name: [trial(rate, decay, scale=scale)
              for rate, decay, scale in product((0.03, 0.1, 0.3), (5e-4, 5e-3), (0.5, 1))] for name in
       ("feedback-alignment", "direct-feedback", "sign-symmetric")},
    "kolen-pollack": [trial(rate, 0, decay=lost) for rate, lost in product((0.03, 0.1, 0.3), (1e-4, 3e-4, 1e-3, 3e-3))],
    "target-propagation": [trial(rate, beta=beta, steps=steps)
                           for rate, beta, steps in product((0.001, 0.003), (3, 10, 30), (1, 5))],
    "difference-targets": [trial(rate, beta=beta, steps=steps)
                           for rate, beta, steps in product((0.03, 0.1, 0.3), (0.3, 1), (1, 5))],
    "fixed-targets": [trial(rate, beta=beta) for rate, beta in product((0.01, 0.03, 0.1, 0.3), (0.1, 0.3, 1))],
    "forward-forward": [trial(rate, network={"predict": predict}, theta=theta)
                        for predict, rate, theta in product(("goodness", "head"), (0.002, 0.005, 0.01), (1, 3))],
    "perturbation": [trial(rate, draws=draws, std=std)
                     for rate, draws, std in product((0.01, 0.03, 0.1), (1, 4), (0.01, 0.1))],
}
"""As many a rule."""
FURTHER: dict[str, Sequence[Trial]] = {
    "untrained": [trial(3), trial(10)], "local-losses": [trial(3), trial(10)],
    "sign-symmetric": [trial(rate, 5e-3, scale=0.5) for rate in (1, 3)],
    "target-propagation": [trial(rate, beta=30, steps=1) for rate in (3e-4, 1e-4)],
    "difference-targets": [trial(rate, beta=0.3, steps=5) for rate in (1, 3)],
    "fixed-targets": [trial(rate, beta=0.1) for rate in (1, 3)],
    "forward-forward": [trial(rate, network={"predict": "head"}, theta=3) for rate in (7e-4, 2e-4)],
    "perturbation": [trial(rate, draws=4, std=0.1) for rate in (3e-3, 1e-3)],
}
"""Two rates more, where the best was at the edge of what was tried."""
CHOSEN: dict[str, Trial] = {
    "backprop": trial(0.3, 2e-3),
    "untrained": trial(1),
    "local-losses": trial(1),
    "feedback-alignment": trial(0.1, 5e-3, scale=1),
    "direct-feedback": trial(0.1, 5e-3, scale=0.5),
    "sign-symmetric": trial(0.3, 5e-3, scale=0.5),
    "kolen-pollack": trial(0.1, 0, decay=1e-3),
    "target-propagation": trial(3e-4, beta=30, steps=1),
    "difference-targets": trial(0.3, beta=0.3, steps=5),
    "fixed-targets": trial(1, beta=0.1),
    "forward-forward": trial(0.002, network={"predict": "head"}, theta=3),
    "perturbation": trial(0.01, draws=4, std=0.01),
}
"""The best of each rule's trials."""
DIVERGED: dict[str, Sequence[Trial]] = {"perturbation": [trial(0.01, draws=4, std=0.1)]}
"""Better ones, whose loss became NaN on another seed, in the whole budget."""


def cell(rule: Rule, one: Trial) -> RuleCell:
    """A training by a rule, with the preset's momentum."""
    rate, decay, more, network = one
    said = [f"x{rate:g}", f"weight decay {decay:g}", *(f"{key} {value}" for key, value in {**more, **network}.items())]
    fit = replace(within(1, 125, rate), momentum=0.85, weight_decay=decay)
    return RuleCell(", ".join(said), rule.method, fit, {**rule.arguments, **more}, {**rule.network, **network})


def rules_setup(preset: Preset, variant: str, _: int | None) -> Setup:
    """Trainings, by variant: a rule, or its trials: its name with "-tuning" or "-further"."""
    checks.one_of("variant", variant, (*RULES, *TUNING))
    name = variant.removesuffix("-tuning").removesuffix("-further")
    tested, trials = variant in RULES, FURTHER if variant.endswith("-further") else TRIALS
    budget = (BUDGET if tested else TRIED) / (1 if preset.name == "book" else 100)
    cells = [cell(RULES[name], one) for one in ((CHOSEN[name],) if tested else trials[name])]
    return Setup(sample_of(preset, None, tested), MNIST,
                 tuple(replace(one, fit=replace(one.fit, budget=budget)) for one in cells), tested, preset.width,
                 preset.groups, preset.statistics)


TUNING = (*(f"{name}-tuning" for name in RULES), *(f"{name}-further" for name in FURTHER))
