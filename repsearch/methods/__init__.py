"""Ways to train a network, one file each, for `repsearch.fit`. README.md beside this file says how to add one."""

from __future__ import annotations

from typing import Any

from repsearch.method import Method
from repsearch.methods.registry import homes, method, names

__all__ = ["Method", "names"]


def __getattr__(name: str) -> Any:
    if name not in homes():
        raise AttributeError(f"repsearch.methods has no {name!r}; it has {', '.join(names())}")
    return method(name)


def __dir__() -> list[str]:
    return [*names(), *__all__]
