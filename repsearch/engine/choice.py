"""Which engine runs a search.

- "kernel" runs on the CPU, for networks that are poolings, BatchNorms and GELUs behind the first block once
  convolutions that are the identity are left out: all that `search_network` makes.
- "conv" runs on the CPU, for networks of plain convolutions, poolings, BatchNorms and GELUs: all that `learn_network`
  makes, trained or not.
- "torch" runs any network with frozen statistics on any device; noise and smoothing are as in the kernel.
- "reference" is `repsearch.reference` itself, and runs every reading.

The first three make the same draws; "reference" makes its own.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from importlib import import_module

from torch import nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.engine.interface import Engine
from repsearch.engine.kernel_engine import KernelEngine
from repsearch.engine.reference_engine import ReferenceEngine
from repsearch.engine.tail import why_not_kernel, without_identities
from repsearch.engine.torch_engine import TorchEngine


def choose(
    network: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]], name: str = "auto",
    layers: Sequence[int] | None = None,
) -> Engine:
    """The engine called `name`; with "auto" the fastest that applies.

    Args:
        network, config, seed: as in `repsearch.search`.
        shapes: of all search layers, from `layer_shapes`.
        name: "auto", "kernel", "conv", "torch" or "reference".
        layers: numbers of the layers to search, in order; None is all of them.

    Raises:
        InputError: the engine asked for cannot run this network or reading.
    """
    checks.one_of("engine", name, ("auto", "kernel", "conv", "torch", "reference"))
    layers = range(len(shapes)) if layers is None else layers
    if config.ties_images:
        _say_what_ties(config, name)
        return ReferenceEngine(network, config, seed, layers)
    if name == "reference":
        if config.precision != "float32":
            raise InputError(f"engine='reference': precision={config.precision!r} is not its float32; use "
                             "engine='torch'")
        return ReferenceEngine(network, config, seed, layers)
    light = without_identities(network)
    reason = why_not_kernel(light, shapes, config)
    if name == "kernel" and reason:
        raise InputError(f"engine='kernel': {reason}; use engine='auto'")
    if name == "kernel" or (name == "auto" and not reason):
        return KernelEngine(light, config, seed, shapes, layers)
    conv = import_module("repsearch.engine.conv_engine")
    why_not: str | None = conv.why_not_conv(network, config)
    if name == "conv" and why_not:
        raise InputError(f"engine='conv': {why_not}; use engine='auto'")
    if name == "conv" or (name == "auto" and not why_not):
        engine: Engine = conv.ConvEngine(copy.deepcopy(network), config, seed, shapes, layers, reason=reason)
        return engine
    return TorchEngine(light, config, seed, shapes, layers, reason=why_not)


def _say_what_ties(config: SearchConfig, name: str) -> None:
    """A warning, or an error, that only the reference runs a reading which ties images to each other."""
    tie = "statistics='candidates'" if config.statistics == "candidates" else "selection='batch'"
    if name == "auto":
        warnings.warn(
            f"{tie} ties images to each other, which the engines do not do: searching with the "
            "reference, many times slower (engine='reference' searches so without this warning)", stacklevel=4,
        )
    elif name != "reference":
        raise InputError(f"engine={name!r}: {tie} needs engine='reference'")
