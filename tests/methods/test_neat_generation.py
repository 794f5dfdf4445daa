"""From one generation of NEAT to the next: who lives on, who has children, how they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from genomes import CONFIG, CORNERS, XOR, known, same, started
from scipy.stats import binomtest, kstest
from torch import Tensor

import repsearch as rs
from repsearch.method import Step
from repsearch.methods import NEAT, neat
from repsearch.methods._genome import Genome, Innovations


class Given:
    """A fitness that says what it is told, member by member."""

    def __init__(self, draw: Callable[[int], float]) -> None:
        self.draw, self.calls, self.said = draw, 0, list[float]()

    def __call__(self, _logits: Tensor, _labels: Tensor) -> Tensor:
        self.calls += 1
        self.said.append(self.draw(self.calls - 1))
        return torch.tensor(self.said[-1])


# --- a generation -----------------------------------------------------------------------------------------------------


def test_the_network_is_the_best_member() -> None:
    net = NEAT.Net(2, 2, seed=1)
    method = started(NEAT(population=30), net)
    before = math.inf
    for _ in range(12):
        members = method.genomes
        done: Step = method.step(net, XOR, CONFIG)
        losses = []
        for genome in members:
            net_of = NEAT.Net(2, 2)
            net_of.take(genome)
            losses.append(F.cross_entropy(net_of(CORNERS), XOR.labels).item())
        best = int(np.argmin(losses))
        assert done.loss.item() == pytest.approx(losses[best], rel=1e-5) and done.cost == 30
        assert same(net.genome, members[best]) and known(members[best], method.genomes)
        assert done.logits is not None and torch.equal(done.logits, net(CORNERS)) and len(method.genomes) == 30
        assert done.parts["links"] == net.genome.enabled.sum() and done.parts["nodes"] == len(net.genome.hidden)
        assert done.loss.item() <= before and net.weights.grad is None
        before = done.loss.item()


def test_the_first_generation_has_the_networks_genes() -> None:
    net = NEAT.Net(2, 2, seed=1)
    method = started(NEAT(population=4000, std=0.02, spread=30.0), net)
    assert all(np.array_equal(genome.genes, net.genome.genes) for genome in method.genomes)
    moved = np.stack([genome.weights for genome in method.genomes]) - net.genome.weights
    near = np.abs(moved) < 0.1
    assert kstest(moved[near] / 0.02, "norm").pvalue > 1e-3 and binomtest(int((~near).sum()), moved.size, 0.1).pvalue > 1e-3
    # It goes on from a network that has evolved, with innovations that are new.
    for _ in range(12):
        started_on = started(NEAT(population=20, add_node=1.0, add_link=1.0), net)
        started_on.step(net, XOR, CONFIG)
        started_on.step(net, XOR, CONFIG)
    genome = net.genome
    pairs = [tuple(ends) for ends in genome.genes[:, 1:3].tolist()]
    assert len(genome) > 6 and len(set(genome.genes[:, 0].tolist())) == len(genome) == len(set(pairs))


def test_champions_live_on_and_the_population_stays_as_large() -> None:
    """Species are those of the genomes that live; fitness is drawn at random, so that any member may be best."""
    rng, seen = np.random.default_rng(0), Counter[str]()
    fitness = Given(lambda _: float(rng.random()))
    net = NEAT.Net(2, 2, seed=1)
    method = started(NEAT(population=61, fitness=fitness, add_node=0.3, add_link=0.3), net)
    for _ in range(40):
        fitness.said.clear()
        members = method.genomes
        method.step(net, XOR, CONFIG)
        assert len(method.genomes) == 61 and len(fitness.said) == 61
        assert known(members[int(np.argmax(fitness.said))], method.genomes)
        for one in method.species:
            champion = max(one.members, key=lambda number: fitness.said[number])
            assert champion == one.members[0] and known(one.representative, [members[number] for number in one.members])
            if len(one.members) > 5:
                seen["large"] += 1
                assert known(members[champion], method.genomes)
            elif champion != int(np.argmax(fitness.said)):
                seen["kept"] += known(members[champion], method.genomes)
                seen["small"] += 1
    assert seen["large"] > 40 and seen["small"] > 40 and seen["kept"] < seen["small"] / 2, seen


@pytest.mark.parametrize(("stale", "left"), [(13, 2), (14, 1)])
def test_a_stagnant_species_has_no_children(stale: int, left: int) -> None:
    """After fifteen generations in which no member was better than all before, the best member's species excepted."""
    net = NEAT.Net(2, 2, seed=1)
    method = started(NEAT(population=40, threshold=0.3, fitness=lambda logits, _labels: logits.sum() * 0), net)
    for _ in range(3):
        method.step(net, XOR, CONFIG)
    for one in method.species:
        one.stale, one.record = stale, 1.0
    method.step(net, XOR, CONFIG)
    old = sum(one.stale == stale + 1 for one in method.species)
    assert old == left if left == 1 else old > left


def test_shares_of_children() -> None:
    net = NEAT.Net(2, 2, seed=1)
    method, rng, count = started(NEAT(), net), np.random.default_rng(0), 6000
    method.innovations = Innovations(100, 100)
    parent = method._mutated(net.genome, 1000, np.random.default_rng(0))
    while not parent.hidden:
        parent = neat.with_node(parent, rng, method.innovations)
    born = [method._mutated(parent, 1000, rng) for _ in range(count)]
    for share, found in (
        (0.8, sum(not np.isin(parent.weights, child.weights).all() for child in born)),
        (0.03, sum(len(child.hidden) == len(parent.hidden) + 1 for child in born)),
    ):
        assert binomtest(found, count, share).pvalue > 1e-3, (share, found)
    links = sum((len(child) - len(parent)) % 2 for child in born)
    assert binomtest(links, count, 0.05).pvalue > 1e-3, links


def test_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three in four children have two, the best fifth of their species; the fitter one comes first."""
    net = NEAT.Net(2, 2, seed=1)
    method = started(NEAT(population=1000, threshold=1000.0), net)
    pairs: list[tuple[Genome, Genome]] = []
    monkeypatch.setattr(neat, "crossed", lambda fitter, other, _rng: pairs.append((fitter, other)) or fitter)
    members = method.genomes
    rng = np.random.default_rng(0)
    scores = rng.permutation(1000).astype(float).tolist()
    method._reproduce(torch.tensor(scores), int(np.argmax(scores)), 1000)
    assert binomtest(len(pairs), 999, 0.75).pvalue > 1e-3
    score = {id(genome): one for genome, one in zip(members, scores, strict=True)}
    found = [(score[id(fitter)], score[id(other)]) for fitter, other in pairs]
    assert all(one >= other >= 800 for one, other in found) and min(other for _, other in found) < 810
    # Of equals the one with fewer genes is taken for the fitter one.
    pairs.clear()
    method = started(NEAT(population=300, threshold=1000.0), net)
    for number in range(0, 300, 2):
        method.genomes[number] = neat.with_node(method.genomes[number], rng, method.innovations)
    method._reproduce(torch.zeros(300), 0, 1000)
    assert all(len(fitter) <= len(other) for fitter, other in pairs) and len({(len(a), len(b)) for a, b in pairs}) == 3


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_parents_of_another_species(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(neat, "OUTSIDE", share)
    net, pairs = NEAT.Net(2, 2, seed=1), list[tuple[Genome, Genome]]()
    monkeypatch.setattr(neat, "crossed", lambda fitter, other, _rng: pairs.append((fitter, other)) or fitter)
    method = started(NEAT(population=1000, threshold=0.3), net)
    members = method.genomes
    method._reproduce(torch.arange(1000.0), 999, 1000)
    number = {id(genome): place for place, genome in enumerate(members)}
    home = {member: kind for kind, one in enumerate(method.species) for member in one.members}
    mixed = sum(home.get(number[id(fitter)]) != home.get(number[id(other)]) for fitter, other in pairs)
    assert len(method.species) > 5 and len(pairs) > 500 and binomtest(mixed, len(pairs), share).pvalue > 1e-3


def test_a_genome_grows_no_more_than_there_is_room() -> None:
    net = NEAT.Net(2, 2, capacity=11)
    method = started(NEAT(population=40, add_node=0.8, add_link=0.8), net)
    sizes = Counter[int]()
    for _ in range(15):
        number = method.innovations.genes
        method.step(net, XOR, CONFIG)
        sizes.update(map(len, method.genomes))
        assert all(given >= number for given in method.innovations.links.values())  # to this generation
    assert max(sizes) == 11 and sizes[11] > 50


# --- fitness ----------------------------------------------------------------------------------------------------------


def test_a_member_without_a_finite_fitness_is_worse_than_the_worst() -> None:
    net = NEAT.Net(2, 2)
    values = [math.nan, -5.0, math.inf, -9.0, -math.inf, -7.0]
    method = started(NEAT(population=6, threshold=1000.0, fitness=Given(lambda call: values[call])), net)
    members = method.genomes
    with pytest.warns(UserWarning, match="3 of 6 members have no finite fitness"):
        done = method.step(net, XOR, CONFIG)
    assert same(net.genome, members[1]) and done.loss == 5 and done.parts["lost"] == 0.5
    assert method.species[0].members[:3] == [1, 5, 3] and sorted(method.species[0].members[3:]) == [0, 2, 4]
    with pytest.raises(rs.InputError, match="no member has a finite fitness"):
        started(NEAT(population=6, fitness=Given(lambda _: math.nan)), net).step(net, XOR, CONFIG)
