"""The demo repeats."""

from __future__ import annotations

import repsearch as rs
from repsearch.presets import Preset
from repsearch.reproduce.demo import demo


def test_demo_repeats_but_for_its_seconds(data: rs.Dataset, preset: Preset) -> None:
    first, second = (demo(data, preset, progress=False) for _ in range(2))
    for record in (first, second):
        for key in [key for key in record if key.startswith("seconds")]:
            del record[key]
    assert first == second
    assert list(first["accuracy"]) == ["untrained body", "one shot", "in turn", "SGD"]
    epochs = preset.learn.epochs + 2 * preset.alternate.epochs
    assert [len(curve) for curve in first["validation_accuracy"].values()] == [preset.learn.epochs, epochs, epochs]
