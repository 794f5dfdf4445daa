"""Small networks and copies of them with their channels in another order, for test_matching.py."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

import repsearch as rs

IMAGES = torch.randn(40, 2, 17, 17, generator=torch.Generator().manual_seed(0))
SPLIT = rs.Split(IMAGES, torch.arange(40) % 3, 3, torch.arange(40))


def made(width: int, groups: int = 1, seed: int = 0, statistics: str = "running", init: str = "residual") -> rs.Network:
    """A network for `IMAGES`, 2x2 positions before the head, with biases and statistics that are not all the same."""
    network = rs.convnet(IMAGES, 3, width, groups, init=init, statistics=statistics, seed=seed)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.normal_(generator=generator)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator)
    return network.eval()


def random(width: int, seed: int) -> rs.Network:
    """One whose convolutions are noise: without the near-identity that they start from."""
    network = made(width, seed=seed)
    for value in network.blocks.state_dict().values():
        if value.ndim == 4:
            value.normal_(generator=torch.Generator().manual_seed(seed + value.shape[1]))
    return network


def reordered(network: rs.Network, orders: Sequence[Sequence[int]]) -> rs.Network:
    """A copy with the channels of each convolution in these orders, one number after the other."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    convs = [key for key, value in state.items() if key.startswith("blocks") and value.ndim == 4]
    for place, key in enumerate(convs):
        norm = next(k for k in list(state)[list(state).index(key) + 1 :] if state[k].ndim == 1).rsplit(".", 1)[0]
        after = convs[place + 1] if place + 1 < len(convs) else "head.1.weight"
        positions = state[after].shape[1] // len(orders[place]) if after.startswith("head") else 1
        names = [key, *(k for k in state if k.startswith(f"{norm}.") and state[k].ndim == 1)]
        old = {name: state[name].clone() for name in (*names, after)}
        for new, channel in enumerate(orders[place]):
            for name in names:
                state[name][new] = old[name][channel]
            for position in range(positions):
                state[after][:, new * positions + position] = old[after][:, channel * positions + position]
    other = copy.deepcopy(network)
    other.load_state_dict(state)
    return other


def orders_of(network: rs.Network, seed: int, same: bool = False) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    widths = [m.out_channels for m in network.blocks.modules() if isinstance(m, nn.Conv2d)]
    drawn = [torch.randperm(width, generator=generator).tolist() for width in widths]
    return [drawn[0]] * len(drawn) if same else drawn


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
