"""Run the chapters and keep their outputs: notebooks/NN_name.py to the executed notebooks/NN_name.ipynb.

    python book/run_notebooks.py [NN_name ...]

Only chapters whose code, or the library, has changed since their outputs were made are run; naming one runs it anyway.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from repsearch.records import library_hash

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def code_hash(notebook: Any) -> str:
    """A hash, in short, of a notebook's cells without their outputs."""
    cells = "\0".join(f"{cell.cell_type} {cell.source}" for cell in notebook.cells)
    return hashlib.sha256(cells.encode()).hexdigest()[:16]


def stale(path: Path) -> str | None:
    """Why the outputs of the chapter paired with this script are not of its code and the library; None if they are."""
    if not path.with_suffix(".ipynb").exists():
        return "has never been run"
    executed = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    made_with = executed.metadata.get("repsearch", {})
    if not code_hash(executed) == made_with.get("code") == code_hash(jupytext.read(path)):
        return "has changed since its outputs were made"
    if made_with.get("library") != library_hash():
        return "was run with another version of the library"
    return None


def run(path: Path) -> None:
    """Run one chapter in an empty kernel and write the notebook beside its script."""
    notebook = jupytext.read(path)
    notebook.metadata["kernelspec"] = KERNEL
    where = {"metadata": {"path": path.parent}}
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=where).execute()
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:03d}"  # random ones would change with every run
        cell.metadata.pop("execution", None)
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": KERNEL, "language_info": {"name": "python"},
        "repsearch": {"code": code_hash(notebook), "library": library_hash()},
    }
    nbformat.write(notebook, path.with_suffix(".ipynb"))


if __name__ == "__main__":
    names = sys.argv[1:]
    for script in sorted(NOTEBOOKS.glob("[0-9]*.py")):
        why = "was asked for" if script.stem in names else None if names else stale(script)
        if why:
            start = time.perf_counter()
            print(f"{script.stem}: {why}; running it", flush=True)
            run(script)
            print(f"{script.stem}: {time.perf_counter() - start:.0f} s", flush=True)
