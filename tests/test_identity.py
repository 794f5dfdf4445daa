"""What a network is: its modules, their settings and weights, whatever is wrapped around them; statistics apart."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch.identity import fingerprint, statistics, weights_of_0_2, with_statistics


class Bent(nn.Module):
    """A module whose computation is decided by plain attributes."""

    def __init__(self, function: Callable[[Tensor], Tensor] = F.gelu, times: float = 1.0) -> None:
        super().__init__()
        self.function, self.times = function, times

    def forward(self, x: Tensor) -> Tensor:
        return self.times * self.function(x)


def network(middle: nn.Module | None = None) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), middle or nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


@pytest.mark.parametrize(("one", "other"), [
    (nn.ReLU(), nn.Tanh()), (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)), (nn.ReLU(), nn.Sequential(nn.ReLU())),
    (nn.MaxPool2d(1), nn.AvgPool2d(1)), (nn.GELU(), nn.GELU("tanh")), (Bent(), Bent(F.silu)), (Bent(), Bent(times=2.0)),
    (nn.Dropout(0.1), nn.Dropout(0.2)), (nn.Identity(), nn.BatchNorm2d(4)),
])
def test_other_modules_or_settings_are_another_network(one: nn.Module, other: nn.Module) -> None:
    assert fingerprint(network(one)) != fingerprint(network(other))


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.weight", "4.bias"])
def test_the_last_bit_of_a_weight_is_part_of_it(name: str) -> None:
    before, other = fingerprint(network()), network()
    value = other.get_parameter(name).data.flatten()
    value[0] = torch.nextafter(value[0], torch.tensor(9.0))
    other.get_parameter(name).data.copy_(value.reshape(other.get_parameter(name).shape))
    assert fingerprint(other) != before


def test_statistics_and_modes_are_not_part_of_it() -> None:
    before, other = fingerprint(network()), network()
    other.train()(torch.randn(8, 1, 8, 8))
    other.requires_grad_(False)
    assert fingerprint(other) == before


def test_wrappers_are_not_part_of_it() -> None:
    plain = network()
    inside = network()
    inside[2] = torch.compile(inside[2])  # type: ignore[call-overload]
    assert fingerprint(torch.compile(plain)) == fingerprint(plain) == fingerprint(inside)  # type: ignore[arg-type]
    assert statistics(torch.compile(plain)).keys() == statistics(plain).keys() == {"1.running_mean", "1.running_var"}  # type: ignore[arg-type]


def test_weights_of_any_type_have_an_identity() -> None:
    kinds = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    assert len({fingerprint(network().to(kind)) for kind in kinds}) == 4


def test_a_network_takes_statistics_for_a_while() -> None:
    mine, other = network(), network()
    other.train()(torch.randn(8, 1, 8, 8) * 3 + 1)
    images, before = torch.randn(4, 1, 8, 8), copy.deepcopy(mine.state_dict())
    wanted = other.eval()(images)
    with pytest.raises(KeyError, match="inside"), with_statistics(mine, statistics(other)):
        assert torch.equal(mine(images), wanted)
        raise KeyError("inside")
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())


def test_the_identity_of_release_0_2_is_that_of_weights_and_statistics() -> None:
    mine, digest = network(), hashlib.sha256()
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight", "4.bias"):
        value = mine.state_dict()[name]
        digest.update(f"{name} torch.float32 {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    assert weights_of_0_2(mine) == digest.hexdigest()


def test_a_network_calibrated_elsewhere_is_the_same_network(data: rs.Dataset, network: rs.Network) -> None:
    other = rs.calibrate(copy.deepcopy(network), data.train.images[:10])
    assert fingerprint(other) == fingerprint(network)
    assert any(not torch.equal(a, b) for a, b in zip(statistics(other).values(), statistics(network).values(), strict=True))
