"""The torch engine finds what the kernel finds, an image at a time or several together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import repsearch as rs
from repsearch.config import LayerSearch
from repsearch.engine.draws import draw, unpack
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.engine.torch_engine import TorchEngine
from repsearch.operators import smooth
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


@pytest.mark.parametrize("blur", [0, 2])
def test_generations_use_the_banks_in_turn(network: rs.Network, data: rs.Dataset, preset: Preset, blur: int) -> None:
    """The noise of a generation is that of its bank's rows, with their signs, smoothed."""
    config = replace(preset.search, schedule=(LayerSearch(20, 0.3, blur=blur), *preset.search.schedule[1:]))
    engine = TorchEngine(without_identities(network), config, 0, layer_shapes(network, data.train, config), range(4))
    banks = engine.banks(0)
    rows = draw(0, 0, 5, 8, banks.rows, config).noise[0]
    sign = torch.from_numpy(1 - 2 * (rows >= banks.rows))[..., None]
    for generation in (0, 1, banks.count - 1, banks.count, banks.count + 3):
        maps = torch.from_numpy(banks.raw(generation % banks.count)[rows % banks.rows]) * sign
        raw = unpack(maps.float(), 8, 15, 15)
        assert torch.equal(banks.rows_of(generation, rows, smoothed=False), raw)
        smoothed = smooth(raw, blur, config.border)
        assert torch.allclose(banks.rows_of(generation, rows), smoothed, atol=1e-5)
        assert torch.allclose(engine.noise(0, generation, rows[None])[0], smoothed, atol=1e-5)
