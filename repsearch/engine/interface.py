"""What `repsearch.search` asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from torch import Tensor

from repsearch.data import Split
from repsearch.reference import Found

Name = Literal["kernel", "conv", "torch", "reference"]
Progress = Callable[[int, int, Tensor], None]
"""Called as progress(layer, image generations done, best cross-entropy of each image at work (B,))."""


class Engine(Protocol):
    """Searches images.

    Args:
        name: which the targets' manifest keeps.
        together: images it searches in the time of one.
        reason: why none of the faster engines can do it; None if nobody asked.
        layers: numbers of the layers it searches, in order.
        ready: whether nothing has to be compiled first.
    """

    name: Name
    together: int
    reason: str | None
    layers: Sequence[int]

    @property
    def ready(self) -> bool: ...

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """What a search of these images finds; every image's result is independent of the others.

        Args:
            data: images and labels.
            progress: is told how far the search is; see `Progress`.
            start: activations (B, ...) of the first layer searched, in place of noisy copies of the images.
        """
        ...
