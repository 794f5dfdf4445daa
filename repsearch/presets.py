"""The three presets: smoke (tests, first contact), book (the numbers printed in the book), paper (a GPU or more)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from repsearch import checks
from repsearch.config import FitConfig, LayerSearch, LearnConfig, SearchConfig, split_population
from repsearch.rounds import AlternateConfig


@dataclass(frozen=True)
class Preset:
    """Sizes of data and networks, and the configurations of search and learning.

    Args:
        name: "smoke", "book" or "paper".
        data: name of the data set it is for.
        train, validation, test: images to load; None is all (see `repsearch.load`).
        width: channels of every block, in the searched and the trained network.
        groups: ConvGroups a block of the trained network.
        search: how targets are searched.
        learn: how the network is trained on them.
        baseline: how the SGD baseline is trained.
        cost: what it takes, in words.
        statistics: what BatchNorm of the trained network uses at test time: "running" statistics, so that an image is
            predicted alone as it is in a batch; or those of the "batch", as written in the paper.
        weight_decay: where search and learning take turns, and of SGD beside them; `learn` and `baseline` have none,
            for the paper names none.
    """

    name: str
    data: str
    train: int | None
    validation: int | None
    test: int | None
    width: int
    groups: int
    search: SearchConfig
    learn: LearnConfig
    baseline: FitConfig
    cost: str
    statistics: Literal["running", "batch"] = "running"
    weight_decay: float = 5e-3

    @property
    def alternate(self) -> AlternateConfig:
        """How search and learning take turns; see `repsearch.alternate`.

        Later rounds have about half the epochs, and of the generations a third at the first layer, all at the last, and
        half at those between, in multiples of four, so that they can be shared out among more rounds.
        """
        last = len(self.search.schedule) - 1
        counts = tuple(_fourfold(row.generations / (3 if layer == 0 else 1 if layer == last else 2))
                       for layer, row in enumerate(self.search.schedule))
        return AlternateConfig(
            self.search, replace(self.learn, weight_decay=self.weight_decay), rounds=3, generations=counts,
            epochs=_fourfold(self.learn.epochs / 2), input_noise=0.1)


def _fourfold(number: float) -> int:
    """The nearest multiple of four, at least four."""
    return max(4, 4 * round(number / 4))


def smoke(data: str = "digits") -> Preset:
    """Small enough to run while one waits. MNIST's mutation strength is 0.1 everywhere (A.2), as at every preset.

    Rates were chosen on validation images of digits and MNIST.
    """
    population = split_population(48, 8)
    return Preset(
        name="smoke", data=data, train=200, validation=200, test=300, width=16, groups=2,
        search=SearchConfig(_schedule(data, (20, 10, 10, 3)), **population),
        learn=LearnConfig(epochs=20, batch=50, learning_rate=2.0, head_weight=0.15),
        baseline=FitConfig(epochs=20, batch=50, learning_rate=0.1),
        cost="about a minute on two CPU cores", weight_decay=5e-4,
    )


def book(data: str = "cifar10") -> Preset:
    """The numbers printed in the book: real images, a narrow network, a short search.

    The depth of the search-based network was chosen on validation images of CIFAR-10; SGD is run at each depth, at the
    rate best for it.
    """
    search = SearchConfig(_schedule(data, (30, 15, 15, 5)), **split_population(60, 10))
    return Preset(
        name="book", data=data, train=2000, validation=1000, test=5000, width=32, groups=1, search=search,
        learn=LearnConfig(epochs=20, batch=125, learning_rate=1.0, head_weight=0.3, precision="bfloat16"),
        baseline=FitConfig(epochs=20, batch=125, learning_rate=0.3, precision="bfloat16"),
        cost="a minute or two a training on two CPU cores",
    )


def paper(data: str = "cifar10", reading: Literal["best", "literal"] = "best") -> Preset:
    """The paper's own sizes (appendix A).

    The learning rate is its 4.0 in airbench's decoupled units: 4.0 * batch / (1024 * (1 + 1 / (1 - momentum))) for a
    loss averaged over the batch.

    Args:
        data: name of the data set.
        reading: of what the paper leaves open: the "best" we found on validation images, at the book's sizes; or the
            "literal" one, closest to its words: noise for every pixel, smoothing of the whole child, and a trained
            network whose BatchNorm uses the statistics of its batch at test time, too.
    """
    checks.one_of("reading", reading, ("best", "literal"))
    momentum, batch = 0.85, 2000
    rate = 4.0 * batch / (1024 * (1 + 1 / (1 - momentum)))
    epochs = 1000 if data == "mnist" else 90
    learn = LearnConfig(epochs=epochs, batch=batch, learning_rate=rate, momentum=momentum, head_weight=0.03)
    baseline = FitConfig(epochs=epochs, batch=batch, learning_rate=rate, momentum=momentum)
    preset = Preset(
        name="paper", data=data, train=None, validation=4000, test=None, width=256, groups=2 if data == "mnist" else 3,
        search=SearchConfig(_schedule(data, (300, 100, 100, 10))), learn=learn, baseline=baseline,
        cost="seconds an image to search on two CPU cores; a GPU to train",
    )
    if reading == "best":
        return preset
    return replace(preset, search=replace(preset.search, noise="pixel", blurred="child"), statistics="batch")


PRESETS: dict[str, Callable[..., Preset]] = {"smoke": smoke, "book": book, "paper": paper}


def named(name: str | None = None, data: str | None = None) -> Preset:
    """The preset called `name`, by default the environment's REPSEARCH_PRESET, else smoke.

    Args:
        name: "smoke", "book" or "paper".
        data: the data set it is for; by default digits at smoke, CIFAR-10 at book and paper.

    Raises:
        InputError: no preset has that name.

    Example:
        >>> named("paper", "mnist").search.population
        240
    """
    name = name or os.environ.get("REPSEARCH_PRESET") or "smoke"
    checks.one_of("preset", name, PRESETS)
    return PRESETS[name](data) if data else PRESETS[name]()


def _schedule(data: str, generations: tuple[int, int, int, int]) -> tuple[LayerSearch, ...]:
    """The table of appendix A.4, with the generations given."""
    strengths = (0.1, 0.1, 0.1, 0.1) if data == "mnist" else (0.3, 0.2, 0.1, 0.1)
    boosts, blurs = (5.0, 3.0, 3.0, 1.0), (5, 1, 1, 0)
    rows = zip(generations, strengths, boosts, blurs, strict=True)
    return tuple(LayerSearch(*row) for row in rows)
