"""Which images a run uses."""

from __future__ import annotations

from dataclasses import dataclass

from repsearch.data import Dataset, load


@dataclass(frozen=True)
class Sample:
    """Images of a data set; see `repsearch.load`.

    Args:
        data: name of the data set.
        train, validation, test: numbers of images; None is all.
    """

    data: str
    train: int | None
    validation: int | None
    test: int | None

    def load(self, root: str | None, seed: int) -> Dataset:
        """The images that this seed takes."""
        return load(self.data, root, self.train, self.test, seed, self.validation)
