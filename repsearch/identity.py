"""What a network is, apart from the object that holds it: its identity, for stores and checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def fingerprint(network: nn.Module) -> str:
    """A SHA-256 of a network's modules, their settings and weights; equal fingerprints search and learn alike.

    BatchNorm's running statistics are not part of it: they come out of a calculation whose last bits depend on the
    processor; see `statistics`. Wrappers such as `torch.compile`'s are not, either. What a module of one's own
    computes is known by its class's name and its plain attributes.

    Example:
        >>> fingerprint(nn.Sequential(nn.ReLU())) == fingerprint(nn.Sequential(nn.Tanh()))
        False
    """
    digest = hashlib.sha256()
    for name, module in network.named_modules(remove_duplicate=False):
        if not _is_wrapper(module):
            digest.update(f"{_stripped(name)} {type(module).__qualname__} {_settings(module)}".encode())
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    for name, value in tensors:
        if not name.endswith(STATISTICS):
            digest.update(f"{_stripped(name)} {value.dtype} {tuple(value.shape)}".encode() + _content(value))
    return digest.hexdigest()


def statistics(network: nn.Module) -> dict[str, Tensor]:
    """The running means and variances of a network's normalisation layers, by name, on the CPU."""
    return {_stripped(name): value.detach().cpu().contiguous().clone() for name, value in _running(network)}


@contextmanager
def with_statistics(network: nn.Module, given: dict[str, Tensor]) -> Iterator[None]:
    """Within the context a network has these `statistics`; afterwards its own again."""
    own = statistics(network)
    _set_statistics(network, given)
    try:
        yield
    finally:
        _set_statistics(network, own)


def weights_of_0_2(network: nn.Module) -> str:
    """A SHA-256 of weights and statistics together, which was a network's identity up to format 3 of a manifest."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + _content(value))
    return digest.hexdigest()


@torch.no_grad()
def _set_statistics(network: nn.Module, given: dict[str, Tensor]) -> None:
    for name, value in _running(network):
        value.copy_(given.get(_stripped(name), value))


def _running(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in network.named_buffers() if name.endswith(STATISTICS[:2])]


def _is_wrapper(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod")


def _stripped(name: str) -> str:
    """The name of a module or a tensor as it is without `torch.compile` around the network or a part of it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _settings(module: nn.Module) -> str:
    """What a module says of itself, and its attributes that are plain values or named functions."""
    plain = {key: _plain(value) for key, value in vars(module).items() if key[0] != "_" and key != "training"}
    return f"{module.extra_repr()} {sorted((key, value) for key, value in plain.items() if value is not None)}"


def _plain(value: Any) -> str | None:
    if isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    if isinstance(value, tuple | list):
        return repr([_plain(item) for item in value])
    return getattr(value, "__qualname__", None) if callable(value) and not isinstance(value, nn.Module) else None


def _content(value: Tensor) -> bytes:
    content: bytes = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return content
