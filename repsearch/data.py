"""Data sets: class-balanced parts of what `repsearch.sources` reads, normalised, and their augmentation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError
from repsearch.sources import read


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, checked when made.

    Args:
        images: float32 (N, C, H, W), normalised.
        labels: int64 (N,), in 0 .. classes-1.
        classes: number of classes.
        indices: int64 (N,), where each image stands in the official split it was taken from.

    Raises:
        InputError: wrong rank, type or count, NaN or infinite pixels, labels out of range.
    """

    images: Tensor
    labels: Tensor
    classes: int
    indices: Tensor

    def __post_init__(self) -> None:
        checks.images("images", self.images)
        checks.labels("labels", self.labels, len(self.images), self.classes)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Split:
        return Split(self.images[rows], self.labels[rows], self.classes, self.indices[rows])

    def fingerprint(self) -> str:
        """A SHA-256 of images, labels and indices: two splits with equal fingerprints hold the same data."""
        digest = hashlib.sha256(str((tuple(self.images.shape), self.classes)).encode())
        digest.update(np.ascontiguousarray(self.images.cpu().numpy()).data)
        digest.update(np.ascontiguousarray(torch.stack([self.labels, self.indices]).cpu().numpy()).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: three splits, the names of its classes, and the statistics of its training images.

    Args:
        name: as given to `load`.
        classes: names of the classes, in the order of the labels.
        train, validation, test: the splits. Validation images come from the official training images.
        mean, std: float32 (C,), of the training images with pixels in 0..1.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: Tensor
    std: Tensor

    def pixels(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) as pixels in 0..1, shape (N, H, W, C), for showing."""
        shown = images.cpu() * self.std[:, None, None] + self.mean[:, None, None]
        return shown.clamp(0, 1).permute(0, 2, 3, 1)


def load(
    name: str,
    root: str | Path | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    validation: int | None = None,
    size: int | None = None,
) -> Dataset:
    """Load a data set, or a class-balanced part of it.

    Looked for in this order: `<root>/<name>.npz`, torchvision's files in `root`, the folder
    `<root>/<name>/{train,test}/<class>/*`, a download by torchvision. "digits" is embedded in scikit-learn and
    needs no file. Nothing ever falls back to other data.

    Args:
        name: "digits", "mnist", "cifar10", "cifar100", or a data set of your own. `<name>.npz` holds train_images,
            test_images (uint8, or floats in 0..1 kept to 8 bits; N x H x W, or with 1 or 3 channels last),
            train_labels, test_labels and classes (names).
        root: where the files are; default the environment's REPSEARCH_DATA, else ~/.cache/repsearch.
        train, test: images to take, the same number of each class (one more of the first classes if it does not
            divide); None takes all. With one seed, a smaller part is the beginning of a larger one.
        seed: decides which images are taken.
        validation: images held out of the official training images; default a tenth of them, at most 4000.
        size: side of the images; default 32 for digits (drawn larger), MNIST (padded) and folders (resized),
            otherwise as they are. Smaller images are padded with zeros.

    Returns:
        A `Dataset`, normalised with the mean and standard deviation of the training images taken.

    Raises:
        InputError: no such data, a damaged file, a class with fewer images than asked for.

    Example:
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> data.train.images.shape, data.train.labels[:12].tolist()
        (torch.Size([100, 1, 32, 32]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    for key, count in (("train", train), ("test", test), ("validation", validation), ("size", size)):
        if count is not None:
            checks.positive_int(key, count)
    checks.positive_int("seed", seed, minimum=0)
    (train_x, train_y), (test_x, test_y), classes = read(name, root, size)
    taken, held_out = _training_rows(train_y, classes, train, validation, seed)
    tested = _balanced_order(test_y, len(classes), seed)
    tested = tested if test is None else _take(tested, test_y, test, classes, "test")

    pixels = torch.from_numpy(train_x[taken]).float() / 255
    std, mean = torch.std_mean(pixels, dim=(0, 1, 2))
    if bool((std == 0).any()):
        raise InputError(f"{name}: a channel of the {len(taken)} training images is constant; take more images")
    parts = ((train_x, train_y, taken), (train_x, train_y, held_out), (test_x, test_y, tested))
    splits = [_split(*part, mean, std, len(classes)) for part in parts]
    return Dataset(name, classes, splits[0], splits[1], splits[2], mean, std)


def _split(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray, mean: Tensor, std: Tensor, classes: int
) -> Split:
    """These rows of images (uint8 N x H x W x C) as a split, normalised."""
    normalised = (torch.from_numpy(images[rows]).float() / 255 - mean) / std
    return Split(
        normalised.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels[rows]), classes, torch.from_numpy(rows)
    )


def __getattr__(name: str) -> None:
    if name == "default_root":
        raise ImportError("repsearch.data.default_root of release 0.1 is repsearch.sources.default_root since 0.2")
    raise AttributeError(f"module 'repsearch.data' has no attribute {name!r}")


def augment(images: Tensor, generator: torch.Generator, pad: int = 2) -> Tensor:
    """Each image flipped left to right with probability 1/2, then cropped from a reflection-padded copy (A.3).

    Args:
        images: (N, C, H, W).
        generator: on the images' device.
        pad: pixels added on each side, and so the largest shift.

    Returns:
        A new tensor of the same shape.
    """
    count, _, height, width = images.shape
    flip = torch.rand(count, generator=generator, device=images.device) < 0.5
    shifts = torch.randint(2 * pad + 1, (count, 2), generator=generator, device=images.device)
    padded = F.pad(torch.where(flip[:, None, None, None], images.flip(3), images), (pad,) * 4, mode="reflect")
    out = torch.empty_like(images)
    for dy in range(2 * pad + 1):
        for dx in range(2 * pad + 1):
            chosen = (shifts[:, 0] == dy) & (shifts[:, 1] == dx)
            out[chosen] = padded[chosen, :, dy : dy + height, dx : dx + width]
    return out


# --- which images are taken -------------------------------------------------------------------------------------------


def _training_rows(
    labels: np.ndarray, classes: tuple[str, ...], train: int | None, validation: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the official training images to train on, and to hold out."""
    if validation is None:
        validation = min(4000, len(labels) // 10)
    order = _balanced_order(labels, len(classes), seed)
    held_out = _take(order, labels, validation, classes, "validation", last=True)
    rest = order[~np.isin(order, held_out)]
    return (rest if train is None else _take(rest, labels, train, classes, "train")), held_out


def _balanced_order(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """All indices, each class shuffled, then one image of each class in turn: any beginning is balanced."""
    rng = np.random.default_rng(seed)
    order, rank = rng.permutation(len(labels)), np.empty(len(labels), dtype=np.int64)
    for label in range(classes):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))


def _take(
    order: np.ndarray, labels: np.ndarray, count: int, classes: tuple[str, ...], what: str, last: bool = False
) -> np.ndarray:
    """The first (or last) `count` of `order`, the same number of each class, in the order they stand there."""
    chosen = np.zeros(len(order), dtype=bool)
    for label, title in enumerate(classes):
        wanted = count // len(classes) + (label < count % len(classes))
        places = np.flatnonzero(labels[order] == label)
        if len(places) < wanted:
            raise InputError(
                f"{what}={count}: needs {wanted} images of class {label} ({title}), found {len(places)}; ask for fewer"
            )
        chosen[places[len(places) - wanted :] if last else places[:wanted]] = True
    return order[chosen]
