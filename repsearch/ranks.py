"""Several processes that share one search: torch.distributed, where somebody has initialised it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch.distributed as dist

from repsearch.checks import InputError

_searches = count()


def rank() -> int:
    """Number of this process; 0 where it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def turns(shards: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The shards, one after the other; of several ranks each takes the next that none has taken."""
    if not dist.is_initialized():
        yield from shards
        return
    c10d = dist.distributed_c10d
    counter = c10d.PrefixStore(f"repsearch-{next(_searches)}", c10d._get_default_store())
    while (turn := counter.add("taken", 1) - 1) < len(shards):
        yield shards[turn]


def wait_for_all() -> None:
    """Return once every rank has called this; `InputError` if one was lost."""
    if dist.is_initialized():
        try:
            dist.barrier()
        except RuntimeError as error:
            raise InputError(
                f"ranks: one of the {dist.get_world_size()} processes was lost ({str(error).splitlines()[0]}); start "
                "them again: finished shards are kept"
            ) from None
