"""What `repsearch.alternate` asks of its arguments before it begins."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

from torch import nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.data import Dataset
from repsearch.engine.shapes import layer_shapes
from repsearch.round_images import images_of
from repsearch.rounds import AlternateConfig


def check(
    network: nn.Module, model: nn.Module, data: Dataset, config: AlternateConfig, called: dict[str, object]
) -> None:
    """`InputError` unless both networks can be searched, have layers of the same shapes, and the model can learn."""
    checks.instance("data", data, Dataset, "give what repsearch.load returns, not one of its splits")
    checks.instance("config", config, AlternateConfig, "give a preset's .alternate, or one of your own")
    for name, value in called.items():
        if value is not None and not callable(value):
            raise InputError(f"{name}: expected a function, found a {type(value).__name__}; give one, or None")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("model: has nothing to train; give what repsearch.learn_network makes, or call "
                         "model.requires_grad_(True)")
    first = layer_shapes(network, data.train, config.search)
    blocks = [name for name in first if name != "logits"]
    for name in config.learn.skip:
        checks.one_of("skip", name, blocks)
    if set(config.learn.skip) == set(blocks):
        raise InputError(f"skip={config.learn.skip!r}: nothing is left to regress to; keep at least one block")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model's statistics are fresh, and are calibrated before its search
            own = layer_shapes(copy.deepcopy(model), data.train, config.search)
    except InputError as error:
        raise InputError(str(error).replace("network:", "model:")) from None
    for name, shape in first.items():
        if own[name] != shape:
            raise InputError(f"model: its {name} is {own[name]} an image, the network's {shape}; build it of the same "
                             "width, for the same images")
    images_of(1, replace(data, train=data.train[:1]), config, 0)
