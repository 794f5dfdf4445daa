"""Images, labels and names of classes as others give them, checked: what an npz holds, what a caller hands over."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError

Arrays = tuple[np.ndarray, np.ndarray]
"""Images (N, H, W, C), uint8 or float32 in 0..1, and their labels, int64 (N,)."""


def whole_numbers(name: str, value: Any) -> Tensor:
    """Whole numbers (N,) of any type, in a tensor, an array or a sequence, as an int64 tensor.

    Raises:
        InputError: anything else.

    Example:
        >>> whole_numbers("labels", range(3))
        tensor([0, 1, 2])
    """
    found = type(value).__name__
    if isinstance(value, Tensor):
        found = f"{value.dtype} {tuple(value.shape)}"
        if value.ndim == 1 and value.dtype != torch.bool and not (value.is_floating_point() or value.is_complex()):
            return value.to(torch.int64)
    elif hasattr(value, "__array__") or (isinstance(value, Sequence) and not isinstance(value, str | bytes)):
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            array = np.asarray(None)
        found = f"{array.dtype} {array.shape}"
        if array.ndim == 1 and array.dtype.kind in "iu":
            return torch.from_numpy(array.astype(np.int64))
    raise InputError(f"{name}: expected whole numbers of shape (images,), found {found}; convert them")


def class_names(where: str, given: Any) -> tuple[str, ...]:
    """Names of classes as text without control characters; bytes are read as UTF-8.

    Raises:
        InputError: a single name or number, no names, bytes that are no text.
    """
    names = np.asarray(given, dtype=None if isinstance(given, np.ndarray) else object)
    if names.ndim == 0:
        raise InputError(f"{where}: expected the names of all classes, in the order of labels, found {given!r:.40}")
    if names.size == 0:
        raise InputError(f"{where}: expected the names of the classes, found none")
    try:
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names.ravel()]
    except UnicodeDecodeError:
        raise InputError(f"{where}: names in bytes must be UTF-8; write them as text") from None
    for text in texts:
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise InputError(f"{where}: the name {text!r} holds control characters; rename it")
    return tuple(texts)


def check_floats(where: str, images: np.ndarray) -> None:
    """Raise `InputError` unless all pixels are finite and in 0..1."""
    if not np.isfinite(images).all():
        raise InputError(f"{where}: has NaN or infinite pixels; remove or repair those images")
    if images.min() < 0 or images.max() > 1:
        raise InputError(f"{where}: floats must lie in 0..1, found {images.min():g}..{images.max():g}; rescale them")


def arrays_of(given: dict[str, Any], classes: Any) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """Arrays of images and labels in memory, and the names of the classes.

    Args:
        given: by the name of its argument, a pair (images, labels), or a torch Dataset whose items are such pairs:
            images (N, C, H, W), uint8 or floats in 0..1, which become float32, and N labels of any whole type.
        classes: names, or None for "0", "1", ... up to the largest label.

    Raises:
        InputError: something else, pixels that are NaN, infinite or out of range, images that differ in shape.
    """
    parts = {name: _arrays(name, value) for name, value in given.items()}
    shapes = {name: images.shape[1:] for name, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{c}x{height}x{width} in {name}" for name, (height, width, c) in shapes.items())
        raise InputError(f"images: expected one shape in all parts, found {found}; make them equal")
    largest = max(int(labels.max(initial=0)) for _, labels in parts.values())
    least = min((int(labels.min()) for _, labels in parts.values() if len(labels)), default=0)
    if classes is None and least > 0:
        raise InputError(f"labels: found {least}..{largest}, none 0; number the classes from 0, or name them all: "
                         f"classes=range({largest + 1})")
    if classes is None and largest >= sum(len(images) for images, _ in parts.values()):
        raise InputError(f"labels: found {largest}, but fewer images; number the classes from 0, or name them all")
    names = class_names("classes", list(range(largest + 1)) if classes is None else classes)
    for name, (images, labels) in parts.items():
        checks.labels(f"{name}: labels", torch.from_numpy(labels), len(images), len(names))
    return parts, names


def _arrays(name: str, given: Any) -> Arrays:
    images, labels = _pair(name, given)
    if not isinstance(images, Tensor):
        try:
            images = torch.as_tensor(np.asarray(images))
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: expected images as a tensor or an array ({first_line(error)})") from None
    where, shape = f"{name}: images", tuple(images.shape)
    if images.ndim != 4 or 0 in shape:
        raise InputError(f"{where}: expected (images, channels, height, width), none of them 0, found {shape}")
    if shape[3] in (1, 3) and shape[1] not in (1, 3):
        raise InputError(f"{where}: found {shape}, channels last; pass images.permute(0, 3, 1, 2)")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise InputError(f"{where}: expected uint8, or floats in 0..1, found {images.dtype}; convert them")
    plain = images.detach().cpu() if images.dtype == torch.uint8 else images.detach().cpu().float()
    pixels = plain.permute(0, 2, 3, 1).contiguous().numpy()
    if images.dtype != torch.uint8:
        check_floats(where, pixels)
    return pixels, whole_numbers(f"{name}: labels", labels).cpu().numpy()


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    """Images and labels of a pair, or stacked from a torch Dataset."""
    if isinstance(given, tuple | list) and len(given) == 2:
        return given[0], given[1]
    if not isinstance(given, torch.utils.data.Dataset) or not hasattr(given, "__len__"):
        found = type(given).__name__
        raise InputError(f"{name}: expected a pair (images, labels) or a torch Dataset with a length, found {found}")
    items = [given[i] for i in range(len(given))]
    remedy = "transform=torchvision.transforms.ToTensor() makes tensors of pictures"
    if not items or not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise InputError(f"{name}: expected a torch Dataset of pairs (image, label), found others or none; {remedy}")
    images, labels = zip(*items, strict=True)
    try:
        return torch.stack(images), [index(label) for label in labels]
    except (TypeError, ValueError, RuntimeError) as error:
        line = f"image tensors of one shape and whole numbers ({first_line(error)})"
        raise InputError(f"{name}: expected a torch Dataset of {line}; {remedy}") from None


def first_line(error: Exception) -> str:
    """What an error says, in one line, for the line of another."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
