"""Section 2: random perturbations of parameters and of activations."""

from __future__ import annotations

import pytest
import torch

import repsearch as rs
from repsearch.reproduce.perturbation import Setup, perturb, progress
from repsearch.reproduce.samples import Sample


def test_points() -> None:
    sample = Sample("digits", train=100, validation=20, test=20)
    data = sample.load(None, 0)
    found = perturb(data, Setup(sample, widths=(4, 8), images=(1, 8), strengths=(0.1, 0.3), candidates=6))
    points = {(p["space"], p["width"], p["images"]): p for p in found}
    assert len(points) == 8
    # Width 4: eight whitening filters into block 0, two 3x3 convolutions a block, and the head.
    assert points["parameters", 4, 1]["dimension"] == 8 * 4 * 9 + 5 * 4 * 4 * 9 + 4 * 9 * 10
    assert points["activations", 8, 1]["dimension"] == 8 * 15 * 15
    for point in points.values():
        assert 0 <= point["chance"] <= 1 and 0 <= point["gain"] <= 1
    # Activations are each image's own: it does not matter how many images there are.
    assert points["activations", 8, 1]["gain"] == points["activations", 8, 8]["gain"]
    with pytest.raises(rs.InputError, match="the data has only 100 training images"):
        perturb(data, Setup(sample, images=(1, 128)))


def test_progress_in_closed_form() -> None:
    """Two images, two candidates: alone each image takes its better one; shared, the better mean counts."""
    drops, before = torch.tensor([[1.0, -2.0], [-1.0, 2.0]]), torch.tensor([2.0, 4.0])
    assert progress(drops, before, 1) == (0.5, pytest.approx((1 + 2) / (2 + 4)))
    assert progress(drops, before, 2) == (0.5, pytest.approx(0.5 / 3))
