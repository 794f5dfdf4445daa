"""The commands that train: files that could not be written, small data sets, what is promised when one is interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import SMALL, write_npz

from repsearch.cli.main import main

TRAIN = ["fit", "--data", "digits", "--preset", "smoke", *SMALL, "--epochs", "2"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(("options", "message"), [
    (["--out", "folder"], "--out='folder': is a folder; name a file in it"),
    (["--json", "folder"], "--json='folder': is a folder; name a file in it"),
    (["--out", "file/w"], "--out='file/w': cannot be written ("),
    (["--out", "w", "--json", "w"], "--out='w': two options name this file"),
    (["--out", "w", "--checkpoint", "./w"], "--out='w': two options name this file"),
    (["--checkpoint", "file/c"], "--checkpoint="),
    (["--checkpoint", "folder"], "--checkpoint="),
    (["--learning-rate", "-1"], "--learning-rate=-1.0: expected"),
    (["--groups", "0"], "--groups=0: expected"),
])
def test_what_cannot_be_written_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the training began")

    monkeypatch.setattr("repsearch.fitting._epoch", never)
    Path("folder").mkdir()
    Path("file").touch()
    assert main([*TRAIN, *options]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_the_home_of_a_shells_tilde() -> None:
    assert main([*TRAIN, "--out=~/w", "--checkpoint=~/c", "--json=~/new/j"]) == 0
    assert sorted(path.name for path in Path("home").rglob("*")) == ["c", "j", "new", "w"] and not Path("~").exists()


@pytest.mark.parametrize(("options", "epochs", "promise"), [
    ([], 1, "nothing was kept, for want of --checkpoint"),
    (["--checkpoint", "c"], 0, "no epoch was finished"),
    (["--checkpoint", "c"], 1, "the same command goes on from c"),
])
def test_an_interrupted_training_promises_what_is_true(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], epochs: int, promise: str
) -> None:
    from repsearch import fitting

    epoch = fitting._epoch

    def interrupted(state: Any, *rest: Any) -> float:
        if state.epoch == epochs:
            raise KeyboardInterrupt
        return epoch(state, *rest)

    monkeypatch.setattr(fitting, "_epoch", interrupted)
    assert main([*TRAIN, *options]) == 130
    assert capsys.readouterr().err == f"repsearch: interrupted; {promise}\n"


@pytest.mark.parametrize(("command", "promise"), [
    (["search", *TRAIN[1:-2]], "the same command goes on from its folder"), (["demo", *TRAIN[1:-2]], "nothing was kept"),
    (["reproduce", "fig2"], "the records that were finished are kept, and the same command goes on with the others"),
])
def test_other_commands_promise_what_is_true(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str], promise: str
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for where in ("cli.searching.search", "cli.demo.demo", "cli.reproducing.reproduce"):
        monkeypatch.setattr(f"repsearch.{where}", interrupt)
    assert main(command) == 130
    assert capsys.readouterr().err == f"repsearch: interrupted; {promise}\n"


def test_a_small_data_set_of_ones_own_gives_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The presets ask for 200 validation images; nobody who uses one of these has."""
    write_npz(tmp_path / "mine.npz", [30, 20])
    assert main(["fit", "--data", "mine", "--root", ".", "--epochs", "1", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == "repsearch: mine has fewer images than the preset smoke asks for; taken: 45 train, 5 validation, 2 test\n"
    assert "Backprop: epoch 1 of 1" in said.out


@pytest.mark.parametrize(("option", "value"), [("train", "300"), ("validation", "60"), ("test", "9")])
def test_a_size_that_was_asked_for_is_not_made_smaller(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    write_npz(tmp_path / "mine.npz", [30, 20])
    assert main(["fit", "--data", "mine", "--root", ".", f"--{option}", value]) == 2
    assert f"repsearch: --{option}={value}: needs" in capsys.readouterr().err


def test_weights_of_a_training_can_be_read(tmp_path: Path) -> None:
    import safetensors.torch

    assert main([*TRAIN, "--out", "w", "--groups", "3"]) == 0
    weights = safetensors.torch.load_file(tmp_path / "w")
    assert sum(name.endswith("0.weight") and value.shape[-2:] == (3, 3) for name, value in weights.items()) == 9
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
