"""The running statistics that a search was made with: kept beside its targets, compared to a tolerance.

They come out of a calculation whose last bits depend on the processor. A search that goes on elsewhere uses those in
its folder, so that all shards are of one network.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from repsearch.checks import InputError
from repsearch.store.files import content_hash, read_small, write_whole

STATISTICS = "statistics.safetensors"
Statistics = dict[str, Tensor]
TOLERANCE = 1e-4
"""Of a channel's standard deviation. Two processors differ by about 1e-6 of it; two batches of images, even if one
image in a thousand differs, by 1e-3 and more."""
ROUNDING = 1e-6
"""Of a channel's mean, for channels that hardly vary: a few units in the last place of float32."""
LARGEST = 2**28
"""Bytes of the file: room for 30 million channels."""


def statistics_hash(statistics: Statistics) -> str | None:
    """What the manifest says of statistics; None of a network that has none."""
    return content_hash(statistics) if statistics else None


def write_statistics(folder: Path, statistics: Statistics) -> None:
    """Keep statistics in a folder; the same ones are the same byte for byte."""
    if statistics:
        write_whole(folder / STATISTICS, safetensors.torch.save(statistics))


def read_statistics(folder: Path) -> Statistics | None:
    """The statistics that a folder keeps; None if it keeps none, or they are damaged."""
    try:
        return safetensors.torch.load(read_small(folder / STATISTICS, LARGEST))
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def damaged_statistics(folder: Path, expected: str | None) -> str | None:
    """What is wrong with a folder's statistics, of which the manifest says `expected`; None if nothing is."""
    found = {} if expected is None else read_statistics(folder)
    return None if found is not None and statistics_hash(found) == expected else "missing or damaged"


def agreed(folder: Path, expected: str | None, own: Statistics) -> Statistics:
    """The statistics to search with: those that a folder's targets were searched with.

    Args:
        folder: of the targets.
        expected: what its manifest says of them.
        own: those of the network that would go on there.

    Raises:
        InputError: the network's own are others, by more than two processors differ; or they may be, but the folder's
            are lost.
    """
    if statistics_hash(own) == expected:
        return own
    path, kept = folder / STATISTICS, read_statistics(folder)
    lost = expected is not None and (kept is None or statistics_hash(kept) != expected)
    if own and lost:
        raise InputError(
            f"{path}: missing or damaged, and not what this network's statistics would make it (they are of another "
            "processor, or of other images); bring it back, or name another folder"
        )
    if kept is None or lost or not own or expected is None or not alike(own, kept):
        raise InputError(
            f"{path}: another network's statistics (calibrated on other images); name another folder or delete it"
        )
    return kept


def alike(own: Statistics, kept: Statistics) -> bool:
    """Whether two networks' statistics differ by no more than rounding on another processor."""
    if set(own) != set(kept):
        return False
    for name, value in own.items():
        if (value.dtype, value.shape) != (kept[name].dtype, kept[name].shape):
            return False
        difference = (value.double() - kept[name].double()).abs()
        if not bool((difference <= _tolerated(name, own)).all()):
            return False
    return True


def _tolerated(name: str, own: Statistics) -> Tensor:
    """How much each channel of the statistic called `name` may differ."""
    layer = name.removesuffix("running_mean").removesuffix("running_var")
    zero = torch.zeros_like(own[name], dtype=torch.float64)
    mean, variance = (own.get(f"{layer}running_{kind}", zero).double() for kind in ("mean", "var"))
    rounding = ROUNDING * mean.abs()
    if name.endswith("running_mean"):
        return TOLERANCE * variance.sqrt() + rounding
    return TOLERANCE * variance + rounding.square()
