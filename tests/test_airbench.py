"""The paper's networks: sizes and parameter counts, whitening, initialisation, batch and running statistics."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import airbench, networks
from repsearch.identity import fingerprint


def images(channels: int = 3, side: int = 32, count: int = 64) -> torch.Tensor:
    noise = torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 3, stride=1, padding=1) * 3  # neighbouring pixels are correlated, as in photographs


def test_layers_and_parameters_at_the_size_of_the_paper() -> None:
    network = rs.convnet(images(), 10, width=256)
    assert [tuple(H.shape[1:]) for H in rs.activations(network, images()[:2])] == [
        (256, 15, 15), (256, 7, 7), (256, 3, 3), (10,),
    ]
    whitening, head = 24 * 3 * 2 * 2, 256 * 3 * 3 * 10
    first = 24 * 256 * 9 + 256 * 256 * 9 + 4 * 256  # two convolutions, weight and bias of two BatchNorms
    other = 2 * 256 * 256 * 9 + 4 * 256
    assert networks.parameter_count(network) == whitening + first + 2 * other + head == 3_030_816

    deep = rs.convnet(images(), 10, width=256, groups=3)
    assert networks.parameter_count(deep) == 3_030_816 + 3 * 2 * (2 * 256 * 256 * 9 + 4 * 256) == 10_114_848


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize(("channels", "side", "width"), [(1, 28, 5), (3, 32, 16), (2, 45, 40), (1, 9, 4)])
def test_any_width_depth_size_and_channels(groups: int, channels: int, side: int, width: int) -> None:
    x = images(channels, side, 8)
    network = rs.convnet(x, 7, width, groups)
    assert network(x).shape == (8, 7)
    assert sum(isinstance(m, nn.Conv2d) for m in network.blocks.modules()) == 3 * 2 * groups


def test_whitened_patches_have_identity_covariance_up_to_epsilon() -> None:
    x, eps = images(), 5e-4
    filters = airbench.whitening_filters(x, eps=eps)
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[:12], -filters[12:])
    white = F.conv2d(x, filters[:12]).double().permute(1, 0, 2, 3).flatten(1)
    patches = F.unfold(x, 2).double().transpose(1, 2).reshape(-1, 12)
    eigenvalues = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0)
    covariance = white @ white.T / white.shape[1]
    assert torch.allclose(covariance, torch.diag(eigenvalues / (eigenvalues + eps)), atol=1e-4)


def test_a_dirac_convolution_with_equal_channels_is_the_identity_to_the_bit() -> None:
    x = images(16, 15, 4)
    assert torch.equal(airbench.dirac_conv(16, 16)(x), x)
    assert torch.equal(airbench.dirac_conv(16, 40)(x)[:, :16], x)


def test_head_initialisation() -> None:
    x = images()
    fan_in = 16 * 9
    kaiming = rs.convnet(x, 10, 16).head[1].weight  # type: ignore[index]
    torchs = rs.convnet(x, 10, 16, head_init="torch").head[1].weight  # type: ignore[index]
    assert (6 / fan_in) ** 0.5 * 0.95 < kaiming.abs().max() <= (6 / fan_in) ** 0.5
    assert (1 / fan_in) ** 0.5 * 0.95 < torchs.abs().max() <= (1 / fan_in) ** 0.5


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    first, second, other = (fingerprint(rs.convnet(images(), 10, 8, seed=s)) for s in (0, 0, 1))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_batch_statistics_depend_on_the_batch_in_both_modes() -> None:
    x = images(count=32)
    network = rs.convnet(x, 10, 8, statistics="batch")
    for mode in (True, False):
        network.train(mode)
        assert not torch.allclose(network(x)[:4], network(x[:4]), atol=1e-3)


def test_running_statistics_are_used_at_test_time() -> None:
    x = images(count=32)
    network = rs.convnet(x, 10, 8).train()
    network(x)
    network.eval()
    assert torch.allclose(network(x)[:4], network(x[:4]), atol=1e-5)


@pytest.mark.parametrize(("change", "message"), [
    ({"width": 0}, "width=0: expected a whole number of at least 1"),
    ({"width": -3}, "width=-3"),
    ({"groups": 0}, "groups=0"),
    ({"classes": 1}, "classes=1"),
    ({"head_init": "xavier"}, "head_init='xavier': unknown; choose one of kaiming, torch"),
    ({"images": images(side=8)}, "images: 8x8 vanish in three poolings; expected 9x9 or larger"),
    ({"images": images()[0]}, "images: expected a floating-point tensor"),
])
def test_bad_arguments(change: dict[str, object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message.replace("(", r"\(")):
        rs.convnet(**{"images": images(), "classes": 10, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("a", [0.0, 5**0.5])
@pytest.mark.parametrize("shape", [(32, 24, 3, 3), (10, 288)])
def test_initial_weights_are_torchs(shape: tuple[int, ...], a: float) -> None:
    """To the last bit on processors that multiply and add in one step, to the bit before it on others."""
    ours, theirs = torch.empty(shape), torch.empty(shape)
    for weight, fill in ((ours, airbench.kaiming_uniform_), (theirs, torch.nn.init.kaiming_uniform_)):
        torch.manual_seed(3)
        fill(weight, a)
    apart = (ours - theirs).abs().max()
    assert float(apart) <= 2 * torch.finfo(torch.float32).eps * float(ours.abs().max())
    assert float(apart) == 0 or torch.backends.cpu.get_cpu_capability() == "DEFAULT"


@pytest.mark.slow
def test_a_seed_gives_the_same_network_on_another_processor() -> None:
    code = ("import torch, repsearch as rs\n"
            "images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))\n"
            "from repsearch.identity import fingerprint\n"
            "print(fingerprint(rs.convnet(images, 10, 32, 2, 'residual')), fingerprint(rs.convnet(images, 10, 32)))")
    found = set()
    for kind in ("default", "avx2"):
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": kind, "ONEDNN_MAX_CPU_ISA": "AVX2" if kind == "avx2" else "SSE41"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
