"""Data sets from tensors, parts of a split, and how both show themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

import repsearch as rs
from repsearch.data import from_tensors

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, 8, 10), dtype=np.uint8))
LABELS = torch.from_numpy(np.random.default_rng(1).permutation(np.arange(60) % 3))
TRAIN, TEST = (IMAGES[:45], LABELS[:45]), (IMAGES[45:], LABELS[45:])
NAMES = ("cat", "dog", "owl")


def same(one: rs.Dataset, other: rs.Dataset) -> bool:
    return torch.equal(one.mean, other.mean) and torch.equal(one.std, other.std) and one.classes == other.classes and all(
        getattr(one, part).fingerprint() == getattr(other, part).fingerprint() for part in ("train", "validation", "test")
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The same images as a file."""
    (train_x, train_y), (test_x, test_y) = ((x.permute(0, 2, 3, 1).numpy(), y.numpy()) for x, y in (TRAIN, TEST))
    np.savez(tmp_path / "mine.npz", train_images=train_x, train_labels=train_y, test_images=test_x, test_labels=test_y, classes=NAMES)
    return tmp_path


@pytest.mark.parametrize("validation", [None, 6, np.int64(9)])
def test_tensors_give_what_a_file_gives(stored: Path, validation: Any) -> None:
    data = from_tensors(TRAIN, TEST, NAMES, validation, seed=3)
    assert same(data, rs.load("mine", stored, validation=validation, seed=3)) and data.name == "tensors"
    assert not same(data, from_tensors(TRAIN, TEST, NAMES, validation, seed=4))


class Items(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """What torchvision's ToTensor makes of pictures."""

    def __init__(self, part: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part[0])

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.part[0][i] / 255, int(self.part[1][i])


@pytest.mark.parametrize("change", [
    lambda part: (part[0].numpy(), part[1].tolist()), lambda part: [part[0] / 255, part[1].int()], lambda part: (part[0].double() / 255, part[1].short()),
    lambda part: ((part[0] / 255).requires_grad_(), part[1].numpy()), lambda part: TensorDataset(*part), Items, lambda part: Subset(Items(part), range(len(part[0]))),
    lambda part: (part[0].contiguous(memory_format=torch.channels_last), part[1]),
], ids=["numpy", "floats", "doubles", "gradient", "TensorDataset", "ToTensor", "Subset", "channels last"])
def test_every_kind_of_tensors_gives_the_same(change: Any) -> None:
    assert same(from_tensors(change(TRAIN), change(TEST), NAMES), from_tensors(TRAIN, TEST, NAMES))


def test_floats_are_kept_in_full() -> None:
    fine = torch.rand(45, 3, 8, 10, generator=torch.Generator().manual_seed(0)) / 100
    data = from_tensors((fine, LABELS[:45]), (fine, LABELS[:45]))
    found = data.train.images * data.std[:, None, None] + data.mean[:, None, None]
    assert torch.allclose(found, fine[data.train.indices], atol=1e-7) and data.train.images.std() == pytest.approx(1, abs=1e-3)


def test_validation_images_of_ones_own() -> None:
    held = (IMAGES[:30] // 2, LABELS[:30])
    data = from_tensors(TRAIN, TEST, NAMES, held)
    assert sorted(data.train.indices.tolist()) == list(range(45)) and sorted(data.validation.indices.tolist()) == list(range(30))
    shown = (data.pixels(data.validation.images) * 255).round().byte().permute(0, 3, 1, 2)
    assert torch.equal(shown, held[0][data.validation.indices]) and torch.equal(data.validation.labels, held[1][data.validation.indices])
    pixels = TRAIN[0].float() / 255
    assert torch.allclose(data.mean, pixels.mean((0, 2, 3))) and torch.allclose(data.std, pixels.transpose(0, 1).flatten(1).std(1))


def test_classes_are_numbered_if_they_have_no_names() -> None:
    assert from_tensors(TRAIN, TEST).classes == ("0", "1", "2")
    gap = torch.where(LABELS == 1, 5, LABELS)
    data = from_tensors((IMAGES[:45], gap[:45]), (IMAGES[45:], gap[45:]), validation=(IMAGES, gap + 1))
    assert data.classes == tuple("0123456") and torch.bincount(data.train.labels, minlength=7)[3] == 0


def test_a_data_set_of_tensors_is_searched_and_trained_on() -> None:
    data = from_tensors((IMAGES[:45, :1].repeat(1, 1, 4, 4), LABELS[:45]), (IMAGES[45:, :1].repeat(1, 1, 4, 4), LABELS[45:]))
    preset = rs.presets.smoke("digits")
    network = rs.search_network(data, preset)
    assert 0 <= rs.accuracy(network, data.test) <= 1


@pytest.mark.parametrize(("arguments", "message"), [
    ({"train": IMAGES}, r"train: expected a pair \(images, labels\) or a torch Dataset with a length, found Tensor"),
    ({"test": None}, "test: expected a pair"), ({"train": (IMAGES,)}, "train: expected a pair"), ({"validation": "tenth"}, "validation: expected a pair"),
    ({"train": (IMAGES.permute(0, 2, 3, 1), LABELS)}, r"train: images: found \(60, 8, 10, 3\), channels last; pass images.permute\(0, 3, 1, 2\)"),
    ({"train": (IMAGES[:, 0], LABELS)}, r"train: images: expected \(images, channels, height, width\), none of them 0, found \(60, 8, 10\)"),
    ({"test": (IMAGES[:0], LABELS[:0])}, r"test: images: expected .* found \(0, 3, 8, 10\)"),
    ({"train": (IMAGES.int(), LABELS)}, "train: images: expected uint8, or floats in 0..1, found torch.int32; convert"),
    ({"train": (IMAGES.float(), LABELS)}, "train: images: floats must lie in 0..1, found 0..255; rescale them"),
    ({"train": (IMAGES * torch.nan, LABELS)}, "train: images: has NaN or infinite pixels"),
    ({"train": ("images", LABELS)}, "train: expected images as a tensor or an array"),
    ({"train": ([*list(IMAGES[:2]), IMAGES[0, :, 1:]], LABELS[:3])}, "train: expected images as a tensor or an array"),
    ({"train": (IMAGES, LABELS[:59])}, "train: labels: expected one label an image, found 59 labels for 60 images"),
    ({"train": (IMAGES, LABELS / 2)}, "train: labels: expected whole numbers"), ({"test": (IMAGES, LABELS - 1)}, r"test: labels: expected labels in 0..2, found -1..1"),
    ({"test": (IMAGES, LABELS + 1), "classes": NAMES}, r"test: labels: expected labels in 0..2, found 1..3"),
    ({"train": (IMAGES, LABELS + 10**12)}, "labels: found 1000000000002, but fewer images; number the classes from 0"),
    ({"train": (IMAGES, LABELS + 1), "test": (IMAGES, LABELS + 1)}, r"labels: found 1..3, none 0; number the classes from 0, or name them all: classes=range.4"),
    ({"classes": 3}, "classes: expected the names of all classes, in the order of labels, found 3"), ({"classes": "cat"}, "classes: expected the names"),
    ({"test": (IMAGES[:, :1], LABELS)}, "images: expected one shape in all parts, found 3x8x10 in train, 1x8x10 in test"),
    ({"validation": (IMAGES[:, :, :4], LABELS)}, "found 3x8x10 in train, 3x8x10 in test, 3x4x10 in validation"),
    ({"validation": 0}, "validation=0: expected a whole number of at least 1"), ({"validation": True}, "validation=True"), ({"validation": 100}, "validation=100: needs 34"),
    ({"seed": -1}, "seed="), ({"name": 3}, "name: expected a str"), ({"train": TensorDataset(IMAGES)}, r"train: expected a torch Dataset of pairs"),
    ({"train": TensorDataset(IMAGES, LABELS / 2)}, "train: expected a torch Dataset of image tensors of one shape and whole numbers"),
    ({"train": [(IMAGES[i].numpy(), 0) for i in range(9)]}, "train: expected a pair"), ({"train": Subset(TensorDataset(*TRAIN), [])}, "found others or none"),
    ({"train": TensorDataset(IMAGES, torch.zeros(60, 2))}, "whole numbers"), ({"train": (torch.full((60, 3, 8, 10), 0.5), LABELS)}, "a channel of the 54 training images is constant"),
])
def test_other_tensors_are_refused_in_a_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message) as error:
        from_tensors(**{"train": (IMAGES, LABELS), "test": TEST, **arguments})
    assert "\n" not in str(error.value)


# --- parts of a split -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [
    slice(2, 9), slice(None, None, 3), slice(-3, None), slice(None, None, -1), slice(9, 2, -2), 4, -1, np.int64(4), torch.tensor(4), torch.tensor([4]), [3, 1, 1], [-1, 0],
    np.array([3, 1]), np.array([3, 1], np.uint8), torch.tensor([3, 1]), torch.tensor([3, 1], dtype=torch.uint8), range(5), [i % 2 == 0 for i in range(20)],
    np.arange(20) > 15, torch.arange(20) < 3,
], ids=str)
def test_a_part_of_a_split_is_a_split(data: rs.Dataset, rows: Any) -> None:
    chosen = np.atleast_1d(np.arange(20)[np.asarray(rows) if not isinstance(rows, slice) else rows])
    part = data.train[rows]
    assert isinstance(part, rs.Split) and part.classes == 10
    for name in ("images", "labels", "indices"):
        assert torch.equal(getattr(part, name), getattr(data.train, name)[chosen.tolist()])


@pytest.mark.parametrize("rows", [
    slice(20, None), slice(5, 5), [], torch.arange(20) > 20, 20, -21, [0, 20], 2**70, 1.5, [1.0], "3", None, (1, 2), (slice(None), 0), slice(0, 1.5), slice(0, 9, 0),
    [True, False], torch.ones(19, dtype=torch.bool), [[1, 2]], [[1], [2, 3]], torch.zeros(2, 2, dtype=torch.int64), {3}, ...,
], ids=str)
def test_rows_that_are_not_there_are_refused_in_a_line(data: rs.Dataset, rows: Any) -> None:
    with pytest.raises(rs.InputError, match=r"rows: .*; choose among the 20 images, 0\.\.19") as error:
        data.train[rows]
    assert "\n" not in str(error.value)


def test_a_slice_is_a_view_and_a_loop_goes_over_single_images(data: rs.Dataset) -> None:
    assert data.train[3:9].images.data_ptr() == data.train.images[3:].data_ptr()
    parts = list(data.train)
    assert len(parts) == 20 and all(len(part) == 1 for part in parts)
    assert torch.equal(torch.cat([part.images for part in parts]), data.train.images)


def test_data_sets_and_splits_say_what_they_hold(data: rs.Dataset) -> None:
    assert repr(data) == "Dataset(digits: 20 training, 20 validation, 40 test images 1x32x32, 10 classes)"
    assert repr(data.train[:3]) == "Split(3 images 1x32x32, 10 classes)"
