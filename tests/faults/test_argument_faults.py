"""Arguments: what is easily confused is called by its name, what is meant is understood, and nothing is ignored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty import CONFIG, two_blocks

import repsearch as rs
from repsearch.presets import Preset


def test_a_dataset_given_for_a_split_is_called_so(data: rs.Dataset, preset: Preset, network: rs.Network) -> None:
    with pytest.raises(rs.InputError, match=r"data.*Split"):
        rs.search(network, data, preset.search, progress=False)  # type: ignore[arg-type]


def test_a_dataset_given_to_accuracy_is_called_so(data: rs.Dataset, network: rs.Network) -> None:
    with pytest.raises(rs.InputError, match="Split"):
        rs.accuracy(network, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["fit", "learn", "search_network", "learn_network"])
def test_a_split_given_for_a_dataset_is_called_so(data: rs.Dataset, preset: Preset, targets: rs.Targets, what: str) -> None:
    split: Any = data.train
    with pytest.raises(rs.InputError, match=r"data.*Dataset"):
        if what == "fit":
            rs.fit(two_blocks(), split, rs.methods.Backprop(), preset.baseline, progress=False)
        elif what == "learn":
            rs.learn(rs.learn_network(data, preset), split, targets, preset.learn, progress=False)
        else:
            getattr(rs, what)(split, preset)


def test_a_split_given_for_images_is_called_so(data: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match="images"):
        rs.calibrate(two_blocks(), data.train)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["search", "fit"])
def test_a_preset_given_for_a_configuration_is_called_so(data: rs.Dataset, preset: Preset, network: rs.Network, what: str) -> None:
    with pytest.raises(rs.InputError, match=r"config.*Config"):
        if what == "search":
            rs.search(network, data.train, preset, progress=False)  # type: ignore[arg-type]
        else:
            rs.fit(two_blocks(), data, rs.methods.Backprop(), preset, progress=False)  # type: ignore[arg-type]


def test_one_layer_to_skip_is_understood_or_called_so() -> None:
    try:
        config = rs.LearnConfig(skip="block0")  # type: ignore[arg-type]
    except rs.InputError as error:
        assert "skip='block0'" in str(error)
        return
    assert config.skip == ("block0",)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_given_for_targets_is_told_to_open_it(stored: Path, data: rs.Dataset, preset: Preset, kind: Any) -> None:
    with pytest.raises(rs.InputError, match=r"targets=.*Targets\.open"):
        rs.learn(rs.learn_network(data, preset), data, kind(stored), preset.learn, progress=False)


@pytest.mark.parametrize("value", ["no", 2, None])
def test_normalise_is_yes_or_no(value: Any) -> None:
    with pytest.raises(rs.InputError, match="normalise="):
        replace(CONFIG, normalise=value)


@pytest.mark.parametrize("field", ["normalise_output", "augment"])
def test_other_switches_are_yes_or_no(field: str) -> None:
    with pytest.raises(rs.InputError, match=f"{field}="):
        rs.LearnConfig(**{field: "no"})  # type: ignore[arg-type]


def test_no_groups_are_refused(data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="groups=0"):
        rs.learn_network(data, preset, groups=0)


def test_a_schedule_may_be_a_list(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    config = replace(CONFIG, schedule=list(CONFIG.schedule))  # type: ignore[arg-type]
    assert config == CONFIG and hash(config) == hash(CONFIG)
    rs.search(two_blocks(), data.train, config, store=tmp_path / "t", progress=False)
    targets = rs.search(two_blocks(), data.train, CONFIG, store=tmp_path / "t", progress=False)
    rs.learn(two_blocks(), data, targets, replace(preset.learn, learning_rate=0.01, skip=["block0"]), progress=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [5, "block", (5,), ((5, 0.2),)])
def test_a_schedule_of_anything_else_is_refused_in_a_line(value: Any) -> None:
    with pytest.raises(rs.InputError, match="schedule"):
        rs.SearchConfig(value)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_sizes_and_seeds_may_be_numbers_of_numpy(kind: Any) -> None:
    plain = rs.load("digits", train=20, validation=10, test=10, seed=7)
    data = rs.load("digits", train=kind(20), validation=kind(10), test=kind(10), seed=kind(7))
    assert data.train.fingerprint() == plain.train.fingerprint()


def test_a_search_takes_numbers_of_numpy(tmp_path: Path, data: rs.Dataset) -> None:
    row = rs.LayerSearch(np.int64(2), np.float32(0.25), np.float64(1), np.int64(0))  # type: ignore[arg-type]
    config = rs.SearchConfig((row,) * 3, parents=np.int64(4), explorers=4, refiners=4, input_noise=np.float32(0.5), shard=np.int64(4))  # type: ignore[arg-type]
    same = rs.SearchConfig((rs.LayerSearch(2, 0.25),) * 3, parents=4, explorers=4, refiners=4, input_noise=0.5, shard=4)
    found = rs.search(two_blocks(), data.train[:4], config, seed=np.int64(3), store=tmp_path / "t", progress=False)  # type: ignore[arg-type]
    again = rs.search(two_blocks(), data.train[:4], same, seed=3, store=tmp_path / "t", progress=False)
    assert torch.equal(found.read("logits"), again.read("logits"))


def test_a_training_takes_numbers_of_numpy(tmp_path: Path, data: rs.Dataset) -> None:
    config = rs.FitConfig(epochs=np.int64(2), batch=np.int64(10), learning_rate=np.float32(0.125), momentum=np.float32(0.5))  # type: ignore[arg-type]
    found = rs.fit(two_blocks(), data, rs.methods.Backprop(), config, seed=np.int64(3), checkpoint=tmp_path / "c", progress=False)  # type: ignore[arg-type]
    same = rs.FitConfig(epochs=2, batch=10, learning_rate=0.125, momentum=0.5)
    assert found.loss == rs.fit(two_blocks(), data, rs.methods.Backprop(), same, seed=3, checkpoint=tmp_path / "c", progress=False).loss


@pytest.mark.parametrize("what", ["fit", "convnet", "search_network"])
@pytest.mark.parametrize("seed", [2**64, 2**200, -1], ids=["65 bits", "201 bits", "negative"])
def test_a_seed_beyond_64_bits_is_taken_or_refused_in_a_line(data: rs.Dataset, preset: Preset, what: str, seed: int) -> None:
    try:
        if what == "fit":
            rs.fit(two_blocks(), data, rs.methods.Backprop(), preset.baseline, seed=seed, progress=False)
        elif what == "convnet":
            rs.convnet(data.train.images, 10, 8, seed=seed)
        else:
            rs.search_network(data, preset, seed=seed)
    except rs.InputError as error:
        assert "seed=" in str(error)
        return
    assert seed >= 0


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_a_seed_that_is_no_whole_number_is_refused_in_a_line(data: rs.Dataset, preset: Preset, seed: Any) -> None:
    with pytest.raises(rs.InputError, match="seed="):
        rs.fit(two_blocks(), data, rs.methods.Backprop(), preset.baseline, seed=seed, progress=False)
    with pytest.raises(rs.InputError, match="seed="):
        rs.convnet(data.train.images, 10, 8, seed=seed)
