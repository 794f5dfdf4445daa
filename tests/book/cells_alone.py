"""Which cells of a chapter run after its set-up alone; run by test_cells.py: python cells_alone.py CHAPTER.py.

The cells tagged "setup" run once; each cell tagged "copyable" then runs in a fork of that process, which knows nothing
of the others. Only the first is left out: the chapter's own run is its run alone, and it is often the longest. What went
wrong is printed as JSON: the number of a code cell, and the error.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import jupytext
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


def run(shell: InteractiveShell, source: str) -> str | None:
    """What stopped this cell; None if nothing did."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        result = shell.run_cell(source)
    error = result.error_before_exec or result.error_in_exec
    return None if error is None else f"{type(error).__name__}: {error}"


def answer(shell: InteractiveShell, source: str, end: Connection) -> None:
    end.send(run(shell, source))


def main(chapter: Path) -> None:
    cells = [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    setup = [cell for cell in cells if "setup" in cell.metadata.get("tags", [])]
    for cell in setup:
        error = run(shell, cell.source)
        assert error is None, error
    fork, errors = multiprocessing.get_context("fork"), {}
    for number, cell in enumerate(cells):
        if number > len(setup) and "copyable" in cell.metadata.get("tags", []):
            ours, theirs = fork.Pipe(duplex=False)
            child = fork.Process(target=answer, args=(shell, cell.source, theirs))
            child.start()
            theirs.close()
            try:
                error = ours.recv()
            except EOFError:
                error = "the process ended without an answer"
            child.join()
            if error is not None:
                errors[number] = error
    print(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
