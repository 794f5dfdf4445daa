"""What of a network the kernel computes: no convolution that is the identity, and the rest as plain arrays."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import presets
from repsearch.engine.draws import unpack
from repsearch.engine.tail import is_identity, tail_of, why_not_kernel, without_identities


def test_only_convolutions_that_are_the_identity_are_left_out(data: rs.Dataset) -> None:
    network = rs.search_network(data, rs.presets.smoke("digits"))
    convs = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    identities = {name for name, m in convs.items() if is_identity(m)}
    assert identities == {name for name in convs if name.startswith("blocks") and name != "blocks.0.0.0"}
    light = without_identities(network)
    left = {name for name, m in light.named_modules() if isinstance(m, nn.Conv2d)}
    assert left == set(convs) - identities
    for one, other in zip(rs.activations(network, data.train.images), rs.activations(light, data.train.images), strict=True):
        assert torch.equal(one, other)
    assert {name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)} == set(convs)


@pytest.mark.parametrize("change", [
    {"stride": 2}, {"padding": 0}, {"kernel_size": 1, "padding": 1}, {"kernel_size": 2, "padding": "same"}, {"groups": 4}, {"bias": True},
    {"out_channels": 5}, {},
])
def test_a_convolution_is_the_identity_only_if_it_returns_its_input(change: dict[str, object]) -> None:
    conv = nn.Conv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False, **change})  # type: ignore[arg-type]
    if conv.groups == 1:
        nn.init.dirac_(conv.weight)
    if change == {}:
        conv.weight.data[0, 1, 0, 0] = 1e-7
    assert not is_identity(conv)
    x = torch.randn(2, 4, 6, 6)
    assert not torch.equal(conv(x), x) if conv(x).shape == x.shape else True


@pytest.mark.parametrize(("parts", "reason"), [
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU())], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(3), nn.BatchNorm2d(8), nn.GELU())], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU("tanh"))], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.GELU())], "not alike"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU()),
      nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU(), nn.BatchNorm2d(8), nn.GELU())], "not alike"),
])
def test_networks_the_kernel_does_not_know(parts: list[nn.Module], reason: str) -> None:
    first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GELU())
    network = rs.Network(nn.Identity(), [first, *parts], nn.Sequential(nn.Flatten(), nn.LazyLinear(5))).eval()
    network(torch.zeros(1, 1, 16, 16))
    shapes = {f"block{i}": tuple(H.shape[1:]) for i, H in enumerate(rs.activations(network, torch.zeros(1, 1, 16, 16)))}
    assert reason in str(why_not_kernel(without_identities(network), shapes, presets.smoke().search))


def test_the_tail_is_the_rest_of_the_network(network: rs.Network, data: rs.Dataset) -> None:
    """Scale, shift and head, applied by hand, give the network's logits."""
    light = without_identities(network)
    H = rs.activations(network, data.train.images[:3])[1]
    tail = tail_of(light, 1, tuple(H.shape[1:]))
    x = F.max_pool2d(H, 2).double()
    for step in range(2):
        scale, shift = (
            unpack(torch.from_numpy(values[0, step].reshape(1, -1)), 8, 3, 3).double() for values in (tail.scale, tail.shift)
        )
        x = F.gelu(scale * x + shift)
    weights = unpack(torch.from_numpy(tail.head.reshape(10, 1, -1)), 8, 3, 3).double()
    logits = torch.einsum("nchw,kchw->nk", x, weights)
    assert torch.allclose(logits.float(), rs.activations(network, data.train.images[:3])[-1], atol=1e-5)
