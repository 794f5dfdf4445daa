"""Networks that offer a stem, a list of blocks and a head, and what search and learning ask of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from repsearch import checks
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
        network: offers stem, blocks and head. A part may change its input in place: it gets a copy.
        images: (B, C, H, W), on the network's device.
        sever_head: put the stop-gradient sg of section 4.2 between the last block and the head.

    Raises:
        InputError: a part gives something else than a tensor.
    """
    parts = check_network(network)
    H, layers = _tensor("stem", parts.stem(images.clone())), []
    for number, block in enumerate(parts.blocks):
        layers.append(_tensor(f"block{number}", block(H)))
        H = layers[-1].clone()
    layers.append(_tensor("head", parts.head(H.detach() if sever_head else H)))
    return layers


def _tensor(part: str, output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise InputError(f"network: {part} gives a {type(output).__name__}; expected one tensor (images, ...)")
    return output


def rest(network: nn.Module, layer: int, H: Tensor) -> Tensor:
    """Logits from the activations H (B, ...) of search layer `layer`, which stay as they are: the rest of the forward
    pass."""
    parts = check_network(network)
    if layer == len(parts.blocks):
        return H
    H = H.clone()
    for block in parts.blocks[layer + 1 :]:
        H = block(H)
    logits: Tensor = parts.head(H)
    return logits


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the search layers: "block0", "block1", ..., "logits"."""
    return (*(f"block{i}" for i in range(len(check_network(network).blocks))), "logits")


def check_network(network: nn.Module) -> Searchable:
    """`network` itself; `InputError` if it lacks a stem, blocks or a head."""
    checks.instance("network", network, nn.Module, "wrap its parts: Network(stem, blocks, head)")
    for part in ("stem", "blocks", "head"):
        if not hasattr(network, part):
            raise InputError(f"network: {type(network).__name__} has no {part}; wrap it: Network(stem, blocks, head)")
    if len(network.blocks) == 0:  # type: ignore[arg-type]
        raise InputError("network: blocks is empty; search needs at least one block")
    return network  # type: ignore[return-value]


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's first parameter; the CPU if it has none."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def __getattr__(name: str) -> None:
    if name in ("convnet", "conv_group", "dirac_conv", "batch_norm", "whitening_filters", "search_network",
                "learn_network"):
        raise ImportError(f"repsearch.networks.{name} of release 0.1 is repsearch.airbench.{name} since 0.2")
    raise AttributeError(f"module 'repsearch.networks' has no attribute {name!r}")


# --- statistics and states --------------------------------------------------------------------------------------------


def calibrate(network: Network, images: Tensor, normalised: bool = True) -> Network:
    """Freeze every BatchNorm at the statistics of `images`, block outputs normalised as search normalises them.

    Each image of a search is then independent of all others. Works on any network whose BatchNorms track running
    statistics; changes it in place, leaves it in eval mode with gradients off, and returns it.

    Args:
        network: offers stem, blocks and head.
        images: a calibration batch (N, C, H, W) of training images, on the network's device.
        normalised: what the search's configuration says of `normalise`.

    Raises:
        InputError: `images` are not images, or not of a shape that the network takes.
    """
    parts = check_network(network)
    checks.images("images", images)
    with own_settings(), torch.no_grad():
        try:
            initialised(network, images[:2])
            network.eval().requires_grad_(False)
            with batch_statistics(network, momentum=1.0):
                H = parts.stem(images.clone())
                for block in parts.blocks:
                    H = normalise(block(H)) if normalised else block(H)
                parts.head(H)
        except RuntimeError as error:
            raise cannot_take(network, images, error) from None
    return network


def cannot_take(network: nn.Module, images: Tensor, error: RuntimeError) -> InputError:
    """What to say of a network that fails on images (N, C, H, W)."""
    parameter = next(network.parameters(), images)
    if parameter.is_floating_point() and parameter.dtype != images.dtype:
        return InputError(f"images: are {images.dtype}, the network {parameter.dtype}; convert one of them")
    if parameter.device != images.device:
        return InputError(f"images: are on {images.device}, the network on {parameter.device}; move one of them")
    shape, cause = tuple(images.shape[1:]), str(error).splitlines()[0]
    return InputError(f"network: cannot take images of shape {shape} ({cause}); build it for these images")


@contextmanager
def batch_statistics(network: nn.Module, momentum: float = 0.0) -> Iterator[None]:
    """Within the context every BatchNorm uses the statistics of its batch, and blends them in with `momentum`; with
    none its own, and how many batches they are of, stay as they are."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.training, norm.momentum, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.momentum = True, momentum
        norm.track_running_stats = norm.track_running_stats and momentum > 0
    try:
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.training, norm.momentum, norm.track_running_stats = was


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Within the context modules may change between train and eval mode; afterwards each is in its own again."""
    modes = {module: module.training for module in network.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within the context nothing has a gradient; afterwards the model's state and modes are what they were."""
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad(), modes_kept(model):
        try:
            yield
        finally:
            model.load_state_dict(state)


@contextmanager
def own_settings() -> Iterator[None]:
    """Within the context neither an autocast around it nor another default dtype of torch's has a say."""
    dtype = torch.get_default_dtype()
    devices = [kind for kind in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(kind)]
    with ExitStack() as stack:
        for kind in devices:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


def initialised(network: nn.Module, images: Tensor) -> None:
    """Give lazy parameters the shapes they get from images (N, C, H, W); a network without any stays as it is."""
    if any(nn.parameter.is_lazy(parameter) for parameter in network.parameters()):
        with torch.no_grad(), modes_kept(network):
            network.eval()(images.clone())


def parameter_count(network: nn.Module) -> int:
    """Parameters of a network, frozen ones included."""
    return sum(parameter.numel() for parameter in network.parameters())
