"""Threads: an image each, and torch's own kept out of the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")


def thread_each(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """`function` of every item, on as many threads as torch has."""
    with one_thread() as threads, ThreadPoolExecutor(threads, "search", torch.set_num_threads, (1,)) as pool:
        jobs = [pool.submit(function, item) for item in items]
        try:
            return [job.result() for job in jobs]
        finally:
            for job in jobs:
                job.cancel()


@contextmanager
def one_thread() -> Iterator[int]:
    """Within the context torch computes on one thread, so that results do not depend on how many there are; how many
    there were is what the context gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
