"""What the records say about methods that search weights, search activations, or follow a gradient, on one budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from repsearch.reproduce.arena_settings import METHODS
from repsearch.reproduce.arena_tables import cell_of, trained, turned, turns
from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.seeds import Numbers, paired, shown

POINT, POINTS = 0.5, "points"
GRADIENT = "Backprop"
EXPERIMENTS = "arena-weights arena-turns"
"""That the records are of."""


def accuracy(data: str, method: str) -> Numbers:
    """Test accuracy in percent, by seed."""
    return {record["seed"]: 100 * cell_of(record)["test_accuracy"] for record in trained(data, method)}


def in_activations(data: str, later: bool) -> Numbers:
    """The same of one shot, or of search and learning in turn."""
    return {record["seed"]: 100 * turned(record, later)[0] for record in turns(data)}


def best_of_weights(data: str) -> tuple[str, Numbers]:
    """The search of weights with the highest mean, as tables call it."""
    found = {METHODS[method]: accuracy(data, method) for method in METHODS if method != GRADIENT}
    name = max(found, key=lambda one: sum(found[one].values()))
    return name, found[name]


def gradient_is_ahead(data: str) -> Found:
    """SGD against the best search of weights."""
    (name, best), sgd = best_of_weights(data), accuracy(data, GRADIENT)
    return Found(f"{shown(sgd)} %", f"{name} {shown(best)} %", [Contrast(paired(sgd, best), POINT)], POINTS)


def activations_are_ahead(data: str, later: bool) -> Found:
    """Search of activations against the best search of weights."""
    (name, best), ours = best_of_weights(data), in_activations(data, later)
    return Found(f"{shown(ours)} %", f"{name} {shown(best)} %", [Contrast(paired(ours, best), POINT)], POINTS)


ASKED: dict[str, Callable[[str], Found]] = {
    "On one budget, SGD trains better than every search of weights": gradient_is_ahead,
    "Within the budget, one shot in activations trains better than they": partial(activations_are_ahead, later=False),
    "Within the budget, search and learning in turn train better than they": partial(activations_are_ahead, later=True),
}
