"""One search and training, and all that is measured of it: the unit of Tables 1 and 2, of Figures 4 to 7, and of the
ablations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repsearch.airbench import learn_network
from repsearch.config import FitConfig, as_dict
from repsearch.data import Dataset
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.learning import Regression
from repsearch.methods.backprop import Backprop
from repsearch.reproduce.measures import watcher
from repsearch.reproduce.samples import Sample, Seeded, Seeds
from repsearch.reproduce.targets import Searched, search_all


@dataclass(frozen=True)
class Setup:
    """All that decides a training, beside its seed.

    Args:
        sample: training images to search and to learn from, validation images to choose the epoch and to measure on.
        width, groups: of the trained network.
        fit: how it is trained: a `LearnConfig` where there are targets, else a `FitConfig`.
        searched: how targets are searched; None where nothing is.
        targets: the body regresses to each image's "own" targets, to those of "other" images, or to its "class means";
            the head always to its own. None is the SGD baseline: cross-entropy with the labels, in the whole network.
        body: "trained", or left "untrained", so that only the head learns.
        statistics: of the trained network at test time.
        measured: how many validation images' representations are followed through the training (section 4.5).
        tested: whether the test images are used, once, at the end.
        seeded: what the seed decides: "all", or one part alone, the others having seed 0.
    """

    sample: Sample
    width: int
    groups: int
    fit: FitConfig
    searched: Searched | None
    targets: Literal["own", "other", "class means"] | None = "own"
    body: Literal["trained", "untrained"] = "trained"
    statistics: Literal["batch", "running"] = "running"
    measured: int = 0
    tested: bool = True
    seeded: Seeded = "all"


def run(setup: Setup, seed: int, root: str | None = None, store: Path | None = None) -> dict[str, Any]:
    """Search and train on the sample's images; see `train`."""
    data = setup.sample.load(root, Seeds.of(seed, setup.seeded).data)
    return {"images": setup.sample.counts(data), **train(data, setup, seed, store)}


def train(data: Dataset, setup: Setup, seed: int = 0, store: Path | None = None) -> dict[str, Any]:
    """Search and train once, and measure it.

    Args:
        data: images as `setup.sample` says.
        setup: what to search and train.
        seed: of networks, search and training, or of the part that `setup.seeded` names.
        store: folder in which searches are kept, to be shared by the variants that need the same; None keeps nothing.

    Returns:
        `found`, of the search: see `measures.search_result` (of each image's own targets, whatever is learned).
        Of the training: `validation_accuracy` of every epoch, and `errors`, `train_accuracy` and `test_accuracy` of the
        best, accuracies in 0..1; `spent`, in F, the search included. `measured`: what `measures.watcher` saw of blocks
        and epochs.

    Raises:
        InputError: as `repsearch.search` and `repsearch.learn`.
    """
    start, seeds = time.perf_counter(), Seeds.of(seed, setup.seeded)
    found, targets, held_out = search_all(data, setup.searched, setup.targets, setup.measured, seeds, store)
    searched = time.perf_counter()

    model = learn_network(data, setup, seeds.network, statistics=setup.statistics)
    if setup.body == "untrained":
        model.blocks.requires_grad_(False)
    method = Backprop() if targets is None else Regression(targets)
    measured: list[dict[str, float]] = []
    watch = watcher(data.validation, held_out, setup.fit.epochs, seeds.training, measured)
    history = fit(model, data, method, setup.fit, seeds.training, progress=False, watch=watch)
    return {
        "seeds": as_dict(seeds), "seconds_search": round(searched - start, 1), "found": found,
        "errors": {part: losses[history.best_epoch] for part, losses in history.parts.items()},
        "validation_accuracy": history.validation_accuracy, "best_epoch": history.best_epoch,
        "spent": history.spent[-1] if history.spent else None,
        "train_accuracy": history.train_accuracy[history.best_epoch], "measured": measured,
        "test_accuracy": share_correct(logits(model, data.test.images), data.test.labels) if setup.tested else None,
    }
