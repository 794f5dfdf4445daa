"""The reference as an engine: the paper's pseudocode, in every reading, on any device."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine.interface import Name, Progress
from repsearch.reference import Found, search_images


class ReferenceEngine:
    """`repsearch.reference.search_images`: images one by one, or together where the reading ties them.

    Args:
        network, config, seed: as in `repsearch.search`.
        layers: numbers of the layers to search.
    """

    name: Name = "reference"
    ready = True
    together = 1
    reason: str | None = None

    def __init__(self, network: nn.Module, config: SearchConfig, seed: int, layers: Sequence[int]) -> None:
        self.network, self.config, self.seed, self.layers = network, config, seed, layers

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """See `Engine`."""
        # One image at a time: its arithmetic, to the last bit, is then the same whatever else is searched.
        together = self.config.shard if self.config.ties_images else 1

        def watch(layer: int, _: int, __: Tensor, fitness: Tensor) -> None:
            progress(layer, len(fitness), -fitness.amax(1))

        def search_some(rows: slice) -> Found:
            first = None if start is None else start[rows]
            return search_images(self.network, data[rows], self.config, self.seed, watch, self.layers, first)

        return Found.concatenate([search_some(slice(i, i + together)) for i in range(0, len(data), together)])
