"""Species of NEAT: who belongs together, and how many children each species has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from repsearch.methods._genome import Genome, distances

STAGNANT = 15
"""Generations without a better member, after which a species has no children."""


@dataclass
class Species:
    """Genomes near a representative.

    Args:
        representative: a member of the generation before.
        record: the highest fitness that a member ever had.
        stale: generations since then.
        members: their numbers in the population; once `ranked`, the best first.
    """

    representative: Genome
    record: float = -math.inf
    stale: int = 0
    members: list[int] = field(default_factory=list)

    def rank(self, fitness: Sequence[float]) -> None:
        """Put the best member first, and see whether it is better than all before."""
        self.members.sort(key=lambda number: -fitness[number])
        best = fitness[self.members[0]]
        self.record, self.stale = (best, 0) if best > self.record else (self.record, self.stale + 1)


def sorted_into(species: Sequence[Species], genomes: Sequence[Genome], threshold: float) -> list[Species]:
    """The species that have members: each genome is in the first whose representative is nearer than the threshold, or
    represents one of its own."""
    waiting, found = list(range(len(genomes))), list[Species]()
    known = [Species(one.representative, one.record, one.stale) for one in species]
    while waiting:
        one = known.pop(0) if known else Species(genomes[waiting[0]])
        near = distances(one.representative, [genomes[number] for number in waiting]) < threshold
        one.members = [number for number, its in zip(waiting, near, strict=True) if its]
        waiting = [number for number, its in zip(waiting, near, strict=True) if not its]
        found += [one] * bool(one.members)
    return found


def children(species: Sequence[Species], ranks: Sequence[float], best: int) -> list[int]:
    """How many members of the next generation each species gives; their sum is the population, the sum of all sizes.

    Fitness is shared: the rank of a member, from 1, is divided by the size of its species, so a species counts as its
    mean rank. One that is stagnant counts nothing, unless it has the best member of all, which has a place of its own.

    Args:
        ranks: of the population, from the worst, 1.
        best: the number of the best member.
    """
    owns = [best in one.members for one in species]
    shares = [sum(ranks[number] for number in one.members) / len(one.members) if own or one.stale < STAGNANT else 0.0
              for one, own in zip(species, owns, strict=True)]
    counts = apportioned(shares, sum(len(one.members) for one in species) - 1)
    return [count + own for count, own in zip(counts, owns, strict=True)]


def apportioned(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to shares, with exactly this sum: rounded down, and the largest remainders up.

    Example:
        >>> apportioned([1.0, 1.0, 1.0], 10)
        [4, 3, 3]
    """
    quotas = [total * share / sum(shares) for share in shares]
    counts = [math.floor(quota) for quota in quotas]
    order = sorted(range(len(quotas)), key=lambda place: counts[place] - quotas[place])
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts
