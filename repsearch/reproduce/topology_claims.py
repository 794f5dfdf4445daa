"""What the records say about networks whose links evolve, and a table of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.records import read_records
from repsearch.reproduce.seeds import Numbers, numbers, paired, shown
from repsearch.reproduce.tables import markdown, mean_std
from repsearch.reproduce.training_claims import POINT, POINTS

RECORDS = "topology-digits-smoke-both"
TASKS = {"exclusive_or": "exclusive or", "digits": "odd and even digits"}
BOTH, ALONE, GRADIENT = "weights and links", "weights alone", "back-propagation"


def accuracy(task: str, arm: str) -> Numbers:
    """Test accuracy in percent, by seed."""
    return numbers(RECORDS, f"{task}.{arm}.test", 100)


def better(task: str, ours: str, base: str) -> Found:
    """One arm against another."""
    own, theirs = accuracy(task, ours), accuracy(task, base)
    return Found(f"{shown(own)} %", f"{base} {shown(theirs)} %", [Contrast(paired(own, theirs), POINT)], POINTS)


ASKED: dict[str, Callable[[], Found]] = {
    "NEAT: links that evolve solve more of the exclusive or than weights alone": partial(
        better, "exclusive_or", BOTH, ALONE),
    "NEAT: links that evolve tell more odd from even digits than weights alone": partial(
        better, "digits", BOTH, ALONE),
    "Back-propagation in a perceptron tells more of them than NEAT does": partial(better, "digits", GRADIENT, BOTH),
}
"""Questions of ours."""


def topology_table() -> str:
    """Both tasks, every arm: mean and deviation over seeds."""
    records = read_records(f"{RECORDS}-*")
    rows = [[what, arm, mean_std([100 * record[task][arm]["test"] for record in records]),
             *(mean_std([record[task][arm][key] for record in records], 0) for key in ("nodes", "links", "passes"))]
            for task, what in TASKS.items() for arm in records[0][task]]
    return markdown(["task", "what changes", "test accuracy, %", "hidden units", "links", "passes of all images"], rows)
