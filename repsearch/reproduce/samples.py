"""Which images a run uses, and what its seed decides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch

from repsearch.data import Dataset, Split, load
from repsearch.rows import balanced_order

Seeded = Literal["all", "data", "network", "search", "training"]


@dataclass(frozen=True)
class Seeds:
    """What each part of a run draws from, so that one can be told from the others.

    Args:
        data: which images are taken, and their order.
        network: initial weights, and the noise on the images that calibrate the searched one.
        search: all draws of the search.
        training: augmentation, and controls such as whose targets are exchanged.
    """

    data: int
    network: int
    search: int
    training: int

    @classmethod
    def of(cls, seed: int, seeded: Seeded = "all") -> Seeds:
        """The seed for one part, 0 for the others; or for all.

        Example:
            >>> Seeds.of(3, "search")
            Seeds(data=0, network=0, search=3, training=0)
        """
        return cls(**{part.name: seed if seeded in ("all", part.name) else 0 for part in fields(cls)})


@dataclass(frozen=True)
class Sample:
    """Images of a data set; see `repsearch.load`.

    Args:
        data: name of the data set.
        train, validation, test: numbers of images; None is all.
        test_parts: the test images are cut into so many equal parts, of which each seed takes its own in place of
            `test`, so that seeds share none: their mean then is as sure as it looks.
    """

    data: str
    train: int | None
    validation: int | None
    test: int | None
    test_parts: int = 1

    def load(self, root: str | None, seed: int) -> Dataset:
        """The images that this seed takes."""
        test = None if self.test_parts > 1 else self.test
        data = load(self.data, root, self.train, test, seed, self.validation)
        if self.test_parts == 1:
            return data
        part = own_part(data.test, self.test_parts, seed)
        return Dataset(data.name, data.classes, data.train, data.validation, part, data.mean, data.std, data.source)

    def counts(self, data: Dataset) -> dict[str, Any]:
        """What a record says of the images: how many were taken, and of how many."""
        return {"train": len(data.train), "validation": len(data.validation), "test": len(data.test),
                "source": data.source}


def own_part(split: Split, parts: int, seed: int) -> Split:
    """The part of a split that a seed takes, class-balanced; those of `parts` seeds in a row share no image.

    Args:
        split: all images, in any order.
        parts: how many equal parts it is cut into.
        seed: takes the part of this number, counted again from the first where there are no more.
    """
    official = split[split.indices.argsort()]
    size, number = len(split) // parts, seed % parts
    order = balanced_order(official.labels.numpy(), split.classes, seed=0)
    return official[order[number * size : (number + 1) * size]]


def generator_of(*what: int) -> torch.Generator:
    """A generator for draws that depend on these numbers and nothing else."""
    state = np.random.SeedSequence(what).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
