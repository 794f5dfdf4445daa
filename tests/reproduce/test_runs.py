"""Runs: which there are, and when the record of one is still its."""

from __future__ import annotations

from pathlib import Path

import pytest

import repsearch as rs
from repsearch.reproduce.catalogue import EXPERIMENTS, runs
from repsearch.reproduce.records import write_record
from repsearch.reproduce.runs import Run
from repsearch.reproduce.variants import VARIANTS


def test_experiments_name_variants_that_exist() -> None:
    for experiment in EXPERIMENTS.values():
        if experiment.kind == "training":
            assert set(experiment.variants) <= set(VARIANTS)
        for run in experiment.runs("book", (0,)):
            assert run.settings


def test_every_run_at_smoke_has_images_enough() -> None:
    samples = {setup.sample for run in runs(["all"], "smoke", (0,)) if hasattr(setup := run.setup, "sample")}
    assert {len((data := sample.load(None, 0)).train) - sample.train for sample in samples} == {0} and data.test


def test_unknown_variant() -> None:
    with pytest.raises(rs.InputError, match="variant='magic': unknown"):
        Run("training", "digits", "smoke", "magic", 0).compute()


def test_experiments_share_runs() -> None:
    table, figure = (set(EXPERIMENTS[name].runs("book", (0, 1, 2))) for name in ("table1", "fig5"))
    assert len(table & figure) == 27 and len(runs(["table1", "fig5"], "book", (0, 1, 2))) == len(table | figure)
    chosen = runs(["table1"], "book", (0, 1), data=["mnist"], variants=["search-based", "sgd2"])
    assert [(run.data, run.variant, run.seed) for run in chosen] == [
        ("mnist", "search-based", 0), ("mnist", "sgd2", 0), ("mnist", "search-based", 1), ("mnist", "sgd2", 1)]


def test_a_record_of_other_settings_is_stale(tmp_path: Path) -> None:
    (run,) = runs(["table1"], "smoke", (0,), variants=["sgd2"])
    record = run.compute()
    settings = record["settings"]
    assert settings["sample"] == {"data": "digits", "train": 200, "validation": 200, "test": 300, "test_parts": 3}
    for change, state in (({}, "done"), ({"settings": {**settings, "width": 17}}, "stale"),
                          ({"settings": {**settings, "fit": {**settings["fit"], "epochs": 5}}}, "stale"),
                          ({"library_hash": "0" * 16}, "stale")):
        write_record(tmp_path / f"{run.name}.json", {**record, **change})
        assert run.state(tmp_path) == state, change
    (tmp_path / f"{run.name}.json").write_text("{")
    assert run.state(tmp_path) == "stale"
    (tmp_path / f"{run.name}.json").unlink()
    assert run.state(tmp_path) == "missing"
