"""What the records say about one claim: numbers, what they are compared with, the contrasts that decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repsearch.reproduce.intervals import FAILS, HOLDS, UNDECIDED, Contrast, Values, overall, parts_text, seeds_needed


@dataclass(frozen=True)
class Found:
    """What came out.

    Args:
        ours: our value, as the page prints it.
        control: what it should be compared with.
        contrasts: what the claim says is above zero, one a part; none if it was not tried.
        unit: of the contrasts, such as "points".
        digits: of their numbers, behind the point.
        open: why the records cannot decide, whatever the contrasts are; empty where they can.
        exact: a statement about what the code does, not about a mean over seeds: chance gives no verdict.
        sides: 2 where either sign would have been taken.
        difference: one number a seed that the paper reports too (`Claim.reported`), in points of accuracy: how far the
            one is above the other.
    """

    ours: str
    control: str = ""
    contrasts: Sequence[Contrast] = ()
    unit: str = ""
    digits: int = 1
    open: str = ""
    exact: bool = False
    sides: int = 1
    difference: Values = ()

    @classmethod
    def untried(cls) -> Found:
        """Of a claim that nobody has tried here."""
        return cls("")

    @property
    def verdict(self) -> str:
        """"holds", "fails", "undecided", "in part", or "not tried"."""
        return UNDECIDED if self.open else overall(self.contrasts)

    @property
    def decided_by(self) -> str:
        """The interval of each contrast, with the least effect that matters."""
        parts = []
        for contrast in self.contrasts:
            name = f"{contrast.name}: " if contrast.name else ""
            least = f" (at least {contrast.least:g})" if contrast.least else ""
            parts.append(f"{name}{contrast.interval.text(self.digits)}{least}")
        return "; ".join(parts) + (f" {self.unit}" if self.unit and parts else "")

    @property
    def parts(self) -> str:
        """Which parts hold and which do not, where they differ."""
        verdicts = {contrast.verdict for contrast in self.contrasts}
        if len(verdicts) < 2:
            return ""
        lost = FAILS in verdicts and self.verdict == UNDECIDED
        return parts_text(self.contrasts) + (", so that it holds in part at most" if lost else "")

    @property
    def to_settle(self) -> str:
        """How many seeds would decide what is undecided, at the effect and the spread seen here."""
        if self.verdict != UNDECIDED:
            return ""
        if self.open:
            return self.open
        needed = [seeds_needed(contrast.values, contrast.least) for contrast in self.contrasts
                  if contrast.verdict not in (HOLDS, FAILS)]
        if any(len(contrast.values) < 2 for contrast in self.contrasts):
            return "more than one seed"
        if None in needed:
            return "more than 1,000 seeds"
        return f"about {max(count for count in needed if count)} seeds"
