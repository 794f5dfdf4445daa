"""What of a network the engine has to compute: no convolution that is the identity, and the rest as plain arrays."""

from __future__ import annotations

import copy
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from repsearch.engine.draws import pack, tiles
from repsearch.engine.kernel import LANES, Array, Tail
from repsearch.networks import check_network

if TYPE_CHECKING:
    from repsearch.config import SearchConfig


class UnsupportedError(Exception):
    """A part of a network that the kernel cannot compute."""


def without_identities(network: nn.Module) -> nn.Module:
    """A copy of a network without the convolutions that are the identity, as Dirac-initialised ones can be.

    Example:
        >>> conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        >>> _ = nn.init.dirac_(conv.weight)
        >>> without_identities(nn.Sequential(conv, nn.GELU()))[0]
        Identity()
    """
    light = copy.deepcopy(network)
    for parent in list(light.modules()):
        for name, module in list(parent.named_children()):
            if is_identity(module):
                setattr(parent, name, nn.Identity())
    return light


def is_identity(module: nn.Module) -> bool:
    """Whether a module is a convolution that returns its input: looked up in its weights, never assumed."""
    if type(module) is not nn.Conv2d or module.in_channels != module.out_channels or module.groups != 1:
        return False
    sides = module.kernel_size
    padded = module.padding == "same" or all(
        p == d * (k // 2) for p, d, k in zip(module.padding, module.dilation, sides, strict=True)
    )
    if not padded or set(module.stride) != {1} or any(side % 2 == 0 for side in sides):
        return False
    identity = nn.init.dirac_(torch.empty_like(module.weight))
    return torch.equal(module.weight, identity) and (module.bias is None or not bool(module.bias.any()))


def why_not_kernel(light: nn.Module, shapes: dict[str, tuple[int, ...]], config: SearchConfig) -> str | None:
    """Why the kernel cannot search this network, its identities left out, as `config` says; None if it can."""
    if config.pull:
        return f"pull={config.pull} needs the network's own activations, which it does not know"
    if config.precision != "float32":
        return f"precision={config.precision!r} is not its float32"
    parameter = next(light.parameters(), torch.empty(0))
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        return f"the network is {parameter.dtype} on {parameter.device.type}, the kernel float32 on the CPU"
    try:
        for layer in range(len(shapes) - 1):
            tail_of(light, layer, list(shapes.values())[layer])
    except UnsupportedError as error:
        return str(error)
    return None


def tail_of(light: nn.Module, layer: int, shape: tuple[int, ...]) -> Tail:
    """The network behind a search layer as the kernel's arrays.

    Args:
        light: a network without its identities.
        layer: the search layer.
        shape: its (channels, height, width).

    Raises:
        UnsupportedError: something there is not a 2x2 max-pooling, a BatchNorm, a GELU or a linear head.
    """
    parts = check_network(light)
    channels, height, width = shape
    stages: list[list[tuple[Tensor, Tensor]]] = []
    modules = [m for block in list(parts.blocks)[layer + 1 :] for m in leaves(block)]
    for module, following in zip_longest(modules, modules[1:]):
        if _is_pooling(module):
            stages.append([])
        elif isinstance(module, nn.BatchNorm2d) and isinstance(following, nn.GELU) and stages:
            stages[-1].append(_affine(module))
        elif not (isinstance(module, nn.GELU) and module.approximate == "none"):
            raise UnsupportedError(
                f"behind block {layer} there is {brief(module)}, which is neither the identity nor a pattern of 2x2 "
                "max-pooling, BatchNorm and GELU"
            )
    flatten, linear = (*leaves(parts.head), None, None)[:2]
    steps = {len(stage) for stage in stages}
    activations = sum(isinstance(m, nn.GELU) for m in modules)
    if len(steps) > 1 or steps == {0} or activations != sum(map(len, stages)):
        raise UnsupportedError(f"the blocks behind block {layer} are not alike")
    if not isinstance(flatten, nn.Flatten) or not isinstance(linear, nn.Linear) or len(leaves(parts.head)) != 2:
        raise UnsupportedError("the head is not nn.Flatten and nn.Linear")

    last = (height >> len(stages), width >> len(stages))
    # What a later pooling leaves over at the border is not computed.
    used = [(last[0] << s, last[1] << s) for s in range(len(stages))][::-1]
    sides = [(height, width), *used]
    size = used[0][0] * used[0][1] * LANES if stages else height * width * LANES
    scale = np.zeros((len(stages), max(steps, default=0), tiles(channels) * size), np.float32)
    shift = np.zeros_like(scale)
    for s, stage in enumerate(stages):
        positions = used[s][0] * used[s][1]
        for step, (weight, bias) in enumerate(stage):
            count = tiles(channels) * positions * LANES
            scale[s, step, :count], shift[s, step, :count] = _lanes(weight, positions), _lanes(bias, positions)
    head = pack(linear.weight.detach().reshape(-1, channels, *last)).reshape(linear.out_features, -1)
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
    return Tail(scale, shift, np.array(sides), head, bias.numpy().copy())


def leaves(module: nn.Module) -> list[nn.Module]:
    """The modules that nested `nn.Sequential`s apply one after the other, without `nn.Identity`."""
    if isinstance(module, nn.Sequential):
        return [leaf for child in module for leaf in leaves(child)]
    return [] if isinstance(module, nn.Identity) else [module]


def brief(module: nn.Module) -> str:
    """A module in one line: its class alone, if it has parts."""
    return str(module).partition("(\n")[0]


def _is_pooling(module: nn.Module) -> bool:
    return isinstance(module, nn.MaxPool2d) and not module.ceil_mode and not module.return_indices and all(
        value in (wanted, (wanted, wanted)) for value, wanted in
        ((module.kernel_size, 2), (module.stride, 2), (module.padding, 0), (module.dilation, 1))
    )


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a frozen BatchNorm."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def _lanes(values: Tensor, positions: int) -> Array:
    """A value a channel, as tiles in which every position has it, flat."""
    packed: Array = pack(values.float()[:, None, None])
    return np.tile(packed, positions).ravel()
