"""Images and labels as users have them: uneven classes, 16 bits, turned pictures, labels of any whole type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty import write_npz
from PIL import Image, ImageOps

import repsearch as rs


def counts(split: rs.Split) -> list[int]:
    return torch.bincount(split.labels.long(), minlength=split.classes).tolist()


@pytest.mark.xfail(strict=True, reason="U5: validation takes equal counts a class")
@pytest.mark.parametrize("classes", [[1000, 52], [900, 60, 40, 30], [1000, 51], [100, 10, 2]])
def test_validation_is_a_tenth_of_each_class(tmp_path: Path, classes: list[int]) -> None:
    write_npz(tmp_path / "mine.npz", classes)
    data = rs.load("mine", tmp_path)
    for trained, held_out, count in zip(counts(data.train), counts(data.validation), classes, strict=True):
        assert trained + held_out == count and trained >= 1
        assert abs(held_out - count / 10) <= 1


@pytest.mark.xfail(strict=True, reason="U5: validation takes equal counts a class, of all that are named")
def test_a_class_without_images_is_no_obstacle(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [40, 0, 40])
    data = rs.load("mine", tmp_path)
    assert data.train.classes == 3 and counts(data.train)[1] == 0 and min(counts(data.train)[::2]) >= 35


@pytest.mark.xfail(strict=True, reason="U5: images: found none")
def test_five_images_are_enough_to_hold_some_out(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [3, 2])
    data = rs.load("mine", tmp_path)
    assert len(data.train) + len(data.validation) == 5 and len(data.validation) >= 1 and min(counts(data.train)) >= 1


def write_folder(root: Path, pictures: list[Image.Image], suffix: str = "png", **how: Any) -> None:
    """The same pictures as training images of two classes; the first is the test image of both."""
    for label in ("cat", "dog"):
        for part, chosen in (("train", pictures), ("test", pictures[:1])):
            (root / "mine" / part / label).mkdir(parents=True)
            for i, picture in enumerate(chosen):
                picture.save(root / "mine" / part / label / f"{i}.{suffix}", **how)


@pytest.mark.xfail(strict=True, reason="U7: convert(RGB) clips 16 bits to 255")
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


@pytest.mark.xfail(strict=True, reason="U10: EXIF orientation is ignored")
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


@pytest.mark.xfail(strict=True, reason="Misleading: .ipynb_checkpoints is called a class")
def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_folder(tmp_path, [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(10)])
    (tmp_path / "mine" / "train" / ".ipynb_checkpoints").mkdir()
    assert rs.load("mine", tmp_path, validation=2).classes == ("cat", "dog")


@pytest.mark.xfail(strict=True, reason="Misleading: labels in 0..0")
def test_a_number_in_the_place_of_class_names_is_called_so(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [10, 10, 10, 10], classes=np.array(4))
    with pytest.raises(rs.InputError, match="classes") as error:
        rs.load("mine", tmp_path)
    assert "0..0" not in str(error.value)


@pytest.mark.xfail(strict=True, reason="Misleading: b'a'")
def test_class_names_in_bytes_are_read_as_text(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20], classes=np.array([b"cat", b"dog"]))
    assert rs.load("mine", tmp_path).classes == ("cat", "dog")


@pytest.mark.xfail(strict=True, reason="N12: a .npy called .npz ends in a raw error")
def test_one_array_called_npz_is_refused_in_a_line(tmp_path: Path) -> None:
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(rs.InputError, match=r"mine\.npz"):
        rs.load("mine", tmp_path)


@pytest.mark.xfail(strict=True, reason="Raw: labels of other whole types")
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, *([torch.uint16] if hasattr(torch, "uint16") else [])], ids=str)
def test_labels_may_be_of_any_whole_type(data: rs.Dataset, dtype: torch.dtype, preset: rs.presets.Preset, network: rs.Network, targets: rs.Targets) -> None:
    train = data.train
    split = rs.Split(train.images, train.labels.to(dtype), train.classes, train.indices)
    assert split.fingerprint() == train.fingerprint()
    found = rs.search(network, split[:4], preset.search, progress=False)
    assert torch.equal(found.read("logits"), targets.read("logits", 0, 4))
    mine = rs.Dataset("mine", data.classes, split, data.validation, data.test, data.mean, data.std)
    rs.fit(rs.learn_network(mine, preset), mine, rs.methods.Backprop(), preset.baseline, progress=False)


@pytest.mark.xfail(strict=True, reason="Raw, D14: indices are never checked")
@pytest.mark.parametrize("indices", [
    None, list(range(19)), np.arange(19), torch.arange(19), torch.arange(20) - 1, torch.arange(20.0), torch.zeros(20, 1, dtype=torch.int64), "20",
], ids=["none", "short list", "short numpy", "short", "negative", "floats", "shape", "text"])
def test_indices_that_do_not_fit_are_refused_in_a_line(data: rs.Dataset, indices: Any) -> None:
    train = data.train
    with pytest.raises(rs.InputError, match="indices"):
        rs.Split(train.images, train.labels, train.classes, indices)


@pytest.mark.xfail(strict=True, reason="Raw, D14: indices are never checked")
@pytest.mark.parametrize("kind", [list, np.array], ids=["list", "numpy"])
def test_indices_of_another_kind_are_taken_or_refused_in_a_line(data: rs.Dataset, kind: Any) -> None:
    train = data.train
    try:
        split = rs.Split(train.images, train.labels, train.classes, kind(train.indices.tolist()))
    except rs.InputError as error:
        assert "indices" in str(error)
        return
    assert split[:4].fingerprint() == train[:4].fingerprint()
