"""Members of a perceptron, without vmap, which on small networks costs more than what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from repsearch.methods._members import Offset, Offsets

POINTWISE = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Identity)
BEFORE = (*POINTWISE, nn.Flatten, nn.AvgPool2d, nn.MaxPool2d, nn.ZeroPad2d)
"""What may come before the first linear layer, where all members see the same."""
FEW = 4
"""Up to this rank, a sum of products is faster than a product of matrices."""


def is_chain(model: nn.Module) -> bool:
    """A sequence of linear layers and pointwise functions, each there once, with weights of its own and no hooks."""
    if type(model) is not nn.Sequential:
        return False
    layers = list(model)
    kinds = [type(layer) for layer in layers]
    first = kinds.index(nn.Linear) if nn.Linear in kinds else len(kinds)
    known = all(kind in BEFORE for kind in kinds[:first]) and all(
        kind in (nn.Linear, *POINTWISE) for kind in kinds[first:])
    weights = [id(weight) for layer in layers for weight in layer.parameters()]
    alone = len(set(weights)) == len(weights) and len(set(map(id, layers))) == len(layers)
    hooked = any(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
                 for module in (model, *layers))
    return known and alone and not hooked


def chained(model: nn.Sequential, offsets: Offsets, factors: Tensor, images: Tensor, plain: bool) -> Tensor | None:
    """Logits (S, D, B, classes) of members, as `Members.logits`; None where a layer sees no vectors.

    Args:
        factors: (S,), of the offsets.
        images: (B, ...), of all members.
        plain: the offsets are the weights.
    """
    x, scale = images.clone(), factors.view(-1, 1, 1, 1)
    for name, layer in model.named_children():
        if not isinstance(layer, nn.Linear):
            x = layer(x)
            continue
        if x.ndim not in (2, 4):
            return None
        weight, bias = offsets.get(f"{name}.weight"), offsets.get(f"{name}.bias")
        x = _product(layer.weight, weight, scale, x, plain)
        if layer.bias is not None:
            assert not isinstance(bias, tuple)
            mine = layer.bias if bias is None else bias[None, :, None] if plain else torch.addcmul(
                layer.bias, scale, bias[None, :, None])
            x = x.add_(mine) if x.ndim == 4 else x + mine
    return x


def _product(weight: Tensor, offset: Offset | None, scale: Tensor, x: Tensor, plain: bool) -> Tensor:
    """x times the members' weights: (S, D, B, m) of x (S, D, B, n), or of (B, n) that all members share."""
    if offset is None:
        return F.linear(x, weight)
    if isinstance(offset, tuple):
        return _low_rank(weight, *offset, scale, x)
    S, D = len(scale), len(offset)
    if x.ndim == 2 and S > 1:  # mirror images share both products
        return torch.addcmul(F.linear(x, weight), scale, x @ offset.transpose(1, 2))
    own = (offset[None] if plain else torch.addcmul(weight, scale, offset)).flatten(0, 1)
    inputs = x.expand(S * D, *x.shape) if x.ndim == 2 else x.flatten(0, 1)
    return torch.bmm(inputs, own.transpose(1, 2)).view(S, D, -1, len(weight))


def _low_rank(weight: Tensor, left: Tensor, right: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    """The same for factors (D, m, r) and (D, n, r)."""
    D, _, rank = right.shape
    ours, scale = F.linear(x, weight), scale / rank**0.5
    if x.ndim == 2:
        inner = (x @ right.movedim(0, 1).flatten(1)).view(len(x), D, rank).transpose(0, 1)
    elif rank <= FEW:
        inner = torch.stack([(x * right[:, None, :, one]).sum(-1) for one in range(rank)], dim=-1)
    else:
        inner = x @ right
    if rank == 1:
        return torch.addcmul(ours, inner * scale, left[:, None, :, 0])
    return ours + (inner * scale) @ left.transpose(1, 2)
