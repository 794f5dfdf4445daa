"""The repository says one thing in one place: its address, its version, its hashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest

import repsearch as rs
from repsearch.reproduce.catalogue import ALL_SEEDS, EXPERIMENTS, runs
from repsearch.reproduce.provenance import code_hash
from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
from run_notebooks import stale  # noqa: E402

URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def tracked() -> list[Path]:
    """Text files of the repository: those git tracks, or all but the obvious where there is no git."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        files = [ROOT / name for name in done.stdout.splitlines()]
    else:
        files = [path for path in ROOT.rglob("*") if not {".venv", "_build"} & set(path.parts)]
    return [path for path in files if path.is_file() and path.suffix not in (".png", ".gif")]


def test_the_address_is_the_same_everywhere() -> None:
    """Every link to this repository on GitHub, on Colab or in an install command is the one of pyproject.toml."""
    owner, name = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", URLS["Repository"]).groups()  # type: ignore[union-attr]
    patterns = [
        r"github\.com/([\w.-]+)/(repsearch)\b", r"colab\.research\.google\.com/github/([\w.-]+)/([\w.-]+)",
        r"git\+https://github\.com/([\w.-]+)/([\w.-]+?)(?:[\"'\s`]|$)",
    ]
    found = 0
    for path in tracked():
        text = path.read_text(errors="ignore")
        for pattern in patterns:
            for match in re.finditer(pattern, text):
                assert match.groups() == (owner, name), f"{path}: {match.group()} is not {URLS['Repository']}"
                found += 1
        for match in re.finditer(r"https://([\w-]+)\.github\.io/([\w-]+)", text):
            assert match.group() == URLS["Book"].rstrip("/"), f"{path}: {match.group()}"
    assert found >= 8


def test_every_chapter_has_a_colab_badge_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    address = URLS["Repository"].removeprefix("https://github.com/")
    for chapter in CHAPTERS:
        assert f"https://colab.research.google.com/github/{address}/blob/main/notebooks/{chapter.stem}.ipynb" in readme


def test_the_version_is_the_same_everywhere() -> None:
    assert f"version: {rs.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_outputs_of_a_chapter_are_those_of_its_code(chapter: Path) -> None:
    why = stale(chapter)
    assert why is None, f"{chapter.stem} {why}: make notebooks"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_ran_in_order_without_errors(chapter: Path) -> None:
    cells = [c for c in json.loads(chapter.with_suffix(".ipynb").read_text())["cells"] if c["cell_type"] == "code"]
    assert len(cells) == sum(cell.cell_type == "code" for cell in jupytext.read(chapter).cells) > 5
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not any(out["output_type"] == "error" or out.get("name") == "stderr" for out in cell["outputs"])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_is_there(chapter: Path) -> None:
    """One picture from each cell that is marked as a figure, which gives it a caption, and none from any other."""
    for cell in json.loads(chapter.with_suffix(".ipynb").read_text())["cells"]:
        shown = sum("image/svg+xml" in out.get("data", {}) for out in cell.get("outputs", []))
        marked = "figure" in cell["metadata"].get("mystnb", {})
        assert shown == marked, f"{chapter.stem}: {shown} pictures from {''.join(cell['source'])[-100:]}"


def test_chapters_in_the_table_of_contents_exist_and_all_are_there() -> None:
    toc = (ROOT / "_toc.yml").read_text()
    listed = re.findall(r"(?:file|root): (\S+)", toc)
    assert len(CHAPTERS) >= 10  # else the tests of each chapter would test nothing
    for entry in listed:
        assert any((ROOT / f"{entry}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    assert {f"notebooks/{chapter.stem}" for chapter in CHAPTERS} <= set(listed)


def test_the_page_of_methods_has_every_method() -> None:
    """With the file it is in, and a chapter that uses it."""
    text = (ROOT / "book" / "methods.md").read_text()
    rows = re.findall(r"^\| \[`(\w+)`\]\(\S+/blob/main/(\S+)\) \|.*\[\d+\]\(\.\./(\S+)\) \|$", text, re.M)
    assert sorted(name for name, _, _ in rows) == sorted([*rs.methods.names(), "Regression"])
    for name, file, chapter in rows:
        assert f"\nclass {name}(" in (ROOT / file).read_text(), file
        assert name in (ROOT / f"{chapter}.py").read_text() or name == "Regression", chapter


def test_records_say_what_made_them() -> None:
    records = sorted(FOLDER.glob("*-[0-9].json"))
    assert len(records) == len(list(FOLDER.glob("*.json"))) - 1 > 200  # all but the paper's own numbers
    for path in records:
        record = json.loads(path.read_text())
        assert {"seed", "library", "library_hash", "versions", "hardware", "seconds", "settings", "preset"} <= set(record), path
        assert len(record["library_hash"]) == 16


def test_every_run_of_the_book_is_there_and_of_the_library_as_it_is() -> None:
    """A record made by `reproduce` names the module that computes it; neither that nor what it imports has changed."""
    states = {run.name: run.state(FOLDER) for run in runs(list(EXPERIMENTS), "book", ALL_SEEDS)}
    wrong = {name: state for name, state in states.items() if state != "done"}
    assert not wrong, f"{wrong}: python -m repsearch reproduce all"
    for path in sorted(FOLDER.glob("*.json")):
        record = json.loads(path.read_text())
        if path.stem != "paper":
            assert record["library_hash"] == code_hash(record["module"]), f"{path.name}: reproduce it"


def test_the_library_never_imports_matplotlib_outside_of_figures() -> None:
    """Every module but those of figures is imported; that of the benchmark's rivals only when it runs."""
    figures = {f"repsearch.reproduce.{name}" for name in ("drawing", "drawn", "figures", "turn_figures", "greedy_figures", "rule_figures", "set_figures", "claim_figures")}
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "repsearch").rglob("[!_]*.py")]
    assert figures < set(modules) and len(modules) > 50
    imports = "; ".join(f"import {module}" for module in sorted(set(modules) - figures))
    code = f"import sys; {imports}; print(*{{'matplotlib', 'seaborn', 'evotorch', 'evosax'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_doctests() -> None:
    import doctest
    import importlib

    ran = 0
    for path in sorted((ROOT / "repsearch").rglob("[!_]*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        results = doctest.testmod(importlib.import_module(name))
        assert results.failed == 0, path
        ran += results.attempted
    assert ran > 20


def typed_results(prose: str) -> list[str]:
    """Decimals, percentages and numbers with a unit.

    Left out: code, formulas, tables' rules, and the numbers of sections, figures and the paper.
    """
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\([^)\s]*\)|\{cite\}`[^`]*`", " ", prose, flags=re.S)
    text = re.sub(r"(?i)(sections?|figures?|tables?|appendix)\s+(\d+(\.\d+)?)((,|\s|and|to)+\d+(\.\d+)?)*", " ", text)
    return re.findall(r"\S*\d+\.\d+\S*|\d+(?:\s|-)*(?:%|percent|points|nats|times)", text)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_no_result_is_typed(chapter: Path) -> None:
    """Results are printed from records or live runs."""
    prose = [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "markdown"]
    assert len(prose) > 5
    for text in prose:
        assert not typed_results(text), f"{chapter.stem}: {typed_results(text)} in {text[:80]!r}"


@pytest.mark.parametrize(("prose", "found"), [
    ("It reaches 41.3 % on CIFAR-10.", ["41.3"]), ("three times, or 5 times", ["5 times"]), ("0.25 nats", ["0.25"]),
    ("12 percent, 3 points", ["12 percent", "3 points"]), ("Sections 3.1 and 4.2, Figure 7", []),
    ("`alpha=0.3`, $\\sigma = 0.5$ and 20 parents (see 4.1)", ["4.1)"]),
])
def test_what_counts_as_a_typed_result(prose: str, found: list[str]) -> None:
    assert typed_results(prose) == found
