"""Which methods there are: read off the files of this folder, so that a new file is all a new method needs."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repsearch.method import Method


def names() -> list[str]:
    """Names of all methods, sorted.

    Example:
        >>> "Backprop" in names()
        True
    """
    return sorted(homes())


def method(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        KeyError: there is none.
    """
    found: type[Method] = getattr(import_module(f"repsearch.methods.{homes()[name]}"), name)
    return found


def homes() -> dict[str, str]:
    """The file of each method, without its suffix: of each public class there that has a base. Imports none of them."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                found[node.name] = path.stem
    return found
