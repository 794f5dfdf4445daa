"""A claim: who makes it, in which words, and what judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repsearch.reproduce.found import Found

STRATEGIES, GREEDY = "strategies", "greedy"
"""In place of a section: claims of notes on evolution strategies, and of the papers on greedy evolution."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, or of another source.

    Args:
        section: where it is made.
        what: it says, in our words.
        paper: the value it reports, if it does.
        experiment: whose records judge it, one or more IDs of `repsearch reproduce`; None if it was not tried.
        judge: what the committed records say.
        ours: a question of ours beside the paper's claims, counted apart.
        reported: the paper's number for `Found.difference`, in points of accuracy, where it has one.
    """

    section: str
    what: str
    paper: str
    experiment: str | None
    judge: Callable[[], Found]
    ours: bool = False
    reported: float | None = None

    @property
    def asked_by(self) -> str:
        """The "paper", "notes", which are the other sources, or us: "ours"."""
        return "ours" if self.ours else "notes" if self.section in (STRATEGIES, GREEDY) else "paper"

    @cached_property
    def found(self) -> Found:
        """What came out, read once."""
        return self.judge()


def beside(found: Sequence[Claim]) -> list[tuple[Claim, float]]:
    """Those of which the paper reports the difference that we measure, and what it reports."""
    return [(claim, claim.reported) for claim in found if claim.reported is not None]
