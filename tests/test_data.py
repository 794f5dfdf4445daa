"""Data: sources and their order, balanced subsets, normalisation, augmentation, and every kind of bad input."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import repsearch as rs
from repsearch.data import augment


def npz(folder: Path, name: str = "mine", **changes: np.ndarray | None) -> Path:
    """A small data set of three classes of 8x10 images, written as <name>.npz, with some arrays changed or left out."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray | None] = {
        "train_images": rng.integers(0, 256, (30, 8, 10, 3), dtype=np.uint8), "train_labels": np.arange(30) % 3,
        "test_images": rng.integers(0, 256, (9, 8, 10, 3), dtype=np.uint8), "test_labels": np.arange(9) % 3,
        "classes": np.array(["cat", "dog", "owl"]), **changes,
    }
    np.savez(folder / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
    return folder / f"{name}.npz"


def test_digits_are_embedded_balanced_and_normalised() -> None:
    data = rs.load("digits", train=200, validation=50, test=100)
    for split, count in ((data.train, 200), (data.validation, 50), (data.test, 100)):
        assert split.images.shape == (count, 1, 32, 32)
        assert torch.bincount(split.labels).tolist() == [count // 10] * 10
    assert abs(data.train.images.mean()) < 1e-5 and abs(data.train.images.std() - 1) < 1e-4
    assert data.pixels(data.train.images).shape == (200, 32, 32, 1)


def test_normalisation_uses_training_images_only(tmp_path: Path) -> None:
    plain = npz(tmp_path, "plain")
    with np.load(plain) as arrays:
        npz(tmp_path, "bright", test_images=np.full_like(arrays["test_images"], 255))
    first, second = (rs.load(name, tmp_path, train=12, validation=6) for name in ("plain", "bright"))
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.mean, second.mean)


def test_validation_never_touches_training_or_test_images() -> None:
    for seed in range(3):
        data = rs.load("digits", train=300, validation=200, seed=seed)
        assert not set(data.train.indices.tolist()) & set(data.validation.indices.tolist())
    everything = rs.load("digits")
    assert len(everything.train) + len(everything.validation) + len(everything.test) == 1797
    assert len(everything.validation) == 1437 // 10


def test_a_smaller_part_is_the_beginning_of_a_larger_one() -> None:
    small, large = (rs.load("digits", train=n, validation=50, seed=4) for n in (60, 240))
    assert torch.equal(small.train.indices, large.train.indices[:60])
    assert torch.equal(small.validation.indices, large.validation.indices)
    assert not torch.equal(small.train.indices, rs.load("digits", train=60, validation=50, seed=5).train.indices)


def test_npz_of_ones_own(tmp_path: Path) -> None:
    path = npz(tmp_path)
    data = rs.load("mine", tmp_path, train=15, validation=3)
    assert data.classes == ("cat", "dog", "owl")
    assert data.train.images.shape == (15, 3, 8, 10)
    with np.load(path) as arrays:
        original = arrays["train_images"][data.train.indices.numpy()]
    assert np.allclose(data.pixels(data.train.images).numpy() * 255, original, atol=1e-3)
    grey = rs.load("grey", npz(tmp_path, "grey", train_images=np.random.rand(30, 9, 9), test_images=np.random.rand(9, 9, 9)).parent)
    assert grey.train.images.shape[1:] == (1, 9, 9)
    assert rs.load("mine", tmp_path, validation=3, size=12).train.images.shape[2:] == (12, 12)


def test_an_npz_goes_before_the_files_of_torchvision(tmp_path: Path) -> None:
    npz(tmp_path, "mnist", train_images=np.random.rand(30, 9, 9), test_images=np.random.rand(9, 9, 9))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    assert rs.load("mnist", tmp_path, validation=3).classes == ("cat", "dog", "owl")


def test_an_image_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for title in ("apple", "pear"):
            folder = tmp_path / "fruit" / part / title
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    data = rs.load("fruit", tmp_path, train=8, validation=2)
    assert data.classes == ("apple", "pear") and data.train.images.shape == (8, 3, 32, 32) and len(data.test) == 4
    (tmp_path / "fruit" / "train" / "pear" / "5.png").write_bytes(b"not a picture")
    with pytest.raises(rs.InputError, match=r"5\.png: not a readable image"):
        rs.load("fruit", tmp_path)
    shutil.rmtree(tmp_path / "fruit" / "test" / "pear")
    (tmp_path / "fruit" / "train" / "pear" / "5.png").unlink()
    with pytest.raises(rs.InputError, match="only one of them has pear"):
        rs.load("fruit", tmp_path)


def test_root_comes_from_the_environment(tmp_path: Path) -> None:
    npz(tmp_path)
    before = os.environ.get("REPSEARCH_DATA")
    os.environ["REPSEARCH_DATA"] = str(tmp_path)
    try:
        assert len(rs.load("mine", train=6, validation=3).train) == 6
    finally:
        os.environ.pop("REPSEARCH_DATA")
        if before is not None:
            os.environ["REPSEARCH_DATA"] = before


def test_augmentation_flips_and_shifts_whole_images() -> None:
    images = torch.rand(400, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    out = augment(images, torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    flipped = padded.flip(3)
    seen = set()
    for i in range(400):
        found = [
            (kind, dy, dx) for kind, source in enumerate((padded, flipped)) for dy in range(5) for dx in range(5)
            if torch.equal(out[i], source[i, :, dy : dy + 9, dx : dx + 9])
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 50  # both orientations at all 25 shifts
    assert torch.equal(out, augment(images, torch.Generator().manual_seed(1)))


# --- the real files ---------------------------------------------------------------------------------------------------


def test_real_mnist(real_data: Path) -> None:
    data = rs.load("mnist", real_data, train=100, validation=50, test=100)
    assert data.train.images.shape == (100, 1, 32, 32)
    official = torchvision.datasets.MNIST(real_data, train=True)
    index = int(data.train.indices[7])
    assert official.targets[index] == data.train.labels[7]
    shown = (data.pixels(data.train.images[7:8])[0, 2:30, 2:30, 0] * 255).round().byte()
    assert torch.equal(shown, official.data[index])
    assert rs.load("mnist", real_data, train=10, validation=10, test=10, size=28).train.images.shape[2:] == (28, 28)


def test_real_cifar10_with_its_checksums(real_data: Path, tmp_path: Path) -> None:
    data = rs.load("cifar10", real_data, train=50, validation=20, test=30)
    official = torchvision.datasets.CIFAR10(real_data, train=False)
    shown = (data.pixels(data.test.images) * 255).round().byte().numpy()
    assert np.array_equal(shown, official.data[data.test.indices.numpy()])
    assert data.classes[3] == "cat"

    shutil.copytree(real_data / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    with (tmp_path / "cifar-10-batches-py" / "data_batch_3").open("r+b") as file:
        file.seek(100_000)
        file.write(b"\0\1\2\3")
    with pytest.raises(rs.InputError, match=r"cifar-10-batches-py: incomplete or damaged .*delete the folder"):
        rs.load("cifar10", tmp_path)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_an_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(rs.InputError, match=r"data='imagenet': unknown; choose one of digits, mnist, cifar10, cifar100, or put"):
        rs.load("imagenet", tmp_path)


def test_no_data_and_no_network(tmp_path: Path) -> None:
    """A proxy that refuses connections stands for a missing network, on any machine."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    try:
        for name in ("cifar10", "mnist"):
            with pytest.raises(rs.InputError, match=r"the download failed .*connect to the internet, or put .*or name their folder"):
                rs.load(name, tmp_path / "new")
    finally:
        for name in ("http_proxy", "https_proxy"):
            del os.environ[name]
        os.environ.update(before)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("changes", "message"), [
    ({"test_labels": None}, "lacks test_labels; expected train_images"),
    ({"train_images": np.zeros((30, 8), np.uint8)}, r"train_images: expected N x H x W .* found \(30, 8\)"),
    ({"train_images": np.zeros((30, 3, 8, 10), np.uint8)}, r"channels \(1 or 3\), found \(30, 3, 8, 10\)"),
    ({"train_images": np.zeros((0, 8, 10, 3), np.uint8)}, r"found \(0, 8, 10, 3\)"),
    ({"train_images": np.zeros((30, 8, 10, 3), np.int32)}, "expected uint8, or floats in 0..1, found int32"),
    ({"train_images": np.full((30, 8, 10, 3), np.nan)}, "train_images: has NaN or infinite pixels"),
    ({"test_images": np.full((9, 8, 10, 3), np.inf)}, "test_images: has NaN or infinite pixels"),
    ({"train_images": np.full((30, 8, 10, 3), 255.0)}, r"floats must lie in 0..1, found 255..255; rescale"),
    ({"test_images": np.zeros((9, 8, 8, 3), np.uint8)}, "make them equal"),
    ({"train_labels": np.arange(30) % 4}, r"train_labels: expected labels in 0..2, found 0..3; number the classes from 0"),
    ({"train_labels": np.arange(30) % 3 - 1}, "found -1..1"),
    ({"train_labels": np.arange(30) / 3}, r"train_labels: expected whole numbers of shape \(images,\), found float64 \(30,\); convert"),
    ({"train_labels": np.arange(29) % 3}, "found 29 labels for 30 images"),
    ({"train_images": np.zeros((30, 8, 10, 3), np.uint8)}, "a channel of the 27 training images is constant"),
])
def test_bad_npz(tmp_path: Path, changes: dict[str, np.ndarray | None], message: str) -> None:
    npz(tmp_path, **changes)
    with pytest.raises(rs.InputError, match=message) as caught:
        rs.load("mine", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 1000, -30])
def test_a_truncated_npz(tmp_path: Path, kept: int) -> None:
    path = npz(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(rs.InputError, match=r"mine\.npz: damaged, truncated or not an npz file"):
        rs.load("mine", tmp_path)


def test_a_damaged_npz(tmp_path: Path) -> None:
    path = npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[2000:2010] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(rs.InputError, match="damaged"):
        rs.load("mine", tmp_path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(rs.InputError, match="damaged, truncated or not an npz file"):
        rs.load("mine", tmp_path)


def test_more_images_than_a_class_has(tmp_path: Path) -> None:
    npz(tmp_path, train_labels=np.array([0] * 20 + [1] * 8 + [2] * 2))
    with pytest.raises(rs.InputError, match=r"train=9: needs 3 images of class 2 \(owl\), found 1; ask for fewer"):
        rs.load("mine", tmp_path, train=9, validation=3)
    with pytest.raises(rs.InputError, match="validation=12: needs 4 images of class 2"):
        rs.load("mine", tmp_path, train=3, validation=12)
    for argument in ("train", "test", "validation", "size"):
        with pytest.raises(rs.InputError, match=f"{argument}=0: expected a whole number of at least 1"):
            rs.load("mine", tmp_path, **{argument: 0})
    with pytest.raises(rs.InputError, match="size=5: the images of mine are 8x10; pass size=10 or more"):
        rs.load("mine", tmp_path, size=5)


@pytest.mark.parametrize(("images", "labels", "message"), [
    (torch.zeros(4, 8, 8), torch.zeros(4, dtype=torch.long), r"images: expected a floating-point tensor .*found torch.float32 \(4, 8, 8\)"),
    (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.long), "found torch.uint8"),
    (torch.full((4, 1, 8, 8), torch.nan), torch.zeros(4, dtype=torch.long), "image 0 has NaN or infinite pixels"),
    (torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]), r"labels: expected labels in 0..2, found 0..3"),
    (torch.zeros(4, 1, 8, 8), torch.zeros(4), "labels: expected whole numbers"),
    (torch.zeros(4, 1, 8, 8), torch.zeros(3, dtype=torch.long), "found 3 labels for 4 images"),
    (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long), "expected at least one image"),
])
def test_bad_tensors(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        rs.Split(images, labels, 3, torch.arange(len(images)))
