"""Which cells of a chapter run after its set-up alone; run by test_cells.py: python cells_alone.py CHAPTER.py.

The cells tagged "setup" run once; each cell tagged "copyable" then runs in a fork of that process, which knows nothing
of the others. Left out are cells that use no name which a cell between the set-up and them has bound: for them the run of
the whole chapter, which `make chapters` does, is a run alone. What went wrong is printed as JSON: the number of a code
cell, and the error.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import symtable
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


def names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell gives something to, and names that it reads, but for those of its functions and loops in
    brackets."""
    cell = symtable.symtable(source, "cell", "exec")
    given = {symbol.get_name() for symbol in cell.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read, inner = {symbol.get_name() for symbol in cell.get_symbols() if symbol.is_referenced()}, cell.get_children()
    while inner:
        scope = inner.pop()
        read |= {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global()}
        inner += scope.get_children()
    return given, read


def answer(shell: InteractiveShell, source: str, end: Connection) -> None:
    end.send(run(shell, source))


def main(chapter: Path) -> None:
    cells = [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    setup = [cell for cell in cells if "setup" in cell.metadata.get("tags", [])]
    for cell in setup:
        error = run(shell, cell.source)
        assert error is None, error
    fork, errors, before = multiprocessing.get_context("fork"), {}, set()
    for number, cell in list(enumerate(cells))[len(setup):]:
        given, read = names(cell.source)
        needs = read & before
        before |= given
        if needs and "copyable" in cell.metadata.get("tags", []):
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
