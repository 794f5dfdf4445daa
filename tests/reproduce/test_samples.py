"""Which images a seed takes, and what it decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.presets import Preset
from repsearch.reproduce.samples import Sample, Seeds, generator_of, own_part
from repsearch.reproduce.trainings import run, train
from repsearch.reproduce.variants import VARIANTS


@pytest.mark.parametrize("parts", [3, 10])
def test_seeds_share_no_test_image_and_each_has_all_classes(parts: int) -> None:
    splits = [Sample("digits", 100, 100, 300, parts).load(None, seed).test for seed in range(parts)]
    indices = torch.cat([split.indices for split in splits])
    assert len(indices) == len(indices.unique()) == parts * (360 // parts)
    counts = torch.stack([split.labels.bincount(minlength=10) for split in splits])
    assert int(counts.min()) >= 1 and int((counts - counts.float().mean(0)).abs().max()) <= 2


def test_a_part_is_the_same_images_whatever_order_they_come_in() -> None:
    whole = rs.load("digits", train=100, validation=100)
    mixed = whole.test[torch.randperm(len(whole.test), generator=torch.Generator().manual_seed(1))]
    one, other = (own_part(split, 10, 13) for split in (whole.test, mixed))
    assert torch.equal(one.indices, other.indices) and torch.equal(one.images, other.images)
    assert torch.equal(one.indices, own_part(whole.test, 10, 3).indices)  # counted again from the first
    by_index = dict(zip(whole.test.indices.tolist(), whole.test.images, strict=True))
    assert torch.equal(one.images[7], by_index[int(one.indices[7])])


def test_training_images_are_as_without_parts() -> None:
    cut, plain = Sample("digits", 100, 100, 300, 10).load(None, 2), Sample("digits", 100, 100, 300).load(None, 2)
    for part in ("train", "validation"):
        assert torch.equal(getattr(cut, part).images, getattr(plain, part).images)
    assert len(plain.test) == 300 and len(cut.test) == 36 and cut.source == (1437, 360)


@pytest.mark.parametrize(("seeded", "expected"), [
    ("all", (7, 7, 7, 7)), ("data", (7, 0, 0, 0)), ("network", (0, 7, 0, 0)), ("search", (0, 0, 7, 0)),
    ("training", (0, 0, 0, 7))])
def test_a_seed_decides_the_part_it_is_of(seeded: str, expected: tuple[int, ...]) -> None:
    found = Seeds.of(7, seeded)  # type: ignore[arg-type]
    assert (found.data, found.network, found.search, found.training) == expected


def test_generators_depend_on_all_their_numbers() -> None:
    def draw(*what: int) -> float:
        return float(torch.rand(1, generator=generator_of(*what)))

    assert draw(1, 2) == draw(1, 2) and len({draw(1, 2), draw(2, 1), draw(1), draw(1, 3)}) == 4


@pytest.mark.slow
def test_a_record_is_of_the_seeds_it_names(preset: Preset, tmp_path: Path) -> None:
    """Where the seed decides the search alone, images and network are those of seed 0, and another search is found."""
    brief = replace(preset, learn=replace(preset.learn, epochs=1))
    alone, all_parts = (replace(VARIANTS["search-based"], seeded=part).setup(brief) for part in ("search", "all"))
    zero, three = run(all_parts, 0, store=tmp_path), run(alone, 3, store=tmp_path)
    assert three["seeds"] == {"data": 0, "network": 0, "search": 3, "training": 0}
    assert zero["seeds"] == dict.fromkeys(three["seeds"], 0) and zero["images"] == three["images"]
    first, other = (found["found"]["curve"]["block0"] for found in (zero, three))
    assert first[0] != other[0] and first[0] == pytest.approx(other[0], rel=0.2)
    data = alone.sample.load(None, 0)
    assert train(data, alone, 3, tmp_path)["found"] == three["found"]


def test_a_part_of_a_data_set_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    x, y = np.zeros((40, 16, 16, 3), np.uint8), np.arange(40) % 2
    x[y == 1] = 255
    np.savez(tmp_path / "cifar10.npz", train_images=x, train_labels=y, test_images=x[:20], test_labels=y[:20],
             classes=np.array(["a", "b"]))
    part = rs.load("cifar10", tmp_path)
    assert part.source == (40, 20)
    assert part.part == "a part, 40 of 50,000 training and 20 of 10,000 test images" and part.part in repr(part)
    monkeypatch.setattr("repsearch.data.OFFICIAL", {"cifar10": (40, 20)})
    whole = rs.load("cifar10", tmp_path)
    assert whole.part == "" and "of a part" not in repr(whole)
