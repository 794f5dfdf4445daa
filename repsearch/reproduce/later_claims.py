"""Claims of the last sections: the paper's relatives, its limits, and what it leaves open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from repsearch.reproduce import rule_claims as rules
from repsearch.reproduce import set_claims as sets
from repsearch.reproduce import training_claims as trained
from repsearch.reproduce import turn_claims as turns
from repsearch.reproduce.claim import Claim

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record


def section_5() -> list[Claim]:
    """Of the paper's relatives, which it names and does not try."""
    return [
        *(Claim("5", f"{what}: MNIST", "", experiments, partial(judge, "mnist"), ours=True)
          for experiments, asked in rules.ASKED.items() for what, judge in asked.items()),
        *(Claim("5", f"{what}: CIFAR-10", "", "bridge", judge, ours=True) for what, judge in rules.BRIDGE.items()),
    ]


def section_6(paper: Record) -> list[Claim]:
    """What the paper leaves open, and what was asked beside it."""
    behind = [rows["SGD"][0] - max(row[0] for name, row in rows.items() if name != "SGD")
              for table in ("table1", "table2") for rows in paper[table].values()]
    return [
        Claim("6", "Search-based training trails SGD", f"by {min(behind):.1f} to {max(behind):.1f} points",
              "table1 table2", trained.trails_sgd),
        *_turns(),
        Claim("6", "Diverse representations give diverse models", "left open", "sets", sets.diverse_models),
        *(Claim("6", what, "", "sets", judge, ours=True) for what, judge in sets.ASKED.items()),
    ]


def _turns() -> list[Claim]:
    controlled = turns.CONTROLLED
    made_by = controlled.experiments.split()[0]
    return [
        Claim("6", f"Letting search and learning inform each other is better: {controlled.title}", "left open", made_by,
              turns.turns_help),
        Claim("6", f"It is the later searches that help: {controlled.title}", "", made_by, turns.later_searches_count,
              ours=True),
        *(Claim("6", f"The gap to SGD closes: {where.title}", "left open", where.experiments,
                partial(turns.gap_closes, where)) for where in turns.TURNED),
        *(Claim("6", f"Search and learning in turn get ahead of SGD: {where.title}", "", where.experiments,
                partial(turns.overtakes, where), ours=True) for where in (*turns.TURNED, turns.BUDGETED)),
    ]
