"""demo, learn and fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SMALL, run


def test_demo_prints_the_table_and_leaves_three_figures_and_a_record(tmp_path: Path) -> None:
    done = run("demo", *SMALL, "--out", "here", "--json", "record.json", cwd=tmp_path)
    result = json.loads((tmp_path / "record.json").read_text())
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["accuracy.png", "learning.png", "search.png"]
    for layer, curve in result["cross_entropy"].items():
        assert curve[-1] < curve[0]
        assert f"{layer:<14}{curve[0]:8.3f}{curve[-1]:8.3f}" in done.stdout
    for name in ("search-based", "SGD", "untrained"):
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
    done = run("learn", *SMALL, "--targets", "targets/digits", "--epochs", 3, "--skip", "block0", "--out", "model.safetensors",
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
    assert len(rows) == 2 and all(row.startswith("Backprop: learning_rate=1e+30: the loss became") for row in rows)
