"""Provenance: which code a result comes from, as a hash of what can change a number and of nothing else.

The hash of a module covers it and all modules of the library that it imports, directly or not. Packages' `__init__`
files, which only look names up, are not followed: a new method or a new public name makes nothing stale. Left out are
docstrings, comments, layout, annotations of what a function takes, texts of errors and warnings, and the version.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).resolve().parents[1]
NO_NUMBERS = {"repsearch.version"}

Sources = dict[str, str]
"""Source text of every module of the library, by its full name; packages' `__init__` files are not among them."""


def read_sources(library: Path = LIBRARY) -> Sources:
    """The modules of a library as they are on disk."""
    paths = {path: path.relative_to(library).with_suffix("").parts for path in sorted(library.rglob("*.py"))}
    return {".".join((library.name, *parts)): path.read_text(encoding="utf-8")
            for path, parts in paths.items() if parts[-1] != "__init__"}


# As they are when this module is imported, with the rest of the library: a file edited while a process runs for hours
# does not change what that process has computed with.
_imported = read_sources()


def code_hash(modules: str | Iterable[str], sources: Sources | None = None, follow: bool = True) -> str:
    """A SHA-256, in short, of these modules and all that they import.

    Args:
        modules: full names, such as "repsearch.reproduce.trainings".
        sources: of the library; by default as it was when this process imported it.
        follow: whether what they import counts, too.

    Raises:
        KeyError: a module is not in the library.
    """
    names = frozenset([modules] if isinstance(modules, str) else modules)
    if sources is None:
        return _imported_hash(names, follow)
    digest = hashlib.sha256()
    for name in sorted((imported_by(names, sources) if follow else names) - NO_NUMBERS):
        digest.update(f"{name}\0{_form(sources[name])}\0".encode())
    return digest.hexdigest()[:16]


@cache
def _imported_hash(names: frozenset[str], follow: bool) -> str:
    return code_hash(names, _imported, follow)


def loaded_modules() -> list[str]:
    """Modules of the library that this process has loaded, sorted: what a chapter has used at its end."""
    return sorted(name for name in sys.modules if name in _imported)


def imported_by(modules: Iterable[str], sources: Sources) -> set[str]:
    """These modules and all modules of the library that they import, directly or not.

    Raises:
        KeyError: a module is not in the library, or something is imported from a package, whose `__init__` is not
            followed, that is no module of it.
    """
    found, todo = set(), set(modules)
    while todo:
        found |= todo
        todo = {name for module in todo for name in direct_imports(module, sources)} - found
    return found


def direct_imports(module: str, sources: Sources) -> set[str]:
    """Modules of the library that a module imports anywhere in its code, but for annotations."""
    library = module.partition(".")[0]
    packages = {name.rpartition(".")[0] for name in sources} | {library}
    found = set()
    for name in _imported_names(ast.parse(sources[module]), module):
        if name in sources:
            found.add(name)
        elif name.rpartition(".")[0] in sources:  # something in a module
            found.add(name.rpartition(".")[0])
        elif name.partition(".")[0] == library and name not in packages:
            raise KeyError(f"{module} imports {name} through a package; import it from the module it is in")
    return found


def _imported_names(tree: ast.Module, module: str) -> Iterator[str]:
    for node in _walk_code(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(module.split(".")[: -node.level]) if node.level else ""
            start = ".".join(part for part in (above, node.module) if part)
            yield from (f"{start}.{alias.name}" for alias in node.names)


def _walk_code(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but what stands under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", None) == "TYPE_CHECKING"):
            yield from _walk_code(child)


@cache
def _form(source: str) -> str:
    """What of a source can change a number, written so that every version of Python writes the same."""
    return repr(_plain(_WithoutTexts().visit(ast.parse(source))))


class _WithoutTexts(ast.NodeTransformer):
    """Takes out docstrings, what functions' annotations say, texts of errors and warnings, and code for annotations."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self.generic_visit(_undocumented(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self.generic_visit(_undocumented(node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name == "__getattr__" and not any(isinstance(step, ast.Return) for step in ast.walk(node)):
            return None  # it only says where something is
        node.returns = None
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg,
                         node.args.kwarg]:
            if argument is not None:
                argument.annotation = None
        return self.generic_visit(_undocumented(node))

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if getattr(node.test, "id", None) == "TYPE_CHECKING":
            return None
        node.body = _only_raised(node.body)
        node.orelse = _only_raised(node.orelse)
        return self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.body, node.name = _only_raised(node.body), None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=kind, cause=None)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if isinstance(call, ast.Constant):  # a text beside a name, for the documentation
            return None
        warns = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "warn"
        return None if warns else self.generic_visit(node)


def _undocumented(node: Any) -> Any:
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
    return node


def _only_raised(body: list[ast.stmt]) -> list[ast.stmt]:
    """Of a block that ends in an error, and cannot be left otherwise, the error: the rest prepares its text."""
    prepares = (ast.Assign, ast.AnnAssign, ast.Expr, ast.Raise)
    ends = bool(body) and isinstance(body[-1], ast.Raise) and all(isinstance(step, prepares) for step in body)
    return body[-1:] if ends else body


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples; what is empty is left out, as new versions of Python add fields."""
    if isinstance(node, ast.AST):
        fields = [(name, _plain(value)) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind")]
        return (type(node).__name__, *((name, value) for name, value in fields if value not in (None, ())))
    return tuple(_plain(item) for item in node) if isinstance(node, list) else node
