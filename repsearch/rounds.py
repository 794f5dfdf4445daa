"""Rounds of search and learning: how they are run, and what each did; see `repsearch.alternating`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import LearnConfig, SearchConfig
from repsearch.measure import between_class_share

if TYPE_CHECKING:
    from repsearch.data import Split
    from repsearch.presets import Preset
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
        """That of a preset: weight decay as was best for either side; later rounds of half the epochs, with a third of
        the generations at the first layer, all at the last, and half at those between."""
        last = len(preset.search.schedule) - 1
        counts = tuple(max(1, round(row.generations / (3 if layer == 0 else 1 if layer == last else 2)))
                       for layer, row in enumerate(preset.search.schedule))
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

    @staticmethod
    def of(targets: Targets, history: History, split: Split, images: int = 512) -> Round:
        """What is to be said of a round that searched the images of `split`; shares are of the first so many."""
        losses = {layer: targets.cross_entropy(layer).mean(0) for layer in targets.layers}
        labels = split.labels[:images]
        shares = {layer: between_class_share(targets.read(layer, 0, len(labels)), labels)
                  for layer in targets.layers if layer != "logits"}
        return Round(targets, history, {layer: float(loss[0]) for layer, loss in losses.items()},
                     {layer: float(loss[-1]) for layer, loss in losses.items()}, shares)

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

    def last_line(self) -> str:
        """A line about the last round."""
        last = self[-1]
        first = next(iter(last.before))
        line = (f"round {len(self) - 1}: {first} cross-entropy {last.before[first]:.3f} before, {last.after[first]:.3f}"
                f" after; validation accuracy {last.accuracy:.1%}")
        if self.best != len(self) - 1:
            line += f", below {self[self.best].accuracy:.1%} of round {self.best}, whose weights are kept"
        return line
