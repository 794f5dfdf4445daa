"""Several processes that share one search: torch.distributed, where somebody has initialised it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import torch.distributed as dist

from repsearch.checks import InputError

_searches = count()
_groups: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def rank() -> int:
    """Number of this process; 0 where it is alone."""
    return dist.get_rank() if _initialised() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _initialised() else 1


def turns(shards: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The shards, one after the other; of several ranks each takes the next that none has taken."""
    if not _initialised():
        yield from shards
        return
    c10d = dist.distributed_c10d
    counter = c10d.PrefixStore(f"repsearch-{next(_searches)}", c10d._get_default_store())
    while (turn := counter.add("taken", 1) - 1) < len(shards):
        yield shards[turn]


def wait_for_all() -> None:
    """Return once every rank has called this; `InputError` if one was lost."""
    with all_or_none():
        pass


@contextmanager
def all_or_none() -> Iterator[None]:
    """Left by every rank once all are through it; if one raises `InputError` in it, all do."""
    own = None
    try:
        yield
    except InputError as error:
        own = error
    for number, message in enumerate(_gathered(None if own is None else str(own))):
        if message is not None and own is None:
            own = InputError(f"ranks: process {number} has stopped: {message}")
    if own is not None:
        raise own


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gathered(message: str | None) -> list[str | None]:
    """What every rank says, in order; `InputError` if one was lost."""
    if not _initialised():
        return [message]
    said: list[str | None] = [None] * dist.get_world_size()
    try:
        dist.all_gather_object(said, message, group=_group())
    except RuntimeError as error:
        raise InputError(
            f"ranks: one of the {dist.get_world_size()} processes was lost ({str(error).splitlines()[0]}); start "
            "them again: finished shards are kept"
        ) from None
    return said


def _group() -> Any:
    """A group of the library's own of all processes: that of whoever initialised them may wait for minutes only, and a
    search takes days."""
    default = dist.group.WORLD
    if default not in _groups:
        _groups[default] = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    return _groups[default]
