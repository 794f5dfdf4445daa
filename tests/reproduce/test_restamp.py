"""Renewing hashes: only against an equal result, only for records that the same code made; and it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repsearch.cli.main import main
from repsearch.reproduce.provenance import code_hash
from repsearch.reproduce.records import Record
from repsearch.reproduce.restamp import differences
from repsearch.reproduce.runs import Run

COMMAND = ["reproduce", "fig2", "--preset", "smoke", "--variants", "noise"]
RUNS = [Run("fig2", "digits", "smoke", "noise", seed) for seed in (0, 1, 2)]
NOW = code_hash("repsearch.reproduce.scaling")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    assert main([*COMMAND, "--out", str(folder), "--store", str(folder / "store")]) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The records, as if other code had made them."""
    for run in RUNS:
        write(tmp_path, run, {**read(made, run), "library_hash": "before"})
    return tmp_path


def read(folder: Path, run: Run) -> Record:
    return json.loads((folder / f"{run.name}.json").read_text())  # type: ignore[no-any-return]


def write(folder: Path, run: Run, content: Record) -> None:
    (folder / f"{run.name}.json").write_text(json.dumps(content, indent=1) + "\n")


def restamp(folder: Path, made: Path) -> None:
    assert main([*COMMAND, "--restamp", "--out", str(folder), "--store", str(made / "store")]) == 0


def test_an_equal_result_renews_all_seeds(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [read(folder, run) for run in RUNS]
    assert [run.state(folder) for run in RUNS] == ["stale"] * 3
    restamp(folder, made)
    assert "fig2-digits-smoke-noise-0: equal; renewed 2 of 2 other seeds" in capsys.readouterr().out
    assert [run.state(folder) for run in RUNS] == ["done"] * 3
    for run, old in zip(RUNS, before, strict=True):
        new = read(folder, run)
        assert new["restamped"] == {"from": "before", "proof": RUNS[0].name} and new["library_hash"] == NOW
        assert differences(old, new) == []
    assert read(folder, RUNS[1])["seconds"] == before[1]["seconds"]  # it was not computed again


def test_a_difference_in_the_last_digit_renews_nothing(
    folder: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read(folder, RUNS[0])
    content["points"][4]["curve"][3] *= 1 + 2e-6
    write(folder, RUNS[0], content)
    restamp(folder, made)
    assert "fig2-digits-smoke-noise-0: differs in points; nothing renewed" in capsys.readouterr().out
    assert [run.state(folder) for run in RUNS] == ["stale"] * 3
    assert read(folder, RUNS[0]) == content


def test_records_of_other_code_or_settings_stay_stale(folder: Path, made: Path) -> None:
    write(folder, RUNS[1], {**read(folder, RUNS[1]), "library_hash": "another"})
    other = read(folder, RUNS[2])
    other["settings"]["sample"]["train"] = 201
    write(folder, RUNS[2], other)
    restamp(folder, made)
    assert [run.state(folder) for run in RUNS] == ["done", "stale", "stale"]


def test_an_interrupted_restamp_goes_on(folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read(folder, RUNS[2])
    restamp(folder, made)
    write(folder, RUNS[2], old)  # as if it had stopped before the last one

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Run, "compute", never)
    restamp(folder, made)
    assert [run.state(folder) for run in RUNS] == ["done"] * 3


def test_settings_are_exact_and_every_one_counts(made: Path, tmp_path: Path) -> None:
    """A change of any setting, in the last digit, makes a record stale."""
    record = read(made, RUNS[0])
    paths, changed = _paths(record["settings"]), 0
    for path in paths:
        content = json.loads(json.dumps(record))
        *way, last = path
        inner = content["settings"]
        for key in way:
            inner = inner[key]
        value = inner[last]
        inner[last] = value * (1 + 1e-15) if isinstance(value, float) else f"not {value}"
        if inner[last] != value:
            write(tmp_path, RUNS[0], content)
            assert RUNS[0].state(tmp_path) == "stale", path
            changed += 1
    assert changed >= len(paths) - 2 > 25  # all but numbers that are 0


def _paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    inner = [found for key, item in items for found in _paths(item, (*path, key))]
    return inner or [path]


def test_a_setting_that_records_did_not_have_yet_is_added(folder: Path, made: Path) -> None:
    for run in RUNS:
        content = read(folder, run)
        assert content["settings"]["search"].pop("border") == "zeros"
        write(folder, run, content)
    restamp(folder, made)
    assert [run.state(folder) for run in RUNS] == ["done"] * 3
    assert [read(folder, run)["settings"]["search"]["border"] for run in RUNS] == ["zeros"] * 3


def test_a_setting_that_is_gone_renews_nothing(folder: Path, made: Path) -> None:
    for run in RUNS:
        content = read(folder, run)
        content["settings"]["search"]["former"] = 1
        write(folder, run, content)
    restamp(folder, made)
    assert [run.state(folder) for run in RUNS] == ["stale"] * 3
