"""Trainings by rules without an end-to-end gradient: their settings, and how near their steps are to it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.method import Batch, Method, Step
from repsearch.methods import Backprop, FeedbackAlignment, ForwardForward
from repsearch.reproduce import rules
from repsearch.reproduce.records import read_records
from repsearch.reproduce.rule_settings import BUDGET, CHOSEN, DIVERGED, FURTHER, RULES, TRIALS, TRIED, cell, rules_setup
from repsearch.reproduce.rule_steps import agreement, first_batch
from repsearch.reproduce.rules import cropped
from repsearch.reproduce.strategies import perceptron

SIZES = (64, 16, 16, 10)
CONFIG = rs.FitConfig(epochs=2, batch=50, learning_rate=0.05)


@pytest.fixture(scope="module")
def digits() -> rs.Dataset:
    return rs.load("digits", train=200, validation=100, test=100)


def test_every_rule_has_as_many_trials_and_the_best_of_its_own() -> None:
    assert set(TRIALS) == set(RULES) == set(CHOSEN)
    for rule in RULES:
        (best,) = (setup := rules_setup(presets.book("mnist"), rule, None)).cells
        trials = rules_setup(presets.book("mnist"), f"{rule}-tuning", None)
        assert len({one.name for one in trials.cells}) == len(trials.cells) == 12
        assert (best.fit.budget, setup.tested, trials.tested) == (BUDGET, True, False)
        assert {one.fit.budget for one in trials.cells} == {TRIED}
        assert best.name in {one.name for one in trials.cells} | {cell(RULES[rule], one).name for one in FURTHER.get(rule, ())}


@pytest.mark.parametrize("rule", RULES)
def test_what_was_chosen_did_best_on_validation_images(rule: str) -> None:
    kinds = ("tuning", "further") if rule in FURTHER else ("tuning",)
    records = [record for kind in kinds for record in read_records(f"rules-mnist-book-{rule}-{kind}-0")]
    cells = {name: found for record in records for name, found in record["cells"].items()}
    diverged = {cell(RULES[rule], one).name for one in DIVERGED.get(rule, ())}
    reached = {name: found["best"] for name, found in cells.items() if "failed" not in found and name not in diverged}
    assert reached[cell(RULES[rule], CHOSEN[rule]).name] == max(reached.values())
    assert not any("test_accuracy" in found for found in cells.values())


@pytest.mark.parametrize("tested", [True, False])
def test_each_rule_trains(tested: bool) -> None:
    """On digits, for a moment; the logits' layer has the exact gradient."""
    setup = rules_setup(presets.smoke("digits"), "backprop" if tested else "backprop-tuning", None)
    cells = tuple(cell(rule, CHOSEN[name]) for name, rule in RULES.items())
    cells = tuple(replace(one, name=name, fit=replace(one.fit, budget=3000, batch=50))
                  for name, one in zip(RULES, cells, strict=True))
    found = rules.run(replace(setup, cells=cells, network=(1024, 16, 16, 10)), seed=0)["cells"]
    assert list(found) == list(RULES)
    for name, one in found.items():
        assert 0 <= one["best"] <= 1 and 3000 <= one["spent"] < 8000 and ("test_accuracy" in one) == tested
        if tested and name != "forward-forward":
            assert [epoch for epoch, _, _ in one["cosines"]][:2] == [0, 1]
            assert all(cosines[-1] == pytest.approx(1, abs=1e-4) for _, _, cosines in one["cosines"])


def test_a_frozen_body_stays_as_it_was_drawn(digits: rs.Dataset) -> None:
    setup = replace(rules_setup(presets.smoke("digits"), "untrained", None), network=SIZES)
    model, _ = rules._network(setup, setup.cells[0], digits, seed=1)
    before = [p.clone() for p in model.parameters()]
    rs.fit(model, digits, Backprop(), CONFIG, progress=False)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert moved == [False] * 4 + [True] * 2
    assert all(torch.equal(a, b) for a, b in zip(before, perceptron(digits, SIZES, 1).parameters(), strict=True))


# --- how near a step is -----------------------------------------------------------------------------------------------


def started(data: rs.Dataset, method: Method, model: nn.Module) -> Method:
    method.start(model, data, CONFIG, 0)
    return method


def test_back_propagation_agrees_with_itself(digits: rs.Dataset) -> None:
    model = perceptron(digits, SIZES, 0)
    found = agreement(model, started(digits, Backprop(), model), first_batch(digits.train), CONFIG)
    assert found == pytest.approx([1, 1, 1])


def test_the_cosine_is_that_of_gradients_written_out(digits: rs.Dataset) -> None:
    """Of random feedback: both gradients by matrix products, no autograd."""
    model, batch = perceptron(digits, SIZES, 0), first_batch(digits.train)
    method = started(digits, FeedbackAlignment("random"), model)
    *hidden, last = (layer for layer in model if isinstance(layer, nn.Linear))
    H = [model[:2](batch.images)]
    for layer in hidden:
        H.append((H[-1] @ layer.weight.T + layer.bias).clamp(min=0))
    error = (H[-1] @ last.weight.T + last.bias).softmax(1) - F.one_hot(batch.labels, 10)
    feedback = {name: method.feedback[name] for name in method.layers}  # type: ignore[attr-defined]
    backward = [feedback[name] for name, layer in method.layers.items() if layer is not hidden[0]]  # type: ignore[attr-defined]
    for stage in (0, 1):
        ours, exact = (gradient(H, error, back, stage) for back in (backward, [hidden[1].weight, last.weight]))
        expected = F.cosine_similarity(ours, exact, dim=0)
        found = agreement(model, method, batch, CONFIG)
        assert found is not None and found[stage] == pytest.approx(float(expected), abs=1e-5)


def gradient(H: list[Tensor], error: Tensor, weights: list[Tensor], stage: int) -> Tensor:
    """Of a stage's weight and bias, with these weights on the way back."""
    delta = error
    for layer in (1, 0)[: 2 - stage]:
        delta = (delta @ weights[layer]) * (H[layer + 1] > 0)
    return torch.cat([(delta.T @ H[stage]).flatten(), delta.sum(0)]).detach()


def test_looking_changes_neither_network_nor_method(digits: rs.Dataset) -> None:
    """A rule whose step moves weights, and feedback: it looks, and trains on as if it had not."""
    ends = []
    for looks in (False, True):
        model, method = perceptron(digits, SIZES, 0), FeedbackAlignment("kolen-pollack")

        def watch(_: int, now: nn.Module, looks: bool = looks, method: Method = method) -> None:
            if looks:
                agreement(now, method, first_batch(digits.train), CONFIG)

        rs.fit(model, digits, method, CONFIG, progress=False, watch=watch)
        ends.append([*model.parameters(), *method.feedback.values()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


class Still(Backprop):
    """Leaves no gradient in the first layer."""

    def step(self, model: nn.Module, batch: Batch, config: rs.FitConfig) -> Step:
        done = super().step(model, batch, config)
        next(layer for layer in model.children() if isinstance(layer, nn.Linear)).zero_grad()
        return done


def test_a_stage_without_a_gradient_has_no_cosine(digits: rs.Dataset) -> None:
    model = perceptron(digits, SIZES, 0)
    found = agreement(model, started(digits, Still(), model), first_batch(digits.train), CONFIG)
    assert found is not None and found[0] is None and not math.isnan(sum(found[1:]))  # type: ignore[arg-type]


def test_a_network_that_cannot_be_cut_has_none_at_all(digits: rs.Dataset) -> None:
    net = ForwardForward.Net((32 * 32, 16, 16), 10, "head")
    method = started(digits, ForwardForward(), net)
    assert agreement(net, method, first_batch(digits.train), CONFIG) is None


def test_margins_are_cut_off_evenly(digits: rs.Dataset) -> None:
    found = cropped(digits, 28 * 28)
    assert torch.equal(found.test.images, digits.test.images[:, :, 2:30, 2:30])
    assert torch.equal(found.test.labels, digits.test.labels)
