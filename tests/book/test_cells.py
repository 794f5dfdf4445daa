"""Cells to copy: most cells of a chapter run after its set-up alone, in any order, without the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.py"))
ALONE = Path(__file__).with_name("cells_alone.py")


def tags(chapter: Path) -> list[set[str]]:
    """The tags of each code cell."""
    return [set(cell.metadata.get("tags", [])) for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_most_cells_are_to_be_copied_and_the_set_up_comes_first(chapter: Path) -> None:
    cells = tags(chapter)
    first = next(index for index, cell in enumerate(cells) if "setup" not in cell)
    assert first >= 2 and not any("setup" in cell for cell in cells[first:])
    rest = cells[first:]
    assert sum("copyable" in cell for cell in rest) >= 0.6 * len(rest)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_copyable_cells_run_after_the_set_up_alone(chapter: Path, tmp_path: Path) -> None:
    env = {**os.environ, "REPSEARCH_PRESET": "smoke", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, ALONE, chapter], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}
