"""Trainings by greedy evolution: never worse, each paid for, and steps made again by hand."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import repsearch as rs
from repsearch import presets
from repsearch.method import Batch
from repsearch.reproduce.goea import greedy
from repsearch.reproduce.goea.mixed import Mixed
from repsearch.reproduce.goea.network import network, shown
from repsearch.reproduce.goea.settings import GENERATIONS, SIZES, greedy_setup
from repsearch.reproduce.goea.theory import Line

CONFIG = rs.FitConfig(epochs=1, batch=2)
NOTHING = Batch(torch.zeros(2, 1), torch.zeros(2).long(), 0, 2)


def tried(method: Mixed) -> Tensor:
    """The steps of the next generation."""
    return method.draw(0, method.population + 1)[1:]


@pytest.mark.parametrize(("way", "elitist"), [("mean of improvers", True), ("weighted sum", False)])
def test_a_mixed_step_by_hand(way: str, elitist: bool) -> None:
    line, g = Line(40), torch.linspace(-1, 2, 40)
    method = Mixed(way, elitist, population=10, std=0.1)
    method.score = lambda w, _: w[0] @ g
    method.start(line, None, CONFIG, 0)  # type: ignore[arg-type]
    for _ in range(3):
        steps, before = tried(method), line.weights.detach().clone()
        heights = steps @ g
        mixed = steps[heights > 0].mean(0) if elitist else (heights - heights.mean()) @ steps
        step = method.step(line, NOTHING, CONFIG)
        wanted = before + 0.1 * math.sqrt(40) * mixed / mixed.norm()
        torch.testing.assert_close(line.weights.detach(), wanted)
        assert step.cost == (12 if elitist else 11)  # parent, tries, and the step where it is judged
        assert step.parts["accepted"] == 1
        torch.testing.assert_close(-step.loss, (wanted if elitist else before) @ g)


def test_where_nothing_is_better_the_elitist_stays() -> None:
    for elitist in (True, False):
        line = Line(20)
        method = Mixed("mean of improvers" if elitist else "weighted sum", elitist, population=5, std=0.1)
        method.score = lambda w, _: -w[0].square().sum()
        method.start(line, None, CONFIG, 0)  # type: ignore[arg-type]
        step = method.step(line, NOTHING, CONFIG)
        assert bool(line.weights.any()) is not elitist and step.parts["accepted"] == (not elitist)
        assert step.cost == 6  # none is better, so no mean of them is judged


def test_a_mixed_step_that_is_worse_is_not_taken() -> None:
    """All tries are better by chance alone, their mean is not: a fitness with a spike at each of them."""
    line, method = Line(20), Mixed("mean of improvers", True, population=4, std=0.1)
    method.start(line, None, CONFIG, 0)  # type: ignore[arg-type]
    steps = tried(method)
    method.score = lambda w, _: (-(steps - w[0]).norm(dim=1)).max() - 100 * w[0].any() * ((steps - w[0]).norm(dim=1).min() > 1e-3)
    step = method.step(line, NOTHING, CONFIG)
    assert not line.weights.any() and step.parts["accepted"] == 0 and step.cost == 6


# --- records ----------------------------------------------------------------------------------------------------------


def test_greedy_evolution_never_gets_worse_and_is_judged_by_what_it_selects_by() -> None:
    setup = greedy_setup(presets.smoke(), "training", 40)
    cell = replace(setup.cells[0], fit=replace(setup.cells[0].fit, epochs=4), arguments={**setup.cells[0].arguments, "std": 0.1})
    data = shown(setup.sample.load(None, 0))
    net = network(drop_in=0, drop=0)
    found = greedy.run(replace(setup, cells=(cell,), every=1), 0)["cells"]["best"]
    assert found["rise"] == 0 and found["stalls"] < 4
    losses = [row[2] for row in found["curve"]]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert [row[1] for row in found["curve"]] == [22 * 40 * count for count in range(5)]  # tries, their parent, and the network as it then is
    # What is looked at is what the method compares: loss as a function of weights alone.
    seen = []
    method = greedy.GOEA(**cell.arguments)
    net.register_forward_pre_hook(greedy.settle)
    rs.fit(net, data, method, cell.fit, 0, progress=False, watch=lambda _, model: seen.append(deepcopy(model)))
    state = {name.replace("parametrizations.weight.original", "weight"): value.detach().clone()
             for name, value in seen[-1].named_parameters()}
    for name, value in state.items():
        if name.endswith("weight") and name != "18.weight":
            state[name] = value / torch.linalg.matrix_norm(value.flatten(1), 2)
    plain = network(drop_in=0, drop=0, spectral=False)
    plain.load_state_dict(state)
    assert F.cross_entropy(plain(data.train.images), data.train.labels).item() == pytest.approx(losses[-1], rel=1e-5)


def test_steps_and_populations_start_from_the_same_weights() -> None:
    setup = greedy_setup(presets.smoke(), "sizes", 40)
    setup = replace(setup, start=0.15, patience=40,
                    cells=tuple(replace(cell, fit=replace(cell.fit, epochs=2)) for cell in setup.cells))
    found = greedy.run(setup, 0)
    assert list(found["cells"]) == list(SIZES) and 0 < found["start"] < 40
    first = [cell["curve"][0] for cell in found["cells"].values()]
    assert all(row == first[0] for row in first) and first[0][3] >= 0.15
    spent = {name: cell["spent"] for name, cell in found["cells"].items()}
    assert spent == {"base": 22 * 80, "step x8": 22 * 80, "step /8": 22 * 80, "population x2": 42 * 80, "population /5": 6 * 80}
    assert {name: len(cell["curve"]) for name, cell in found["cells"].items()} == dict.fromkeys(SIZES, 2)
    json.dumps(found, allow_nan=False)


def test_ways_are_paid_alike_and_the_seed_decides() -> None:
    setup = greedy_setup(presets.smoke(), "ways", 20)
    found = greedy.run(setup, 0)
    spent = {name: cell["spent"] for name, cell in found["cells"].items()}
    assert all(2 * 22 * 20 <= spent[name] < 3 * 23 * 20 for name in spent if name != "SGD")
    assert spent["SGD"] == 2 * 3 * 20 and "stalls" not in found["cells"]["SGD"]
    assert all(len(row) == len(found["columns"]) == 6 for cell in found["cells"].values() for row in cell["curve"])
    fewer = replace(setup, cells=setup.cells[2:])
    again = greedy.run(fewer, 0)["cells"]
    assert again == {cell.name: found["cells"][cell.name] for cell in fewer.cells} != greedy.run(fewer, 1)["cells"]


def test_sizes_of_the_book() -> None:
    for variant, count in GENERATIONS.items():
        setup = greedy_setup(presets.book("mnist"), variant, None)
        assert setup.sample.train == 1000
        if variant != "ways":
            assert {cell.fit.epochs for cell in setup.cells} == {count}
    assert {(cell.arguments["population"], cell.arguments["std"]) for cell in greedy_setup(presets.book("mnist"), "sizes", None).cells} == {
        (20, 0.01), (20, 0.08), (20, 0.00125), (40, 0.01), (4, 0.01)}
    with pytest.raises(rs.InputError, match="variant='luck': unknown"):
        greedy_setup(presets.smoke(), "luck", None)
