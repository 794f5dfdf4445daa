"""One set of argument checks. Every message names the argument, what was expected, what was found, what to do."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class InputError(ValueError):
    """Input that cannot be used as it is. The message is one line: argument or file, found, expected, remedy."""


def positive_int(name: str, value: object, minimum: int = 1) -> int:
    """`value` as an int; `InputError` unless it is a whole number of at least `minimum`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < minimum:
        raise InputError(f"{name}={value!r}: expected a whole number of at least {minimum}")
    return int(value)


def positive_float(name: str, value: object) -> float:
    """`value` as a float, or the int that it is; `InputError` unless it is a finite number above zero."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{name}={value!r}: expected a finite number above zero")
    number: float = plain(value)
    return number


def plain(value: Any) -> Any:
    """A number of numpy's as Python's own, an int or a float; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def seed(value: object, name: str = "seed") -> int:
    """`value` as an int; `InputError` unless it is a whole number of at most 64 bits, which is what torch's take."""
    number = positive_int(name, value, minimum=0)
    if number >= 2**64:
        raise InputError(f"{name}={number}: expected a whole number below 2**64")
    return number


def switch(name: str, value: object) -> bool:
    """`value` as a bool; `InputError` unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}={value!r}: expected True or False")
    return bool(value)


def instance(name: str, value: object, kind: type, remedy: str) -> None:
    """Raise `InputError` unless `value` is a `kind`."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: expected a {kind.__name__}, found a {type(value).__name__}; {remedy}")


def one_of(name: str, value: object, options: Collection[str]) -> None:
    """Raise `InputError` unless `value` is one of `options`."""
    if value not in options:
        raise InputError(f"{name}={value!r}: unknown; choose one of {', '.join(sorted(options))}")


def images(name: str, value: Tensor) -> None:
    """Raise `InputError` unless `value` is a batch of finite floating-point images (N, C, H, W), N >= 1."""
    if not isinstance(value, Tensor) or value.ndim != 4 or not value.is_floating_point():
        found = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"{name}: expected a floating-point tensor (images, channels, height, width), found {found}")
    if len(value) == 0:
        raise InputError(f"{name}: expected at least one image, found none")
    if not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).flatten(1).any(1).nonzero()[0])
        raise InputError(f"{name}: image {bad} has NaN or infinite pixels; remove or repair it")


def labels(name: str, value: Tensor, count: int, classes: int) -> None:
    """Raise `InputError` unless `value` holds `count` whole-number labels in 0 .. classes-1."""
    if not isinstance(value, Tensor) or value.ndim != 1 or value.is_floating_point() or value.dtype == torch.bool:
        found = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"{name}: expected whole numbers of shape (images,), found {found}")
    if len(value) != count:
        raise InputError(f"{name}: expected one label an image, found {len(value)} labels for {count} images")
    if count and not 0 <= int(value.min()) <= int(value.max()) < classes:
        raise InputError(
            f"{name}: expected labels in 0..{classes - 1}, found {int(value.min())}..{int(value.max())}; "
            "number the classes from 0"
        )


def device(name: str) -> torch.device:
    """The torch device called `name` ("cpu", "cuda", "cuda:1", "mps"); `InputError` if this machine has none."""
    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise InputError(f"device={name!r}: unknown; choose cpu, cuda, cuda:N or mps") from None
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(f"device={name!r}: this machine offers torch {found} CUDA devices; use device='cpu'")
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device={name!r}: this machine offers torch no MPS device; use device='cpu'")
    if wanted.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device={name!r}: unknown; choose cpu, cuda, cuda:N or mps")
    return wanted


def own_path(value: str | Path) -> Path:
    """A path that stays the same file whatever directory the process is in: "~" expanded, made absolute."""
    return Path(value).expanduser().absolute()


def writable_folder(name: str, folder: Path) -> Path:
    """`folder`, made if missing; `InputError` if files cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch(exist_ok=False)  # what is there by that name, a link perhaps, is not ours
        probe.unlink()
    except OSError as error:
        raise InputError(f"{name}={str(folder)!r}: cannot be written ({error.strerror}); choose another") from None
    return folder
