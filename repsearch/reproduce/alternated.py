"""Search and learning in turn, and all that is measured of it, a round at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from repsearch.airbench import learn_network, search_network
from repsearch.alternating import alternate
from repsearch.config import FitConfig, as_dict
from repsearch.data import Dataset
from repsearch.engine.conv_engine import ConvEngine
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.methods.backprop import Backprop
from repsearch.reproduce import controls
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.targets import Searched
from repsearch.rounds import AlternateConfig, Rounds

Control = Literal["first targets", "class means", "half shrunk", "wrong labels", "downhill", "taught"]


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
        `rounds`: see `repsearch.rounds.Round`, with the test accuracy after each in 0..1; `best`, the number of that
        which did best on the validation images; `spent`, in F, all rounds and their searches.
    """
    data, tests = setup.sample.load(root, seed), list[float]()
    folder = None if store is None else store / hashlib.sha256(
        json.dumps([as_dict(setup), seed]).encode()).hexdigest()[:16]
    model = learn_network(data, setup, seed)

    def watch(_: int, now: nn.Module) -> None:
        if setup.tested:
            tests.append(share_correct(logits(now, data.test.images), data.test.labels))

    rounds = alternate(
        search_network(data, Searched(setup.width, setup.alternate.search), seed), model, data, setup.alternate, seed,
        folder, progress=False, watch=watch, change=_change(setup, data, seed))
    _check_engine(rounds)
    found = {
        "images": setup.sample.counts(data),
        "rounds": [{**one.summary(), "engine": one.targets.manifest["engine"]} for one in rounds],
        "test": tests, "best": rounds.best, "spent": sum(one.history.spent[-1] for one in rounds),
    }
    if folder is not None:
        shutil.rmtree(folder)  # of many runs they would fill the disk
    return found


def _check_engine(rounds: Rounds) -> None:
    """Engines are loaded by name, where a search needs them: records come from the code of the one imported here."""
    other = {one.targets.manifest["engine"] for one in rounds[1:]} - {ConvEngine.name}
    if other:
        raise RuntimeError(f"searched by {', '.join(other)}, not {ConvEngine.name}, whose code the record's hash is of")


def _change(setup: Setup, data: Dataset, seed: int) -> controls.Change | None:
    """The control that a setup names."""
    config, kind = setup.alternate, setup.control
    if kind is None:
        return None
    if kind == "first targets":
        return controls.first_targets()
    if kind in ("class means", "half shrunk"):
        return controls.shrunk(data, 0.0 if kind == "class means" else 0.5)
    if kind == "wrong labels":
        return controls.wrong_labels(data, config, seed)
    if kind == "downhill":
        return controls.downhill(data, config)
    teacher = learn_network(data, setup, seed + 1000)
    fit(teacher, data, Backprop(), setup.teacher, seed, progress=False)
    return controls.taught(teacher.eval().requires_grad_(False), data.train, config)
