"""The search of a training: targets for the body, and for the validation images that are followed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repsearch.airbench import search_network
from repsearch.config import SearchConfig
from repsearch.data import Dataset
from repsearch.reproduce.measures import search_result
from repsearch.reproduce.stored import stored_search
from repsearch.reproduce.targets import body_targets
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
    data: Dataset, how: Searched | None, kind: Literal["own", "other", "class means"] | None, measured: int, seed: int,
    store: Path | None,
) -> tuple[dict[str, Any], Targets | None, Targets | None]:
    """What was found, the body's targets, and the targets of the validation images that are followed.

    Args:
        data: training and validation images.
        how: to search; None searches nothing.
        kind: of the body's targets; None searches none.
        measured: how many validation images are followed.
        seed: of network and search.
        store: folder in which searches are kept.
    """
    if how is None:
        return {}, None, None
    network, found, targets, held_out = search_network(data, how, seed, how.head_init), {}, None, None
    if kind:
        searches = [stored_search(network, data.train, how.search, seed + 1000 * run, store) for run in range(how.runs)]
        found, targets = search_result(searches[0], data.train), body_targets(searches, data.train, kind, seed)
    if measured:
        held_out = stored_search(network, data.validation[:measured], how.search, seed, store)
    return found, targets, held_out
