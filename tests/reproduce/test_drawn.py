"""The command `figures`: what is drawn from which records, the book's and a user's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import mean
from xml.etree import ElementTree

import pytest

import repsearch as rs
from repsearch.cli.main import main
from repsearch.reproduce.drawn import draw_all, drawings, found_in, read_folder
from repsearch.reproduce.records import FOLDER
from repsearch.reproduce.variants import TABLE1, TABLE2


def names(folder: Path) -> list[str]:
    return sorted(name for name, _ in found_in(folder))


def test_the_books_records_give_every_figure_of_the_paper() -> None:
    found = names(FOLDER)
    assert len(found) == len(set(found)) >= 30
    for wanted in ("claims", "perturbation-cifar10", "fig2-cifar100", "fig3-cifar100", "fig4-cifar10-", "fig4-cifar100",
                   *(f"fig{number}-{data}" for number in (5, 6, 7) for data in ("mnist", "cifar10-", "cifar100")),
                   "accuracy-mnist", "accuracy-augmented-cifar100", "turns-cifar10-500", "turns-mnist", "rounds-cifar10-2000"):
        assert any(name.startswith(wanted) for name in found), wanted


@pytest.mark.parametrize(("title", "variants"), [("accuracy", TABLE1), ("accuracy-augmented", TABLE2)])
def test_accuracies_are_those_of_the_files(title: str, variants: tuple[str, ...]) -> None:
    (draw,) = (draw for name, draw in drawings(read_folder(FOLDER)) if name == f"{title}-cifar10-2000-book")
    (ax,) = draw().axes
    shown = [text.get_text() for text in ax.texts]
    wanted = [f"{mean(100 * json.loads(path.read_text())['test_accuracy'] for path in files):.1f}" for variant in variants
              if (files := sorted(FOLDER.glob(f"training-cifar10-book-{variant}-[0-9].json")))]
    assert sorted(shown) == sorted(wanted) and len(ax.get_yticks()) == len(wanted)


def copied(folder: Path, *patterns: str) -> Path:
    folder.mkdir()
    for pattern in patterns:
        files = list(FOLDER.glob(f"{pattern}.json"))
        assert files
        for file in files:
            shutil.copy(file, folder)
    return folder


def test_a_figure_waits_for_all_that_it_compares(tmp_path: Path) -> None:
    part = copied(tmp_path / "part", "training-mnist-book-search-based-0", "training-mnist-book-sgd2-0")
    assert names(part) == ["accuracy-mnist-2000-book"]
    whole = copied(tmp_path / "whole", "training-mnist-book-search-based-0", "training-mnist-book-sgd2-0",
                   "training-mnist-book-other-0")
    assert names(whole) == ["accuracy-mnist-2000-book", *(f"fig{number}-mnist-2000-book" for number in (5, 6, 7))]
    alone = copied(tmp_path / "alone", "alternate-mnist-book-loop-3")
    assert names(alone) == ["rounds-mnist-2000-book"]
    beside = copied(tmp_path / "beside", "alternate-mnist-book-loop-3", "rival-mnist-book-sgd-tuned-3")
    assert names(beside) == ["rounds-mnist-2000-book", "turns-mnist-2000-book"]


def test_the_command_draws_a_users_own_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made at the smoke preset, as a user's would be; files are whole drawings, and the same ones again."""
    own, out = tmp_path / "own", tmp_path / "figures"
    assert main(["reproduce", "fig2", "--preset", "smoke", "--seeds", "0", "--variants", "map", "--out", str(own),
                 "--store", str(tmp_path / "store")]) == 0
    (own / "fig2-digits-smoke-map-1.json").write_text('{"experiment": "fig2"')  # a run that was cut off
    capsys.readouterr()
    assert main(["figures", "--records", str(own), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 figures are in {out}"
    (drawn,) = out.iterdir()
    again = tmp_path / "again"
    assert main(["figures", "--records", str(own), "--out", str(again)]) == 0
    assert (again / drawn.name).read_bytes() == drawn.read_bytes()
    assert drawn.name.startswith("fig2-digits-") and ElementTree.parse(drawn).getroot().tag.endswith("svg")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(rs.InputError, match="no folder at"):
        draw_all(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(rs.InputError, match=r"nothing in .* that a figure can be drawn from"):
        draw_all(copied(tmp_path / "bench", "bench-*"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
