"""What a body regresses to: what was searched, or a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from repsearch import measure
from repsearch.data import Split
from repsearch.store.reader import Targets


def body_targets(
    searches: Sequence[Targets], data: Split, kind: Literal["own", "other", "class means"], seed: int
) -> Targets:
    """Targets of the blocks, made from one or more searches of the same images; the logits are the first search's.

    Args:
        searches: their blocks' targets are averaged if there are several.
        data: the images.
        kind: each image's "own", those of "other" images, or the "class means".
        seed: of the other images.
    """
    own = searches[0]
    if len(searches) > 1:
        return own.changed(lambda block, H: (H + sum(run.read(block) for run in searches[1:])) / len(searches))
    if kind == "class means":
        return own.changed(lambda _, H: measure.class_means(H, data.labels))
    if kind == "other":
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        return own.changed(lambda _, H: H[order])
    return own
