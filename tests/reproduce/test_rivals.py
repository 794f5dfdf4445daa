"""SGD with what a practitioner adds: beside torch's own smoothing and dropout, and beside plain back-propagation."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import repsearch as rs
from repsearch.method import Batch
from repsearch.presets import Preset
from repsearch.reproduce.loops import LOOPS
from repsearch.reproduce.records import FOLDER
from repsearch.reproduce.rival_settings import AUGMENTED, LARGER, RIVAL_TRIALS, RIVALS, TUNED
from repsearch.reproduce.rivals import Regularised, run


def batch_of(data: rs.Dataset, count: int = 20) -> Batch:
    return Batch(data.train.images[:count], data.train.labels[:count], 0, count)


def test_without_either_it_is_back_propagation(data: rs.Dataset, preset: Preset) -> None:
    config = replace(preset.baseline, epochs=2)
    models = [rs.learn_network(data, preset) for _ in range(2)]
    for model, method in zip(models, (Regularised(), rs.methods.Backprop()), strict=True):
        rs.fit(model, data, method, config, progress=False)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)


def test_smoothed_labels_are_those_of_the_formula(data: rs.Dataset, preset: Preset) -> None:
    """(1 - s) times the label's cross-entropy, and s times the mean over all classes."""
    batch, model = batch_of(data), rs.learn_network(data, preset)
    step = Regularised(smoothing=0.2).step(model, batch, preset.baseline)
    log_p = F.log_softmax(rs.learn_network(data, preset)(batch.images), 1)
    label = log_p[torch.arange(len(batch)), batch.labels]
    assert step.loss.item() == pytest.approx((-(0.8 * label + 0.2 * log_p.mean(1)).mean()).item(), rel=1e-5)
    assert step.cost == 3 and all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_dropout_leaves_channels_out_before_the_head(data: rs.Dataset, preset: Preset) -> None:
    batch, model = batch_of(data), rs.learn_network(data, preset)
    torch.manual_seed(0)
    step = Regularised(dropout=0.5).step(model, batch, preset.baseline)
    torch.manual_seed(0)
    H = rs.activations(rs.learn_network(data, preset), batch.images)[2]
    kept = F.dropout2d(H, 0.5)
    assert step.logits is not None and torch.allclose(step.logits, model.head(kept), atol=1e-5)
    assert 0.3 < float((kept.flatten(2).abs().sum(2) == 0).float().mean()) < 0.7


def test_a_record_of_a_rival(preset: Preset) -> None:
    for rival in RIVALS.values():
        setup = replace(rival, epochs=1).setup(replace(preset, train=60, validation=40, test=50))
        found, untested = (json.loads(json.dumps(run(replace(setup, tested=tested), seed=1))) for tested in (True, False))
        assert found["spent"] == 3 * 60 and len(found["validation_accuracy"]) == 1
        assert untested == {**found, "test_accuracy": None} and 0 < found["test_accuracy"] < 1


def test_every_trial_is_another_setting_and_none_is_tested() -> None:
    book = rs.presets.book("cifar10")
    setups = [trial.setup(book) for trial in RIVAL_TRIALS.values()]
    assert len({str(setup) for setup in setups}) == len(RIVAL_TRIALS) == 19 and not any(setup.tested for setup in setups)


@pytest.mark.parametrize(("data", "train"), TUNED)
def test_the_rival_is_the_trial_that_did_best_on_validation_images(data: str, train: int) -> None:
    wanted = {500: list(RIVAL_TRIALS), 2000: LARGER if data == "cifar10" else LARGER[:4]}[train]
    book = rs.presets.book(data)
    sized = data if train == book.train else f"{data}-{train}"
    tried = {path.name.split("-book-")[1].removesuffix("-0.json"): max(json.loads(path.read_text())["validation_accuracy"])
             for path in FOLDER.glob(f"rival-{sized}-book-trial-*-0.json")}
    best = RIVAL_TRIALS[max(tried, key=lambda name: tried[name])]
    turns = LOOPS["longer-5" if data == "cifar100" else "loop"].setup(book).alternate  # as many epochs as it has
    chosen = replace(best, tested=True, epochs=turns.learn.epochs + (turns.rounds - 1) * turns.epochs)
    assert sorted(tried) == sorted(wanted) and chosen.setup(book) == TUNED[data, train].setup(book)


def test_so_it_is_with_augmentation() -> None:
    book = rs.presets.book("cifar10")
    tried = {name: max(json.loads((FOLDER / f"rival-cifar10-500-book-{name}-0.json").read_text())["validation_accuracy"])
             for name in AUGMENTED}
    best = AUGMENTED[max(tried, key=lambda name: tried[name])]
    assert replace(best, tested=True).setup(book) == RIVALS["sgd-augmented"].setup(book)
    turns = LOOPS["augmented"].setup(book).alternate
    assert best.epochs == turns.learn.epochs + (turns.rounds - 1) * turns.epochs
