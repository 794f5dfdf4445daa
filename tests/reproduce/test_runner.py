"""`reproduce`: what is missing or stale is run, alone or in several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repsearch.cli.main import main
from repsearch.reproduce.catalogue import EXPERIMENTS, runs
from repsearch.reproduce.provenance import code_hash


@pytest.mark.slow
def test_reproduce_runs_what_is_missing_or_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, made_by = tmp_path / "records", code_hash("repsearch.reproduce.scaling")
    command = ["reproduce", "fig2", "--preset", "smoke", "--seeds", "0", "1", "--variants", "noise",
               "--out", str(out), "--store", str(tmp_path / "store")]
    assert main(command) == 0
    first = {path.name: json.loads(path.read_text()) for path in out.iterdir()}
    assert sorted(first) == ["fig2-digits-smoke-noise-0.json", "fig2-digits-smoke-noise-1.json"]
    assert all(record["library_hash"] == made_by for record in first.values())
    capsys.readouterr()

    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("done: 2 of 2 runs") and "was" not in said  # nothing was missing
    (out / "fig2-digits-smoke-noise-0.json").unlink()
    stale = out / "fig2-digits-smoke-noise-1.json"
    stale.write_text(stale.read_text().replace(made_by, "0" * 16))
    assert main([*command[:1], "--list", "--preset", "smoke", "--seeds", "0", "1", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", *EXPERIMENTS, "all"]
    (line,) = (line for line in lines if line.startswith("fig2 "))
    assert line.split()[:5] == ["fig2", "3.2", "0", "1", "5"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "noise-0: was missing" in said and "noise-1: was stale" in said
    assert {path.name for path in out.iterdir()} == set(first)
    for path in out.iterdir():
        assert json.loads(path.read_text())["points"] == first[path.name]["points"]  # the same numbers


def test_a_name_that_several_begin_with_stands_for_them() -> None:
    found = runs(["es", "fig2"], "book", [0])
    assert found == runs(["es-ranks", "es-arms", "es-estimates", "fig2"], "book", [0])
    assert {run.kind for run in found} == {"es", "es-estimates", "fig2"}  # and not what is called fig2-paper


@pytest.mark.parametrize(("arguments", "message"), [
    (["fig99"], "experiment='fig99': unknown; choose one of ablations, arena-rules, arena-rules-tuning, arena-turns, arena-turns-tuning, arena-weights"),
    ([], "experiment: name one or more of perturbation, places, fig2, fig2-paper, fig3, table1"),
    (["fig2", "--preset", "huge"], "preset='huge': unknown"),
    (["fig2", "--variants", "fog"], "variant='fog': unknown; choose one of child, map, noise"),
    (["table1", "--data", "svhn"], "data='svhn': unknown; choose one of digits"),
    (["fig2", "--seeds", "-1"], "seed=-1"),
    (["fig2", "--jobs", "0"], "jobs=0"),
])
def test_reproduce_bad_input(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "--preset", "smoke", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_jobs_make_the_same_records(tmp_path: Path) -> None:
    """Two processes and one, with and without searches to share: the same numbers."""
    command = ["reproduce", "table1", "--preset", "smoke", "--seeds", "0", "1", "--variants", "untrained-body"]
    for name, jobs in (("one", "1"), ("two", "2")):
        folder = tmp_path / name
        assert main([*command, "--out", str(folder), "--store", str(folder / "store"), "--jobs", jobs]) == 0
    files = sorted((tmp_path / "one").glob("*.json"))
    assert [file.name for file in files] == sorted(file.name for file in (tmp_path / "two").glob("*.json"))
    assert len(files) == 2
    for file in files:
        one, two = json.loads(file.read_text()), json.loads((tmp_path / "two" / file.name).read_text())
        assert {**one, "seconds": 0, "seconds_search": 0} == {**two, "seconds": 0, "seconds_search": 0}
        assert one["library_hash"] == code_hash("repsearch.reproduce.trainings")


def test_records_of_a_part_and_of_the_whole_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of fewer images than the files hold now stops the run before anything is computed."""
    other = {"images": {"source": [20000, 5000]}}
    (tmp_path / "training-digits-smoke-other-0.json").write_text(json.dumps(other))
    assert main(["reproduce", "fig2", "--preset", "smoke", "--seeds", "0", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is of 20,000 training and 5,000 test images, the files of digits now hold 1,437 training and 360 test" in said
    assert "name another folder with --out" in said and len(list(tmp_path.iterdir())) == 1
