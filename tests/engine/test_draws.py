"""The engines' draws: noise is normal, choices are uniform, and both depend on what they should alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from repsearch.config import LayerSearch
from repsearch.engine.draws import Banks, draw
from repsearch.presets import Preset


def test_noise_is_standard_normal_and_new_for_every_bank(preset: Preset) -> None:
    banks = Banks(3, 0, (8, 15, 15), replace(preset.search, noise="pixel", schedule=(LayerSearch(20, 0.3), LayerSearch(1, 0.1))))
    flat = torch.from_numpy(np.stack([banks.raw(turn) for turn in range(banks.count)])).reshape(-1)
    # 7.4 million draws: the mean is within 5 / sqrt(n), the variance within 5 sqrt(2 / n), the kurtosis 5 sqrt(24 / n).
    n = flat.numel()
    assert abs(flat.mean()) < 5 / n**0.5
    assert abs(flat.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs(((flat - flat.mean()) / flat.std()).pow(4).mean() - 3) < 5 * (24 / n) ** 0.5
    assert len({banks.raw(turn).tobytes() for turn in range(banks.count)}) == banks.count


def test_draws_are_uniform_and_depend_on_the_image_alone(preset: Preset) -> None:
    long = tuple(replace(row, generations=2000) for row in preset.search.schedule)
    config = replace(preset.search, schedule=long)
    drawn = draw(0, 0, 5, 40, 256, config)
    refiners = drawn.first[:, config.explorers :]
    counts = np.bincount(refiners.ravel(), minlength=config.parents + config.explorers)
    expected = refiners.size / len(counts)
    # Chi-squared has mean k - 1 and variance 2 (k - 1); far beyond 5 deviations if a parent is favoured.
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5
    assert drawn.first[:, : config.explorers].max() == config.parents - 1
    assert drawn.noise.min() == 0 and drawn.noise.max() == 2 * 256 - 1
    for one, other in zip(drawn, draw(0, 0, 5, 40, 256, config), strict=True):
        assert (one == other).all()
    assert (drawn.first != draw(0, 0, 6, 40, 256, config).first).any()
    distinct = draw(0, 0, 5, 40, 256, replace(config, pairs="distinct"))
    assert (distinct.first != distinct.second).all()


@pytest.mark.parametrize("pairs", ["with replacement", "distinct"])
def test_all_pairs_of_parents_are_equally_likely(preset: Preset, pairs: str) -> None:
    long = tuple(replace(row, generations=2000) for row in preset.search.schedule)
    config = replace(preset.search, schedule=long, pairs=pairs)  # type: ignore[arg-type]
    drawn = draw(0, 0, 5, 40, 256, config)
    n, k = config.explorers, config.parents
    for children, pool in ((slice(None, n), k), (slice(n, None), k + n)):
        first, second = drawn.first[:, children].ravel(), drawn.second[:, children].ravel()
        counts = np.bincount(first * pool + second, minlength=pool**2).reshape(pool, pool)
        likely = counts[~np.eye(pool, dtype=bool)] if pairs == "distinct" else counts.ravel()
        assert stats.chisquare(likely).pvalue > 1e-4
