"""Which images are taken: balanced parts of any size, a tenth of each class to hold out, what an index names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from repsearch.arrays import whole_numbers
from repsearch.checks import InputError

HELD_OUT = 4000
"""Validation images at most, unless a number is asked for."""


def training_rows(
    labels: np.ndarray, classes: tuple[str, ...], train: int | None, validation: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the official training images to train on, and to hold out.

    Args:
        labels: int64 (N,).
        classes: names, for messages.
        train, validation: the same number of each class; None takes all, and holds out a tenth of each class.
        seed: of the order.

    Raises:
        InputError: a class has fewer images, or none left to train on.
    """
    order, counts = balanced_order(labels, len(classes), seed), np.bincount(labels, minlength=len(classes))
    if validation is None:
        wanted = _tenth(counts)
        if not wanted.any():
            found = "no class has two training images to hold one out"
            raise InputError(f"validation: {found}; add images, or pass validation=")
    else:
        wanted = _equal(validation, counts, classes, "validation")
    held_out = _chosen(order, labels, wanted, last=True)
    rest = order[~np.isin(order, held_out)]
    if train is not None:
        return take(rest, labels, train, classes, "train"), held_out
    for label in np.flatnonzero((counts > 0) & (wanted == counts)):
        what = f"validation={validation}: takes all {counts[label]} images of class {label} ({classes[label]})"
        raise InputError(f"{what} and leaves none to train on; ask for fewer")
    return rest, held_out


def balanced_order(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """All rows, each class shuffled, then one image of each class in turn: any beginning is balanced."""
    rng = np.random.default_rng(seed)
    order, rank = rng.permutation(len(labels)), np.empty(len(labels), dtype=np.int64)
    for label in range(classes):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))


def take(order: np.ndarray, labels: np.ndarray, count: int, classes: tuple[str, ...], what: str) -> np.ndarray:
    """The first `count` of `order`, the same number of each class that has images, in the order they stand there.

    Args:
        order: rows of `labels`, perhaps not all.
        labels: int64 (N,); a class that does not occur here is none to take images of.
        count: rows to take; one more of the first classes if it does not divide.
        classes, what: names of classes and of the argument, for messages.

    Raises:
        InputError: a class has fewer rows in `order`.
    """
    present = np.bincount(labels, minlength=len(classes)) > 0
    there = np.bincount(labels[order], minlength=len(classes))
    return _chosen(order, labels, _equal(count, there, classes, what, present))


def rows_of(index: Any, count: int) -> slice | Tensor:
    """The rows of `count` images that an index names: a slice forward as it is, all else as whole numbers, int64.

    Args:
        index: a slice, whole numbers (negative ones count from the end), or a mask of `count` truth values.

    Raises:
        InputError: another kind, no rows, rows that are not there.
    """
    found, there = type(index).__name__, f"choose among the {count} images, 0..{count - 1}"
    try:
        numbers = torch.arange(count)[index] if _forward(index) else _numbers(index, count)
    except (TypeError, ValueError):
        raise InputError(f"rows: expected a slice, whole numbers or a mask, found a {found}; {there}") from None
    if not len(numbers):
        raise InputError(f"rows: {index if isinstance(index, slice) else found} takes none; {there}")
    if not -count <= int(numbers.min()) <= int(numbers.max()) < count:
        raise InputError(f"rows: found {int(numbers.min())}..{int(numbers.max())}; {there}")
    return index if _forward(index) else numbers


def _forward(index: Any) -> bool:
    return isinstance(index, slice) and (index.step is None or index.step > 0)


def _numbers(index: Any, count: int) -> Tensor:
    if isinstance(index, slice):
        return torch.tensor(range(*index.indices(count)), dtype=torch.int64)
    values = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if isinstance(index, tuple) or (values.dtype == bool and values.shape != (count,)):
        raise TypeError
    if values.dtype == bool or not values.size:
        return torch.from_numpy(np.flatnonzero(values))
    return whole_numbers("rows", np.atleast_1d(values))


def _equal(
    count: int, there: np.ndarray, classes: tuple[str, ...], what: str, present: np.ndarray | None = None
) -> np.ndarray:
    """Images to take of each class, equal counts of all that are present."""
    wanted = np.zeros_like(there)
    members = np.flatnonzero(there if present is None else present)
    wanted[members] = count // len(members) + (np.arange(len(members)) < count % len(members))
    for label in np.flatnonzero(there < wanted):
        needs = f"needs {wanted[label]} images of class {label} ({classes[label]}), found {there[label]}"
        raise InputError(f"{what}={count}: {needs}; ask for fewer")
    return wanted


def _tenth(counts: np.ndarray) -> np.ndarray:
    """Images to hold out of each class: a tenth of it, in all at most `HELD_OUT`, and never its last one."""
    total, images = min(HELD_OUT, max(1, int(counts.sum()) // 10)), int(counts.sum())
    wanted, rest = np.divmod(total * counts, images)
    wanted, eligible = np.where(counts > 1, wanted, 0), np.flatnonzero(counts > 1)
    more = eligible[np.argsort(-rest[eligible], kind="stable")][: total - int(wanted.sum())]
    wanted[more] += 1
    return wanted


def _chosen(order: np.ndarray, labels: np.ndarray, wanted: np.ndarray, last: bool = False) -> np.ndarray:
    """So many of each class, from the beginning or the end of `order`."""
    chosen = np.zeros(len(order), dtype=bool)
    for label, count in enumerate(wanted):
        places = np.flatnonzero(labels[order] == label)
        chosen[places[len(places) - count :] if last else places[:count]] = True
    return order[chosen]
