"""Crossover, distance and species of NEAT against examples made by hand and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from genomes import evolved, made, numbers, same
from scipy.stats import binomtest

from repsearch.methods import _genome
from repsearch.methods._genome import Genome, crossed, distances
from repsearch.methods._species import STAGNANT, Species, apportioned, children, sorted_into


def distance(one: Genome, other: Genome) -> float:
    return float(distances(one, [other])[0])


# --- two genomes ------------------------------------------------------------------------------------------------------


def two() -> tuple[Genome, Genome]:
    """Genes 1 to 5 match, 6 to 8 are disjoint, 9 and 10 excess."""
    one = made([(1, 0, 3, 1, 1.0), (2, 1, 3, 0, 2.0), (3, 2, 3, 1, 3.0), (4, 1, 4, 1, 4.0), (5, 4, 3, 1, 5.0), (8, 0, 4, 1, 8.0)])
    other = made([(1, 0, 3, 1, -1.0), (2, 1, 3, 0, 2.0), (3, 2, 3, 1, 3.5), (4, 1, 4, 1, 4.0), (5, 4, 3, 0, 5.0),
                  (6, 4, 5, 1, 6.0), (7, 5, 3, 1, 7.0), (9, 2, 4, 1, 9.0), (10, 0, 5, 1, 10.0)])
    return one, other


def test_a_child_has_the_genes_of_the_fitter_parent() -> None:
    one, other = two()
    rng = np.random.default_rng(0)
    for fitter, less in ((one, other), (other, one)):
        born = [crossed(fitter, less, rng) for _ in range(4000)]
        assert all(np.array_equal(child.genes[:, :3], fitter.genes[:, :3]) for child in born)
        weights, enabled = np.stack([child.weights for child in born]), np.stack([child.enabled for child in born])
        place = numbers(less)
        for column, number in enumerate(numbers(fitter)):
            options = {float(fitter.weights[column])} | ({float(less.weights[place.index(number)])} if number in place else set())
            assert set(weights[:, column].tolist()) == options
            off = int((~enabled[:, column]).sum())
            if number in (2, 5) or not fitter.enabled[column]:  # of either parent
                assert binomtest(off, 4000, 0.75).pvalue > 1e-4
            else:
                assert off == 0
        assert binomtest(int((weights[:, 0] == 1).sum()), 4000, 0.5).pvalue > 1e-4
    loose = made([(1, 0, 3, 1, 1.0), (6, 1, 3, 0, 1.0)])  # a disabled gene that only the fitter parent has
    found = sum(bool(crossed(loose, one, rng).enabled[1]) for _ in range(4000))
    assert binomtest(found, 4000, 0.25).pvalue > 1e-4


def test_a_child_of_two_alike_is_like_them() -> None:
    rng = np.random.default_rng(3)
    for seed in range(20):
        parent = evolved(seed, 30)[-1]
        child = crossed(parent, parent, rng)
        assert np.array_equal(child.genes[:, :3], parent.genes[:, :3]) and np.array_equal(child.weights, parent.weights)
        assert child.enabled[parent.enabled].all()
        parent.genes[:, 3] = 1
        assert same(crossed(parent, parent, rng), parent)


def plain(one: Genome, other: Genome, weigh: float = 1.0) -> float:
    """The distance, of sets."""
    a, b = (dict(zip(numbers(genome), genome.weights.tolist(), strict=True)) for genome in (one, other))
    shared = a.keys() & b.keys()
    border = min(max(a), max(b))
    alone = a.keys() ^ b.keys()
    size = max(len(a), len(b))
    size = 1 if size < 20 else size
    excess = sum(number > border for number in alone)
    apart = math.fsum(abs(a[number] - b[number]) for number in shared) / max(1, len(shared))
    return weigh * excess / size + (len(alone) - excess) / size + 0.4 * apart


def test_distance_made_by_hand() -> None:
    one, other = two()
    assert distance(one, other) == pytest.approx(2 + 3 + 0.4 * (2 + 0.5) / 5, rel=1e-12)
    # With twenty genes or more in one of them, structure counts as a share: five of 24.
    rows = [(20 + number, 0, 30 + number, 1, 0.0) for number in range(24 - 9)]
    large = made([(*map(int, genes), float(weight)) for genes, weight in zip(other.genes, other.weights, strict=True)] + rows)
    assert len(large) == 24
    assert distance(one, large) == pytest.approx((2 + 15 + 3) / 24 + 0.4 * 2.5 / 5, rel=1e-12)
    apart = made([(11, 0, 3, 1, 1.0)])
    assert distance(one, apart) == 7  # nothing matches


@pytest.mark.parametrize("weigh", [1.0, 3.0])
def test_distance_is_symmetric_and_zero_to_oneself(monkeypatch: pytest.MonkeyPatch, weigh: float) -> None:
    """Excess genes, which count as much as disjoint ones, can be told from them where they don't."""
    monkeypatch.setattr(_genome, "EXCESS", weigh)
    genomes = [genome for seed in range(4) for genome in evolved(0, 8 * seed + 5)[seed::3]]
    values = set()
    for one in genomes:
        found = distances(one, genomes)
        assert found == pytest.approx([plain(one, other, weigh) for other in genomes], rel=1e-6)
        assert found == pytest.approx([distance(other, one) for other in genomes], rel=1e-12) and distance(one, one) == 0
        values |= set(found.tolist())
    assert len(values) > 100


# --- species ----------------------------------------------------------------------------------------------------------


def test_shares_are_rounded_to_their_sum() -> None:
    rng = np.random.default_rng(0)
    for trial in range(2000):
        size, total = int(rng.integers(1, 40)), int(rng.integers(1, 300))
        shares = [rng.random(size), rng.lognormal(0, 6, size), rng.integers(0, 3, size) + 0.0, np.ones(size)][trial % 4]
        shares[int(rng.integers(size))] += 0.5
        counts = apportioned(shares.tolist(), total)
        quotas = total * shares / shares.sum()
        assert sum(counts) == total and all(abs(count - quota) < 1 + 1e-9 for count, quota in zip(counts, quotas, strict=True))
        assert all(count == 0 for count, share in zip(counts, shares, strict=True) if share == 0)
    assert apportioned([3.0, 1.0], 4) == [3, 1] and apportioned([2.0, 1.0, 1.0], 3) == [1, 1, 1]


def test_children_are_as_many_as_their_parents() -> None:
    rng, any_stale = np.random.default_rng(0), 0
    for _ in range(500):
        population = int(rng.integers(2, 200))
        of = rng.integers(0, rng.integers(1, 12), population)
        species = [Species(made([(0, 0, 3, 1, 1.0)]), members=np.flatnonzero(of == kind).tolist(), stale=int(rng.integers(0, 20)))
                   for kind in np.unique(of)]
        ranks = rng.permutation(population) + 1.0
        best = int(ranks.argmax())
        counts = children(species, ranks.tolist(), best)
        assert sum(counts) == population
        for one, count in zip(species, counts, strict=True):
            if best in one.members:
                assert count > 0
            elif one.stale >= STAGNANT:
                assert count == 0
                any_stale += 1
    assert any_stale > 100
    # Mean ranks of 2 and 5 for nine places; then the best member's own.
    groups = [Species(made([(0, 0, 3, 1, 1.0)]), members=members) for members in ([0, 1, 2, 7, 8, 9, 10], [3, 4, 5])]
    assert children(groups, [1.0, 2, 3, 4, 5, 6, 2, 2, 2, 2, 2], 5) == [3, 7]


def test_species_begin_where_no_representative_is_near() -> None:
    """As a plain loop has it: the first that is near enough, or a species of one's own."""
    for threshold in (0.5, 1.5, 3.0, 1000.0):
        genomes = evolved(0, 60)[::2]
        before = [Species(genomes[7], record=1.0, stale=3), Species(made([(900, 0, 3, 1, 1.0)], outputs=2))]
        found = sorted_into(before, genomes, threshold)
        wanted: list[tuple[Genome, list[int]]] = [(one.representative, []) for one in before]
        for number, genome in enumerate(genomes):
            for representative, members in wanted:
                if plain(genome, representative) < threshold:
                    members.append(number)
                    break
            else:
                wanted.append((genome, [number]))
        wanted = [(representative, members) for representative, members in wanted if members]
        assert [one.members for one in found] == [members for _, members in wanted]
        assert all(one.representative is other for one, (other, _) in zip(found, wanted, strict=True))
        assert (found[0].record, found[0].stale) == (1.0, 3) and before[0].members == []
        if threshold < 1000:
            assert len(found) > 2


def test_a_species_is_stale_until_a_member_is_better_than_all_before() -> None:
    one = Species(made([(0, 0, 3, 1, 1.0)]), members=[2, 0, 1])
    one.rank([0.5, 0.7, 0.5])
    assert one.members == [1, 2, 0] and (one.record, one.stale) == (0.7, 0)
    for expected, fitness in ((1, 0.7), (2, 0.2), (0, 0.8), (1, -math.inf)):
        one.rank([fitness] * 3)
        assert one.stale == expected
    assert one.record == 0.8
