"""Networks that offer a stem, a list of blocks and a head, and what search and learning ask of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.operators import normalise


@runtime_checkable
class Searchable(Protocol):
    """What search and learning ask of a network: an `nn.Module` with these three, applied in this order."""

    stem: nn.Module
    blocks: Sequence[nn.Module]
    head: nn.Module


class Network(nn.Module):
    """A network cut into the parts that search works on: head(blocks[-1](... blocks[0](stem(x)))).

    Args:
        stem: images to the input of the first block.
        blocks: each maps (B, C, H, W) to (B, C', H', W'); their outputs are the search layers.
        head: the last block's output to logits (B, classes).

    Example:
        >>> body = [nn.Sequential(nn.Conv2d(8, 8, 3), nn.GELU()) for _ in range(2)]
        >>> network = Network(nn.Conv2d(3, 8, 1), body, nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
        >>> [tuple(h.shape) for h in activations(network, torch.zeros(1, 3, 8, 8))]
        [(1, 8, 6, 6), (1, 8, 4, 4), (1, 10)]
    """

    def __init__(self, stem: nn.Module, blocks: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return activations(self, images)[-1]


def activations(network: nn.Module, images: Tensor, sever_head: bool = False) -> list[Tensor]:
    """The search layers H(0), ..., H(L-1) of images (B, C, H, W): every block's output, then the logits.

    Args:
        network: offers stem, blocks and head.
        images: (B, C, H, W), on the network's device.
        sever_head: put the stop-gradient sg of section 4.2 between the last block and the head.
    """
    parts = check_network(network)
    H, layers = parts.stem(images), []
    for block in parts.blocks:
        H = block(H)
        layers.append(H)
    layers.append(parts.head(H.detach() if sever_head else H))
    return layers


def rest(network: nn.Module, layer: int, H: Tensor) -> Tensor:
    """Logits from the activations H (B, ...) of search layer `layer`: the rest of the forward pass."""
    parts = check_network(network)
    if layer == len(parts.blocks):
        return H
    for block in parts.blocks[layer + 1 :]:
        H = block(H)
    logits: Tensor = parts.head(H)
    return logits


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the search layers: "block0", "block1", ..., "logits"."""
    return (*(f"block{i}" for i in range(len(check_network(network).blocks))), "logits")


def check_network(network: nn.Module) -> Searchable:
    """`network` itself; `InputError` if it lacks a stem, blocks or a head."""
    for part in ("stem", "blocks", "head"):
        if not hasattr(network, part):
            raise InputError(f"network: {type(network).__name__} has no {part}; wrap it: Network(stem, blocks, head)")
    if len(network.blocks) == 0:  # type: ignore[arg-type]
        raise InputError("network: blocks is empty; search needs at least one block")
    return network  # type: ignore[return-value]


def __getattr__(name: str) -> None:
    if name in ("convnet", "conv_group", "dirac_conv", "batch_norm", "whitening_filters", "search_network",
                "learn_network"):
        raise ImportError(f"repsearch.networks.{name} of release 0.1 is repsearch.airbench.{name} since 0.2")
    raise AttributeError(f"module 'repsearch.networks' has no attribute {name!r}")


# --- statistics -------------------------------------------------------------------------------------------------------


def calibrate(network: Network, images: Tensor) -> Network:
    """Freeze every BatchNorm at the statistics of `images`, block outputs normalised as search normalises them.

    Each image of a search is then independent of all others. Works on any network whose BatchNorms track running
    statistics; changes it in place, leaves it in eval mode with gradients off, and returns it.

    Args:
        network: offers stem, blocks and head.
        images: a calibration batch (N, C, H, W) of training images.
    """
    network.eval().requires_grad_(False)
    with torch.no_grad(), batch_statistics(network, momentum=1.0):
        H = network.stem(images)
        for block in network.blocks:
            H = normalise(block(H))
        network.head(H)
    return network


@contextmanager
def batch_statistics(network: nn.Module, momentum: float = 0.0) -> Iterator[None]:
    """Within the context every BatchNorm uses the statistics of its batch, and blends them in with `momentum`."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.training, norm.momentum) for norm in norms]
    for norm in norms:
        norm.training, norm.momentum = True, momentum
    try:
        yield
    finally:
        for norm, (training, old) in zip(norms, before, strict=True):
            norm.training, norm.momentum = training, old


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within the context nothing has a gradient; afterwards the model's state, such as BatchNorm's, is what it was."""
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        yield
    model.load_state_dict(state)


def fingerprint(network: nn.Module) -> str:
    """A SHA-256 of the network's weights and statistics: equal fingerprints search alike."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def parameter_count(network: nn.Module) -> int:
    """Parameters of a network, frozen ones included."""
    return sum(parameter.numel() for parameter in network.parameters())
