"""Kinds of runs beside the paper's: evolution of weights, rivals without an end-to-end gradient."""

from __future__ import annotations

from repsearch.reproduce.arena_settings import es_setup, perceptron_turns_setup
from repsearch.reproduce.bridge_settings import bridge_setup
from repsearch.reproduce.goea.settings import SETUPS as GOEA
from repsearch.reproduce.plan import Plan
from repsearch.reproduce.rule_settings import rules_setup
from repsearch.reproduce.set_settings import sets_setup
from repsearch.reproduce.strategy_settings import estimates_setup, topology_setup

METHODS = {
    "es": Plan("repsearch.reproduce.strategies", es_setup),
    "es-turns": Plan("repsearch.reproduce.perceptron_turns", perceptron_turns_setup),
    "bridge": Plan("repsearch.reproduce.bridge", bridge_setup),
    "rules": Plan("repsearch.reproduce.rules", rules_setup),
    "sets": Plan("repsearch.reproduce.sets", sets_setup),
    "topology": Plan("repsearch.reproduce.topology", topology_setup),
    "es-estimates": Plan("repsearch.reproduce.estimates", estimates_setup),
    **{f"goea-{name}": Plan(f"repsearch.reproduce.goea.{name}", setup) for name, setup in GOEA.items()},
}
