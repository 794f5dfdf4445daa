"""Whether a network, images and a configuration fit each other."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.networks import activations, cannot_take, device_of, layer_names
from repsearch.reference import evaluation_mode

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(network: nn.Module, data: Split, config: SearchConfig) -> Shapes:
    """The shape of one image's activations in every search layer, by the layer's name.

    Raises:
        InputError: network, images and schedule do not fit each other.
    """
    checks.instance("data", data, Split, "give data.train, a split of what repsearch.load returns")
    checks.instance("config", config, SearchConfig, "give a preset's .search, or a SearchConfig of your own")
    names = layer_names(network)
    if len(config.schedule) != len(names):
        raise InputError(
            f"schedule: has {len(config.schedule)} layers, the network {len(names)} ({', '.join(names)}); give one "
            "LayerSearch for each"
        )
    _check_statistics(network, config)
    if config.statistics == "frozen":
        _warn_of_fresh_statistics(network)
    images = data.images[:2].to(device_of(network))
    try:
        with torch.no_grad(), evaluation_mode(network, config):
            layers = activations(network, images)
    except RuntimeError as error:
        raise cannot_take(network, images, error) from None
    if layers[-1].dtype not in (torch.float32, torch.float64):
        raise InputError(f"network: computes in {layers[-1].dtype}; a search needs network.float() and such images")
    shapes = {name: tuple(H.shape[1:]) for name, H in zip(names, layers, strict=True)}
    for name, shape in list(shapes.items())[:-1]:
        if len(shape) != 3:
            raise InputError(
                f"network: {name} gives {shape} an image; expected (channels, height, width): end the block with a "
                "reshape, such as tokens (N, D) to (D, N, 1), and begin the next with its inverse"
            )
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


def _warn_of_fresh_statistics(network: nn.Module) -> None:
    """Say so if a BatchNorm's statistics are of no images at all."""
    fresh = [name for name, m in network.named_modules()
             if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats and not m.num_batches_tracked]
    if fresh:
        warnings.warn(
            f"network: the statistics of {fresh[0]} are those it was made with, mean 0 and variance 1; unless they are "
            "meant, calibrate it first: repsearch.calibrate(network, data.train.images[:512])", stacklevel=4,
        )
