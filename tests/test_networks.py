"""Networks of any make: frozen statistics, and the parts they need."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import networks
from repsearch.operators import normalise


def images(channels: int = 3, side: int = 32, count: int = 64) -> torch.Tensor:
    noise = torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 3, stride=1, padding=1) * 3  # neighbouring pixels are correlated, as in photographs


def test_calibration_freezes_the_statistics_of_normalised_block_outputs() -> None:
    x = images(32)
    network = rs.calibrate(rs.convnet(x, 10, 8, statistics="running"), x)
    H = normalise(network.blocks[0](network.stem(x)))
    conv, pool, norm = network.blocks[1][0][0], network.blocks[1][0][1], network.blocks[1][0][2]  # type: ignore[index]
    pooled = pool(conv(H))
    assert torch.allclose(norm.running_mean, pooled.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, pooled.var((0, 2, 3)), atol=1e-4)
    # Frozen: an image's logits do not depend on its batch.
    assert torch.allclose(network(x)[:4], network(x[:4]), atol=1e-5)


def test_a_network_without_parts_or_blocks() -> None:
    with pytest.raises(rs.InputError, match=r"network: Linear has no stem; wrap it"):
        rs.activations(nn.Linear(2, 2), images(2))
    with pytest.raises(rs.InputError, match="blocks is empty"):
        rs.activations(rs.Network(nn.Identity(), [], nn.Flatten()), images(2))


def test_modes_and_state_come_back_after_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyError, match="inside"), networks.undisturbed(model):
        model.train()(torch.randn(5, 3))
        model.eval()
        raise KeyError("inside")
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_settings_around_the_library_have_no_say_within_and_come_back() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with networks.own_settings():
                assert torch.zeros(1).dtype == (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert torch.is_autocast_enabled("cpu") and torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("normalised", [True, False])
def test_calibrated_statistics_are_those_of_what_the_search_sends_on(normalised: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = [nn.Conv2d(2, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))]
        network = rs.Network(nn.Identity(), blocks, nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
        x = 3 * torch.randn(16, 2, 9, 9) + 1
    rs.calibrate(network, x, normalised)
    H = blocks[0](x)
    H = (H - H.mean((1, 2, 3), keepdim=True)) / (H.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt() if normalised else H
    seen = blocks[1][0](H)  # type: ignore[index]
    norm = blocks[1][1]  # type: ignore[index]
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, seen.var((0, 2, 3)), rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_searched_network_is_calibrated_as_its_children_are(data: rs.Dataset, preset: rs.presets.Preset) -> None:
    raw = replace(preset, search=replace(preset.search, normalise=False))
    first, second = (rs.search_network(data, which).blocks for which in (preset, raw))
    assert torch.equal(first[0][0][2].running_mean, second[0][0][2].running_mean)  # type: ignore[index, union-attr]
    assert not torch.allclose(first[1][0][2].running_var, second[1][0][2].running_var, rtol=0.1)  # type: ignore[index, union-attr]


def test_a_search_with_the_candidates_statistics_leaves_the_networks_own(
    data: rs.Dataset, preset: rs.presets.Preset
) -> None:
    """And how many batches they are of, which says what the next one counts where there is no momentum."""
    network = rs.search_network(data, preset)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rs.search(network, data.train[:2], replace(preset.search, statistics="candidates"), engine="reference", progress=False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
