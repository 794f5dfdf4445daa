"""Experiments and records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch import experiments, records
from repsearch.presets import Preset


def test_demo_repeats_but_for_its_seconds(data: rs.Dataset, preset: Preset) -> None:
    first, second = (experiments.demo(data, preset, progress=False) for _ in range(2))
    for record in (first, second):
        for key in [key for key in record if key.startswith("seconds")]:
            del record[key]
    assert first == second
    assert set(first["accuracy"]) == {"search-based", "SGD", "untrained"}


def test_framework_points() -> None:
    data = rs.load("digits", train=100, validation=20, test=20)
    record = experiments.framework(data, widths=(4, 8), images=(1, 8), strengths=(0.1, 0.3), candidates=6)
    points = {(p["space"], p["width"], p["images"]): p for p in record["points"]}
    assert len(points) == 8
    # Width 4: eight whitening filters into block 0, two 3x3 convolutions a block, and the head.
    assert points["parameters", 4, 1]["dimension"] == 8 * 4 * 9 + 5 * 4 * 4 * 9 + 4 * 9 * 10
    assert points["activations", 8, 1]["dimension"] == 8 * 15 * 15
    for point in points.values():
        assert 0 <= point["chance"] <= 1 and 0 <= point["gain"] <= 1
    # Activations are each image's own: it does not matter how many images there are.
    assert points["activations", 8, 1]["gain"] == points["activations", 8, 8]["gain"]
    with pytest.raises(rs.InputError, match="the data has only 100 training images"):
        experiments.framework(data, images=(1, 128))


def test_progress_in_closed_form() -> None:
    """Two images, two candidates: alone each image takes its better one; shared, the better mean counts."""
    drops, before = torch.tensor([[1.0, -2.0], [-1.0, 2.0]]), torch.tensor([2.0, 4.0])
    assert experiments._progress(drops, before, 1) == (0.5, pytest.approx((1 + 2) / (2 + 4)))
    assert experiments._progress(drops, before, 2) == (0.5, pytest.approx(0.5 / 3))


def test_records_are_written_whole_and_rounded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    records.write_record(path, records.record("test", 3, 1.23, value=1 / 3, curve=[0.1 + 0.2]))
    written = json.loads(path.read_text())
    assert written["value"] == 0.333333 and written["curve"] == [0.3] and written["seed"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    (tmp_path / "file").touch()
    with pytest.raises(rs.InputError, match="cannot be written"):
        records.write_record(tmp_path / "file" / "record.json", written)


def test_records_that_come_with_the_library() -> None:
    assert records.read_records("paper")[0]["table1"]["mnist"]["SGD"] == [99.1, 0.1]
    with pytest.raises(rs.InputError, match=r"records: none is called nothing\.json"):
        records.read_records("nothing")
