"""Search and learning take turns: what the paper leaves open (its section 6).

The paper searches an untrained network once, and trains another on what it found. Here the trained network is searched
in its turn, from its own activations and with its own later blocks as judges, and is trained on that: its targets then
stand where it can reach them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from repsearch.alternating_checks import check
from repsearch.learner import Learner
from repsearch.moves import mean_of, moves
from repsearch.networks import own_settings
from repsearch.outlook import announce_rounds
from repsearch.remade import of_all_images, of_some_images
from repsearch.round_images import halves_of, images_of
from repsearch.rounds import Round, Rounds
from repsearch.searching import search
from repsearch.store.files import folder_path

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split
    from repsearch.rounds import AlternateConfig
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
    model, its statistics calibrated as a search needs them, from noisy copies of the images sent through it. What is
    drawn for an image and layer is the same in every round.

    Args:
        network: is searched in round 0; see `repsearch.search`.
        model: is trained in place, from the weights it comes with.
        data: training images to search and train on, validation images to choose epoch and round on.
        config: see `AlternateConfig`.
        seed: of every search and training.
        store: folder to keep each round's targets and training in; where it was interrupted, it goes on.
        progress: say about how long it will take, show the bars, and a line a round.
        watch: called as watch(round, model) after each round, to measure the model; it must leave it as it was.
        change: called as change(round, network that was searched, its targets), for each half where they are crossed;
            gives the targets to learn from, as a control.

    Returns:
        The `Rounds`. The model ends with the weights of the best one.

    Raises:
        InputError: what `repsearch.search` and `repsearch.learn` raise; layers of network and model that differ in
            shape; a store of another run.

    Example:
        >>> from dataclasses import replace
        >>> from repsearch import learn_network, load, presets, search_network
        >>> data, preset = load("digits", train=40, validation=20, test=20), presets.smoke("digits")
        >>> config = replace(preset.alternate, rounds=2, epochs=2)
        >>> rounds = alternate(search_network(data, preset), learn_network(data, preset), data, config, progress=False)
        >>> len(rounds)
        2
    """
    folder = None if store is None else folder_path("store", store)
    with own_settings():
        check(network, model, data, config, {"watch": watch, "change": change})
        learner = Learner(model, data, config, seed, folder, progress)
        if learner.speaks:
            announce_rounds(network, learner.searchable(), data, config)
        return _run(network, learner, watch, change)


def _run(network: nn.Module, learner: Learner, watch: Watch | None, change: Change | None) -> Rounds:
    """All rounds, one after the other; the model ends with the weights of the best."""
    model, data, config = learner.model, learner.data, learner.config
    halves = _Halves(learner) if config.crossed else None
    done, weights = Rounds(), model.state_dict()
    for number in range(config.rounds):
        images = images_of(number, data, config, learner.seed)
        found = _searched(number, images, network, learner, halves)
        if change is not None:
            found = [(rows, split, searched, change(number, searched, targets))
                     for rows, split, searched, targets in found]
        targets = found[0][3] if len(found) == 1 else of_all_images(
            [part for *_, part in found], [rows for rows, *_ in found], images)
        moved = [moves(searched, part, split, config.search_of(number)) for _, split, searched, part in found
                 if number == 0 or any(config.generations)]
        history, searching, spent = learner.learn(number, images, targets)
        if halves is not None and number + 1 < config.rounds:
            spent += halves.learn(number, images, targets)
        first = done[0].targets if number else targets
        spent += 0.0 if number and targets is first else searching
        done.rounds.append(Round.of(targets, history, images, mean_of(moved), first, spent))
        if done.best == number:
            weights = copy.deepcopy(model.state_dict())
        if watch is not None:
            watch(number, model)
        if learner.speaks:
            tqdm.write(done.last_line())
    model.load_state_dict(weights)
    return done


Part = tuple[Tensor, "Split", nn.Module, "Targets"]
"""Some training images: their rows, the images, the network that was searched for them, and their targets."""


def _searched(
    number: int, split: Split, network: nn.Module, learner: Learner, halves: _Halves | None
) -> list[Part]:
    """What a round's search finds, of all images or of each half."""
    if number and halves is not None:
        return halves.search(number, split, network)
    if number:
        searched, targets = learner.search(number, split, network)
    else:
        place = None if learner.folder is None else learner.folder / "round-0" / "targets"
        searched = network
        targets = search(network, split, learner.config.search, learner.seed, place, learner.progress)
    return [(torch.arange(len(split)), split, searched, targets)]


class _Halves:
    """Two more networks, each trained on half of the images, which search the other half.

    Args:
        learner: of the network that is trained on all.
    """

    def __init__(self, learner: Learner) -> None:
        self.rows, self.learners = list[Tensor](), list[Learner]()
        for number, (rows, half) in enumerate(halves_of(learner.data)):
            folder = None if learner.folder is None else learner.folder / f"half-{number}"
            model = copy.deepcopy(learner.model)
            self.rows.append(rows)
            self.learners.append(Learner(model, half, learner.config, learner.seed, folder, learner.progress))

    def search(self, number: int, split: Split, untrained: nn.Module) -> list[Part]:
        """Search each half of a round's images by the network that was trained on the other."""
        found = list[Part]()
        for rows, other in zip(self.rows, reversed(self.learners), strict=True):
            half = split[rows]
            found.append((rows, half, *other.search(number, half, untrained)))
        return found

    def learn(self, number: int, split: Split, targets: Targets) -> float:
        """Train each on its own half of a round's images; what that cost, in F of an image."""
        return sum(learner.learn(number, split[rows], of_some_images(targets, rows, split[rows]))[2]
                   for rows, learner in zip(self.rows, self.learners, strict=True))
