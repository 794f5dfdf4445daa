"""Search and learning in turn, and all that is measured of it, a round at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from repsearch.airbench import learn_network, search_network
from repsearch.alternating import alternate
from repsearch.config import FitConfig, as_dict
from repsearch.engine.conv_engine import ConvEngine
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.methods.backprop import Backprop
from repsearch.reproduce import controls
from repsearch.reproduce.targets import Searched

if TYPE_CHECKING:
    from repsearch.data import Dataset
    from repsearch.reproduce.samples import Sample
    from repsearch.rounds import AlternateConfig, Round
    from repsearch.store.reader import Targets

ENGINES = (ConvEngine,)
"""Loaded by name, where a search needs them; named here, since their code, too, is what made these records."""
Control = Literal["first targets", "class means", "half shrunk", "wrong labels", "still", "others' moves", "downhill",
                  "taught"]


@dataclass(frozen=True)
class Setup:
    """All that decides a run, beside its seed.

    Args:
        sample: images.
        width, groups: of the trained network.
        alternate: how search and learning take turns.
        teacher: how the network is trained whose activations are learned from as a control.
        control: what is learned from in place of what was found, see `repsearch.reproduce.controls`.
        tested: whether the test images are used, after every round.
        statistics: of the trained network at test time; a later round searches with the running ones.
    """

    sample: Sample
    width: int
    groups: int
    alternate: AlternateConfig
    teacher: FitConfig
    control: Control | None = None
    tested: bool = True
    statistics: Literal["running", "batch"] = "running"


def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Search and learn in turn; interrupted, it goes on from what `store` has of it.

    Returns:
        `engines` that searched; `rounds`, see `repsearch.rounds.Round`, of whose history only `validation_accuracy` of
        every epoch stays, and of the epoch that was kept `train_accuracy` and `errors`, by part; `test`, the accuracy
        after each round, in 0..1; `best`, the number of that which did best on the validation images; `spent`, in F,
        all rounds, their searches, and what a control cost.
    """
    data, tests = setup.sample.load(root, seed), list[float]()
    folder = None if store is None else store / hashlib.sha256(
        json.dumps([as_dict(setup), seed]).encode()).hexdigest()[:16]
    model = learn_network(data, setup, seed)

    def watch(_: int, now: nn.Module) -> None:
        if setup.tested:
            tests.append(share_correct(logits(now, data.test.images), data.test.labels))

    change, teaching = _change(setup, data, seed)
    engines = list[str]()

    def changed(number: int, searched: nn.Module, targets: Targets) -> Targets:
        engines.append(targets.manifest["engine"])
        return targets if change is None else change(number, searched, targets)

    rounds = alternate(
        search_network(data, Searched(setup.width, setup.alternate.search), seed), model, data, setup.alternate, seed,
        folder, progress=False, watch=watch, change=changed)
    found = {
        "images": setup.sample.counts(data), "engines": engines, "rounds": [_said(one) for one in rounds],
        "test": tests, "best": rounds.best, "spent": sum(one.spent for one in rounds) + teaching,
    }
    if folder is not None:
        shutil.rmtree(folder)  # of many runs they would fill the disk
    return found


def _said(one: Round) -> dict[str, Any]:
    """A round as a record holds it."""
    history = one.history
    kept: int = history.best_epoch
    return {
        **{name: value for name, value in one.summary().items() if name != "history"},
        "validation_accuracy": history.validation_accuracy, "best_epoch": kept,
        "train_accuracy": history.train_accuracy[kept],
        "errors": {part: losses[kept] for part, losses in history.parts.items()},
    }


def _change(setup: Setup, data: Dataset, seed: int) -> tuple[controls.Change | None, float]:
    """The control that a setup names, and what it cost to make, in F."""
    config, kind = setup.alternate, setup.control
    if kind is None:
        return None, 0.0
    if kind == "first targets":
        return controls.first_targets(), 0.0
    if kind in ("class means", "half shrunk"):
        return controls.shrunk(data, 0.0 if kind == "class means" else 0.5), 0.0
    if kind == "wrong labels":
        return controls.wrong_labels(data, config, seed), 0.0
    if kind == "still":
        return controls.still(data, config), 0.0
    if kind == "others' moves":
        return controls.others_moves(data, config, seed), 0.0
    if kind == "downhill":
        return controls.downhill(data, config), 0.0
    teacher = learn_network(data, setup, seed + 1000)
    history = fit(teacher, data, Backprop(), setup.teacher, seed, progress=False)
    return controls.taught(teacher.eval().requires_grad_(False), data.train, config), history.spent[-1]
