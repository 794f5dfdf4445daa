"""Methods on one network and budget: their settings, and the perceptron that is searched."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.networks import parameter_count
from repsearch.reproduce import perceptron_turns
from repsearch.reproduce.arena_settings import (
    CHOSEN,
    FURTHER,
    METHODS,
    TAKEN,
    TRIALS,
    TURNS,
    es_setup,
    perceptron_turns_setup,
)
from repsearch.reproduce.perceptron_turns import perceptron
from repsearch.reproduce.records import read_records


@pytest.mark.parametrize("data", TRIALS)
def test_every_method_has_as_many_trials_and_the_best_of_its_own(data: str) -> None:
    counts = Counter(cell.method for cell in TRIALS[data])
    assert set(counts) == set(METHODS) and len(set(counts.values())) == 1
    assert len({cell.name for cell in TRIALS[data]}) == len(TRIALS[data])
    assert [cell.method for cell in CHOSEN[data]] == list(METHODS) and all(cell in TRIALS[data] for cell in CHOSEN[data])
    assert TAKEN in TURNS.values()
    for method in METHODS:
        (cell,) = (setup := es_setup(presets.book(data), method, None)).cells
        assert (cell.method, cell.fit.budget, setup.tested) == (method, 16e6, True)
        trials = es_setup(presets.book(data), f"{method}-tuning", None)
        assert len(trials.cells) == counts[method] and not trials.tested


@pytest.mark.parametrize("method", METHODS)
def test_what_was_chosen_did_best_on_validation_images(method: str) -> None:
    further = any(cell.method == method for cell in FURTHER["mnist"])
    records = [record for kind in ("tuning", "further") if kind == "tuning" or further
               for record in read_records(f"es-mnist-book-{method}-{kind}-0")]
    cells = {name: found for record in records for name, found in record["cells"].items()}
    assert not any(found.get("test_accuracy") for found in cells.values())
    reached = {name: found["best"] for name, found in cells.items() if "failed" not in found}
    (chosen,) = (cell.name for cell in CHOSEN["mnist"] if cell.method == method)
    assert reached[chosen] == max(reached.values())


def test_the_rates_of_the_turns_did_best_on_validation_images() -> None:
    reached = {name: max(read_records(f"es-turns-mnist-book-{name}-0")[0]["validation"]) for name in TURNS}
    assert reached[next(name for name, rates in TURNS.items() if rates == TAKEN)] == max(reached.values())


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
