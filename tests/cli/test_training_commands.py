"""demo, learn and fit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from command import SMALL, run

import repsearch as rs
from repsearch.cli.main import main
from repsearch.store.manifest import search_id


def test_demo_prints_the_table_and_leaves_three_figures_and_a_record(tmp_path: Path) -> None:
    done = run("demo", *SMALL, "--out", "here", "--json", "record.json", cwd=tmp_path)
    result = json.loads((tmp_path / "record.json").read_text())
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["accuracy.png", "learning.png", "search.png"]
    for layer, curve in result["cross_entropy"].items():
        assert curve[-1] < curve[0]
        assert f"{layer:<14}{curve[0]:8.3f}{curve[-1]:8.3f}" in done.stdout
    for name in ("untrained body", "one shot", "in turn", "SGD"):
        assert f"{name:<14}{100 * result['accuracy'][name]:7.1f}%" in done.stdout


@pytest.mark.parametrize(("name", "count"), [("mnist", 40), ("cifar10", 40)])
def test_demo_on_real_images_lowers_the_cross_entropy_at_every_layer(
    tmp_path: Path, real_data: Path, name: str, count: int
) -> None:
    run("demo", "--data", name, "--root", real_data, "--train", count, "--validation", 50, "--test", 50, "--quiet",
        "--json", "record.json", cwd=tmp_path)
    curves = json.loads((tmp_path / "record.json").read_text())["cross_entropy"]
    assert all(curve[-1] < curve[0] for curve in curves.values())


def test_learn_from_targets_and_the_baseline(searched: Path) -> None:
    done = run("learn", *SMALL, "--targets", "targets/digits-smoke", "--epochs", 3, "--skip", "block0", "--out", "model.safetensors",
               "--json", "learn.json", cwd=searched)
    assert "epoch" in done.stdout and ", test " in done.stdout
    assert "block0" not in json.loads((searched / "learn.json").read_text())["losses"]
    assert (searched / "model.safetensors").stat().st_size > 100_000
    run("fit", *SMALL, "--method", "Backprop", "--groups", 1, "--epochs", 2, "--augment", "--learning-rate", 0.05,
        "--json", "sgd.json", cwd=searched)
    record = json.loads((searched / "sgd.json").read_text())
    assert list(record["losses"]) == ["cross_entropy"] and record["spent"] == [60, 120]
    settings = record["settings"]
    assert (settings["groups"], settings["fit"]["epochs"], settings["fit"]["learning_rate"]) == (1, 2, 0.05)


def test_a_method_that_fails_leaves_the_others_their_rows(tmp_path: Path) -> None:
    done = run("fit", *SMALL, "--method", "Backprop", "Backprop", "--learning-rate", 1e30, cwd=tmp_path, expect=2)
    rows = done.stdout.splitlines()
    assert len(rows) == 2 and all(re.match(r"Backprop: --learning-rate=1e\+30: the (loss|logits) became", row) for row in rows)


def test_the_record_says_all_that_decides_the_training(searched: Path) -> None:
    run("learn", *SMALL, "--targets", "targets/digits-smoke", "--groups", 1, "--epochs", 1, "--json", "new/learn.json", cwd=searched)
    settings = json.loads((searched / "new" / "learn.json").read_text())["settings"]
    targets = rs.Targets.open(searched / "targets" / "digits-smoke")
    assert {key: settings[key] for key in ("data", "train", "validation", "test", "groups", "statistics", "method")} == {
        "data": "digits", "train": 20, "validation": 20, "test": 40, "groups": 1, "statistics": "running", "method": "Regression"}
    assert settings["targets"] == {"search": search_id(targets.manifest), "engine": "kernel", "images": 20, "layers": list(targets.layers)}
    assert settings["fit"]["averaged"] == "all blocks"


def test_learning_from_the_first_images_says_so_and_is_as_from_data_of_these(searched: Path) -> None:
    run("search", *SMALL, "--images", 6, "--out", "six", cwd=searched)
    done = run("learn", *SMALL, "--targets", "six", "--epochs", 2, "--json", "six.json", cwd=searched)
    assert "learning from the first 6 of 20 training images" in done.stdout
    data, preset = rs.load("digits", train=20, validation=20, test=40), rs.presets.smoke("digits")
    few = replace(data, train=data.train[:6])
    history = rs.learn(rs.learn_network(few, preset), few, rs.Targets.open(searched / "six"), replace(preset.learn, epochs=2), progress=False)
    record = json.loads((searched / "six.json").read_text())
    assert record["settings"]["train"] == 6 and record["validation_accuracy"] == pytest.approx(history.validation_accuracy, rel=1e-5)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"repsearch {rs.__version__}\n"
