"""How long rounds of search and learning will take, before the first."""

from __future__ import annotations

import copy
import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn
from tqdm import tqdm

from repsearch.engine.choice import choose
from repsearch.engine.forecast import seconds_an_image
from repsearch.engine.shapes import layer_shapes
from repsearch.fitting import fit
from repsearch.methods.backprop import Backprop

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Dataset
    from repsearch.rounds import AlternateConfig


def announce_rounds(network: nn.Module, searchable: nn.Module, data: Dataset, config: AlternateConfig) -> None:
    """Say about how long all rounds will take.

    Args:
        network: is searched in round 0.
        searchable: is like what is searched in later ones.
        data: training images to search and train on.
        config: of the rounds.
    """
    later = config.rounds - 1
    seconds = searching(network, data, config.search)
    seconds += later * searching(searchable, data, config.search_of(1)) if later else 0
    epochs = config.learn.epochs + later * config.epochs
    seconds += training(searchable, data, config) * epochs * (2 if config.crossed and later else 1)
    size, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "hours")
    tqdm.write(f"alternate: {config.rounds} rounds, about {seconds / size:.0f} {unit}", file=sys.stderr)


def searching(network: nn.Module, data: Dataset, config: SearchConfig) -> float:
    """Seconds that a search of all training images takes."""
    shapes = layer_shapes(network, data.train, config)
    engine = choose(network, config, 0, shapes)
    return math.ceil(len(data.train) / engine.together) * seconds_an_image(
        lambda part: choose(network, part, 0, shapes), data.train[:1], config)


def training(model: nn.Module, data: Dataset, config: AlternateConfig) -> float:
    """Seconds that an epoch takes."""
    some = replace(data, train=data.train[: 2 * config.learn.batch], validation=data.validation[:2])
    one = replace(config.learn, epochs=1)
    plain = copy.deepcopy(model).requires_grad_(True)
    start = time.perf_counter()
    fit(plain, some, Backprop(), one, progress=False)
    return (time.perf_counter() - start) * len(data.train) / len(some.train)
