"""Which engine searches, and that an image depends on nothing else in any of them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from readings import READINGS
from torch import Tensor, nn

import repsearch as rs
from repsearch.engine.choice import choose
from repsearch.engine.shapes import layer_shapes
from repsearch.presets import Preset
from repsearch.reproduce.variants import TIED


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], 1)


def name_of(network: nn.Module, data: rs.Dataset, config: rs.SearchConfig, engine: str = "auto") -> str:
    return choose(network, config, 0, layer_shapes(network, data.train, config), engine).name


def test_the_fastest_engine_that_applies(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    assert name_of(network, data, preset.search) == "kernel"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reading in READINGS:
            assert name_of(network, data, replace(preset.search, **reading)) == "kernel"  # type: ignore[arg-type]
    trained = rs.search_network(data, preset)
    trained.blocks[2][0][4].weight.data.add_(0.01)  # type: ignore[index,operator,union-attr]
    assert name_of(trained, data, preset.search) == "conv"
    assert name_of(network, data, replace(preset.search, pull=0.1)) == "conv"
    trained.blocks[2][0][4] = nn.Conv2d(8, 8, 3, padding=1, groups=2)  # type: ignore[index,operator,union-attr]
    assert name_of(trained, data, preset.search) == "torch"
    with pytest.warns(UserWarning, match="searching with the reference, many times slower"):
        assert name_of(network, data, replace(preset.search, statistics="candidates")) == "reference"
    assert name_of(network, data, preset.search, "reference") == "reference"


def test_engines_that_do_not_apply(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="engine='abacus': unknown; choose one of auto, conv, kernel, reference, torch"):
        name_of(network, data, preset.search, "abacus")
    with pytest.raises(rs.InputError, match="statistics='candidates' needs engine='reference'"):
        name_of(network, data, replace(preset.search, statistics="candidates"), "kernel")
    trained = rs.search_network(data, preset)
    trained.blocks[2][0][4].weight.data.add_(0.01)  # type: ignore[index,operator,union-attr]
    with pytest.raises(rs.InputError, match=r"engine='kernel': behind block 0 there is Conv2d\(8, 8.*use engine='auto'"):
        name_of(trained, data, preset.search, "kernel")
    with pytest.raises(rs.InputError, match=r"engine='kernel': pull=0.1 needs the network's own"):
        name_of(network, data, replace(preset.search, pull=0.1), "kernel")
    trained.blocks[2][0][4] = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2), Double())  # type: ignore[index,operator,union-attr]
    for name, block in (("kernel", "behind block 0 there is Conv2d"), ("conv", "block 2 has Conv2d.*stride=.2, 2")):
        with pytest.raises(rs.InputError, match=f"engine='{name}': {block}"):
            choose(trained, preset.search, 0, layer_shapes(network, data.train, preset.search), name)


@pytest.mark.parametrize("name", TIED)
def test_tied_readings_need_the_reference(name: str, data: rs.Dataset, preset: Preset) -> None:
    change = TIED[name].search
    assert change is not None
    network = rs.search_network(data, preset)
    with pytest.raises(rs.InputError, match="needs engine='reference'"):
        rs.search(network, data.train[:4], change(preset.search), engine="kernel", progress=False)


@pytest.mark.parametrize("engine", ["kernel", "conv", "torch", "reference"])
def test_an_image_depends_on_nothing_else(
    network: rs.Network, data: rs.Dataset, preset: Preset, engine: str
) -> None:
    """The same bytes alone or among others, in other shards, on one thread or two."""

    def found(rows: slice, shard: int, threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        config = replace(preset.search, shard=shard)
        targets = rs.search(network, data.train[rows], config, progress=False, engine=engine)  # type: ignore[arg-type]
        torch.set_num_threads(2)
        return [read(layer) for layer in targets.layers for read in (targets.read, targets.cross_entropy)]

    everything = found(slice(0, 12), 4, 2)
    for rows, shard, threads in ((slice(0, 12), 5, 1), (slice(7, 8), 4, 2), (slice(3, 10), 64, 2)):
        for whole, part in zip(everything, found(rows, shard, threads), strict=True):
            assert torch.equal(whole[rows], part)
