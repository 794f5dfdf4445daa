"""The chapters' code: nothing that a second chapter or the library has."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from repsearch.reproduce.catalogue import ALL_SEEDS, EXPERIMENTS, runs
from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_no_helper_stands_in_two_chapters() -> None:
    found = Counter(name for chapter in CHAPTERS for name in functions(chapter))
    assert not [name for name, count in found.items() if count > 1]


def test_means_and_deviations_come_from_the_library() -> None:
    """One room makes tables: no chapter computes a standard deviation, or writes a table's rule, of its own."""
    for chapter in CHAPTERS:
        code = "\n".join(line for line in chapter.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        assert not re.search(r"stdev|np\.std|import statistics|\|---", code), chapter.stem


def test_every_record_is_of_a_run_and_every_run_has_one() -> None:
    listed = {run.name for run in runs(list(EXPERIMENTS), "book", ALL_SEEDS)}
    assert {path.stem for path in FOLDER.glob("*.json")} == {*listed, "paper"}
