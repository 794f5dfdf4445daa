"""Searches as long as the paper's, in which a bank of noise serves many generations, against noise that never repeats.

The reference draws new noise for every child. The engines draw rows of a few banks, which all images of a seed share: of
the paper's 300 generations of block 0 each of its banks serves 38. So it does here, in small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor

import repsearch as rs
from repsearch.airbench import convnet
from repsearch.config import LayerSearch, SearchConfig
from repsearch.engine import draws
from repsearch.engine.kernel_engine import KernelEngine
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.engine.threads import one_thread
from repsearch.engine.torch_engine import TorchEngine
from repsearch.reference import search_images

IMAGES, SEEDS, CLASSES = 8, 12, 10
BLOCKS = range(3)
pytestmark = pytest.mark.slow
# With smoothed noise, and strengths so small that a search is still under way at its end, what it has found
# depends on all the noise it took. The literal reading smooths children, and so forgets.
READINGS: dict[str, dict[str, Any]] = {
    "map": {"noise": "map", "blurred": "noise", "strengths": (0.003, 0.01, 0.01, 0.1), "blurs": (5, 1, 1, 0)},
    "pixel": {"noise": "pixel", "blurred": "noise", "strengths": (0.02, 0.02, 0.02, 0.1), "blurs": (1, 1, 1, 0)},
    "literal": {"noise": "pixel", "blurred": "child", "strengths": (0.3, 0.05, 0.02, 0.1), "blurs": (1, 1, 1, 0)},
}


def long(reading: dict[str, Any], factor: float = 1) -> SearchConfig:
    """The configuration of a reading, its mutation strengths multiplied by `factor`."""
    strengths = [factor * strength for strength in reading["strengths"]]
    rows = zip((38 * draws.BANKS, 20, 20, 1), strengths, (5, 3, 3, 1), reading["blurs"], strict=True)
    return SearchConfig(tuple(LayerSearch(*row) for row in rows), parents=4, explorers=6, refiners=6, input_noise=0.03,
                        noise=reading["noise"], blurred=reading["blurred"])


def split(images: Tensor, copies: int) -> rs.Split:
    """Each of the first images `copies` times; every copy has an index, and so draws, of its own."""
    which = torch.arange(IMAGES).repeat(copies)
    return rs.Split(images[which], which, CLASSES, torch.arange(len(which)))


def by_engine(kind: type[KernelEngine] | type[TorchEngine], network: rs.Network, images: Tensor, config: SearchConfig,
              seeds: int = SEEDS) -> Tensor:
    """Final log cross-entropies (blocks, seeds, IMAGES); each seed has banks of its own."""
    data, light = split(images, 1), without_identities(network)
    shapes, found = layer_shapes(network, data, config), []
    for seed in range(seeds):
        together = (IMAGES,) if kind is TorchEngine else ()
        searched = kind(light, config, seed, shapes, BLOCKS, *together).search(data, lambda *_: None)
        found.append(torch.stack([curve[:, -1] for curve in searched.cross_entropy]))
    return torch.stack(found, 1).log()


@dataclass
class Expected:
    """What the reference finds with a reading: `loss`, as of `by_engine`, of as many searches."""

    reading: dict[str, Any]
    network: rs.Network
    images: Tensor
    loss: Tensor


@pytest.fixture(scope="module", autouse=True)
def thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module", params=READINGS)
def expected(request: pytest.FixtureRequest) -> Expected:
    reading = READINGS[request.param]
    images = torch.randn(64, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    network = rs.calibrate(convnet(images, CLASSES, 8), images)
    found = search_images(network, split(images, SEEDS), long(reading), SEEDS)
    loss = torch.stack([found.cross_entropy[block][:, -1].reshape(SEEDS, IMAGES) for block in BLOCKS]).log()
    return Expected(reading, network, images, loss)


def pvalues(one: Tensor, other: Tensor) -> list[float]:
    """Kolmogorov-Smirnov for each block, of log cross-entropies about the mean of their image."""
    centre = torch.cat([one, other], 1).mean(1, keepdim=True)
    return [float(ks_2samp(a.flatten().numpy(), b.flatten().numpy()).pvalue)
            for a, b in zip(one - centre, other - centre, strict=True)]


def test_banks_used_again_and_again_find_what_new_noise_finds(expected: Expected) -> None:
    """The kernel by distribution; the torch engine, which has the same draws, by search. With other draws, or weaker
    noise, the median difference is beyond a tenth of a deviation in a block at least."""
    network, images, config = expected.network, expected.images, long(expected.reading)
    found = by_engine(KernelEngine, network, images, config)
    assert min(pvalues(found, expected.loss)) > 1e-4
    difference = by_engine(TorchEngine, network, images, config, 2) - found[:, :2]
    deviation = (found - found.mean(1, keepdim=True)).flatten(1).std(1)
    assert (difference.abs().flatten(1).median(1).values < 0.05 * deviation).all()


def test_noise_a_fifth_too_weak_would_be_seen(expected: Expected) -> None:
    weak = by_engine(KernelEngine, expected.network, expected.images, long(expected.reading, 0.8))
    assert min(pvalues(weak, expected.loss)) < 1e-6


def test_banks_too_small_would_be_seen(expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    config = long(expected.reading)
    monkeypatch.setattr(draws, "ROWS", 4)
    monkeypatch.setattr(draws, "BANKS", 1)
    found = by_engine(KernelEngine, expected.network, expected.images, config)
    assert pvalues(found, expected.loss)[0] < 1e-5
    assert found[0].mean() > expected.loss[0].mean()
