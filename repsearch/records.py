"""Records: what an experiment ran, on what, how long it took, and what came out, as JSON."""

from __future__ import annotations

import ast
import hashlib
import importlib.resources
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repsearch.checks import InputError
from repsearch.targets import write_whole
from repsearch.version import __version__

Record = dict[str, Any]


def record(experiment: str, seed: int, seconds: float, **results: Any) -> Record:
    """A record: what was run, on what, how long it took, and what came out."""
    return {
        "experiment": experiment, "seed": seed, "library": __version__, "library_hash": library_hash(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads", "seconds": round(seconds, 1), **results,
    }


def library_hash(module: str | None = None) -> str:
    """A SHA-256, in short, of the library's code: what a record or a notebook's output was made with.

    Docstrings and comments don't count: they change nothing that is computed.

    Args:
        module: count only this module and those it imports, such as "scaling"; None counts all.
    """
    here = Path(__file__).parent
    names = {path.stem for path in here.glob("*.py")} if module is None else set()
    found = {module} if module else set()
    while found:
        names |= found
        sources = [(here / f"{name}.py").read_text() for name in found]
        found = {name for source in sources for name in re.findall(r"^from repsearch\.(\w+) import", source, re.M)}
        for line in re.findall(r"^from repsearch import (.+)", "\n".join(sources), re.M):
            found |= set(re.findall(r"\w+", line))
        found -= names
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0{code_of((here / f'{name}.py').read_text())}".encode())
    return digest.hexdigest()[:16]


def code_of(source: str) -> str:
    """Python source without docstrings, comments of their own line, and empty lines.

    Example:
        >>> code_of('def f():\\n    "Doc."\\n\\n    # why\\n    return 1')
        'def f():\\n    return 1'
    """
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:  # type: ignore[arg-type]
            first = node.body[0]  # type: ignore[attr-defined]
            lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def write_record(path: str | Path, content: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); choose another place") from None
    write_whole(file, (json.dumps(_rounded(content), indent=1) + "\n").encode())


def read_records(pattern: str) -> list[Record]:
    """The records that come with the library, whose names match `pattern`, such as ``"demo-mnist-*"``, sorted by name.

    Raises:
        InputError: no record matches.
    """
    files = sorted(record_folder().glob(f"{pattern}.json"))
    if not files:
        raise InputError(f"records: none is called {pattern}.json in {record_folder()}")
    return [json.loads(file.read_text()) for file in files]


def record_folder() -> Path:
    """Where the records lie: beside the book that shows them, or, in an installed library, within it."""
    here = Path(str(importlib.resources.files("repsearch")))
    checkout = here.parent / "book" / "records"
    return checkout if checkout.is_dir() else here / "records"


def _rounded(value: Any) -> Any:
    """Floats to six significant digits, which keeps records small and readable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
