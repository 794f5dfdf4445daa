"""Every command answers bad input with one line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from command import run

from repsearch.cli.main import main


@pytest.mark.parametrize(("arguments", "message"), [
    (("demo", "--data", "imagenet"), "data='imagenet': unknown; choose one of digits, mnist"),
    (("demo", "--preset", "huge"), "preset='huge': unknown; choose one of book, paper, smoke"),
    (("demo", "--train", "0"), "train=0: expected a whole number of at least 1"),
    (("demo", "--train", "99999"), "train=99999: needs 10000 images of class 0"),
    (("demo", "--seed", "-1"), "seed=-1: expected a whole number of at least 0"),
    (("search", "--device", "gpu"), "device='gpu': unknown; choose cpu, cuda, cuda:N or mps"),
    (("search", "--out", "/proc/nowhere"), "--out='/proc/nowhere': cannot be written"),
    (("demo", "--out", "/proc/nowhere"), "out='/proc/nowhere': cannot be written"),
    (("learn", "--targets", "nowhere"), "nowhere: no manifest.json there"),
    (("learn", "--sgd"), "--sgd: since 0.2 the SGD baseline is python -m repsearch fit --method Backprop"),
    (("fit", "--epochs", "0"), "epochs=0"),
    (("fit", "--groups", "0"), "groups=0"),
    (("fit", "--method", "Magic"), "method='Magic': unknown; choose one of ActivityPerturbation, Backprop"),
    (("learn",), "--targets: name the folder that python -m repsearch search has written"),
    (("fly",), "invalid choice"),
    (("search", "--engine", "warp"), "engine='warp': unknown; choose one of auto, conv, kernel, reference, torch"),
    (("search", "--images", "0"), "images=0: expected a whole number of at least 1"),
    (("targets", "info", "nowhere"), "nowhere: no manifest.json there"),
    (("targets", "verify", "nowhere"), "nowhere: no manifest.json there"),
    (("bench", "--sizes", "huge"), "sizes='huge': unknown; choose one of laptop, paper"),
    (("demo", "--train", "many"), "argument --train: invalid int value: 'many'"),
])
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.chdir(tmp_path):
        try:
            status = main(list(arguments))
        except SystemExit as error:  # argparse's own
            status = int(str(error))
    assert status == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not any(tmp_path.iterdir()), "something half-written stayed behind"


def test_an_error_is_one_line_in_a_real_process_too(tmp_path: Path) -> None:
    done = run("demo", "--preset", "huge", cwd=tmp_path, expect=2)
    assert done.stderr == "repsearch: --preset='huge': unknown; choose one of book, paper, smoke\n"


def test_a_figure_that_is_done_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "gradients", "--seeds", "0"]) in (0, None)
    assert "done: 1 of 1 runs; their records are in" in capsys.readouterr().out
