"""Members of a population against the network with their weights in it, one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import repsearch as rs
from repsearch.methods._members import Members, Offsets, count, dense


class Residual(nn.Module):
    """Sees its input twice, has weights that belong to no layer, and uses a layer's weight without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 12), nn.Linear(12, 12)
        self.tied, self.twin = nn.Linear(12, 12, bias=False), nn.Linear(12, 12, bias=False)
        self.twin.weight = self.tied.weight
        self.uncalled, self.head = nn.Linear(12, 12), nn.Linear(12, 3, bias=False)
        self.scale, self.norm = nn.Parameter(torch.ones(12)), nn.LayerNorm(12)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.flatten(1)).tanh()
        x = x + self.second(self.second(x)).relu() * self.scale
        x = self.norm(self.twin(self.tied(x)) + F.linear(x, self.uncalled.weight))
        logits: Tensor = self.head(x)
        return logits


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, groups=2),
                         nn.Conv2d(6, 4, 1), nn.Flatten(), nn.Linear(4, 3))


def frozen() -> nn.Module:
    net = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 8, bias=False),
                        nn.ReLU(inplace=True), nn.Linear(8, 3))
    net[3].requires_grad_(False)
    net[7].weight.requires_grad_(False)
    return net


def twice() -> nn.Module:
    layer = nn.Linear(16, 16)
    return nn.Sequential(nn.Flatten(), layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(16, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "two layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)),
    "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False)),
    "residual": Residual,
    "three layers, the first frozen": frozen,
    "a layer twice": twice,
    "tokens": lambda: nn.Sequential(nn.Flatten(1, 2), nn.ReLU(inplace=True), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
    "convolutions": convolutions,
    "spectral norm": lambda: nn.Sequential(spectral_norm(nn.Conv2d(1, 4, 3)), nn.ReLU(), nn.Flatten(), spectral_norm(nn.Linear(16, 3))),
    "a transformer's layer": lambda: nn.Sequential(
        nn.Flatten(2), nn.TransformerEncoderLayer(16, 2, 8, 0.0, batch_first=True), nn.Flatten(), nn.Linear(16, 3)),
}


def noise(members: Members, directions: int, rank: int) -> Offsets:
    """Of full rank with rank 0."""
    def of(weight: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if rank == 0 or weight.ndim < 2:
            return torch.randn(directions, *weight.shape)
        return torch.randn(directions, len(weight), rank), torch.randn(directions, weight[0].numel(), rank)

    return {name: of(weight) for name, weight in members.weights.items()}


def one_by_one(net: nn.Module, offsets: Offsets, scales: tuple[float, ...], images: Tensor, own: int) -> Tensor:
    """With each member's weights written into the network, and its buffers as they were."""
    state = {name: value.clone() for name, value in net.state_dict().items()}
    directions = count(offsets)
    found = []
    for side, scale in enumerate(scales):
        for number in range(directions):
            for name, weight in net.named_parameters():
                if name not in offsets:
                    continue
                offset = offsets[name]
                part = (offset[0][number], offset[1][number]) if isinstance(offset, tuple) else offset[number]
                weight.copy_(state[name] + scale * dense(part, weight.shape))
            found.append(net(images if own == 0 else images[number] if own == 1 else images[side, number]))
            net.load_state_dict(state)
    return torch.stack(found).unflatten(0, (len(scales), directions))


@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize("rank", [0, 1, 2, 6])
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_members_are_the_network_with_their_weights(name: str, rank: int, own: int) -> None:
    torch.manual_seed(0)
    net, scales = NETWORKS[name](), (0.1, -0.1)
    members = Members(net)
    images = torch.randn(*((), (5,), (2, 5))[own], 7, 1, 4, 4)
    offsets = noise(members, 5, rank)
    wanted = one_by_one(net, offsets, scales, images, own)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    found = members.logits(offsets, scales, images, own)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert not any("forward" in vars(module) for module in net.modules())
    torch.testing.assert_close(members.logits(offsets, scales[:1], images[:1] if own == 2 else images, own), wanted[:1],
                               rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_weights_of_ones_own() -> None:
    torch.manual_seed(0)
    net, images = NETWORKS["two layers"](), torch.randn(6, 1, 4, 4)
    members = Members(net)
    vectors = torch.randn(3, members.dimension)
    found = members.logits(members.parts(vectors), (), images)
    nn.utils.vector_to_parameters(vectors[1], net.parameters())
    torch.testing.assert_close(found[0, 1], net(images))
    members.move(vectors[2])
    torch.testing.assert_close(found[0, 2], net(images))
    assert torch.equal(members.centre(), vectors[2])


@torch.no_grad()
def test_more_rows_than_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, images = NETWORKS["residual"](), torch.randn(7, 1, 4, 4)
    members = Members(net)
    for rank in (0, 1):
        offsets = noise(members, 5, rank)
        whole = members.logits(offsets, (0.1, -0.1), images)
        monkeypatch.setattr("repsearch.methods._members.ROWS", 30)
        torch.testing.assert_close(members.logits(offsets, (0.1, -0.1), images), whole)


@torch.no_grad()
def test_every_member_draws_the_same_mask() -> None:
    torch.manual_seed(0)
    for net in (nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3)),
                nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3))):
        members = Members(net)
        offsets = {name: torch.zeros(4, *weight.shape) for name, weight in members.weights.items()}
        found = members.logits(offsets, (1.0, -1.0), torch.randn(6, 1, 4, 4)).flatten(0, 1)
        torch.testing.assert_close(found, found[:1].expand_as(found))
        members.logits(offsets, (1.0,), torch.randn(6, 1, 4, 4))


def test_a_network_without_weights() -> None:
    with pytest.raises(rs.InputError, match="none of its parameters can be trained"):
        Members(nn.Flatten())
