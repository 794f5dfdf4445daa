"""`python -m repsearch alternate`: rounds from the command line, resumed, and what it is refused for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch

import repsearch as rs
from repsearch.cli.main import main

SMALL = ("--train", "20", "--validation", "20", "--test", "30", "--rounds", "2")


def test_rounds_are_run_kept_and_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, record, weights = tmp_path / "rounds", tmp_path / "record.json", tmp_path / "weights.safetensors"
    command = ["alternate", *SMALL, "--augment", "--quiet", "--store", str(store), "--json", str(record), "--out", str(weights)]
    assert main(command) == 0
    said = capsys.readouterr().out
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    assert len(times) == 2 * 2 and sorted(path.name for path in store.iterdir()) == ["round-0", "round-1"]
    kept = json.loads(record.read_text(encoding="utf-8"))
    assert f"round {kept['best']} did best on the validation images: test {kept['test_accuracy']:.1%}" in said
    assert len(kept["rounds"]) == 2 and kept["settings"]["alternate"]["rounds"] == 2
    assert kept["settings"]["alternate"]["augment"]

    data, preset = rs.load("digits", train=20, validation=20, test=30), rs.presets.smoke()
    model = rs.learn_network(data, preset)
    model.load_state_dict(safetensors.torch.load_file(weights))
    assert rs.accuracy(model, data.test) == pytest.approx(kept["test_accuracy"], rel=1e-5)

    assert main(command) == 0
    assert capsys.readouterr().out == said
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")} == times


@pytest.mark.parametrize(("arguments", "message"), [
    (("--rounds", "0"), "repsearch: --rounds=0: expected a whole number of at least 1"),
    (("--data", "nothing"), "repsearch: --data='nothing': unknown; choose one of"),
    (("--store", "/proc/rounds"), "repsearch: --store='/proc/rounds/round-0/targets': cannot be written"),
])
def test_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["alternate", *SMALL, "--quiet", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(message) and said.count("\n") == 1
    assert not (tmp_path / "rounds").exists()
