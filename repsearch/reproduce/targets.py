"""What a body regresses to, searched or a control; and the targets of the validation images that are followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from repsearch import measure
from repsearch.airbench import search_network
from repsearch.config import SearchConfig
from repsearch.data import Dataset, Split
from repsearch.reproduce.cache import cached_search
from repsearch.reproduce.measures import search_result
from repsearch.reproduce.samples import Seeds
from repsearch.store.reader import Targets


@dataclass(frozen=True)
class Searched:
    """The search of a training.

    Args:
        width: channels of every block.
        search: its configuration.
        head_init: of the searched network; see `repsearch.convnet`.
        runs: searches of every image, over which the body's targets are averaged.
    """

    width: int
    search: SearchConfig
    head_init: Literal["kaiming", "torch"] = "kaiming"
    runs: int = 1


def search_all(
    data: Dataset, how: Searched | None, kind: Literal["own", "other", "class means"] | None, measured: int,
    seeds: Seeds, store: Path | None,
) -> tuple[dict[str, Any], Targets | None, Targets | None]:
    """What was found, the body's targets, and the targets of the validation images that are followed.

    Args:
        data: training and validation images.
        how: to search; None searches nothing.
        kind: of the body's targets; None searches none.
        measured: how many validation images are followed.
        seeds: of network and search, and of the choice of other images.
        store: folder in which searches are kept.
    """
    if how is None:
        return {}, None, None
    network, found, targets, held_out = search_network(data, how, seeds.network, how.head_init), {}, None, None
    if kind:
        searches = [cached_search(network, data.train, how.search, seeds.search + 1000 * run, store)
                    for run in range(how.runs)]
        found = search_result(searches[0], data.train)
        targets = body_targets(searches, data.train, kind, seeds.training)
    if measured:
        held_out = cached_search(network, data.validation[:measured], how.search, seeds.search, store)
    return found, targets, held_out


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
