"""The wheel holds the library and its records, and nothing else; `make chapters` runs the notebooks with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the library as the wheel installs it, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = {"repsearch/searching.py", "repsearch/reproduce/data/paper.json", "repsearch/reproduce/data/networks.svg"}
    assert wanted <= set(names)
    assert not [name for name in names if not name.startswith("repsearch")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "site", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "site"


def run(installed: Path, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed), "REPSEARCH_PRESET": "smoke"}
    return subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=env, capture_output=True, text=True)


def test_records_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import repsearch; from repsearch.reproduce.records import read_records;"
        "print(repsearch.__file__, len(read_records('fig2-cifar100-book-child-*')))"
    )
    done = run(installed, tmp_path, "-c", code)
    assert done.stdout.strip() == f"{installed / 'repsearch' / '__init__.py'} 3", done.stderr
