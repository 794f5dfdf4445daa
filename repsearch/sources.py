"""From files to arrays: embedded digits, MNIST, CIFAR-10, CIFAR-100, any `<name>.npz`, any torchvision-style folder."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from repsearch import checks
from repsearch.checks import InputError

TORCHVISION = {"mnist": "MNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
TORCHVISION_FOLDER = {"mnist": "MNIST/raw", "cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
NPZ_KEYS = ("train_images", "train_labels", "test_images", "test_labels", "classes")

Arrays = tuple[np.ndarray, np.ndarray]
Source = tuple[Arrays, Arrays, tuple[str, ...]]


def default_root(root: str | Path | None = None) -> Path:
    """The folder of the data files: `root`, else REPSEARCH_DATA, else ~/.cache/repsearch."""
    return Path(root or os.environ.get("REPSEARCH_DATA") or Path.home() / ".cache" / "repsearch").expanduser()


def read(name: str, root: str | Path | None, size: int | None) -> Source:
    """Training and test arrays (uint8 N x H x W x C, int64) and class names, from the first source that has them."""
    if name == "digits":
        return _digits(size or 32)
    folder = default_root(root)
    if (folder / f"{name}.npz").is_file():
        source = _npz(folder / f"{name}.npz")
    elif name in TORCHVISION and (folder / TORCHVISION_FOLDER[name]).is_dir():
        source = _torchvision(name, folder)
    elif name not in TORCHVISION and (folder / name / "train").is_dir():
        source = _image_folder(folder / name, size or 32)
    elif name in TORCHVISION:
        _download(name, folder)
        source = _torchvision(name, folder)
    else:
        known = ", ".join(["digits", *TORCHVISION])
        raise InputError(
            f"data={name!r}: unknown; choose one of {known}, or put {name}.npz or "
            f"{name}/{{train,test}}/<class>/ into {folder}"
        )
    if name == "mnist":
        size = size or 32
    (train_x, train_y), (test_x, test_y), classes = source
    return (_padded(train_x, size, name), train_y), (_padded(test_x, size, name), test_y), classes


def _padded(images: np.ndarray, size: int | None, name: str) -> np.ndarray:
    height, width = images.shape[1:3]
    if size is None or (height == size and width == size):
        return images
    if max(height, width) > size:
        larger = max(height, width)
        raise InputError(f"size={size}: the images of {name} are {height}x{width}; pass size={larger} or more")
    top, left = (size - height) // 2, (size - width) // 2
    borders = ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0))
    return np.pad(images, borders)


def _digits(size: int) -> Source:
    """scikit-learn's 1,797 digits of 8x8 pixels, drawn larger; the last fifth, by other writers, is the test set."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)
    drawn = F.interpolate(grey, size=(size, size), mode="bilinear", align_corners=False)
    images = drawn.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    labels = bunch.target.astype(np.int64)
    cut = len(labels) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), tuple(map(str, bunch.target_names))


def _npz(path: Path) -> Source:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in NPZ_KEYS if key not in archive.files]
            if missing:
                raise InputError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(NPZ_KEYS)}")
            arrays = {key: archive[key] for key in NPZ_KEYS}
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: damaged, truncated or not an npz file ({error}); write it again") from None
    classes = tuple(str(title) for title in arrays["classes"].ravel())
    train = _checked(path, "train", arrays, len(classes))
    test = _checked(path, "test", arrays, len(classes))
    if train[0].shape[1:] != test[0].shape[1:]:
        found = f"train_images are {train[0].shape[1:]}, test_images {test[0].shape[1:]}"
        raise InputError(f"{path}: {found}; make them equal")
    return train, test, classes


def _checked(path: Path, part: str, arrays: dict[str, np.ndarray], classes: int) -> Arrays:
    """Images of an npz as uint8 (N, H, W, C) and its labels as int64, or an error that says what is wrong."""
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    where = f"{path}: {part}_images"
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise InputError(f"{where}: expected N x H x W or N x H x W x channels (1 or 3), found {images.shape}")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise InputError(f"{where}: has NaN or infinite pixels; remove or repair those images")
        if images.min() < 0 or images.max() > 1:
            found = f"{images.min():g}..{images.max():g}"
            raise InputError(f"{where}: floats must lie in 0..1, found {found}; rescale them")
        images = np.rint(images * 255).astype(np.uint8)
    elif images.dtype != np.uint8:
        raise InputError(f"{where}: expected uint8, or floats in 0..1, found {images.dtype}; convert them")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: {part}_labels: expected whole numbers, found {labels.dtype}; convert them")
    checks.labels(f"{path}: {part}_labels", torch.from_numpy(labels.astype(np.int64)), len(images), classes)
    return images, labels.astype(np.int64)


def _torchvision(name: str, folder: Path) -> Source:
    import torchvision

    kind: Any = getattr(torchvision.datasets, TORCHVISION[name])
    try:
        train, test = kind(folder, train=True, download=False), kind(folder, train=False, download=False)
    except Exception as error:  # torchvision, pickle and struct each raise their own on a damaged file
        where = folder / TORCHVISION_FOLDER[name]
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{where}: incomplete or damaged ({cause}); delete the folder and load again") from None
    parts = []
    for part in (train, test):
        images = np.asarray(part.data, dtype=np.uint8)
        images = images[..., None] if images.ndim == 3 else images
        parts.append((images, np.asarray(part.targets, dtype=np.int64)))
    return parts[0], parts[1], tuple(train.classes)


def _download(name: str, folder: Path) -> None:
    """Let torchvision download into a temporary folder first, so that a broken download leaves nothing behind."""
    import torchvision

    existed = folder.is_dir()
    checks.writable_folder("root", folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as part:
            getattr(torchvision.datasets, TORCHVISION[name])(part, download=True)
            for path in Path(part).iterdir():
                shutil.move(path, folder / path.name)
    except (OSError, RuntimeError) as error:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"data={name!r}: not in {folder}, and the download failed ({cause}); connect to the internet, or put "
            f"torchvision's files or {name}.npz there, or name their folder with root= or REPSEARCH_DATA"
        ) from None


def _image_folder(folder: Path, size: int) -> Source:
    """A torchvision-style folder {train,test}/<class>/<image>: shorter side brought to `size`, centre cropped."""
    import torchvision
    from torchvision.transforms import functional as TF

    def part_of(part: str) -> tuple[Arrays, tuple[str, ...]]:
        try:
            source = torchvision.datasets.ImageFolder(folder / part)
        except (FileNotFoundError, OSError) as error:
            raise InputError(f"{folder / part}: expected <class>/<image> files ({error})") from None
        images, labels = [], []
        for path, label in source.samples:
            try:
                picture = source.loader(path)
            except OSError as error:
                raise InputError(f"{path}: not a readable image ({error}); remove it or save it again") from None
            picture = TF.center_crop(TF.resize(picture, size), [size, size])
            images.append(np.asarray(picture, dtype=np.uint8))
            labels.append(label)
        return (np.stack(images), np.asarray(labels, dtype=np.int64)), tuple(source.classes)

    (train, classes), (test, test_classes) = part_of("train"), part_of("test")
    if classes != test_classes:
        differ = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise InputError(f"{folder}: train and test must have the same classes, only one of them has {differ}")
    return train, test, classes
