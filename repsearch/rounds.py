"""Rounds of search and learning: how they are run, and what each did; see `repsearch.alternating`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import LearnConfig, SearchConfig
from repsearch.measure import between_class_share

if TYPE_CHECKING:
    from repsearch.data import Split
    from repsearch.moves import Move
    from repsearch.store.reader import Targets
    from repsearch.training import History


@dataclass(frozen=True)
class AlternateConfig:
    """How search and learning take turns.

    Args:
        search, learn: of round 0, which is the paper's method.
        rounds: how many there are, round 0 among them.
        generations: of each layer in later rounds. With none at all, their targets are the network's own activations.
        epochs: of later rounds.
        input_noise: in later rounds, on the copies of the input that start the search.
        pull: in later rounds, of candidates to the network's own activations; see `SearchConfig`.
        normalise: whether later rounds normalise children, as round 0 does, and calibrate the network accordingly. If
            not, they search it as it predicts, at the scale of its own activations.
        judges: whose later blocks judge a candidate in later rounds, those of the "trained" network, or those of the
            "untrained" one of round 0.
        optimizer: of later rounds, a "fresh" one, or a "warm" one that goes on with its momentum.
        crossed: in later rounds the network that searches an image has not been trained on it: two more networks are
            trained along, each on half of the images, and search the other half.
        augment: later rounds search and train on the images flipped and cropped, anew each round; see
            `repsearch.data.augment`. With `learn.augment`, they are augmented once more at each step of the training,
            and a target then serves all that becomes of its image.

    Raises:
        InputError: a value out of range, or not one number of generations a layer.

    Example:
        >>> from repsearch import presets
        >>> replace(presets.book("cifar10").alternate, rounds=5).learn_of(1).epochs
        8
    """

    search: SearchConfig
    learn: LearnConfig
    rounds: int
    generations: tuple[int, ...]
    epochs: int
    input_noise: float
    pull: float = 0.0
    normalise: bool = True
    judges: Literal["trained", "untrained"] = "trained"
    optimizer: Literal["fresh", "warm"] = "fresh"
    crossed: bool = False
    augment: bool = False

    def __post_init__(self) -> None:
        checks.instance("search", self.search, SearchConfig, "give a preset's .search")
        checks.instance("learn", self.learn, LearnConfig, "give a preset's .learn")
        checks.positive_int("rounds", self.rounds)
        checks.positive_int("epochs", self.epochs)
        checks.positive_float("input_noise", self.input_noise)
        if self.pull != 0:
            checks.positive_float("pull", self.pull)
        checks.one_of("judges", self.judges, ("trained", "untrained"))
        checks.one_of("optimizer", self.optimizer, ("fresh", "warm"))
        checks.switch("normalise", self.normalise)
        checks.switch("crossed", self.crossed)
        checks.switch("augment", self.augment)
        if not isinstance(self.generations, list | tuple) or len(self.generations) != len(self.search.schedule):
            raise InputError(f"generations={self.generations!r}: expected one number for each of the "
                             f"{len(self.search.schedule)} layers of search.schedule")
        for count in self.generations:
            checks.positive_int("generations", count, minimum=0)
        if self.judges == "untrained" and not any(self.generations):
            raise InputError("judges='untrained': has nothing to judge without generations; give some")
        object.__setattr__(self, "generations", tuple(self.generations))

    def search_of(self, number: int) -> SearchConfig:
        """How a round searches."""
        if number == 0:
            return self.search
        schedule = tuple(replace(row, generations=count)
                         for row, count in zip(self.search.schedule, self.generations, strict=True))
        return replace(self.search, schedule=schedule, input_noise=self.input_noise, pull=self.pull,
                       normalise=self.normalise and self.search.normalise)

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
        moves: from the activations of the network that was searched to its targets, by block; none where nothing was
            searched.
        from_first: mean distance of the targets to those of round 0, as a share of these, by block; of augmented images
            to those of the plain ones.
        spent: what the round cost in F, its search and all that was trained.
    """

    targets: Targets
    history: History
    before: dict[str, float]
    after: dict[str, float]
    between_class: dict[str, float]
    moves: dict[str, Move]
    from_first: dict[str, float]
    spent: float

    @staticmethod
    def of(
        targets: Targets, history: History, split: Split, moves: dict[str, Move], first: Targets, spent: float
    ) -> Round:
        """What is to be said of a round that searched the images of `split`; shares are of the first 512."""
        losses = {layer: targets.cross_entropy(layer).mean(0) for layer in targets.layers}
        labels, shares, apart = split.labels[:512], {}, {}
        for layer in targets.layers:
            if layer != "logits":
                H, before = (one.read(layer, 0, len(labels)).flatten(1) for one in (targets, first))
                shares[layer] = between_class_share(H, labels)
                apart[layer] = float(((H - before).norm(dim=1) / before.norm(dim=1)).mean())
        return Round(targets, history, {layer: float(loss[0]) for layer, loss in losses.items()},
                     {layer: float(loss[-1]) for layer, loss in losses.items()}, shares, moves, apart, spent)

    def summary(self) -> dict[str, Any]:
        """All of it but the targets, as JSON holds it."""
        return {name: asdict(value) if name == "history" else
                {key: asdict(move) for key, move in value.items()} if name == "moves" else value
                for name, value in vars(self).items() if name != "targets"}

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

    @overload
    def __getitem__(self, number: int) -> Round: ...

    @overload
    def __getitem__(self, number: slice) -> list[Round]: ...

    def __getitem__(self, number: int | slice) -> Round | list[Round]:
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
