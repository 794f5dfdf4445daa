"""Images and labels as users have them: uneven classes, 16 bits, turned pictures, labels of any whole type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty import write_npz
from PIL import Image, ImageOps

import repsearch as rs
from repsearch.data import augment
from repsearch.rows import training_rows


def counts(split: rs.Split) -> list[int]:
    return torch.bincount(split.labels.long(), minlength=split.classes).tolist()


@pytest.mark.parametrize("classes", [[1000, 52], [900, 60, 40, 30], [1000, 51], [100, 10, 2]])
def test_validation_is_a_tenth_of_each_class(tmp_path: Path, classes: list[int]) -> None:
    write_npz(tmp_path / "mine.npz", classes)
    data = rs.load("mine", tmp_path)
    for trained, held_out, count in zip(counts(data.train), counts(data.validation), classes, strict=True):
        assert trained + held_out == count and trained >= 1
        assert abs(held_out - count / 10) <= 1


def test_a_class_without_images_is_no_obstacle(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [40, 0, 40])
    data = rs.load("mine", tmp_path)
    assert data.train.classes == 3 and counts(data.train)[1] == 0 and min(counts(data.train)[::2]) >= 35


def test_five_images_are_enough_to_hold_some_out(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [3, 2])
    data = rs.load("mine", tmp_path)
    assert len(data.train) + len(data.validation) == 5 and len(data.validation) >= 1 and min(counts(data.train)) >= 1


@pytest.mark.parametrize("classes", [[10] * 3, [130] * 5, [7] * 10, [2] * 30, [101]])
def test_equal_classes_give_what_they_always_gave(tmp_path: Path, classes: list[int]) -> None:
    """The same images as with an explicit number, which takes equal counts a class."""
    write_npz(tmp_path / "mine.npz", classes)
    plain = rs.load("mine", tmp_path, validation=sum(classes) // 10, seed=3)
    data = rs.load("mine", tmp_path, seed=3)
    for split in ("train", "validation", "test"):
        assert getattr(data, split).fingerprint() == getattr(plain, split).fingerprint()


@pytest.mark.parametrize("classes", [[100, 1, 1], [1, 2, 1], [30, 1], [1] * 9 + [2], [1] * 50 + [200]])
def test_a_class_never_loses_its_last_image(tmp_path: Path, classes: list[int]) -> None:
    write_npz(tmp_path / "mine.npz", classes)
    data = rs.load("mine", tmp_path)
    assert min(counts(data.train)) >= 1 and len(data.validation) >= 1
    assert [a + b for a, b in zip(counts(data.train), counts(data.validation), strict=True)] == classes


@pytest.mark.parametrize("classes", [[1], [1, 1, 1], [1] * 30])
def test_where_none_can_be_held_out_the_message_says_so(tmp_path: Path, classes: list[int]) -> None:
    write_npz(tmp_path / "mine.npz", classes)
    with pytest.raises(rs.InputError, match="validation: no class has two training images to hold one out; add images, or pass"):
        rs.load("mine", tmp_path)


@pytest.mark.parametrize("classes", [[60_000, 6_000], [100_000, 7, 3_000], [40_001, 39_999]])
def test_at_most_4000_are_held_out(classes: list[int]) -> None:
    labels = np.repeat(np.arange(len(classes)), classes)
    taken, held_out = training_rows(labels, tuple("abc"[: len(classes)]), None, None, 0)
    found = np.bincount(labels[held_out], minlength=len(classes))
    assert len(held_out) == 4000 and not set(taken) & set(held_out) and len(taken) + 4000 == len(labels)
    assert np.abs(found - 4000 * np.array(classes) / len(labels)).max() <= 1


def test_a_number_that_takes_a_whole_class_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [100, 10])
    with pytest.raises(rs.InputError, match=r"validation=20: takes all 10 images of class 1 \(class 1\) and leaves none to train on; ask"):
        rs.load("mine", tmp_path, validation=20)
    assert counts(rs.load("mine", tmp_path, validation=18).train) == [91, 1]


def test_numbers_are_shared_by_the_classes_that_have_images(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [40, 0, 40, 40], test_labels=np.array([0, 0, 1, 1]))
    data = rs.load("mine", tmp_path, train=10, validation=5, test=3)
    assert [counts(split) for split in (data.train, data.validation, data.test)] == [[4, 0, 3, 3], [2, 0, 2, 1], [2, 1, 0, 0]]
    with pytest.raises(rs.InputError, match=r"test=5: needs 3 images of class 0 \(class 0\), found 2; ask for fewer"):
        rs.load("mine", tmp_path, test=5)


def write_folder(root: Path, pictures: list[Image.Image], suffix: str = "png", **how: Any) -> None:
    """The same pictures as training images of two classes; the first is the test image of both."""
    for label in ("cat", "dog"):
        for part, chosen in (("train", pictures), ("test", pictures[:1])):
            (root / "mine" / part / label).mkdir(parents=True)
            for i, picture in enumerate(chosen):
                picture.save(root / "mine" / part / label / f"{i}.{suffix}", **how)


@pytest.mark.parametrize("low", [0, 300])
def test_16_bit_pictures_are_scaled_or_refused(tmp_path: Path, low: int) -> None:
    rng = np.random.default_rng(0)
    grey = [rng.integers(low, 65536, (32, 32)).astype(np.uint16) for _ in range(10)]
    write_folder(tmp_path, [Image.fromarray(picture) for picture in grey])
    try:
        data = rs.load("mine", tmp_path, validation=2)
    except rs.InputError as error:
        assert ".png" in str(error)
        return
    found = data.pixels(data.test.images)[0, :, :, 0].numpy()
    assert np.abs(found - grey[0] / 65535).max() < 0.01


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_stand_as_their_camera_says(tmp_path: Path, orientation: int) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((32, 32)) for _ in range(10)]
    write_folder(tmp_path, pictures, "jpg", quality=95, exif=exif)
    data = rs.load("mine", tmp_path, validation=2)
    with Image.open(tmp_path / "mine" / "test" / "cat" / "0.jpg") as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("RGB")) / 255
    assert np.abs(data.pixels(data.test.images)[0].numpy() - upright).max() < 0.01


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_folder(tmp_path, [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(10)])
    (tmp_path / "mine" / "train" / ".ipynb_checkpoints").mkdir()
    assert rs.load("mine", tmp_path, validation=2).classes == ("cat", "dog")


def test_a_number_in_the_place_of_class_names_is_called_so(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [10, 10, 10, 10], classes=np.array(4))
    with pytest.raises(rs.InputError, match="classes") as error:
        rs.load("mine", tmp_path)
    assert "0..0" not in str(error.value)


def test_class_names_in_bytes_are_read_as_text(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20], classes=np.array([b"cat", b"dog"]))
    assert rs.load("mine", tmp_path).classes == ("cat", "dog")


def test_one_array_called_npz_is_refused_in_a_line(tmp_path: Path) -> None:
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(rs.InputError, match=r"mine\.npz"):
        rs.load("mine", tmp_path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, *([torch.uint16] if hasattr(torch, "uint16") else [])], ids=str)
def test_labels_may_be_of_any_whole_type(data: rs.Dataset, dtype: torch.dtype, preset: rs.presets.Preset, network: rs.Network, targets: rs.Targets) -> None:
    train = data.train
    split = rs.Split(train.images, train.labels.to(dtype), train.classes, train.indices)
    assert split.fingerprint() == train.fingerprint()
    found = rs.search(network, split[:4], preset.search, progress=False)
    assert torch.equal(found.read("logits"), targets.read("logits", 0, 4))
    mine = rs.Dataset("mine", data.classes, split, data.validation, data.test, data.mean, data.std)
    rs.fit(rs.learn_network(mine, preset), mine, rs.methods.Backprop(), preset.baseline, progress=False)


@pytest.mark.parametrize("indices", [
    None, list(range(19)), np.arange(19), torch.arange(19), torch.arange(20) - 1, torch.arange(20.0), torch.zeros(20, 1, dtype=torch.int64), "20",
], ids=["none", "short list", "short numpy", "short", "negative", "floats", "shape", "text"])
def test_indices_that_do_not_fit_are_refused_in_a_line(data: rs.Dataset, indices: Any) -> None:
    train = data.train
    with pytest.raises(rs.InputError, match="indices"):
        rs.Split(train.images, train.labels, train.classes, indices)


@pytest.mark.parametrize("kind", [list, np.array], ids=["list", "numpy"])
def test_indices_of_another_kind_are_taken_or_refused_in_a_line(data: rs.Dataset, kind: Any) -> None:
    train = data.train
    try:
        split = rs.Split(train.images, train.labels, train.classes, kind(train.indices.tolist()))
    except rs.InputError as error:
        assert "indices" in str(error)
        return
    assert split[:4].fingerprint() == train[:4].fingerprint()


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], (0, 1, 2, 1), np.array([0, 1, 2, 1], np.uint8), np.array([0, 1, 2, 1], ">i4")])
def test_labels_may_be_a_list_or_an_array(labels: Any) -> None:
    split = rs.Split(torch.zeros(4, 1, 8, 8), labels, np.int64(3), range(4))  # type: ignore[arg-type]
    assert split.labels.dtype == split.indices.dtype == torch.int64 and split.classes == 3 and type(split.classes) is int
    plain = rs.Split(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 1]), 3, torch.arange(4))
    assert split.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("labels", [None, "0121", 3, [0, 1, 2, 1.0], [[0], [1, 2], [1]], [True] * 4, torch.ones(4, dtype=torch.bool),
                                    torch.zeros(4, dtype=torch.complex64), torch.zeros(4, 1, dtype=torch.int32), ["a", "b", "c", "d"]], ids=str)
def test_other_labels_are_refused_in_a_line(labels: Any) -> None:
    for name, given in (("labels", (labels, 3, range(4))), ("indices", (range(3), 3, labels))):
        with pytest.raises(rs.InputError, match=f"{name}: expected whole numbers of shape"):
            rs.Split(torch.zeros(4 if name == "labels" else 3, 1, 8, 8), *given)


@pytest.mark.parametrize("classes", [0, -1, 2.5, None, "3", ("a", "b", "c"), True])
def test_a_number_of_classes_is_a_whole_number(classes: Any) -> None:
    with pytest.raises(rs.InputError, match="classes="):
        rs.Split(torch.zeros(4, 1, 8, 8), [0, 0, 0, 0], classes, range(4))  # type: ignore[arg-type]


def test_images_with_one_index_are_allowed(data: rs.Dataset) -> None:
    assert data.train[[3, 3]].indices.tolist() == data.train.indices[[3, 3]].tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_images_of_other_floats_are_kept_as_they_are(data: rs.Dataset, dtype: torch.dtype) -> None:
    train = data.train
    split = rs.Split(train.images.to(dtype).requires_grad_(), train.labels, train.classes, train.indices)
    assert split.images.dtype == dtype and split[2:5].images.dtype == dtype
    assert split.fingerprint() == split[:].fingerprint() != train.fingerprint()


def test_data_sets_of_ones_own_are_checked(data: rs.Dataset) -> None:
    train, other = data.train, rs.Split(data.test.images[:, :, 1:], data.test.labels, 10, data.test.indices)
    fewer = rs.Split(train.images[:1], [0], 3, [0])  # type: ignore[arg-type]
    for changed, message in (({"train": (train.images, train.labels)}, "train: expected a Split, found a tuple; load and from_tensors"),
                             ({"test": other}, "test: expected images of one shape in all splits, found 1x31x32 and 1x32x32 in train"),
                             ({"validation": fewer}, "validation: has 3 classes, of which 10 are named")):
        with pytest.raises(rs.InputError, match=message):
            replace(data, **changed)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match=r"images: expected a floating-point tensor .*, found Split"):
        data.pixels(train)  # type: ignore[arg-type]


def test_images_too_small_to_be_shifted_are_called_so() -> None:
    with pytest.raises(rs.InputError, match="images: 2x9 are too small to be shifted by 2; train without augmentation"):
        augment(torch.zeros(3, 1, 2, 9), torch.Generator())
    assert augment(torch.zeros(3, 1, 3, 3), torch.Generator()).shape == (3, 1, 3, 3)
