"""Which images a round of search and learning has; see `repsearch.alternating`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from repsearch.data import augment
from repsearch.operators import image_generators

if TYPE_CHECKING:
    from repsearch.data import Dataset, Split
    from repsearch.rounds import AlternateConfig


def images_of(number: int, data: Dataset, config: AlternateConfig, seed: int) -> Split:
    """The training images of a round: from the second on flipped and cropped anew, if the configuration says so."""
    if not (number and config.augment):
        return data.train
    images = data.train.images
    (generator,) = image_generators(seed, [number], images.device)
    return replace(data.train, images=augment(images, generator))


def halves_of(data: Dataset) -> list[tuple[torch.Tensor, Dataset]]:
    """Every other training image of each class, and the rest: their rows, and the data set with these alone."""
    labels = data.train.labels
    rank = torch.zeros_like(labels)
    for label in range(data.train.classes):
        here = labels == label
        rank[here] = torch.arange(int(here.sum())) + label  # of odd numbers of images one class's half gets more
    rows = [(rank % 2 == half).nonzero().flatten() for half in (0, 1)]
    return [(chosen, replace(data, train=data.train[chosen])) for chosen in rows]
