"""Writes targets in the layout of the paper's sizes, with noise for content, reads them as learning does, and prints the
peak memory before and after: python large_targets.py FOLDER IMAGES."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from torch import nn

import repsearch as rs
from repsearch.data import Split
from repsearch.reference import Found
from repsearch.store.description import describe
from repsearch.store.writer import TargetsWriter

SHAPES = {"block0": (256, 15, 15), "block1": (256, 7, 7), "block2": (256, 3, 3), "logits": (10,)}


def peak() -> float:
    """Peak resident memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(folder: Path, count: int) -> None:
    data = Split(torch.zeros(count, 1, 1, 1), torch.zeros(count, dtype=torch.long), 10, torch.arange(count))
    config = rs.presets.paper().search
    network = rs.Network(nn.Conv2d(1, 1, 1), [nn.Identity()] * 3, nn.Flatten())
    writer = TargetsWriter(describe(network, data, config, 0, "kernel", SHAPES, range(4), None), folder / "large")
    parts = [torch.randn(config.shard, *shape) for shape in SHAPES.values()]
    curves = [torch.zeros(config.shard, row.generations + 1) for row in config.schedule]
    with writer.resumed():
        for start, stop in writer.missing():
            writer.write(start, stop, Found([p[: stop - start] for p in parts], [c[: stop - start] for c in curves]))
    targets = writer.finish()
    for start in range(0, 2000, 1000):  # the first batches take what a batch takes
        for layer in targets.layers:
            targets.read(layer, start, start + 1000)
    print(f"peak after two batches, MB: {peak():.0f}")
    for start in range(0, count - 1000, 1000):
        for layer in targets.layers:
            targets.read(layer, start, start + 1000)
    size = sum(path.stat().st_size for path in (folder / "large").iterdir())
    print(f"{size / 1e9:.1f} GB read, peak, MB: {peak():.0f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
