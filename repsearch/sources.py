"""From files to arrays: embedded digits, MNIST, CIFAR-10, CIFAR-100, any `<name>.npz`, any torchvision-style folder."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from repsearch import checks
from repsearch.arrays import Arrays, check_floats, class_names, first_line, whole_numbers
from repsearch.checks import InputError
from repsearch.pictures import read_folder

TORCHVISION = {"mnist": "MNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
TORCHVISION_FOLDER = {"mnist": "MNIST/raw", "cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
OFFICIAL = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000)}
"""Training and test images of the whole data sets."""
NPZ_KEYS = ("train_images", "train_labels", "test_images", "test_labels", "classes")
SIDE = 2**15
"""Pixels of a side at most, so that no count of bytes overflows."""
UNPACKED = 2**30
"""Bytes of an npz that may be packed a hundred times smaller."""

Source = tuple[Arrays, Arrays, tuple[str, ...]]


def default_root(root: str | Path | None = None) -> Path:
    """The folder of the data files: `root`, else REPSEARCH_DATA, else ~/.cache/repsearch."""
    if not isinstance(root, str | Path | None):
        raise InputError(f"root={root!r}: expected the name of a folder")
    try:
        return checks.own_path(root or os.environ.get("REPSEARCH_DATA") or "~/.cache/repsearch")
    except RuntimeError:  # "~" without a home folder, "~name" of nobody
        raise InputError(f"root={root!r}: there is no such home folder; pass root= or set REPSEARCH_DATA") from None


def read(name: str, root: str | Path | None, size: int | None) -> Source:
    """Training and test arrays (uint8 N x H x W x C, int64) and class names, from the first source that has them.

    Raises:
        InputError: no such data, a name that is a path, a damaged file.
    """
    checks.instance("data", name, str, "pass the name of a data set")
    # A name chooses a file in the folder, and nothing outside it: it may come from a command that was received.
    if not name or name[0] == "." or ".." in name or any(mark in name for mark in "/\\:"):
        raise InputError(f"data={name!r}: expected a name, not a path; name its folder with root= or REPSEARCH_DATA")
    if size is not None and size > SIDE:
        raise InputError(f"size={size}: expected at most {SIDE} pixels a side")
    try:
        source = _digits(size or 32) if name == "digits" else _found(name, root, size)
        side = size or 32 if name == "mnist" else size
        (train_x, train_y), (test_x, test_y), classes = source
        return (_padded(train_x, side, name), train_y), (_padded(test_x, side, name), test_y), classes
    except MemoryError:
        raise InputError(f"size={size}: the images of {name} do not fit into memory; pass a smaller size=") from None
    except OSError as error:
        where, cause = error.filename or root, error.strerror or first_line(error)
        raise InputError(f"{where}: cannot be read ({cause}); allow reading it, or choose another with root=") from None


def _found(name: str, root: str | Path | None, size: int | None) -> Source:
    folder = default_root(root)
    if (folder / f"{name}.npz").is_file():
        return _npz(folder / f"{name}.npz")
    if name not in TORCHVISION:
        if (folder / name / "train").is_dir():
            return read_folder(folder / name, size or 32)
        known = ", ".join(["digits", *TORCHVISION])
        if name.endswith(".npz"):
            raise InputError(f"data={name!r}: expected a name without .npz, whose file lies in {folder}")
        raise InputError(
            f"data={name!r}: unknown; choose one of {known}, or put {name}.npz or "
            f"{name}/{{train,test}}/<class>/ into {folder}"
        )
    if not (folder / TORCHVISION_FOLDER[name]).is_dir():
        _download(name, folder)
    return _torchvision(name, folder)


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
    try:
        drawn = F.interpolate(grey, size=(size, size), mode="bilinear", align_corners=False)
    except RuntimeError:  # torch's word for it
        raise MemoryError from None
    images = drawn.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    labels = bunch.target.astype(np.int64)
    cut = len(labels) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), tuple(map(str, bunch.target_names))


def _npz(path: Path) -> Source:
    path.open("rb").close()  # zipfile takes what may not be read for something else
    try:
        arrays = _arrays(path)
    except InputError:
        raise
    except Exception as error:  # numpy, zipfile and each decompressor raise their own on a damaged file
        cause = first_line(error)
        raise InputError(f"{path}: damaged, truncated or not an npz file ({cause}); write it again") from None
    classes = class_names(f"{path}: classes", arrays["classes"])
    train, test = (_checked(path, part, arrays, len(classes)) for part in ("train", "test"))
    if train[0].shape[1:] != test[0].shape[1:]:
        found = f"train_images are {train[0].shape[1:]}, test_images {test[0].shape[1:]}"
        raise InputError(f"{path}: {found}; make them equal")
    return train, test, classes


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file, none of which is made before it is known to be as large as it says."""
    if not zipfile.is_zipfile(path):
        raise ValueError("no archive of arrays, as np.savez writes it")
    with np.load(path, allow_pickle=False) as npz:
        missing = [key for key in NPZ_KEYS if key not in npz.files]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(NPZ_KEYS)}")
        unpacked = sum(_bytes_of(path, npz.zip, key) for key in NPZ_KEYS)
        if unpacked > UNPACKED and unpacked > 100 * path.stat().st_size:
            found = f"{unpacked:,} bytes packed into {path.stat().st_size:,}"
            raise InputError(f"{path}: {found} may be meant to fill the memory; write it with np.savez, unpacked")
        try:
            return {key: npz[f"{key}.npy"] for key in NPZ_KEYS}  # with the ending: the members that were looked at
        except MemoryError:
            raise InputError(f"{path}: its arrays do not fit into memory; write fewer or smaller images") from None


def _bytes_of(path: Path, archive: zipfile.ZipFile, key: str) -> int:
    """How large an array of an archive says it is, which is how large it must be."""
    member = archive.getinfo(f"{key}.npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            remedy = "write names as np.array(names, dtype=str)"
            raise InputError(f"{path}: {key}: holds Python objects, which are never read; {remedy}")
        said, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if said != held or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"{key} says it is {shape} of {dtype}, but holds {held} bytes")
    return held


def _checked(path: Path, part: str, arrays: dict[str, np.ndarray], classes: int) -> Arrays:
    """Images of an npz as uint8 (N, H, W, C) and its labels as int64, or an error that says what is wrong."""
    images, where = arrays[f"{part}_images"], f"{path}: {part}_images"
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise InputError(f"{where}: expected N x H x W or N x H x W x channels (1 or 3), found {images.shape}")
    if images.dtype.kind == "f":
        check_floats(where, images)
        images = np.rint(images * 255).astype(np.uint8)
    elif images.dtype != np.uint8:
        raise InputError(f"{where}: expected uint8, or floats in 0..1, found {images.dtype}; convert them")
    labels = whole_numbers(f"{path}: {part}_labels", arrays[f"{part}_labels"])
    checks.labels(f"{path}: {part}_labels", labels, len(images), classes)
    return images, labels.numpy()


def _torchvision(name: str, folder: Path) -> Source:
    import torchvision

    kind: Any = getattr(torchvision.datasets, TORCHVISION[name])
    where = folder / TORCHVISION_FOLDER[name]
    for path in where.iterdir():
        path.stat()  # torchvision takes what may not be looked at for what is not there
    try:
        train, test = kind(folder, train=True, download=False), kind(folder, train=False, download=False)
    except PermissionError:
        raise
    except Exception as error:  # torchvision, pickle and struct each raise their own on a damaged file
        cause = first_line(error)
        raise InputError(f"{where}: incomplete or damaged ({cause}); delete the folder and load again") from None
    parts = []
    for part in (train, test):
        images = np.asarray(part.data, dtype=np.uint8)
        images = images[..., None] if images.ndim == 3 else images
        labels = np.asarray(part.targets, dtype=np.int64)
        checks.labels(f"{where}: labels", torch.from_numpy(labels), len(images), len(train.classes))
        parts.append((images, labels))
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
    except (OSError, RuntimeError, HTTPException) as error:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
        cause = first_line(error)
        raise InputError(
            f"data={name!r}: not in {folder}, and the download failed ({cause}); connect to the internet, or put "
            f"torchvision's files or {name}.npz there, or name their folder with root= or REPSEARCH_DATA"
        ) from None
