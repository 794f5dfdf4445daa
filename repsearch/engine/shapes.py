"""Whether a network, images and a configuration fit each other."""

from __future__ import annotations

import torch
from torch import nn

from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.networks import activations, layer_names
from repsearch.reference import evaluation_mode

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(network: nn.Module, data: Split, config: SearchConfig) -> Shapes:
    """The shape of one image's activations in every search layer, by the layer's name.

    Raises:
        InputError: network, images and schedule do not fit each other.
    """
    names = layer_names(network)
    if len(config.schedule) != len(names):
        raise InputError(
            f"schedule: has {len(config.schedule)} layers, the network {len(names)} ({', '.join(names)}); give one "
            "LayerSearch for each"
        )
    _check_statistics(network, config)
    device = next(network.parameters()).device
    try:
        with torch.no_grad(), evaluation_mode(network, config):
            layers = activations(network, data.images[:2].to(device))
    except RuntimeError as error:
        shape = tuple(data.images.shape[1:])
        cause = str(error).splitlines()[0]
        raise InputError(f"network: cannot take images of shape {shape} ({cause}); build it for these images") from None
    shapes = {name: tuple(H.shape[1:]) for name, H in zip(names, layers, strict=True)}
    for name, shape in list(shapes.items())[:-1]:
        if len(shape) != 3:
            raise InputError(f"network: {name} gives {shape} an image; expected (channels, height, width)")
    if shapes["logits"] != (data.classes,):
        found = shapes["logits"]
        raise InputError(f"network: its head gives {found} an image; expected ({data.classes},), one a class")
    return shapes


def _check_statistics(network: nn.Module, config: SearchConfig) -> None:
    loose = [
        name for name, m in network.named_modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and not m.track_running_stats
    ]
    if loose and config.statistics == "frozen":
        raise InputError(
            f"network: {loose[0]} has no statistics to freeze; build it with running statistics, or search with "
            "statistics='candidates'"
        )
