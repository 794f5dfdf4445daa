"""The torch engine finds what the kernel finds, an image at a time or several together."""

from __future__ import annotations

import pytest
import torch

import repsearch as rs
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.engine.torch_engine import TorchEngine
from repsearch.presets import Preset


def test_kernel_and_torch_engine_find_the_same(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    one, other = (rs.search(network, data.train[:4], preset.search, progress=False, engine=e) for e in ("kernel", "torch"))
    for layer in one.layers:
        assert torch.allclose(one.cross_entropy(layer), other.cross_entropy(layer), atol=1e-3)
        assert torch.allclose(one.read(layer), other.read(layer), atol=2e-2)


@pytest.mark.parametrize("together", [1, 3, 4])
def test_torch_engine_in_batches(network: rs.Network, data: rs.Dataset, preset: Preset, together: int) -> None:
    """On other devices several images are computed together; the last batch is filled up."""
    shapes = layer_shapes(network, data.train, preset.search)
    light = without_identities(network)
    alone = TorchEngine(light, preset.search, 0, shapes, range(4)).search(data.train[:4], lambda *_: None)
    found = TorchEngine(light, preset.search, 0, shapes, range(4), together).search(data.train[:4], lambda *_: None)
    for one, other in zip(alone.activations + alone.cross_entropy, found.activations + found.cross_entropy, strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, atol=1e-3)
