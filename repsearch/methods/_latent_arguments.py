"""What latent-space search asks of its arguments, its network and its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import LayerSearch, SearchConfig
from repsearch.data import Split
from repsearch.methods._cut import example
from repsearch.networks import cannot_take, device_of, layer_names


def counts(name: str, value: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """One number a layer; `InputError` for what is none."""
    if not isinstance(value, list | tuple):
        return (checks.positive_int(name, value, minimum=0),) * layers
    if len(value) != layers:
        raise InputError(f"{name}={value!r}: has {len(value)} numbers, the network {layers} layers; give one for each, "
                         "or one for all")
    return tuple(checks.positive_int(name, count, minimum=0) for count in value)


def search_config(counts: Sequence[int], std: float, like: SearchConfig | None) -> SearchConfig:
    """The readings of `like`; a layer's generations are its steps or samples, its strength their noise."""
    last = len(counts) - 1
    if like is None:
        blurs = [0 if layer == last else 5 if layer == 0 else 1 for layer in range(last + 1)]
        return SearchConfig(tuple(LayerSearch(n, std, blur=blur) for n, blur in zip(counts, blurs, strict=True)))
    checks.instance("like", like, SearchConfig, "give a preset's .search")
    if len(like.schedule) != len(counts):
        raise InputError(f"like: its schedule has {len(like.schedule)} layers, the network {len(counts)}; give one "
                         "LayerSearch for each")
    for name, needed in (("statistics", "frozen"), ("selection", "image"), ("pull", 0), ("precision", "float32")):
        if getattr(like, name) != needed:
            raise InputError(f"like: has {name}={getattr(like, name)!r}; these searchers know {needed!r} alone")
    return replace(like, schedule=tuple(LayerSearch(n, std, blur=row.blur)
                                        for n, row in zip(counts, like.schedule, strict=True)))


def shapes(network: nn.Module, split: Split) -> dict[str, tuple[int, ...]]:
    """The shape of one image's activations in every layer, by name; `InputError` for what can't be searched."""
    checks.instance("data", split, Split, "give data.train, a split of what repsearch.load returns")
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.track_running_stats:
            raise InputError(f"network: {name} has no statistics to freeze; build it with running statistics")
    images = split.images[:2].to(device_of(network))
    try:
        layers = example(network, images)
    except RuntimeError as error:
        raise cannot_take(network, images, error) from None
    found = {name: tuple(H.shape[1:]) for name, H in zip(layer_names(network), layers, strict=True)}
    if layers[-1].dtype != torch.float32:
        raise InputError(f"network: computes in {layers[-1].dtype}; give network.float() and such images")
    for name, shape in list(found.items())[:-1]:
        if len(shape) != 3:
            raise InputError(f"network: {name} gives {shape} an image; expected (channels, height, width): end the "
                             "block with a reshape, and begin the next with its inverse")
    if found["logits"] != (split.classes,):
        raise InputError(f"network: its head gives {found['logits']} an image; expected ({split.classes},), one a "
                         "class")
    return found
