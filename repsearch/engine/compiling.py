"""How the engines' loops are compiled by numba, and where the code is kept."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding  # type: ignore[import-untyped]
from numba import njit as typed_njit

njit: Any = typed_njit  # numba's types know only some of its options
config: Any = numba.config
# Kernels never allocate, and without numba's run time nothing counts references to the many views of arrays: counting
# would take as long as the arithmetic of small maps.
_OPTIONS = {"fastmath": True, "error_model": "numpy", "_nrt": False}
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# A leaf is optimised by itself, and inlined where it is called. Else a call would run the code compiled in this process
# the first time, but the caller's own copy, which may add up in another order, once that is read from numba's cache.
leaf = njit(forceinline=True, **_OPTIONS, **_NO_WRAPPERS)
exact_leaf = njit(forceinline=True, **{**_OPTIONS, "fastmath": False}, **_NO_WRAPPERS)  # fast-math knows no NaN
# As if it were written where it is called: optimised with its caller.
inlined = njit(inline="always", **_OPTIONS)
# Called, and optimised by itself: for functions that write down the order of their sums, so that all copies are alike.
shared = njit(nogil=True, error_model="numpy", _nrt=False, **_NO_WRAPPERS)
CALLEES = ("compiling.py", "convolution.py", "conv_kernel.py", "kernel.py", "mix_layer.py")
"""Files of this folder with functions that compiled functions of other files call, and this one."""


def entry(function: Callable[..., None]) -> Any:
    """Compile a function that is called from Python, and keep the code in numba's cache.

    Numba looks whether the function's own file has changed, not those of functions that it calls: the cache's files
    have in their names what those hold. Where numba finds no place for them, neither beside the function's file nor in
    HOME, they are kept in a private folder beside the temporary files; where there is none either, the function is
    compiled in every process.
    """
    function.__qualname__ += f"_{_content_of_callees()}"
    options = {"nogil": True, "no_cfunc_wrapper": True, **_OPTIONS}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba's "cannot cache function"
        chosen = config.CACHE_DIR
    try:
        config.CACHE_DIR = str(_private_folder())
        return njit(cache=True, **options)(function)
    except (OSError, RuntimeError):
        return njit(**options)(function)
    finally:
        config.CACHE_DIR = chosen


def run(function: Any, *arguments: object) -> None:
    """Call what `entry` made. On a full disk numba compiles it, fails to write its cache, and has not run it yet."""
    try:
        function(*arguments)
    except OSError:
        function(*arguments)


def compiled(function: Any) -> bool:
    """Whether what `entry` made is compiled: in this process, or in numba's cache, from its file and this processor.

    As far as can be known: False where numba keeps its cache in a form unknown here.
    """
    try:
        return bool(function.signatures) or _in_cache(function, Path(function.stats.cache_path))
    except Exception:  # whatever another version of numba may do
        return False


def _in_cache(function: Any, folder: Path) -> bool:
    """Whether numba's cache in a folder has the code. Its index is numba's version, then a stamp of the source, in
    either form that numba has had, and the files of code, by what they were compiled for."""
    written = function.py_func
    source, line = Path(written.__code__.co_filename), written.__code__.co_firstlineno
    python = f"py{sys.version_info[0]}{sys.version_info[1]}{sys.abiflags}"
    name = f"{written.__module__.rpartition('.')[2]}.{written.__qualname__}-{line}.{python}.nbi"
    with (folder / name).open("rb") as index:
        if pickle.load(index) != numba.__version__:
            return False
        stamp, files = pickle.load(index)
    stamps = ((source.stat().st_mtime, source.stat().st_size), hashlib.sha256(source.read_bytes()).digest())
    processor = config.CPU_NAME or binding.get_host_cpu_name()
    return stamp in stamps and any(processor in key[1] and (folder / file).exists() for key, file in files.items())


@cache
def _content_of_callees() -> str:
    """A short hash of the files of this folder whose functions are called from other files."""
    content = b"".join((Path(__file__).parent / name).read_bytes() for name in CALLEES)
    return hashlib.sha256(content).hexdigest()[:12]


def _private_folder() -> Path:
    """A folder beside the temporary files that nobody else can write in: what is read from a cache is run."""
    if not hasattr(os, "getuid"):
        raise PermissionError("files have no owner here")
    folder = Path(tempfile.gettempdir()) / f"repsearch-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder}: others can write there")
    return folder
