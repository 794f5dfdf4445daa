"""The whole method, once and in turns, at any preset: what `python -m repsearch demo` shows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repsearch.airbench import learn_network, search_network
from repsearch.alternating import alternate
from repsearch.config import as_dict
from repsearch.evaluation import accuracy
from repsearch.fitting import fit
from repsearch.learning import learn
from repsearch.methods.backprop import Backprop
from repsearch.reproduce.records import Record, record

if TYPE_CHECKING:
    from repsearch.data import Dataset
    from repsearch.presets import Preset


def demo(data: Dataset, preset: Preset, seed: int = 0, store: Path | None = None, progress: bool = True) -> Record:
    """Search and learn, once and then in turn, and what that has to be compared with.

    Args:
        data: its training images are searched; its test images are looked at after each round, and choose nothing.
        preset: sizes and configurations.
        seed: of networks, searches and trainings.
        store: folder to keep rounds in.
        progress: show bars.

    Returns:
        A record: cross-entropy before and after round 0's search a layer, the curves of the trainings, and test
        accuracies: of an untrained body whose head learns from the same targets, which says how much of that is the
        body's; of "one shot", the network after round 0; of the network that searched and learned "in turn"; and of
        SGD with weight decay, in as many epochs.
    """
    start, config = time.perf_counter(), preset.alternate
    models = {name: learn_network(data, preset, seed) for name in ("untrained body", "in turn", "SGD")}
    tested = list[float]()
    rounds = alternate(search_network(data, preset, seed), models["in turn"], data, config, seed, store, progress,
                       watch=lambda _, now: tested.append(accuracy(now, data.test)))
    targets = rounds[0].targets
    models["untrained body"].blocks.requires_grad_(False)
    epochs = config.learn.epochs + (config.rounds - 1) * config.epochs
    rival = replace(preset.baseline, epochs=epochs, weight_decay=config.learn.weight_decay)
    histories = {
        "untrained body": [learn(models["untrained body"], data, targets, config.learn, seed, progress=progress)],
        "in turn": [one.history for one in rounds],
        "SGD": [fit(models["SGD"], data, Backprop(), rival, seed, progress=progress)],
    }
    curves = {layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers}
    settings = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    settings |= {key: value for key, value in as_dict(preset).items() if key not in (*settings, "data", "name", "cost")}
    scores = {name: accuracy(model, data.test) for name, model in models.items()}
    return record(
        "demo", seed, time.perf_counter() - start, settings | {"alternate": as_dict(config)}, data=data.name,
        preset=preset.name, cross_entropy=curves, probability=float(targets.probability.mean()),
        validation_accuracy={name: [value for part in parts for value in part.validation_accuracy]
                             for name, parts in histories.items()},
        rounds=[one.accuracy for one in rounds],
        accuracy={"untrained body": scores["untrained body"], "one shot": tested[0], "in turn": scores["in turn"],
                  "SGD": scores["SGD"]},
    )
