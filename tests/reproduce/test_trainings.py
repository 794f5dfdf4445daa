"""Trainings of every variant, in small on the embedded digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch import measure
from repsearch.presets import Preset
from repsearch.reproduce import untrained
from repsearch.reproduce.records import Record
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.targets import Searched
from repsearch.reproduce.trainings import train
from repsearch.reproduce.variants import VARIANTS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def searched(data: rs.Dataset, preset: Preset, store: Path) -> Record:
    return train(data, VARIANTS["search-based"].setup(preset), 0, store)


def test_a_record_says_what_was_found_and_measured(searched: Record, data: rs.Dataset, preset: Preset) -> None:
    network = rs.search_network(data, preset)
    targets = rs.search(network, data.train, preset.search, progress=False)
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        assert searched["found"]["cross_entropy"][layer] == pytest.approx(loss[[0, -1]].tolist(), rel=1e-5)
    epochs = sorted({row["epoch"] for row in searched["measured"]})
    assert epochs == list(range(preset.learn.epochs + 1)) and len(searched["measured"]) == 3 * len(epochs)
    assert 0 <= searched["test_accuracy"] <= 1


def test_where_trainings_start(data: rs.Dataset, preset: Preset) -> None:
    """The untrained network with the statistics of the training images, frozen here by torch's own training mode."""
    sample = Sample("digits", len(data.train), len(data.validation), len(data.test))
    found = untrained.run(untrained.Setup(sample, preset.width, preset.groups, Searched(preset.width, preset.search), 20), 0)
    network, model = rs.search_network(data, preset), rs.learn_network(data, preset)
    targets = rs.search(network, data.validation, preset.search, progress=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(data.train.images)
        H = rs.activations(model.eval(), data.validation.images)[1]
    row = found["points"][1]
    assert row["distance"] == pytest.approx(float(measure.cosine_distance(H, targets.read("block1")).mean()), abs=1e-4)
    assert row["within"] == pytest.approx(measure.class_entropies(H, data.validation.labels)[0], abs=1e-4)


def test_a_stored_search_gives_the_same_record(searched: Record, data: rs.Dataset, preset: Preset, store: Path) -> None:
    folders, setup = sorted(store.iterdir()), VARIANTS["search-based"].setup(preset)
    again, without = train(data, setup, 0, store), train(data, setup)
    assert sorted(store.iterdir()) == folders and len(folders) == 2  # of training and of validation images
    for key in set(searched) - {"seconds_search"}:
        assert again[key] == searched[key] == without[key], key


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "search-based"])
def test_every_variant_runs(name: str, data: rs.Dataset, preset: Preset, store: Path) -> None:
    """For one epoch; what differs from the base is what the variant names."""
    brief = replace(preset, learn=replace(preset.learn, epochs=1), baseline=replace(preset.baseline, epochs=1))
    variant, setup = VARIANTS[name], VARIANTS[name].setup(brief)
    found = train(data, setup, 0, store)
    assert (found["test_accuracy"] is None) != variant.tested
    assert (found["found"] == {}) == (variant.targets is None)
    assert (setup.searched is None) == (variant.targets is None and not variant.measured)
    parts = set(found["errors"])
    if variant.targets is None:
        assert parts == {"cross_entropy"}
    else:
        assert parts == {"block0", "block1", "block2", "head"} - set(setup.fit.skip)


def test_an_untrained_body_stays_as_it_was(data: rs.Dataset, preset: Preset, store: Path) -> None:
    """Its regression errors are the same in the first epoch and in the last: nothing moved them."""
    presets = [replace(preset, learn=replace(preset.learn, epochs=epochs)) for epochs in (1, 3)]
    errors = [train(data, VARIANTS["untrained-body"].setup(one), 0, store)["errors"] for one in presets]
    for block in ("block0", "block1", "block2"):
        assert errors[0][block] == pytest.approx(errors[1][block], rel=1e-4)
