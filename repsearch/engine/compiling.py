"""Compiled functions that are called from other files than their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from repsearch.engine import kernel
from repsearch.engine.kernel import njit

CALLEES = ("convolution.py", "conv_kernel.py", "kernel.py", "mix_layer.py")
leaf, inlined = kernel._leaf, kernel._inlined
# Called, and optimised by itself: for functions that write down the order of their sums, so that all copies are alike.
shared = njit(nogil=True, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry(function: Callable[..., None]) -> Any:
    """Compile a function that is called from Python, and keep the code in numba's cache.

    Numba looks whether the function's own file has changed, not those of functions that it calls: the cache's files
    have in their names what those hold.
    """
    function.__qualname__ += f"_{_content_of_callees()}"
    return kernel._kernel(function)


@cache
def _content_of_callees() -> str:
    """A short hash of the files of this folder whose functions are called from other files."""
    content = b"".join((Path(__file__).parent / name).read_bytes() for name in CALLEES)
    return hashlib.sha256(content).hexdigest()[:12]


def run(function: Any, *arguments: object) -> None:
    """Call what `entry` made."""
    kernel._run(function, *arguments)
