"""Networks of any make: frozen statistics, and the parts they need."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
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
