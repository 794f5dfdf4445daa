"""Adding a method: one file, found by its name, trained, in a table; nothing that exists becomes stale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import repsearch as rs
from repsearch.methods import registry

ROOT = Path(__file__).resolve().parents[2]
NEW = '''"""Sign gradient descent: the gradient's sign, as a gradient.

Cost: 3 F an image. Needs what Backprop needs.
"""

from __future__ import annotations

from torch import nn

from repsearch.config import FitConfig
from repsearch.method import Batch, Step
from repsearch.methods.backprop import Backprop


class SignGradient(Backprop):
    """Back-propagation of which only the signs are used."""

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        done = super().step(model, batch, config)
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.sign_().mul_(1e-3)
        return done
'''
SEEN = """
import sys; sys.path.insert(0, sys.argv[1])
import repsearch as rs
from repsearch.reproduce.catalogue import runs
from repsearch.reproduce.records import FOLDER
print(rs.__file__)
for run in runs(["all"], "book", (0, 1, 2)):
    print(run.name, run.state(FOLDER))
sys.path.insert(0, sys.argv[1] + "/book")
from run_notebooks import NOTEBOOKS, stale
for chapter in sorted(NOTEBOOKS.glob("[0-9]*.py")):
    print(chapter.stem, stale(chapter))
"""


def states(root: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SEEN, root], cwd=root, capture_output=True, text=True, check=True)
    first, *lines = done.stdout.splitlines()
    assert first == str(root / "repsearch" / "__init__.py")
    return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for part in ("repsearch", "book", "notebooks"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_one_file_is_enough(checkout: Path) -> None:
    before = states(checkout)
    (checkout / "repsearch" / "methods" / "sign_gradient.py").write_text(NEW)
    assert states(checkout) == before and len(before) > 200
    code = "import repsearch as rs; print(rs.methods.SignGradient.__doc__, 'SignGradient' in dir(rs.methods))"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "Back-propagation of which only the signs are used. True\n"
    command = ["-m", "repsearch", "fit", "--method", "Backprop", "SignGradient", "--train", "50", "--epochs", "3", "--quiet"]
    done = subprocess.run([sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split(":")[0] for line in done.stdout.splitlines() if "%" in line]
    assert rows == ["Backprop", "SignGradient"]


def test_an_edit_of_a_method_that_computes_records_is_seen(checkout: Path) -> None:
    """So the test above can fail."""
    file = checkout / "repsearch" / "methods" / "backprop.py"
    file.write_text(file.read_text().replace("cost=3", "cost=4"))
    assert any(line.startswith("training-") and line.endswith(" stale") for line in states(checkout))


def test_methods_are_found_by_name() -> None:
    assert rs.methods.Backprop is registry.method("Backprop") and "Backprop" in registry.names()
    assert rs.methods.Method.__name__ == "Method"
    with pytest.raises(AttributeError, match=r"repsearch\.methods has no 'Bakprop'; it has .*Backprop"):
        rs.methods.Bakprop  # noqa: B018
