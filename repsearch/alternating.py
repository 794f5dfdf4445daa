"""Search and learning take turns: what the paper leaves open (its section 6).

The paper searches an untrained network once, and trains another on what it found. Here the trained network is searched
in its turn, from its own activations and with its own later blocks as judges, and is trained on that: its targets then
stand where it can reach them.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn
from tqdm import tqdm

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.data import Dataset
from repsearch.engine.shapes import layer_shapes
from repsearch.learner import Learner, halves_of
from repsearch.moves import moves
from repsearch.outlook import announce_rounds
from repsearch.remade import of_all_images, of_some_images
from repsearch.rounds import AlternateConfig, Round, Rounds
from repsearch.searching import search
from repsearch.store.files import folder_path

if TYPE_CHECKING:
    from repsearch.store.reader import Targets

Watch = Callable[[int, nn.Module], None]
Change = Callable[[int, nn.Module, "Targets"], "Targets"]


def alternate(
    network: nn.Module, model: nn.Module, data: Dataset, config: AlternateConfig, seed: int = 0,
    store: str | os.PathLike[str] | None = None, progress: bool = True, watch: Watch | None = None,
    change: Change | None = None,
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
        progress: say about how long it will take, show the bars, and a line a round.
        watch: called as watch(round, model) after each round, to measure the model; it must leave it as it was.
        change: called as change(round, network that was searched, its targets); gives the targets to learn from, as a
            control.

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
    seed, folder = checks.seed(seed), None if store is None else folder_path("store", store)
    _check_shapes(network, model, data, config)
    learner = Learner(model, data, config, seed, folder, progress)
    halves = _Halves(learner) if config.crossed else None
    if progress and ranks.rank() == 0:
        announce_rounds(network, learner.searchable(), data, config)
    done, weights = Rounds(), []
    for number in range(config.rounds):
        searched = network
        if number == 0:
            place = None if folder is None else folder / "round-0" / "targets"
            targets = search(network, data.train, config.search, seed, place, progress)
        elif halves is None:
            searched, targets = learner.search(number, data.train, network)
        else:
            searched, targets = halves.search(number, network)
        targets = targets if change is None else change(number, searched, targets)
        moved = moves(searched, targets, data.train, config.search_of(number))
        history = learner.learn(number, targets)
        if halves is not None and number + 1 < config.rounds:
            halves.learn(number, targets)
        done.rounds.append(Round.of(targets, history, data.train, moved, done[0].targets if number else targets))
        weights.append(copy.deepcopy(model.state_dict()))
        if watch is not None:
            watch(number, model)
        if progress and ranks.rank() == 0:
            tqdm.write(done.last_line())
    model.load_state_dict(weights[done.best])
    return done


class _Halves:
    """Two more networks, each trained on half of the images, which search the other half.

    Args:
        learner: of the network that is trained on all.
    """

    def __init__(self, learner: Learner) -> None:
        self.data, self.rows, self.learners = learner.data, list[Tensor](), list[Learner]()
        for number, (rows, half) in enumerate(halves_of(learner.data)):
            folder = None if learner.folder is None else learner.folder / f"half-{number}"
            model = copy.deepcopy(learner.model)
            self.rows.append(rows)
            self.learners.append(Learner(model, half, learner.config, learner.seed, folder, learner.progress))

    def search(self, number: int, untrained: nn.Module) -> tuple[nn.Module, Targets]:
        """Search each half by the network that was trained on the other; that of the second half, and all targets."""
        first, second = self.learners
        network, of_second = first.search(number, second.data.train, untrained)
        _, of_first = second.search(number, first.data.train, untrained)
        return network, of_all_images([of_first, of_second], self.rows, self.data.train)

    def learn(self, number: int, targets: Targets) -> None:
        """Train each on its own half."""
        for rows, learner in zip(self.rows, self.learners, strict=True):
            learner.learn(number, of_some_images(targets, rows, learner.data.train))


def _check_shapes(network: nn.Module, model: nn.Module, data: Dataset, config: AlternateConfig) -> None:
    """`InputError` unless both networks can be searched, have layers of the same shapes, and the model can learn."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("model: has nothing to train; give what repsearch.learn_network makes, or call "
                         "model.requires_grad_(True)")
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
