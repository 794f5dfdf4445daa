"""A population around a network: its weights plus noise, many members evaluated at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from repsearch.checks import InputError
from repsearch.methods._chain import FEW, chained, is_chain

Offset = Tensor | tuple[Tensor, Tensor]
"""Noise on a weight: (D, *shape) of D directions; or factors (D, m, r) and (D, n, r) of noise on a matrix (m, n), or on
a kernel seen as one: left right^T / sqrt(r)."""
Offsets = Mapping[str, Offset]
ROWS = 16384
"""Images times members that go through a network side by side."""
IMAGES = 400
"""Images that go through a convolutional network at once; more of them leave the cache."""


class Members:
    """The trained weights of a network, and the network with noise on them.

    Where all members show a linear layer the same input, it is multiplied with the weights once, and with the noise
    once for a pair of mirror images. Low-rank noise goes through linear and convolutional layers factor by factor.
    Everywhere else noise is added to the weights.

    Args:
        model: images to logits. Frozen parameters and buffers are the same for all members, and stay as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        if not self.weights:
            raise InputError("model: none of its parameters can be trained; expected at least one")
        # Every name of a weight that several modules own; a module that is there twice has one name.
        found: dict[int, list[str]] = {}
        for prefix, module in model.named_modules():
            for name, weight in module.named_parameters(prefix, recurse=False):
                found.setdefault(id(weight), []).append(name)
        self.names = {name: found[id(weight)] for name, weight in self.weights.items()}
        self.dimension = sum(weight.numel() for weight in self.weights.values())
        self.device = next(iter(self.weights.values())).device
        modules = list(model.modules())
        self.keeps = any(True for _ in model.buffers())
        # Convolutions with many weights at once are slower on a CPU than one after the other; a module with buffers may
        # write to them.
        self.together = not self.keeps and not any(isinstance(module, nn.modules.conv._ConvNd) for module in modules)
        self.normed = any(isinstance(module, nn.modules.batchnorm._NormBase) for module in modules)
        self.chain = is_chain(model)
        self.layers: dict[str, nn.Linear | nn.Conv2d] | None = None
        self.first: set[str] = set()

    # --- weights ------------------------------------------------------------------------------------------------------

    def centre(self) -> Tensor:
        """The network's own weights, (dimension,)."""
        return self.flat({name: weight.detach() for name, weight in self.weights.items()})

    def flat(self, parts: dict[str, Tensor]) -> Tensor:
        """Weights by name as one vector, (dimension,)."""
        return torch.cat([parts[name].flatten() for name in self.weights])

    def parts(self, vectors: Tensor) -> dict[str, Tensor]:
        """Vectors (..., dimension) as weights (..., *shape), by name; views of the same memory."""
        sizes = [weight.numel() for weight in self.weights.values()]
        pieces = torch.split(vectors, sizes, dim=-1)
        return {name: piece.reshape(*vectors.shape[:-1], *weight.shape)
                for (name, weight), piece in zip(self.weights.items(), pieces, strict=True)}

    def move(self, vector: Tensor) -> None:
        """Make (dimension,) the network's weights."""
        for name, part in self.parts(vector).items():
            self.weights[name].copy_(part)

    # --- logits -------------------------------------------------------------------------------------------------------

    def logits(self, offsets: Offsets, scales: Sequence[float], images: Tensor, own: int = 0) -> Tensor:
        """Of the members weight + scale * offset, (S, D, B, classes), for S scales and D directions.

        What a member draws, as for dropout, every member draws alike.

        Args:
            scales: none for members whose weights the offsets are; then S is 1.
            images: (B, ...); with `own` = 1 a batch a direction, (D, B, ...); with 2 a batch a member, (S, D, B, ...).
        """
        if self.layers is None:
            self._look(images.flatten(0, own) if own else images)
        factors = torch.tensor(scales or [1.0], device=self.device)
        self.plain, self.offsets = not scales, offsets
        if self.together:
            try:
                with self._patched(len(factors), own):
                    return self._side_by_side(factors, images, own)
            except RuntimeError as error:
                if not any(word in str(error) for word in ("vmap", "atching rule")):
                    raise
                self.together = False  # the network does what depends on a member's numbers, such as `if x.sum() > 0`
        with self._patched(len(factors), own):
            return self._one_by_one(factors, images, own)

    def _side_by_side(self, factors: Tensor, images: Tensor, own: int) -> Tensor:
        each = max(1, ROWS // (images.shape[own] * len(factors)))
        found = []
        for start in range(0, count(self.offsets), each):
            at = slice(start, min(start + each, count(self.offsets)))
            theirs = images if own == 0 else images[at] if own == 1 else images[:, at]
            found.append(self._some(at, factors, theirs, own))
        return torch.cat(found, dim=1)

    def _some(self, at: slice, factors: Tensor, images: Tensor, own: int) -> Tensor:
        if self.chain and own == 0:
            assert isinstance(self.model, nn.Sequential)
            found = chained(self.model, cut(self.offsets, at), factors, images, self.plain)
            if found is not None:
                return found
            self.chain = False
        directions = vmap(self._one, in_dims=(0, 0, None, 0 if own else None), randomness="same")
        members = vmap(directions, in_dims=(None, None, 0, 0 if own == 2 else None), randomness="same")
        numbers = torch.arange(at.start, at.stop, device=self.device)
        with same_draws(self.device):
            logits: Tensor = members(cut(self.offsets, at), numbers, factors, images)
        return logits

    def _one_by_one(self, factors: Tensor, images: Tensor, own: int) -> Tensor:
        found = []
        for side, factor in enumerate(factors):
            for number in range(count(self.offsets)):
                theirs = images if own == 0 else images[number] if own == 1 else images[side, number]
                member = (cut(self.offsets, number), torch.tensor(number), factor)
                with same_draws(self.device):
                    found.append(torch.cat([self._one(*member, some) for some in self._pieces(theirs)]))
        stacked = torch.stack(found)
        return stacked.view(len(factors), -1, *stacked.shape[1:])

    def _pieces(self, images: Tensor) -> tuple[Tensor, ...]:
        return (images,) if self.normed else torch.split(images, IMAGES)

    def _one(self, offsets: Offsets, number: Tensor, scale: Tensor, images: Tensor) -> Tensor:
        """Of a single member."""
        self.member = (offsets, number, scale)
        weights: dict[str, Tensor] = {}
        for name, offset in offsets.items():
            if name not in self.inside:
                noise = dense(offset, self.weights[name].shape)
                moved = noise if self.plain else torch.addcmul(self.weights[name], scale, noise)
                weights |= dict.fromkeys(self.names[name], moved)
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        # A copy, for the network may change its input in place.
        logits: Tensor = functional_call(self.model, {**weights, **buffers}, (images.clone(),), tie_weights=False)
        return logits

    # --- layers that noise goes through -------------------------------------------------------------------------------

    def _look(self, images: Tensor) -> None:
        """Find the layers that are called as modules and alone own their weight; and those that see the images' own
        features, which no trained weight has changed."""
        candidates: dict[str, nn.Linear | nn.Conv2d] = {}
        for prefix, module in self.model.named_modules():
            name = f"{prefix}.weight" if prefix else "weight"
            if _plain(module) and self.names.get(name) == [name]:
                candidates[name] = module
        called: dict[str, bool] = {}

        def seen(name: str, _module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            called[name] = called.get(name, False) or (inputs or (named["input"],))[0].requires_grad

        hooks = [module.register_forward_pre_hook(partial(seen, name), with_kwargs=True)
                 for name, module in candidates.items()]
        try:
            buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
            with torch.enable_grad(), same_draws(self.device):
                functional_call(self.model, buffers, (images[:2].clone(),), tie_weights=False)
        finally:
            for hook in hooks:
                hook.remove()
        self.layers = {name: layer for name, layer in candidates.items() if name in called}
        self.first = {name for name in self.layers if not called[name]}

    @contextmanager
    def _patched(self, sides: int, own: int) -> Iterator[None]:
        """While it lasts, noise goes through these layers instead of being added to their weights."""
        layers, first = self.layers or {}, self.first if self.together and own == 0 else set()
        self.inside = {name for name, offset in self.offsets.items() if name in layers and (
            isinstance(offset, tuple) or (sides > 1 and name in first))}
        # Of layers whose input the members share, the noise of all of them as one matrix.
        self.wide = {name: offset[1].movedim(0, 1).flatten(1) for name, offset in self.offsets.items()
                     if name in self.inside & first and isinstance(offset, tuple)}
        for name in self.inside:
            layers[name].forward = partial(self._forward, name, layers[name])  # type: ignore[method-assign]
        try:
            yield
        finally:
            for name in self.inside:
                del layers[name].forward

    def _forward(self, name: str, layer: nn.Linear | nn.Conv2d, input: Tensor) -> Tensor:
        """layer(x) + scale * (noise on its weight)(x)."""
        offsets, number, scale = self.member
        x = input
        offset = offsets[name]
        if isinstance(layer, nn.Conv2d):
            assert isinstance(offset, tuple)
            found = _low_rank_convolution(layer, offset, scale, x)
            return found if layer.bias is None else found.add_(layer.bias[:, None, None])
        ours = F.linear(x, layer.weight)
        if not isinstance(offset, tuple):
            found = torch.addcmul(ours, scale, F.linear(x, offset))
        else:
            left, right = offset
            rank = right.shape[-1]
            left = left * (scale / rank**0.5)
            if name in self.wide:
                inner = (x @ self.wide[name]).index_select(-1, number * rank + torch.arange(rank, device=x.device))
            elif rank <= FEW:
                inner = torch.stack([(x * right[:, one]).sum(-1) for one in range(rank)], dim=-1)
            else:
                inner = x @ right
            found = torch.addcmul(ours, inner, left[:, 0]) if rank == 1 else ours + inner @ left.T
        return found if layer.bias is None else found.add_(layer.bias)


def _plain(module: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """A layer as torch has it, not a subclass of one and with no hook in its place; a convolution, in one group."""
    known = type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
    return known and "forward" not in vars(module)


def _low_rank_convolution(layer: nn.Conv2d, offset: tuple[Tensor, Tensor], scale: Tensor, x: Tensor) -> Tensor:
    """Without bias: the noise is r kernels, and a 1x1 convolution of what they give."""
    left, right = offset
    kernels = right.T.reshape(-1, *layer.weight.shape[1:])
    inner = layer._conv_forward(x, kernels, None)
    left = left * (scale / right.shape[-1] ** 0.5)
    ours: Tensor = layer._conv_forward(x, layer.weight, None)
    return ours.add_(F.conv2d(inner, left[..., None, None]))


def dense(offset: Offset, shape: torch.Size) -> Tensor:
    """Noise on one weight, of its shape."""
    if not isinstance(offset, tuple):
        return offset
    left, right = offset
    product: Tensor = left @ right.transpose(-1, -2) / right.shape[-1] ** 0.5
    return product.reshape(shape)


def count(offsets: Offsets) -> int:
    """Directions that they hold."""
    offset = next(iter(offsets.values()))
    return len(offset[0] if isinstance(offset, tuple) else offset)


def cut(offsets: Offsets, at: slice | int) -> Offsets:
    """Those of some directions, or of one."""
    return {name: (offset[0][at], offset[1][at]) if isinstance(offset, tuple) else offset[at]
            for name, offset in offsets.items()}


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """What is drawn in it is drawn again by the next."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
