"""Records: what was run, with which settings, by which code, how long it took, and what came out, as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repsearch.checks import InputError
from repsearch.reproduce.provenance import code_hash, loaded_modules
from repsearch.store.files import write_whole
from repsearch.version import __version__

Record = dict[str, Any]
read_here: set[str] = set()
"""Names of the records that this process has read: what a chapter's outputs were made from."""
FOLDER = Path(__file__).resolve().parent / "data"
"""The records that come with the library."""
CIRCUMSTANCES = ("library", "library_hash", "versions", "hardware", "seconds", "restamped")
"""Entries of a record that say how it was made; all others say what was run and what came out."""


def record(
    experiment: str, seed: int, seconds: float, settings: dict[str, Any], module: str | None = None, **results: Any
) -> Record:
    """A record.

    Args:
        experiment: what was run.
        seed: of data, networks, search and training.
        seconds: it took.
        settings: all else that decides what comes out; written exactly.
        module: that computed it, by its full name; None is all that this process has loaded of the library.
        results: what came out; numbers are rounded when they are written.
    """
    return {
        "experiment": experiment, "seed": seed, "settings": settings, "module": module, "library": __version__,
        "library_hash": code_hash(module or loaded_modules()),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads", "seconds": round(seconds, 1), **results,
    }


def write_record(path: str | Path, content: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); choose another place") from None
    write_whole(file, (json.dumps(as_written(content), indent=1) + "\n").encode())


def as_written(content: Record) -> Record:
    """A record as it is once written and read: results to six significant digits, settings as they are."""
    kept = {key: value if key == "settings" else _rounded(value) for key, value in content.items()}
    again: Record = json.loads(json.dumps(kept))
    return again


def read_records(pattern: str, where: Callable[[Record], bool] | None = None) -> list[Record]:
    """The records that come with the library, whose names match `pattern`, such as ``"fig2-*"``, sorted by name.

    Args:
        pattern: as of a shell, without the suffix.
        where: keep only those for which this holds.

    Raises:
        InputError: there is none.
    """
    found = [read_record(file) for file in sorted(FOLDER.glob(f"{pattern}.json"))]
    found = [record for record in found if where is None or where(record)]
    if not found:
        raise InputError(f"records: none is called {pattern}.json in {FOLDER}")
    return found


def read_record(file: Path) -> Record:
    """The record in a file; an empty one if it is damaged. The same file is read once, as long as it does not change.

    Raises:
        FileNotFoundError: there is no such file.
    """
    stat = file.stat()
    read_here.add(file.stem)
    return _parsed(file, stat.st_mtime_ns, stat.st_size)


@cache
def _parsed(file: Path, _: int, __: int) -> Record:
    try:
        content: Record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content


def _rounded(value: Any) -> Any:
    """Floats to six significant digits, which keeps records small and readable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
