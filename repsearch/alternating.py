"""Search and learning take turns: what the paper leaves open (its section 6).

The paper searches an untrained network once, and trains another on what it found. Here the trained network is searched
in its turn, from its own activations and with its own later blocks as judges, and is trained on that: its targets then
stand where it can reach them.
"""

from __future__ import annotations

import copy
import os
import warnings
from typing import TYPE_CHECKING

from torch import nn
from tqdm import tqdm

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.data import Dataset
from repsearch.engine.shapes import layer_shapes
from repsearch.learning import learn
from repsearch.networks import calibrate
from repsearch.operators import image_generators, noisy
from repsearch.rounds import AlternateConfig, Round, Rounds
from repsearch.searching import search
from repsearch.store.files import folder_path

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.config import LearnConfig
    from repsearch.store.reader import Targets
    from repsearch.training import History


def alternate(
    network: nn.Module, model: nn.Module, data: Dataset, config: AlternateConfig, seed: int = 0,
    store: str | os.PathLike[str] | None = None, progress: bool = True,
) -> Rounds:
    """Search `network`, train `model` on what was found; then search the model itself and train it on, round by round.

    Round 0 is `repsearch.search` and `repsearch.learn` with the same arguments. Each later round searches a copy of the
    model, its statistics calibrated as a search needs them, from noisy copies of the images sent through it.

    Args:
        network: is searched in round 0; see `repsearch.search`.
        model: is trained in place, from the weights it comes with.
        data: training images to search and train on, validation images to choose epoch and round on.
        config: see `AlternateConfig`.
        seed: of every search and training.
        store: folder to keep each round's targets and training in; where it was interrupted, it goes on.
        progress: show the bars, and a line a round.

    Returns:
        The `Rounds`. The model ends with the weights of the best one.

    Raises:
        InputError: what `repsearch.search` and `repsearch.learn` raise; layers of network and model that differ in
            shape; a store of another run.

    Example:
        >>> from dataclasses import replace
        >>> from repsearch import learn_network, load, presets, search_network
        >>> data, preset = load("digits", train=40, validation=20, test=20), presets.smoke("digits")
        >>> config = AlternateConfig.of(replace(preset, learn=replace(preset.learn, epochs=2)), rounds=2)
        >>> rounds = alternate(search_network(data, preset), learn_network(data, preset), data, config, progress=False)
        >>> len(rounds)
        2
    """
    checks.instance("data", data, Dataset, "give what repsearch.load returns, not one of its splits")
    checks.instance("config", config, AlternateConfig, "give AlternateConfig.of(preset), or one of your own")
    folder = None if store is None else folder_path("store", store)
    _check_shapes(network, model, data, config)
    done, weights = Rounds(), []
    for number in range(config.rounds):
        searched = network if number == 0 else _searchable(model, data, config, checks.seed(seed))
        targets = search(searched, data.train, config.search_of(number), seed,
                         None if folder is None else folder / f"round-{number}" / "targets", progress)
        checkpoint = None if folder is None else folder / f"round-{number}" / "training.pt"
        history = _learned(model, data, targets, config.learn_of(number), seed, checkpoint, progress)
        done.rounds.append(Round.of(targets, history, data.train))
        weights.append(copy.deepcopy(model.state_dict()))
        if progress and ranks.rank() == 0:
            tqdm.write(done.last_line())
    model.load_state_dict(weights[done.best])
    return done


def _check_shapes(network: nn.Module, model: nn.Module, data: Dataset, config: AlternateConfig) -> None:
    """`InputError` unless both networks can be searched, and have layers of the same shapes."""
    first = layer_shapes(network, data.train, config.search)
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


def _searchable(model: nn.Module, data: Dataset, config: AlternateConfig, seed: int) -> nn.Module:
    """A copy of the model as it is searched: BatchNorm frozen at the statistics of what its search begins with."""
    images = data.train.images[:512]
    copies = noisy(images, config.input_noise, image_generators(seed, range(len(images))))
    device = next(model.parameters()).device
    return calibrate(copy.deepcopy(model), copies.to(device), config.search.normalise)  # type: ignore[arg-type]


def _learned(
    model: nn.Module, data: Dataset, targets: Targets, config: LearnConfig, seed: int, checkpoint: Path | None,
    progress: bool,
) -> History:
    """`learn`; of several ranks the first trains, and the others then read its checkpoint."""
    for turn in (True, False):
        with ranks.all_or_none():
            if (ranks.rank() == 0) == turn:
                history = learn(model, data, targets, config, seed, checkpoint, progress)
    return history
