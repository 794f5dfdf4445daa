"""Networks of convolutions as the arrays that `repsearch.engine.conv_kernel` runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from repsearch.engine.conv_kernel import STAGE, Net, Work
from repsearch.engine.draws import pack, tiles
from repsearch.engine.kernel import LANES, Array
from repsearch.engine.tail import UnsupportedError, brief, leaves
from repsearch.networks import check_network

if TYPE_CHECKING:
    from repsearch.config import SearchConfig


@dataclass(frozen=True)
class Stage:
    """A convolution of a network, and what follows it up to the next one.

    Args:
        conv: of a stride of 1, its input padded by at most one position.
        pooled: whether a 2x2 max-pooling comes next.
        norm: a BatchNorm with frozen statistics, if one comes then. Last comes a GELU.
    """

    conv: nn.Conv2d
    pooled: bool
    norm: nn.BatchNorm2d | None


def why_not_conv(network: nn.Module, config: SearchConfig) -> str | None:
    """Why the kernel for convolutions cannot search a network as `config` says; None if it can."""
    if config.precision != "float32":
        return f"precision={config.precision!r} is not its float32"
    parameter = next(network.parameters(), torch.empty(0))
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        return f"the network is {parameter.dtype} on {parameter.device.type}, the kernel float32 on the CPU"
    try:
        _stages(network)
        _linear(network)
    except UnsupportedError as error:
        return str(error)
    return None


def net_of(network: nn.Module, image: Sequence[int]) -> tuple[Net, list[int]]:
    """A network as arrays, and of every block the number of the first stage behind it.

    Args:
        network: one that `why_not_conv` has no objection to.
        image: (channels, height, width).
    """
    parts, linear = _stages(network), _linear(network)
    stages = [stage for part in parts for stage in part]
    rows, numbers = np.zeros(len(stages), STAGE), _Numbers([], [], [])
    channels, height, width = image
    source, pitch, size = 0, (width + 2) * LANES, (height + 2) * (width + 2) * LANES
    for number, stage in enumerate(stages):
        conv, times = stage.conv, 1 + stage.pooled
        (high, across), pad = conv.kernel_size, _padding(conv)
        sides = [(side + 2 * pad - window + 1) // times
                 for side, window in zip((height, width), (high, across), strict=True)]
        target, target_pitch = source + tiles(channels) * size, (sides[1] + 2) * LANES
        target_size = (sides[0] + 2) * target_pitch
        begins = numbers.add(stage, sides[1])
        rows[number] = (channels, high, across, 1 - pad, stage.pooled, *sides, tiles(conv.out_channels), *begins,
                        source, pitch, size, target, target_pitch, target_size)
        channels, (height, width) = conv.out_channels, sides
        source, pitch, size = target, target_pitch, target_size
    head = torch.zeros(linear.out_features, channels, height + 2, width + 2)
    head[..., 1:-1, 1:-1] = linear.weight.detach().reshape(-1, channels, height, width)
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
    ends = np.cumsum([len(part) for part in parts])[1:].tolist()
    flat = pack(head).reshape(linear.out_features, -1)
    return Net(rows, *numbers.arrays(), flat, bias.numpy().copy()), ends


def work_for(net: Net) -> Work:
    """Room for a thread to run a network in."""
    last, widest = net.stages[-1], max(4 * int(stage["width"]) for stage in net.stages)
    room = int(last["target"]) + net.head.shape[1]
    return Work(np.zeros(room, np.float32), np.zeros(2 * widest * LANES, np.float32),
                np.zeros(widest * LANES, np.float32), np.zeros(len(net.bias), np.float32))


def _stages(network: nn.Module) -> list[list[Stage]]:
    """The stages of the stem, then of each block."""
    parts = check_network(network)
    return [_read(name, leaves(part)) for name, part in
            (("the stem", parts.stem), *((f"block {i}", block) for i, block in enumerate(parts.blocks)))]


def _read(name: str, modules: list[nn.Module]) -> list[Stage]:
    """The stages that the modules of a part of the network are."""
    found: list[Stage] = []
    left = list(modules)
    while left:
        conv = left.pop(0)
        pooled = bool(left) and _is_pooling(left[0])
        if pooled:
            left.pop(0)
        norm = left[0] if left and isinstance(left[0], nn.BatchNorm2d) else None
        if norm is not None:
            left.pop(0)
        end = left.pop(0) if left else None
        if not isinstance(conv, nn.Conv2d) or not _is_plain(conv):
            raise UnsupportedError(f"{name} has {brief(conv)}, where a plain convolution of stride 1 is expected")
        if not isinstance(end, nn.GELU) or end.approximate != "none":
            raise UnsupportedError(f"{name} has {'nothing' if end is None else brief(end)}, where a GELU is expected")
        found.append(Stage(conv, pooled, norm))
    if not found:
        raise UnsupportedError(f"{name} has no convolution")
    return found


def _is_plain(conv: nn.Conv2d) -> bool:
    return (set(conv.stride) | set(conv.dilation) | {conv.groups} == {1} and conv.padding_mode == "zeros"
            and _padding(conv) in (0, 1))


def _padding(conv: nn.Conv2d) -> int:
    """Positions of zeros around the input; -1 where not the same on all sides."""
    if isinstance(conv.padding, str):
        sides = [0.0, 0.0] if conv.padding == "valid" else [(side - 1) / 2 for side in conv.kernel_size]
    else:
        sides = list(map(float, conv.padding))
    return int(sides[0]) if len(set(sides)) == 1 and sides[0].is_integer() else -1


def _is_pooling(module: nn.Module) -> bool:
    return isinstance(module, nn.MaxPool2d) and not module.ceil_mode and not module.return_indices and all(
        value in (wanted, (wanted, wanted)) for value, wanted in
        ((module.kernel_size, 2), (module.stride, 2), (module.padding, 0), (module.dilation, 1)))


def _linear(network: nn.Module) -> nn.Linear:
    modules = leaves(check_network(network).head)
    if len(modules) != 2 or not isinstance(modules[0], nn.Flatten) or not isinstance(modules[1], nn.Linear):
        raise UnsupportedError("the head is not nn.Flatten and nn.Linear")
    return modules[1]


@dataclass
class _Numbers:
    """The numbers of all stages so far, flat."""

    weights: list[Array]
    scale: list[Array]
    shift: list[Array]

    def add(self, stage: Stage, width: int) -> tuple[int, int]:
        """Add those of a stage whose maps are `width` wide; where its weights, scale and shift begin."""
        begins = sum(map(len, self.weights)), sum(map(len, self.scale))
        scale, shift = _affine(stage)
        self.weights.append(_ordered(stage.conv.weight.detach()))
        for values, kept in ((scale, self.scale), (shift, self.shift)):
            kept.append(pack(values.float()[:, None, None].expand(-1, 1, width)).ravel())
        return begins

    def arrays(self) -> tuple[Array, Array, Array]:
        return np.concatenate(self.weights), np.concatenate(self.scale), np.concatenate(self.shift)


def _ordered(weight: Tensor) -> Array:
    """Weights (out, in, high, across) in the order of `repsearch.engine.convolution.convolve`, for two output tiles
    after the other; the last is one tile, if their number is odd."""
    out, channels = weight.shape[:2]
    padded = torch.zeros(tiles(out) * LANES, *weight.shape[1:])
    padded[:out] = weight
    flat = []
    for pair in torch.split(padded, 2 * LANES):
        for tile in range(0, channels, LANES):
            flat.append(pair[:, tile : tile + LANES].permute(2, 3, 1, 0).reshape(-1))
    ordered: Array = torch.cat(flat).numpy()
    return ordered


def _affine(stage: Stage) -> tuple[Tensor, Tensor]:
    """Scale and shift (out,) of a stage: its BatchNorm, and the convolution's bias."""
    conv, norm = stage.conv, stage.norm
    bias = torch.zeros(conv.out_channels).double() if conv.bias is None else conv.bias.detach().double()
    if norm is None:
        return torch.ones_like(bias), bias
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.detach()
    shift = scale * (bias - norm.running_mean)
    return scale, shift if norm.bias is None else shift + norm.bias.detach()
