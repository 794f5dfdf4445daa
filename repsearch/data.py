"""Data sets: class-balanced parts of what `repsearch.sources` reads, normalised, and their augmentation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from repsearch import checks
from repsearch.arrays import arrays_of, whole_numbers
from repsearch.checks import InputError
from repsearch.rows import balanced_order, rows_of, take, training_rows
from repsearch.sources import OFFICIAL, read

Rows = int | slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, checked when made.

    `split[rows]` is a split of some of them: of a slice, of whole numbers (negative ones count from the end), or where
    a mask of one truth value an image is true. `split[5]` holds one image, and a loop goes over such splits.

    Args:
        images: floating-point (N, C, H, W), normalised; `load` gives float32, which is what a search takes.
        labels: N whole numbers of any type, in 0 .. classes-1; kept as int64.
        classes: number of classes.
        indices: N whole numbers, where each image stands in the official split it was taken from; kept as int64. A
            search draws for an image by its index, so images with one index, which are allowed, get the same draws.

    Raises:
        InputError: wrong rank, type or count, NaN or infinite pixels, labels out of range, negative indices, no rows.

    Example:
        >>> split = Split(torch.zeros(4, 1, 8, 8), [0, 1, 2, 0], classes=3, indices=range(4))
        >>> split
        Split(4 images 1x8x8, 3 classes)
        >>> split[split.labels == 0].indices
        tensor([0, 3])
    """

    images: Tensor
    labels: Tensor
    classes: int
    indices: Tensor

    def __post_init__(self) -> None:
        checks.images("images", self.images)
        count = len(self.images)
        for name, value in (
            ("classes", checks.positive_int("classes", self.classes)),
            ("labels", whole_numbers("labels", self.labels)), ("indices", whole_numbers("indices", self.indices)),
        ):
            object.__setattr__(self, name, value)  # the class is frozen
        checks.labels("labels", self.labels, count, self.classes)
        if len(self.indices) != count:
            found = f"found {len(self.indices)} for {count} images"
            raise InputError(f"indices: expected one an image, {found}; range({count}) numbers them")
        if int(self.indices.min()) < 0:
            raise InputError(f"indices: expected whole numbers of at least 0, found {int(self.indices.min())}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Split({len(self)} images {_sides(self.images)}, {self.classes} classes)"

    def __getitem__(self, rows: Rows) -> Split:
        chosen = rows_of(rows, len(self))
        return Split(self.images[chosen], self.labels[chosen], self.classes, self.indices[chosen])

    def __iter__(self) -> Iterator[Split]:
        return (self[row] for row in range(len(self)))

    def fingerprint(self) -> str:
        """A SHA-256 of images, labels and indices: two splits with equal fingerprints hold the same data."""
        digest = hashlib.sha256(str((tuple(self.images.shape), self.classes)).encode())
        digest.update(self.images.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        digest.update(torch.stack([self.labels.cpu(), self.indices.cpu()]).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: three splits, the names of its classes, and the statistics of its training images.

    Args:
        name: as given to `load`.
        classes: names of the classes, in the order of the labels.
        train, validation, test: the splits. Validation images come from the official training images.
        mean, std: float32 (C,), of the training images with pixels in 0..1.
        source: how many training and test images there were to take from; None if nobody says.

    Raises:
        InputError: something else than splits, or splits that differ in their classes or the shape of their images.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: Tensor
    std: Tensor
    source: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            split: Split = getattr(self, part)
            checks.instance(part, split, Split, "load and from_tensors make a data set with its splits")
            if split.classes != len(self.classes):
                raise InputError(f"{part}: has {split.classes} classes, of which {len(self.classes)} are named")
            if split.images.shape[1:] != self.train.images.shape[1:]:
                found = f"found {_sides(split.images)} and {_sides(self.train.images)} in train"
                raise InputError(f"{part}: expected images of one shape in all splits, {found}")

    def __repr__(self) -> str:
        counts = f"{len(self.train)} training, {len(self.validation)} validation, {len(self.test)} test images"
        of = f"; of {self.part}" if self.part else ""
        return f"Dataset({self.name}: {counts} {_sides(self.train.images)}, {len(self.classes)} classes{of})"

    @property
    def part(self) -> str:
        """Which part of a known data set the files hold, in words; empty if they hold all of it."""
        if self.source is None or self.source == OFFICIAL.get(self.name, self.source):
            return ""
        (train, test), (all_train, all_test) = self.source, OFFICIAL[self.name]
        return f"a part, {train:,} of {all_train:,} training and {test:,} of {all_test:,} test images"

    def pixels(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) as pixels in 0..1, shape (N, H, W, C), for showing.

        Raises:
            InputError: something else than images; of a split, pass its images.
        """
        checks.images("images", images)
        shown = images.cpu() * self.std[:, None, None] + self.mean[:, None, None]
        return shown.clamp(0, 1).permute(0, 2, 3, 1)


def load(
    name: str, root: str | Path | None = None, train: int | None = None, test: int | None = None, seed: int = 0,
    validation: int | None = None, size: int | None = None,
) -> Dataset:
    """Load a data set, or a class-balanced part of it.

    Looked for in this order: `<root>/<name>.npz`, torchvision's files in `root`, the folder
    `<root>/<name>/{train,test}/<class>/*`, a download by torchvision. "digits" is embedded in scikit-learn and
    needs no file. Nothing ever falls back to other data.

    Args:
        name: "digits", "mnist", "cifar10", "cifar100", or a data set of your own. `<name>.npz` holds train_images,
            test_images (uint8, or floats in 0..1 kept to 8 bits; N x H x W, or with 1 or 3 channels last),
            train_labels, test_labels and classes (names). Pictures in a folder are turned as their EXIF says, and grey
            ones of 16 bits are brought to 8.
        root: where the files are; default the environment's REPSEARCH_DATA, else ~/.cache/repsearch.
        train, test: images to take, the same number of each class that has images (one more of the first classes if it
            does not divide); None takes all. With one seed, a smaller part is the beginning of a larger one.
        seed: decides which images are taken.
        validation: images held out of the official training images, the same number of each class; None holds out a
            tenth of each class, in all at most 4000 and at least one, and never a class's last image.
        size: side of the images; default 32 for digits (drawn larger), MNIST (padded) and folders (resized),
            otherwise as they are. Smaller images are padded with zeros.

    Returns:
        A `Dataset`, normalised with the mean and standard deviation of the training images taken.

    Raises:
        InputError: no such data, a name that is a path, a damaged file, a class with fewer images than asked for.

    Example:
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> data
        Dataset(digits: 100 training, 50 validation, 50 test images 1x32x32, 10 classes)
        >>> data.train.images.shape, data.train.labels[:12].tolist()
        (torch.Size([100, 1, 32, 32]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    given = {"train": train, "test": test, "validation": validation, "size": size}
    counts = {key: None if count is None else checks.positive_int(key, count) for key, count in given.items()}
    seed = checks.seed(seed)
    (train_x, train_y), (test_x, test_y), classes = read(name, root, counts["size"])
    taken, held_out = training_rows(train_y, classes, counts["train"], counts["validation"], seed)
    tested = balanced_order(test_y, len(classes), seed)
    tested = tested if counts["test"] is None else take(tested, test_y, counts["test"], classes, "test")
    source = len(train_y), len(test_y)
    parts = (train_x, train_y, taken), (train_x, train_y, held_out), (test_x, test_y, tested)
    return _normalised(name, classes, *parts, source)


def from_tensors(
    train: Any, test: Any, classes: Sequence[str] | None = None, validation: Any = None, name: str = "tensors",
    seed: int = 0,
) -> Dataset:
    """A data set of images and labels in memory, as `load` gives it for the same arrays in a file.

    Args:
        train, test: each a pair (images, labels) or a torch Dataset of pairs (image, label). Images are (N, C, H, W),
            uint8, or floats in 0..1, of which `load` keeps 8 bits and this function all; labels are N whole numbers.
        classes: names of the classes, in the order of the labels; default "0", "1", ... up to the largest label.
        validation: images to hold out: a pair or a torch Dataset of their own, or a number out of train; None holds out
            a tenth of each class.
        name: of the data set, for messages and records.
        seed: decides which images are held out, and the order: as in `load`, each class in turn. A split's `indices`
            say where its images stood in the tensors.

    Returns:
        A `Dataset`, normalised with the mean and standard deviation of the training images.

    Raises:
        InputError: anything else, with the argument's name.

    Example:
        >>> images, labels = torch.rand(60, 3, 16, 16), torch.arange(60) % 3
        >>> from_tensors((images[:40], labels[:40]), (images[40:], labels[40:]), ["cat", "dog", "owl"])
        Dataset(tensors: 36 training, 4 validation, 20 test images 3x16x16, 3 classes)
    """
    checks.instance("name", name, str, "pass a name")
    seed, number = checks.seed(seed), None
    given = {"train": train, "test": test}
    if isinstance(validation, Integral):
        number = checks.positive_int("validation", validation)
    elif validation is not None:
        given["validation"] = validation
    parts, titles = arrays_of(given, classes)
    rows = {part: balanced_order(labels, len(titles), seed) for part, (_, labels) in parts.items()}
    if "validation" not in parts:
        parts["validation"] = parts["train"]
        rows["train"], rows["validation"] = training_rows(parts["train"][1], titles, None, number, seed)
    train_part, held_out, tested = ((*parts[part], rows[part]) for part in ("train", "validation", "test"))
    return _normalised(name, titles, train_part, held_out, tested)


Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # images (N, H, W, C), their labels, which rows to take


def _normalised(
    name: str, classes: tuple[str, ...], train: Part, validation: Part, test: Part,
    source: tuple[int, int] | None = None,
) -> Dataset:
    """A data set of these rows, normalised with the statistics of the training images."""
    std, mean = torch.std_mean(_pixels(train), dim=(0, 1, 2))
    if not bool((std > 0).all()):
        raise InputError(f"{name}: a channel of the {len(train[2])} training images is constant; take more images")
    splits = [_split(part, mean, std, len(classes)) for part in (train, validation, test)]
    return Dataset(name, classes, splits[0], splits[1], splits[2], mean, std, source)


def _pixels(part: Part) -> Tensor:
    images = torch.from_numpy(part[0][part[2]])
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _split(part: Part, mean: Tensor, std: Tensor, classes: int) -> Split:
    normalised = ((_pixels(part) - mean) / std).permute(0, 3, 1, 2).contiguous()
    return Split(normalised, torch.from_numpy(part[1][part[2]]), classes, torch.from_numpy(part[2]))


def _sides(images: Tensor) -> str:
    return "x".join(map(str, images.shape[1:]))


def __getattr__(name: str) -> None:
    if name == "default_root":
        raise ImportError("repsearch.data.default_root of release 0.1 is repsearch.sources.default_root since 0.2")
    raise AttributeError(f"module 'repsearch.data' has no attribute {name!r}")


def augment(images: Tensor, generator: torch.Generator, pad: int = 2) -> Tensor:
    """Each image flipped left to right with probability 1/2, cropped from a reflection-padded copy: a new tensor (A.3).

    Args:
        images: (N, C, H, W).
        generator: on the images' device.
        pad: pixels added on each side, and so the largest shift.

    Raises:
        InputError: images no larger than the largest shift.
    """
    count, _, height, width = images.shape
    if pad >= min(height, width):
        raise InputError(f"images: {height}x{width} are too small to be shifted by {pad}; train without augmentation")
    flip = torch.rand(count, generator=generator, device=images.device) < 0.5
    shifts = torch.randint(2 * pad + 1, (count, 2), generator=generator, device=images.device)
    padded = F.pad(torch.where(flip[:, None, None, None], images.flip(3), images), (pad,) * 4, mode="reflect")
    out = torch.empty_like(images)
    for dy in range(2 * pad + 1):
        for dx in range(2 * pad + 1):
            chosen = (shifts[:, 0] == dy) & (shifts[:, 1] == dx)
            out[chosen] = padded[chosen, :, dy : dy + height, dx : dx + width]
    return out
