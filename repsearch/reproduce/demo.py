"""The whole method once, at any preset: what `python -m repsearch demo` shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from repsearch.airbench import learn_network, search_network
from repsearch.config import as_dict
from repsearch.evaluation import accuracy
from repsearch.fitting import fit
from repsearch.learning import learn
from repsearch.methods.backprop import Backprop
from repsearch.reproduce.records import Record, record
from repsearch.searching import search

if TYPE_CHECKING:
    from repsearch.data import Dataset
    from repsearch.presets import Preset


def demo(data: Dataset, preset: Preset, seed: int = 0, store: Path | None = None, progress: bool = True) -> Record:
    """Search, learn from what was found, and what it has to be compared with.

    Args:
        data: its training images are searched; its test images are used once, at the end.
        preset: sizes and configurations.
        seed: of networks, search and training.
        store: folder to cache the targets in.
        progress: show bars.

    Returns:
        A record: cross-entropy before and after search a layer, the curves of the trainings, and test accuracies: of
        the search-based network; of an untrained body whose head learns from the same targets, which says how much of
        that is the body's; and of SGD, in the same epochs.
    """
    start = time.perf_counter()
    network = search_network(data, preset, seed)
    targets = search(network, data.train, preset.search, seed, store, progress=progress)
    searched = time.perf_counter()

    models = {name: learn_network(data, preset, seed) for name in ("untrained body", "search-based", "SGD")}
    models["untrained body"].blocks.requires_grad_(False)
    histories = {
        "untrained body": learn(models["untrained body"], data, targets, preset.learn, seed, progress=progress),
        "search-based": learn(models["search-based"], data, targets, preset.learn, seed, progress=progress),
        "SGD": fit(models["SGD"], data, Backprop(), preset.baseline, seed, progress=progress),
    }
    curves = {layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers}
    settings = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    settings |= {key: value for key, value in as_dict(preset).items() if key not in (*settings, "data", "name", "cost")}
    return record(
        "demo", seed, time.perf_counter() - start, settings, data=data.name, preset=preset.name,
        seconds_search=round(searched - start, 1), cross_entropy=curves,
        probability=float(targets.probability.mean()),
        validation_accuracy={name: history.validation_accuracy for name, history in histories.items()},
        losses={name: history.parts for name, history in histories.items()},
        accuracy={name: accuracy(model, data.test) for name, model in models.items()},
    )
