"""The shape of the code: files that are read in one sitting, functions that do one thing, imports that cost nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import repsearch as rs

ROOT = Path(__file__).resolve().parents[1]
KERNEL = ROOT / "repsearch" / "engine" / "kernel.py"  # one file, because of numba's cache; it says so


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if path != KERNEL]


def functions() -> Iterator[tuple[int, str]]:
    for path in sources("repsearch"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}: {node.name}"


def test_files_are_read_in_one_sitting() -> None:
    long = [path for path in sources("repsearch", "tests") if len(path.read_text(encoding="utf-8").splitlines()) > 300]
    assert not long and "one file" in KERNEL.read_text(encoding="utf-8")


def test_functions_do_one_thing() -> None:
    lengths = sorted(functions())
    assert lengths[-1][0] <= 60, lengths[-1]
    assert lengths[len(lengths) * 9 // 10][0] <= 25


def test_importing_the_library_imports_nothing_else() -> None:
    code = "import sys, repsearch; print(sorted({'torch', 'numpy', 'numba', 'matplotlib'} & set(sys.modules)), dir(repsearch)[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] AlternateConfig\n"


def test_every_public_name_is_there() -> None:
    for name in rs.__all__:
        value = getattr(rs, name)
        assert value is getattr(rs, name)
    # A function at the top never hides a module, or the module it.
    assert not {name for name in rs.__all__ if callable(getattr(rs, name))} & {path.stem for path in sources("repsearch")}


def test_warnings_of_the_library_are_errors_here() -> None:
    """Each is matched by a filter of pyproject.toml, so that a test that sees one unawares fails."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]["filterwarnings"]
    texts = []
    for path in sources("repsearch"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "warn":
                texts.append(" ".join(c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant) and isinstance(c.value, str)))
    assert texts
    for text in texts:
        assert any(re.match(pattern.split(":")[1], text) for pattern in patterns), text


def test_rooms_say_why_they_are_there() -> None:
    for room in ("engine", "methods", "reproduce"):
        text = (ROOT / "repsearch" / room / "README.md").read_text(encoding="utf-8")
        assert "Where to begin" in text
        named = set(re.findall(r"`(\w+)\.py`", text)) | set(re.findall(r"`(\w+)`", text))
        files = {path.stem for path in (ROOT / "repsearch" / room).glob("[!_]*.py")}
        assert room == "methods" or files <= named, files - named
