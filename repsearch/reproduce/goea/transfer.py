"""Networks of the source's archetypes, and their transfer: labels 8 and 9 are shown, and training goes on.

Figures 3, 8 and 13 before transfer; Figures 14 and 15 after each epoch of it. The source trains each archetype on with
its own batches and rate, so that batches of 4 take 32 times the steps that batches of 128 take. Here every network is
also trained on in one same way, which leaves to its weights what differs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from repsearch.reproduce.goea.flatness import Setup as Flatness
from repsearch.reproduce.goea.flatness import Training, curves, judged, measured, set_dropout, trained
from repsearch.reproduce.goea.network import CLASSES, train

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split


@dataclass(frozen=True)
class Setup:
    """Networks, and how they are trained on.

    Args:
        flatness: the networks, and what is measured of each before transfer.
        alike: how they all are trained on, for so many epochs; beside each one's own way, for as many.
        watched: names of the networks whose flatness is measured after each epoch of their own way.
    """

    flatness: Flatness
    alike: Training
    watched: tuple[str, ...]


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train every network with labels 8 and 9 hidden, measure it, and train it on with all labels.

    Returns:
        `nets`, by name: what `repsearch.reproduce.goea.flatness.measured` gives; and `transfer`, "own" and "alike",
        lists of what `revealed` gives.
    """
    (data, split), nets = setup.flatness.images(root, seed), {}
    for net in setup.flatness.nets:
        start = trained(net, data, seed)
        nets[net.name] = measured(start, data, split, setup.flatness, seed)
        own, watched = replace(net.training, epochs=setup.alike.epochs), net.name in setup.watched
        nets[net.name]["transfer"] = {
            "own": revealed(start, data, split, own, seed, setup.flatness if watched else None),
            "alike": revealed(start, data, split, setup.alike, seed),
        }
    return {"images": setup.flatness.sample.counts(data), "nets": nets}


def revealed(
    start: nn.Sequential, data: Dataset, split: Split, how: Training, seed: int, flatness: Flatness | None = None
) -> list[dict[str, Any]]:
    """Train a network on with all labels.

    The rate rises and falls within each epoch, so that what is judged after it has settled.

    Args:
        start: left as it was.
        how: `epochs` are as many as are judged.
        flatness: which curves to measure after each epoch, if any.

    Returns:
        What `judged` gives, before the first epoch and after each; after them also `curves`, where asked for.
    """
    net = copy.deepcopy(start)
    set_dropout(net, how.drop_in, how.drop)
    found: list[dict[str, Any]] = [{**judged(net, split)}]
    for epoch in range(1, how.epochs + 1):
        train(net, data, 1, how.batch, how.rate, CLASSES, seed + 1000 * epoch)  # other masks in every epoch
        after: dict[str, Any] = judged(net, split)
        found.append(after if flatness is None else {**after, "curves": curves(net, split, flatness, seed)})
    return found
