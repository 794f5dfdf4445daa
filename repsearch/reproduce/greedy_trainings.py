"""Greedy evolution trains a network: figure 2, and 7 of the appendix; and what else a generation's steps could be made
into at the same cost.

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD". Fitness is the cross-entropy
of all training images, without dropout, so that elitism keeps no lucky mask.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from repsearch.config import FitConfig
from repsearch.fitting import fit
from repsearch.method import Batch, Step
from repsearch.methods.goea import GOEA
from repsearch.reproduce.greedy_network import (
    PLAIN,
    Recipe,
    Way,
    combined,
    greedy_network,
    learn,
    measure,
    pictures,
)
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.data import Dataset
    from repsearch.method import Method
    from repsearch.reproduce.samples import Sample

SETTINGS = {"base": (1.0, 1.0), "std-x8": (1.0, 8.0), "std-x0.125": (1.0, 0.125), "population-x2": (2.0, 1.0),
            "population-x0.2": (0.2, 1.0)}
"""Of figure 7: what population and std of the base are multiplied with."""
LONGEST = 2000
"""Generations, at most, to where they part."""


@dataclass(frozen=True)
class Setup:
    """A training, or those of figure 7.

    Args:
        sample: all of its training images are a batch; some test images are looked at while it trains.
        way: GO-EA that keeps the "best" of a generation, as in its code, or the "first" that gains, and so on from
            there, as in its algorithm 1; one step a generation made of all, as long as a random one: "one" that gains,
            the "mean" of those that gain, if it gains itself, or the "sum" weighted with gains, whatever it brings;
            "sgd"; or the "settings" of figure 7.
        generations: of 20 children and their parent; epochs of SGD.
        population, std: of GO-EA.
        every: generations from one look at the test images to the next.
        start: training accuracy, in 0..1, that GO-EA reaches before the settings of figure 7 part.
        recipe: the network, and SGD.
    """

    sample: Sample
    way: Literal["best", "first", "one", "mean", "sum", "sgd", "settings"]
    generations: int
    population: int = 20
    std: float = 0.01
    every: int = 20
    start: float = 0.6
    recipe: Recipe = PLAIN


class Mixture(GOEA):
    """GO-EA with one step a generation that is made of all its children, as long as a random one.

    Args:
        population: networks evaluated a generation beside the parent, its "mean" among them.
        std: a step is as long as one with this standard deviation on each weight.
        way: see `combined`; only "sum" takes a step that makes the fitness worse.
    """

    def __init__(self, population: int, std: float, way: Way) -> None:
        super().__init__(population - (way == "mean"), std)
        self.way = way

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "way": self.way}

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:  # noqa: ARG002
        """The parent, or it after a step. The loss of "sum" is the parent's, for nobody has evaluated the new one."""
        scores, kept = self.evaluate(self.population + 1, batch.images, batch.labels)
        found, steps = scores[0], kept[0][1:]
        made, better = combined(steps, found[1:] - found[0], self.way), found[1:] > found[0]
        loss, taken = -found[0], self.way == "sum"
        if self.way != "one":
            made *= self.std * self.members.dimension**0.5 / made.norm().clamp_min(1e-30)
        elif bool(better.any()):
            loss, taken = -found[1:][better][0], True
        if self.way == "mean":
            logits = self.members.logits(self.members.parts(made[None]), (1.0,), batch.images)
            trial = self.fitness(logits, batch.labels)[0, 0]
            taken = bool(trial > found[0])
            loss = -trial if taken else loss
        if taken:
            self.members.move(self.members.centre() + made)
        done = self.done(model, batch, scores, self.population + 1 + (self.way == "mean"), loss)
        return replace(done, parts={**done.parts, "accepted": torch.tensor(float(taken))})


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train once, or with each of the settings of figure 7.

    Returns:
        Of each generation `loss` of the training images after it (of "sum", before it) and `accepted`, steps taken;
        `tested`, every so many generations, `generation`, and `loss` and `accuracy` of the test images and `train_loss`
        and `train_accuracy`, accuracies in 0..1; `spent`, F after the last. Of "settings", `start`, such a look where
        they part, and all of this of each by name in `settings`.
    """
    data = pictures(setup.sample, root, seed)
    model = greedy_network(setup.recipe, seed, exact=True)
    counts = {"images": setup.sample.counts(data)}
    if setup.way == "sgd":
        return {**counts, **_sgd(model, data, setup, seed)}
    if setup.way != "settings":
        return {**counts, **train(model, data, setup, seed)}
    before = _reach(model, data, setup, seed)
    found, state = {}, {name: value.clone() for name, value in model.state_dict().items()}
    for name, (members, size) in SETTINGS.items():
        model.load_state_dict(state)
        changed = replace(setup, way="best", population=round(members * setup.population), std=size * setup.std)
        found[name] = train(model, data, changed, seed)
    model.load_state_dict(state)
    return {**counts, "start": _look(model, data, before), "settings": found}


def train(model: nn.Module, data: Dataset, setup: Setup, seed: int) -> dict[str, Any]:
    """Train the network in place; see `run`."""
    tested: list[dict[str, float]] = []

    def watch(generation: int, model: nn.Module) -> None:
        if generation % setup.every == 0 or generation == setup.generations:
            tested.append(_look(model, data, generation))

    config = FitConfig(epochs=setup.generations, batch=len(data.train), learning_rate=1.0, momentum=0.0, keep="last")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "method: .* moved no weight")  # a generation may find nothing better
        history = fit(model, data, _method(setup), config, seed, progress=False, watch=watch)
    return {"loss": history.loss, "accepted": history.parts["accepted"], "spent": history.spent[-1], "tested": tested}


def _method(setup: Setup) -> Method:
    if setup.way in ("best", "first"):
        return GOEA(setup.population, setup.std, accept=setup.way)
    return Mixture(setup.population, setup.std, cast("Way", setup.way))


def _reach(model: nn.Module, data: Dataset, setup: Setup, seed: int) -> int:
    """Let GO-EA train the network up to `setup.start`; generations that it took.

    Not SGD: weights that random steps have made long are turned less by the next ones, where a spectral norm is.
    """
    done, some = 0, replace(setup, way="best", generations=setup.every)
    while measure(model, data.train.images, data.train.labels)[1] < setup.start and done < LONGEST:
        done += setup.every
        train(model, data, some, seed + 1000 * done)  # other steps than those that follow
    return done


def _sgd(model: nn.Module, data: Dataset, setup: Setup, seed: int) -> dict[str, Any]:
    generator, train = generator_of(seed, 3), data.train
    tested = [_look(model, data, 0)]
    for epoch in range(setup.generations):
        learn(model, train.images, train.labels, setup.recipe, generator, epochs=1)
        tested.append(_look(model, data, epoch + 1))
    return {"loss": [point["train_loss"] for point in tested[1:]], "accepted": [], "tested": tested,
            "spent": 3.0 * len(train) * setup.generations}


def _look(model: nn.Module, data: Dataset, generation: int) -> dict[str, float]:
    loss, accuracy = measure(model, data.test.images, data.test.labels)
    train_loss, train_accuracy = measure(model, data.train.images, data.train.labels)
    return {"generation": generation, "loss": loss, "accuracy": accuracy, "train_loss": train_loss,
            "train_accuracy": train_accuracy}
