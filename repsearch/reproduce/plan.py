"""A kind of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repsearch.presets import Preset


@dataclass(frozen=True)
class Plan:
    """A kind of runs.

    Args:
        module: that computes them, with its function `run`; a change of its code, or of what it imports, makes their
            records stale.
        setup: what (preset, variant, number of training images) compute; all of it is in the record.
        alone: whether a run measures the machine, and so needs all of it.
        resumed: whether a run keeps what it has half done in its store, and not only searches, which others may use.
    """

    module: str
    setup: Callable[[Preset, str, int | None], Any]
    alone: bool = False
    resumed: bool = False
