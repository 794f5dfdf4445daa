"""Sets of models that differ in one thing: are they different models, are they better together, and under shift?"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from repsearch.airbench import learn_network, search_network
from repsearch.alternating import alternate
from repsearch.engine.conv_engine import ConvEngine
from repsearch.fitting import fit
from repsearch.learning import Regression
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.rivals import Regularised
from repsearch.reproduce.set_measures import compared, shifted
from repsearch.reproduce.targets import Searched, body_targets

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset
    from repsearch.method import Batch, Step
    from repsearch.networks import Network
    from repsearch.reproduce.samples import Sample
    from repsearch.rounds import AlternateConfig

ENGINES = (ConvEngine,)
"""As in `repsearch.reproduce.alternated`."""


@dataclass(frozen=True)
class Arm:
    """What the models of a set are, and what each has of its own; in all else they are alike.

    Args:
        what: in a few words, for tables.
        learns: "once", from one search of the untrained network; by the "loop"; by "sgd"; by sgd "matched", whose epoch
            is taken that is nearest, in accuracy on validation images, to a model that learned "once"; or not at all,
            "untrained".
        own: of each model: the draws of its "search", the initial weights of its "network", the "order" of its images,
            or the "images" whose targets it learns.
        targets: of one search: each image's "own", or "class means".
        noise: std of noise on every image that SGD sees.
        epochs: of SGD, if not the setup's.
    """

    what: str
    learns: Literal["once", "loop", "sgd", "matched", "untrained"]
    own: Literal["search", "network", "order", "images"]
    targets: Literal["own", "class means"] = "own"
    noise: float = 0.0
    epochs: int | None = None


@dataclass(frozen=True)
class Setup:
    """All that decides a set, beside its seed.

    Args:
        sample: images.
        width, groups: of the networks.
        arm: see `Arm`.
        alternate: how search and learning take turns; its first round is one search and the training after it.
        sgd: how SGD trains.
        smoothing, dropout: see `repsearch.reproduce.rivals.Regularised`.
        models: in the set.
        corrupted: how many test images, the first ones, are corrupted in every way.
        severities: of the corruptions.
        statistics: as in `repsearch.presets.Preset`.
    """

    sample: Sample
    width: int
    groups: int
    arm: Arm
    alternate: AlternateConfig
    sgd: FitConfig
    smoothing: float = 0.0
    dropout: float = 0.0
    models: int = 3
    corrupted: int = 0
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    statistics: Literal["running", "batch"] = "running"


@dataclass(frozen=True)
class Noisy(Regularised):
    """The same on images with noise.

    Args:
        smoothing, dropout: as in `Regularised`.
        noise: its std, in the units of the images as the network sees them.
    """

    noise: float = 0.0

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """One gradient; the noise is drawn anew each time."""
        images = batch.images + self.noise * torch.randn_like(batch.images)
        return super().step(model, replace(batch, images=images), config)


def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Train a set of models and compare them.

    Returns:
        See `repsearch.reproduce.set_measures.compared`, and `shifted` where images are corrupted.
    """
    data = setup.sample.load(root, seed)
    models = [trained(setup, data, seed, number, store).eval() for number in range(setup.models)]
    found = {"images": setup.sample.counts(data), **compared(models, data)}
    if setup.corrupted:
        found["shift"] = shifted(models, data, setup.corrupted, setup.severities)
    return found


def trained(setup: Setup, data: Dataset, seed: int, number: int, store: Path | None = None) -> Network:
    """A model of a set.

    Args:
        setup: says what it has of its own.
        data: images as `setup.sample` says.
        seed: of all that the models of the set share.
        number: of the model, from 0; the first has nothing of its own.
        store: folder in which searches are kept.
    """
    arm, own = setup.arm, seed + 1000 * number
    model = learn_network(data, setup, own if arm.own == "network" else seed)
    if arm.learns == "loop":
        network = search_network(data, Searched(setup.width, setup.alternate.search), seed)
        alternate(network, model, data, setup.alternate, own if arm.own == "search" else seed, progress=False)
    elif arm.learns == "once":
        _learn_once(setup, data, model, seed, own, store)
    elif arm.learns == "matched":
        twin = deepcopy(model)
        aim = _learn_once(setup, data, twin, seed, own, store)
        _match(setup, data, model, own, aim)
    elif arm.learns == "sgd":
        if arm.own == "order" and number:
            order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(own))
            data = replace(data, train=data.train[order])
        config = replace(setup.sgd, epochs=arm.epochs or setup.sgd.epochs)
        fit(model, data, Noisy(setup.smoothing, setup.dropout, arm.noise), config, own, progress=False)
    return model


def _learn_once(setup: Setup, data: Dataset, model: Network, seed: int, own: int, store: Path | None) -> float:
    """Search the untrained network and learn; returns the accuracy on validation images."""
    arm, config = setup.arm, setup.alternate
    network = search_network(data, Searched(setup.width, config.search), seed)
    search = cached_search(network, data.train, config.search, own if arm.own == "search" else seed, store)
    targets = body_targets([search], data.train, "other" if arm.own == "images" else arm.targets, own)
    history = fit(model, data, Regression(targets), config.learn, seed, progress=False)
    return max(history.validation_accuracy)


def _match(setup: Setup, data: Dataset, model: Network, seed: int, aim: float) -> None:
    """Train by SGD, and go back to the epoch whose accuracy on validation images is nearest to `aim`."""
    seen: list[dict[str, Any]] = []
    method = Noisy(setup.smoothing, setup.dropout)
    history = fit(model, data, method, setup.sgd, seed, progress=False,
                  watch=lambda _, now: seen.append(deepcopy(now.state_dict())))
    reached = history.validation_accuracy
    nearest = min(range(len(reached)), key=lambda at: abs(reached[at] - aim))
    model.load_state_dict(seen[nearest + 1])  # the first was seen before the first epoch
