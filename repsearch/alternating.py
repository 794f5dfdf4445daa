"""Search and learning take turns: what the paper leaves open (its section 6).

The paper searches an untrained network once, and trains another on what it found. Here the trained network is searched
in its turn, from its own activations and with its own later blocks as judges, and is trained on that: its targets then
stand where it can reach them.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn
from tqdm import tqdm

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.config import LearnConfig, SearchConfig
from repsearch.data import Dataset
from repsearch.engine.shapes import layer_shapes
from repsearch.learning import learn
from repsearch.measure import between_class_share
from repsearch.networks import calibrate
from repsearch.operators import image_generators, noisy
from repsearch.presets import Preset
from repsearch.searching import search
from repsearch.store.files import folder_path
from repsearch.store.reader import Targets
from repsearch.training import History


@dataclass(frozen=True)
class AlternateConfig:
    """How search and learning take turns.

    Args:
        search, learn: of round 0, which is the paper's method.
        rounds: how many there are, round 0 among them.
        generations: of each layer in later rounds.
        epochs: of later rounds.
        input_noise: in later rounds, on the copies of the input that start the search.

    Raises:
        InputError: a value out of range, or not one number of generations a layer.

    Example:
        >>> from repsearch import presets
        >>> AlternateConfig.of(presets.book("cifar10")).generations
        (10, 8, 8, 5)
    """

    search: SearchConfig
    learn: LearnConfig
    rounds: int = 3
    generations: tuple[int, ...] = (10, 8, 8, 5)
    epochs: int = 10
    input_noise: float = 0.1

    def __post_init__(self) -> None:
        checks.instance("search", self.search, SearchConfig, "give a preset's .search")
        checks.instance("learn", self.learn, LearnConfig, "give a preset's .learn")
        checks.positive_int("rounds", self.rounds)
        checks.positive_int("epochs", self.epochs)
        checks.positive_float("input_noise", self.input_noise)
        if not isinstance(self.generations, list | tuple) or len(self.generations) != len(self.search.schedule):
            raise InputError(f"generations={self.generations!r}: expected one number for each of the "
                             f"{len(self.search.schedule)} layers of search.schedule")
        for count in self.generations:
            checks.positive_int("generations", count)
        object.__setattr__(self, "generations", tuple(self.generations))

    @staticmethod
    def of(preset: Preset, rounds: int = 3) -> AlternateConfig:
        """That of a preset: weight decay as was best for either, and later rounds of half the length."""
        counts = tuple(max(1, round(share * row.generations))
                       for share, row in zip((1 / 3, 1 / 2, 1 / 2, 1), preset.search.schedule, strict=True))
        return AlternateConfig(preset.search, replace(preset.learn, weight_decay=5e-3), rounds, counts,
                               max(1, preset.learn.epochs // 2))

    def search_of(self, number: int) -> SearchConfig:
        """How a round searches."""
        if number == 0:
            return self.search
        schedule = tuple(replace(row, generations=count)
                         for row, count in zip(self.search.schedule, self.generations, strict=True))
        return replace(self.search, schedule=schedule, input_noise=self.input_noise)

    def learn_of(self, number: int) -> LearnConfig:
        """How a round trains."""
        return self.learn if number == 0 else replace(self.learn, epochs=self.epochs)


@dataclass(frozen=True)
class Round:
    """What a round did.

    Args:
        targets: what its search found.
        history: of its training.
        before, after: cross-entropy of each layer's best candidate as its search began, and at its end; by layer.
        between_class: share of the targets' variance that lies between the classes, by block; see
            `repsearch.measure.between_class_share`.
    """

    targets: Targets
    history: History
    before: dict[str, float]
    after: dict[str, float]
    between_class: dict[str, float]

    @property
    def accuracy(self) -> float:
        """On the validation images, of the epoch that was kept."""
        return self.history.validation_accuracy[self.history.best_epoch]


@dataclass
class Rounds:
    """All rounds, in order; the model has the weights of `best`, the one that did best on the validation images."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Number of the round of the highest validation accuracy."""
        return max(range(len(self.rounds)), key=lambda number: self.rounds[number].accuracy)

    def __len__(self) -> int:
        return len(self.rounds)

    def __iter__(self) -> Iterator[Round]:
        return iter(self.rounds)

    def __getitem__(self, number: int) -> Round:
        return self.rounds[number]

    def __repr__(self) -> str:
        accuracies = ", ".join(f"{one.accuracy:.1%}" for one in self.rounds)
        return f"Rounds({len(self)}, validation accuracy {accuracies})"


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
        done.rounds.append(_round(targets, history, data))
        weights.append(copy.deepcopy(model.state_dict()))
        if progress and ranks.rank() == 0:
            tqdm.write(_line(done))
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


def _round(targets: Targets, history: History, data: Dataset, images: int = 512) -> Round:
    losses = {layer: targets.cross_entropy(layer).mean(0) for layer in targets.layers}
    labels = data.train.labels[:images]
    blocks = [layer for layer in targets.layers if layer != "logits"]
    return Round(
        targets, history, {layer: float(loss[0]) for layer, loss in losses.items()},
        {layer: float(loss[-1]) for layer, loss in losses.items()},
        {block: between_class_share(targets.read(block, 0, len(labels)), labels) for block in blocks})


def _line(done: Rounds) -> str:
    last = done[-1]
    first = next(iter(last.before))
    line = (f"round {len(done) - 1}: {first} cross-entropy {last.before[first]:.3f} before, {last.after[first]:.3f} "
            f"after; validation accuracy {last.accuracy:.1%}")
    if done.best != len(done) - 1:
        line += f", below {done[done.best].accuracy:.1%} of round {done.best}, whose weights are kept"
    return line
