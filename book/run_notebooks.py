"""Run the chapters and keep their outputs: notebooks/NN_name.py to the executed notebooks/NN_name.ipynb.

    python book/run_notebooks.py [NN_name ...]

Only chapters are run whose code has changed since their outputs were made, or the modules of the library that they had
loaded at their end, or the records that they had read; naming one runs it anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from repsearch.reproduce.provenance import code_hash, imported_by, read_sources
from repsearch.reproduce.records import CIRCUMSTANCES, FOLDER, read_record

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
DRAWING = ["--InlineBackend.figure_formats={'svg'}",
           "--InlineBackend.print_figure_kwargs={'bbox_inches': 'tight', 'metadata': {'Date': None}}"]
"""Figures are kept as drawings, sharp at any size and easily turned dark."""
SAME_BYTES = {"MATPLOTLIBRC": str(Path(__file__).with_name("matplotlibrc"))}
"""The same figure gives the same bytes; a setting of the kernel's would be undone by the first `rc_context`."""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SOURCES = read_sources()
MACHINE = f"{platform.machine()}, {os.cpu_count()} cores"
USED = """import json, sys
_records = sys.modules.get("repsearch.reproduce.records")
print(json.dumps({"modules": sorted(m for m in sys.modules if m.startswith("repsearch.")),
                  "records": sorted(_records.read_here) if _records else []}))"""


def cells_hash(notebook: Any) -> str:
    """A hash, in short, of a notebook's cells without their outputs."""
    cells = "\0".join(f"{cell.cell_type} {cell.source}" for cell in notebook.cells)
    return hashlib.sha256(cells.encode()).hexdigest()[:16]


def records_hash(names: list[str]) -> str:
    """A hash, in short, of what these records say; how they were made does not count, but for the seconds."""
    digest = hashlib.sha256()
    for name in names:
        content = read_record(FOLDER / f"{name}.json")
        said = {key: value for key, value in content.items() if key == "seconds" or key not in CIRCUMSTANCES}
        digest.update(json.dumps([name, said], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def stale(path: Path) -> str | None:
    """Why the outputs of the chapter paired with this script are not of its code, library and records; None if they
    are."""
    if not path.with_suffix(".ipynb").exists():
        return "has never been run"
    executed = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    made_with = executed.metadata.get("repsearch", {})
    if not cells_hash(executed) == made_with.get("cells") == cells_hash(jupytext.read(path)):
        return "has changed since its outputs were made"
    try:
        if made_with["code"] != code_hash(made_with["modules"], SOURCES, follow=False):
            return "was run with another version of the modules that it uses"
        if made_with["content"] != records_hash(made_with["records"]):
            return "shows records that have changed"
    except (KeyError, FileNotFoundError) as error:
        return f"uses something that is no longer there ({error})"
    return None


def run(path: Path) -> None:
    """Run one chapter in an empty kernel and write the notebook beside its script."""
    notebook = jupytext.read(path)
    notebook.metadata["kernelspec"] = KERNEL
    notebook.cells.append(nbformat.v4.new_code_cell(USED))
    where, start = {"metadata": {"path": path.parent}}, time.perf_counter()
    client = NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=where, extra_arguments=DRAWING)
    client.execute(env={**os.environ, **SAME_BYTES})
    seconds = round(time.perf_counter() - start)
    used = json.loads(notebook.cells.pop().outputs[0].text)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:03d}"  # random ones would change with every run
        cell.metadata.pop("execution", None)
    modules = [name for name in used["modules"] if name in SOURCES]
    if '"-m", "repsearch"' in path.read_text(encoding="utf-8"):  # as a command, in a process of its own
        modules = sorted({*modules, *imported_by(["repsearch.__main__"], SOURCES)})
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": KERNEL, "language_info": {"name": "python"},
        "repsearch": {"cells": cells_hash(notebook), "modules": modules, "records": used["records"],
                      "code": code_hash(modules, SOURCES, follow=False), "content": records_hash(used["records"]),
                      "ran": {"seconds": seconds, "on": f"{date.today()}", "machine": MACHINE}},
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
