"""Other ways back through a network's layers: what they are given to, and the exact backward pass with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from repsearch.checks import InputError
from repsearch.networks import undisturbed

Layer = nn.Linear | nn.Conv2d
Back = Callable[[Tensor], Tensor]
"""The gradient of a layer's output to that of its input."""


@dataclass(frozen=True)
class Fed:
    """A layer that passes gradients on.

    Args:
        layer: its weights are trained, and so are weights before it.
        inputs: shape of its input (B, ...) for the images it was looked at with.
    """

    layer: Layer
    inputs: torch.Size


def fed_layers(model: nn.Module, images: Tensor) -> dict[str, Fed]:
    """The layers whose Jacobian feedback replaces, by name: linear layers and convolutions that are trained, and have
    something trained before them.

    Args:
        model: stays as it is.
        images: (B, ...), on the model's device.

    Raises:
        InputError: other trained matrices than theirs, a layer that is not called just once, no layer to feed back by.
    """
    layers = _trained_layers(model)
    calls: dict[str, list[tuple[bool, torch.Size]]] = {name: [] for name in layers}

    def note(name: str, input: Tensor) -> Tensor:
        calls[name].append((input.requires_grad, input.shape))
        return own_forward(layers[name], input)

    with undisturbed(model), torch.enable_grad(), instead(layers, note):
        model.eval()
        model(images.clone())
    for name, seen in calls.items():
        if len(seen) != 1:
            raise InputError(f"model: its layer {name!r} is called {len(seen)} times in a forward pass; expected once, "
                             "as a module, for feedback to have one way through it")
    found = {name: Fed(layers[name], seen[0][1]) for name, seen in calls.items() if seen[0][0]}
    if not found:
        raise InputError("model: no trained linear layer or convolution has something trained before it; expected one, "
                         "for feedback to replace; use repsearch.methods.Backprop")
    return found


def _trained_layers(model: nn.Module) -> dict[str, Layer]:
    layers = {name: module for name, module in model.named_modules() if _plain(module) and module.weight.requires_grad}
    if len({id(layer.weight) for layer in layers.values()}) < len(layers):
        raise InputError("model: two of its layers share their weights; expected each to have its own")
    theirs = {id(layer.weight) for layer in layers.values()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.ndim > 1 and id(parameter) not in theirs:
            raise InputError(f"model: {name!r} is a trained matrix {tuple(parameter.shape)} of something else than a "
                             "plain nn.Linear or nn.Conv2d; feedback is defined for these; freeze it or replace it")
    return layers


def _plain(module: nn.Module) -> bool:
    """A layer as torch has it, not a subclass of one, and with no other forward pass put in place."""
    return type(module) in (nn.Linear, nn.Conv2d) and "forward" not in vars(module)


@contextmanager
def instead(layers: Mapping[str, Layer], forward: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, forward(name, input) is called in the place of each layer's own forward pass."""
    for name, layer in layers.items():
        layer.forward = partial(forward, name)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


def own_forward(layer: Layer, input: Tensor) -> Tensor:
    """The layer's own forward pass, whatever was put in its place."""
    output: Tensor = type(layer).forward(layer, input)  # type: ignore[arg-type]
    return output


def transposed(layer: Layer, feedback: Tensor, input: Tensor) -> tuple[Tensor, Back]:
    """What a layer does with its input, if it had `feedback` for weights: the tensor whose gradient it knows, the input
    or the input with the convolution's padding around it; and how it gets that gradient, with no forward pass."""
    if isinstance(layer, nn.Linear):
        return input, lambda gradient: gradient @ feedback.to(gradient.dtype)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(input, layer._reversed_padding_repeated_twice, mode)

    def back(gradient: Tensor) -> Tensor:
        found: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            padded_shape, feedback.to(gradient.dtype), gradient, layer.stride, 0, layer.dilation, layer.groups)
        return found

    padded_shape = padded.shape
    return padded, back


def way_back(output: Tensor, input: Tensor, back: Back) -> Tensor:
    """`output`, changed in nothing but that its gradient reaches `input`, too, as back(gradient)."""
    found: Tensor = _WayBack.apply(output, input, back)  # type: ignore[no-untyped-call]
    return found


class _WayBack(torch.autograd.Function):
    """Not a view of the output, so that an activation may change it in place."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, _input: Tensor, back: Back) -> Tensor:
        ctx.back = back
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradients[0], ctx.back(gradients[0]), None
