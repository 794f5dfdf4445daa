"""Methods on one network and budget: their settings, and the perceptron that is searched."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.networks import parameter_count
from repsearch.reproduce import perceptron_turns, strategies
from repsearch.reproduce.arena_settings import CHOSEN, METHODS, TAKEN, TRIALS, TURNS, es_setup, perceptron_turns_setup
from repsearch.reproduce.perceptron_turns import perceptron


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_every_method_has_as_many_trials_and_the_best_of_its_own(data: str) -> None:
    counts = Counter(cell.method for cell in TRIALS[data])
    assert set(counts) == set(METHODS) and len(set(counts.values())) == 1
    assert len({cell.name for cell in TRIALS[data]}) == len(TRIALS[data])
    assert [cell.method for cell in CHOSEN[data]] == list(METHODS) and set(CHOSEN[data]) <= set(TRIALS[data])
    assert TAKEN in TURNS.values()
    for method in METHODS:
        (cell,) = (setup := es_setup(presets.book(data), method, None)).cells
        assert (cell.method, cell.fit.budget, setup.tested) == (method, 16e6 if data == "mnist" else 1e6, True)
        trials = es_setup(presets.book(data), f"{method}-tuning", None)
        assert len(trials.cells) == counts[method] and not trials.tested


def test_the_perceptron_that_is_searched_is_a_perceptron() -> None:
    """In the same order as its weights, written out; of the images the margin is lost."""
    network, images = perceptron((36, 7, 5, 3), 8, seed=2), torch.rand(4, 1, 8, 8)
    H: Tensor = images[:, :, 1:-1, 1:-1].flatten(1)
    *hidden, last = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    for layer in hidden:
        H = (H @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(network(images), H @ last.weight.T + last.bias)
    assert parameter_count(perceptron((784, 128, 128, 10), 32, 0)) == 118_282
    same = perceptron((36, 7, 5, 3), 8, seed=2).state_dict()
    assert all(torch.equal(weight, same[name]) for name, weight in network.state_dict().items())


def test_rounds_of_the_perceptron_are_those_of_the_library() -> None:
    setup = perceptron_turns_setup(presets.smoke("digits"), "loop", None)
    found = perceptron_turns.run(setup, seed=0)
    data = setup.sample.load(None, 0)
    side = data.train.images.shape[-1]
    network = rs.calibrate(perceptron(setup.sizes, side, 0), data.train.images[:512])
    model = perceptron(setup.sizes, side, 1000)
    rounds = rs.alternate(network, model, data, setup.alternate, seed=0, progress=False)
    assert found["validation"] == [one.accuracy for one in rounds] and found["best"] == rounds.best
    assert found["test"][rounds.best] == pytest.approx(rs.accuracy(model, data.test))
    assert found["spent"] == [one.spent for one in rounds] and len(found["spent"]) == setup.alternate.rounds


def test_the_convolutional_network_is_trained_by_each_method() -> None:
    """On few images, within a small budget."""
    from dataclasses import replace

    setup, chosen = es_setup(presets.smoke("digits"), "SNES", None), CHOSEN["mnist"]
    cells = tuple(replace(cell, fit=replace(cell.fit, budget=3000, batch=50), arguments={
        key: 10 if key == "population" else 2 if key == "parents" else value for key, value in cell.arguments.items()})
        for cell in chosen)
    found = strategies.run(replace(setup, network=None, cells=cells), seed=0)["cells"]
    assert list(found) == [cell.name for cell in chosen]
    assert all(0 < cell["spent"] <= 3000 and 0 <= cell["test_accuracy"] <= 1 for cell in found.values())
