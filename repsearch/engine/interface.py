"""What `repsearch.search` asks of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from torch import Tensor

from repsearch.data import Split
from repsearch.reference import Found

Name = Literal["kernel", "torch", "reference"]
Progress = Callable[[int, int, Tensor], None]
"""Called as progress(layer, image generations done, best cross-entropy of each image at work (B,))."""


class Engine(Protocol):
    """Searches images: a name, which the targets' manifest keeps, and `search`."""

    name: Name

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """What a search of these images finds; every image's result is independent of the others.

        Args:
            data: images and labels.
            progress: is told how far the search is; see `Progress`.
            start: activations (B, ...) of the first layer searched, in place of noisy copies of the images.
        """
        ...
