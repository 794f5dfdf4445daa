"""Provenance: what changes a hash, and what does not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repsearch.reproduce import provenance
from repsearch.reproduce.plans import PLANS
from repsearch.reproduce.provenance import Sources, code_hash, direct_imports, imported_by, read_sources

LIBRARY = Path(__file__).resolve().parents[2] / "repsearch"

BASE = {
    "lib.a": "from lib.deep import b\nfrom lib.c import x\n\n\ndef f(n):\n    'Doc.'\n    if n < 0:\n        found = f'{n}'\n"
             "        raise ValueError(f'n={found}: below zero')\n    return b.g(n) + x\n",
    "lib.deep.b": "import lib.d\n\n\ndef g(n: int) -> int:\n    return 2 * n\n",
    "lib.c": "x = 1\n", "lib.d": "y = 2\n", "lib.other": "from lib import a\n",
}


def changed(module: str, old: str, new: str) -> bool:
    """Whether lib.a's hash changes with this edit."""
    assert old in BASE[module]
    return code_hash("lib.a", BASE) != code_hash("lib.a", {**BASE, module: BASE[module].replace(old, new)})


@pytest.mark.parametrize(("module", "old", "new"), [
    ("lib.a", "'Doc.'", "'Other words.'"),
    ("lib.a", "below zero", "negative; give a positive one"),
    ("lib.a", "found = f'{n}'", "found = repr(n)"),
    ("lib.a", "    return b.g(n) + x", "    # why\n\n    return (b.g(n)\n            + x)  # because"),
    ("lib.deep.b", "(n: int) -> int", "(n: float) -> float"),
    ("lib.c", "x = 1\n", "x = 1\n'About x.'\n"),
    ("lib.a", "    return b", "    warnings.warn('slow')\n    return b"),
    ("lib.other", "from lib import a\n", "from lib import c\n"),
    ("lib.c", "x = 1\n", "x = 1\n\n\ndef __getattr__(name):\n    raise AttributeError(f'{name} is elsewhere')\n"),
])
def test_what_changes_no_number_changes_no_hash(module: str, old: str, new: str) -> None:
    assert not changed(module, old, new)


@pytest.mark.parametrize(("module", "old", "new"), [
    ("lib.a", "+ x", "- x"),
    ("lib.a", "n < 0", "n < 1"),
    ("lib.a", "ValueError", "KeyError"),
    ("lib.deep.b", "2 * n", "3 * n"),
    ("lib.c", "x = 1", "x = 2"),
    ("lib.d", "y = 2", "y = 3"),
    ("lib.a", "found = f'{n}'", "return 0"),  # left before the error
    ("lib.c", "x = 1\n", "x = 1\n\n\ndef __getattr__(name):\n    return 2\n"),
])
def test_what_may_change_a_number_does(module: str, old: str, new: str) -> None:
    assert changed(module, old, new)


def test_a_type_checking_block_is_left_out() -> None:
    block = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lib.other import z\n"
    typed = {**BASE, "lib.c": block + BASE["lib.c"]}
    assert imported_by(["lib.c"], typed) == {"lib.c"}
    only_import = {**BASE, "lib.c": "from typing import TYPE_CHECKING\n" + BASE["lib.c"]}
    assert code_hash("lib.c", typed) == code_hash("lib.c", only_import)


def test_imports_of_every_form_are_followed() -> None:
    assert imported_by(["lib.a"], BASE) == {"lib.a", "lib.deep.b", "lib.c", "lib.d"}
    forms = {"lib.b": "", "lib.p.q": "", "lib.p.r": "def f():\n    from . import q\n    from ..b import x\n    import lib.c\n", "lib.c": ""}
    assert direct_imports("lib.p.r", forms) == {"lib.p.q", "lib.b", "lib.c"}


def test_an_import_through_a_package_is_an_error() -> None:
    """Its `__init__` is not followed, so the code behind the name would go unseen."""
    sources: Sources = {"lib.p.q": "x = 1\n", "lib.a": "from lib.p import x\n"}
    with pytest.raises(KeyError, match=r"lib\.a imports lib\.p\.x through a package; import it from the module it is in"):
        code_hash("lib.a", sources)


def test_the_library_imports_nothing_through_a_package() -> None:
    sources = read_sources()
    edges = {module: direct_imports(module, sources) for module in sources}
    mean = sum(map(len, edges.values())) / len(edges)
    widest = max(edges, key=lambda module: len(edges[module]))
    assert mean <= 4.5 and len(edges[widest]) <= 10, f"{mean:.2f}; {widest} imports {sorted(edges[widest])}"


def test_the_version_does_not_count() -> None:
    sources = read_sources()
    newer = {**sources, "repsearch.version": sources["repsearch.version"].replace("0.", "9.")}
    assert newer != sources and code_hash(list(sources), newer) == code_hash(list(sources), sources)


def test_a_record_counts_all_that_computes_it_and_nothing_that_only_shows_it() -> None:
    sources = read_sources()
    computing = imported_by(["repsearch.reproduce.trainings"], sources)
    assert {"repsearch.engine.kernel", "repsearch.reference", "repsearch.fitting", "repsearch.methods.backprop",
            "repsearch.operators", "repsearch.sources"} <= computing
    shown = {"tables", "intervals", "found", "seeds", "claims", "figures", "page", "records", "catalogue", "plans", "search_plans", "variant", "variants", "trials", "provenance"}
    assert not {f"repsearch.reproduce.{name}" for name in shown} & computing
    hashes = {code_hash(plan.module, sources) for plan in PLANS.values()}
    assert len(hashes) == len({plan.module for plan in PLANS.values()})


def test_the_hash_is_of_what_was_imported(tmp_path: Path) -> None:
    """A file edited while a process runs does not change the hash that the process gives."""
    shutil.copytree(LIBRARY, tmp_path / "repsearch", ignore=shutil.ignore_patterns("__pycache__", "data"))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from repsearch.reproduce.provenance import code_hash, read_sources\n"
        "file = Path(sys.argv[1], 'repsearch', 'operators.py')\n"
        "file.write_text(file.read_text().replace('/ 2', '/ 3'))\n"
        "print(code_hash('repsearch.reference'), code_hash('repsearch.reference', read_sources()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    imported, on_disk = done.stdout.split()
    assert imported == code_hash("repsearch.reference") != on_disk


@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_every_python_gives_the_same_hash(python: str) -> None:
    """Provenance needs the standard library alone, so any interpreter that is there can be asked."""
    found = shutil.which(python)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"needs {python}")
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('provenance', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.code_hash('repsearch.reproduce.trainings'))\n"
    )
    done = subprocess.run([found, "-c", code, provenance.__file__], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == code_hash("repsearch.reproduce.trainings", read_sources())


def test_names_in_the_paper_map_exist() -> None:
    """Every function that the page of the paper's sections names is where it says."""
    page = (LIBRARY.parent / "book" / "map.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`([\w.]+)`\]\(https://[^)]*/blob/main/(repsearch/[\w/]+\.py)\)", page)
    assert len(named) >= 40
    for name, file in named:
        source = (LIBRARY.parent / file).read_text(encoding="utf-8")
        last = name.split(".")[-1]
        assert re.search(rf"^\s*(def|class) {last}\b|^{last}\b.*=", source, re.M), f"{name} is not in {file}"
