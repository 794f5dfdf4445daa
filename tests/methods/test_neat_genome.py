"""Genomes of NEAT and their networks against examples made by hand and the standard library's order of a graph."""

from __future__ import annotations

import math
from functools import cache
from graphlib import TopologicalSorter

import numpy as np
import torch
from genomes import ends, evolved, first, made, numbers, same
from scipy.stats import binomtest, kstest
from torch import Tensor

from repsearch.methods._genome import Genome, Innovations, minimal, packed, unpacked, with_link, with_node, with_weights
from repsearch.methods._graph import passed


def logits(genome: Genome, x: Tensor, **squash: object) -> Tensor:
    return passed(genome, torch.from_numpy(genome.weights), x, **squash)  # type: ignore[arg-type]


# --- mutations --------------------------------------------------------------------------------------------------------


def test_a_genome_begins_with_all_inputs_and_the_bias_on_all_outputs() -> None:
    genome, _, _ = first(3, 2)
    assert ends(genome) == [(source, target) for target in (4, 5) for source in (0, 1, 2, 3)]
    assert numbers(genome) == list(range(8)) and genome.enabled.all() and genome.hidden == []
    x = torch.randn(5, 3)
    W = torch.from_numpy(genome.weights).view(2, 4)
    torch.testing.assert_close(logits(genome, x), x @ W[:, :3].T + W[:, 3])


def test_a_split_leaves_the_function_as_it_was_if_nodes_are_linear() -> None:
    """Whole numbers, so that no sum is rounded; the sigmoid adds w (s(x) - x) for a link of weight w from an x."""
    rng, x = np.random.default_rng(1), torch.randint(-9, 10, (20, 3)).float()
    for _ in range(30):
        genome, innovations = minimal(3, 2, rng.integers(-9, 10, 8).astype(np.float32)), Innovations(8, 6)
        before = logits(genome, x)
        split = with_node(genome, rng, innovations)
        (gone,) = np.flatnonzero(~split.enabled)
        assert split.hidden == [6] and numbers(split) == list(range(10)) and len(genome) == 8 and genome.enabled.all()
        assert ends(split)[8:] == [(ends(genome)[gone][0], 6), (6, ends(genome)[gone][1])]
        assert split.weights[8:].tolist() == [1.0, genome.weights[gone]]
        assert torch.equal(logits(split, x, squash=lambda sums: sums), before)
        source, target = ends(genome)[gone]
        value = torch.cat([x, torch.ones(20, 1)], 1)[:, source]
        change = (float(genome.weights[gone]) * (1 / (1 + torch.exp(-4.9 * value)) - value))
        wanted = before.clone()
        wanted[:, target - 4] += change
        torch.testing.assert_close(logits(split, x), wanted, rtol=1e-5, atol=1e-4)
        twice = with_node(split, rng, innovations)
        innovations.forget()
        assert torch.equal(logits(twice, x, squash=lambda sums: sums), before)


def test_the_same_mutation_of_a_generation_has_the_same_number() -> None:
    def split(number: int, innovations: Innovations) -> Genome:
        """A genome whose only enabled gene is split."""
        genome, _, rng = first(2, 1)
        genome.genes[:, 3] = np.arange(3) == number
        return with_node(genome, rng, innovations)

    innovations = Innovations(3, 4)
    one, other, again = (split(number, innovations) for number in (0, 1, 0))
    assert numbers(one) == [0, 1, 2, 3, 4] and numbers(other) == [0, 1, 2, 5, 6]
    assert np.array_equal(one.genes, again.genes) and one.hidden == [4] and other.hidden == [5]
    innovations.forget()
    later = split(0, innovations)
    assert numbers(later) == [0, 1, 2, 7, 8] and later.hidden == [6]

    # A link: only (1, 4) is missing, or (0, 5), or both.
    base = made([(0, 0, 3, 1, 1.0), (1, 1, 3, 1, 1.0), (2, 2, 3, 1, 1.0), (3, 0, 4, 1, 1.0), (4, 4, 3, 1, 1.0), (5, 2, 4, 1, 1.0)])
    innovations, rng = Innovations(6, 5), np.random.default_rng(0)
    linked = [with_link(base, rng, innovations, 1.0) for _ in range(3)]
    assert {tuple(one.genes[-1]) for one in linked} == {(6, 1, 4, 1)}
    assert len({float(one.weights[-1]) for one in linked}) == 3
    innovations.forget()
    assert numbers(with_link(base, rng, innovations, 1.0))[-1] == 7
    full = with_link(base, rng, innovations, 1.0)
    assert with_link(full, rng, innovations, 1.0) is full


def test_genes_are_sorted_also_if_an_older_number_comes_second() -> None:
    innovations = Innovations(6, 5)
    base = made([(0, 0, 3, 1, 1.0), (1, 1, 3, 1, 1.0), (2, 2, 3, 1, 1.0), (3, 0, 4, 1, 1.0), (4, 4, 3, 1, 1.0), (5, 2, 4, 1, 1.0)])
    assert innovations.link(1, 4) == 6  # by another genome
    rng = np.random.default_rng(0)
    grown = with_link(with_node(base, rng, innovations), rng, innovations, 1.0)
    while (1, 4) not in ends(grown):
        grown = with_link(with_node(base, rng, innovations), rng, innovations, 1.0)
    assert numbers(grown) == [0, 1, 2, 3, 4, 5, 6, 7, 8] and ends(grown)[6] == (1, 4)


def test_no_way_leads_back_after_many_mutations() -> None:
    """`graphlib` raises where there is a cycle, of enabled and disabled genes."""
    inner = 0
    for seed in range(8):
        line = evolved(seed, 200)
        for genome in line[::10]:
            before: dict[int, set[int]] = {}
            for source, target in ends(genome):
                before.setdefault(target, set()).add(source)
            list(TopologicalSorter(before).static_order())
            assert len(set(ends(genome))) == len(genome) and numbers(genome) == sorted(set(numbers(genome)))
            assert all(source not in (3, 4) and target > 2 for source, target in ends(genome))
            inner += len(genome.inner())
            assert set(genome.hidden) == {node for pair in ends(genome) for node in pair if node > 4}
        assert len(line[-1]) > 60
    assert inner > 1000
    # A disabled gene may be enabled again: 4 leads to 5, so nothing leads from 5 to 4.
    genome = made([(0, 0, 3, 1, 1.0), (1, 0, 4, 1, 1.0), (2, 4, 3, 1, 1.0), (3, 0, 5, 1, 1.0), (4, 5, 3, 1, 1.0), (5, 4, 5, 0, 1.0)])
    linked = [with_link(genome, np.random.default_rng(seed), Innovations(6, 6), 1.0) for seed in range(100)]
    assert {ends(one)[-1] for one in linked} == {(source, target) for source in (1, 2) for target in (3, 4, 5)}


def test_weights_are_moved_or_drawn_anew() -> None:
    genome = Genome(np.zeros((20000, 4), dtype=np.int64), np.full(20000, 100, dtype=np.float32), 2, 1)
    found = with_weights(genome, np.random.default_rng(0), std=0.5, spread=2.0).weights
    drawn = found[found < 50]
    assert binomtest(len(drawn), 20000, 0.1).pvalue > 1e-3
    assert kstest(drawn / 2, "norm").pvalue > 1e-3 and kstest((found[found > 50] - 100) / 0.5, "norm").pvalue > 1e-3
    assert (genome.weights == 100).all()


# --- the network of a genome ------------------------------------------------------------------------------------------


def s(x: float) -> float:
    return 1 / (1 + math.exp(-4.9 * x))


def test_logits_of_a_genome_made_by_hand() -> None:
    """Hidden 6 sees hidden 5, which has the larger depth by its number only; a gene is disabled, node 7 sees nothing."""
    genome = made([
        (0, 0, 3, 1, 0.5), (1, 1, 3, 0, 9.0), (2, 2, 3, 1, -0.25), (3, 2, 4, 1, 0.125), (4, 1, 6, 1, 0.3), (5, 6, 5, 1, -0.7),
        (6, 0, 5, 1, 0.2), (7, 5, 3, 1, 1.5), (8, 6, 4, 1, -2.0), (9, 2, 6, 1, 0.1), (10, 0, 7, 0, 3.0), (11, 7, 4, 1, 0.6),
    ], outputs=2)
    x = [(0.3, -0.8), (-1.2, 0.4), (0.0, 0.0)]
    wanted = []
    for a, b in x:
        six = s(0.3 * b + 0.1)
        five = s(-0.7 * six + 0.2 * a)
        wanted.append([0.5 * a - 0.25 + 1.5 * five, 0.125 - 2 * six + 0.6 * s(0)])
    torch.testing.assert_close(logits(genome, torch.tensor(x)), torch.tensor(wanted))


def test_logits_of_evolved_genomes_by_recursion() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for seed in range(12):
        genome = evolved(seed, 60, 3, 2)[-1]
        into: dict[int, list[tuple[int, float]]] = {}
        for (source, target), weight, on in zip(ends(genome), genome.weights.tolist(), genome.enabled, strict=True):
            if on:
                into.setdefault(target, []).append((source, weight))
        for row, found in zip(x.tolist(), logits(genome, x), strict=True):

            @cache
            def value(node: int, row: tuple[float, ...] = (*row, 1.0), into: dict[int, list[tuple[int, float]]] = into) -> float:
                if node < 4:
                    return row[node]
                total = sum(weight * value(source) for source, weight in into.get(node, []))
                return total if node < 6 else s(total)

            torch.testing.assert_close(found, torch.tensor([value(4), value(5)]), rtol=1e-4, atol=1e-4)
        assert len(genome.inner(enabled=True)) > 3


def test_genomes_in_a_checkpoint() -> None:
    line = evolved(0, 30)
    state = packed(line)
    assert sum(state["lengths"]) == len(state["genes"]) == len(state["weights"])
    assert all(same(one, other) for one, other in zip(line, unpacked(state, 2, 2), strict=True))
