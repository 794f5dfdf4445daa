"""What a machine can do at most, and how much of that the engine does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch


def operations(channels: int, positions: int, pooled: Sequence[int], classes: int, per_stage: int = 2) -> int:
    """The fewest floating-point operations that a child needs, crossover to logits.

    A position: mean of two parents 2, noise 2, sum and sum of squares 3. A pooled position, at every stage: three
    comparisons, and for each activation 2 for BatchNorm and 30 for GELU. The head: 2 a feature and class.

    Args:
        channels, positions: of the search layer.
        pooled: positions after each pooling.
        classes: outputs of the head.
        per_stage: activations after each pooling.
    """
    stages = sum(3 * p + per_stage * 32 * p for p in pooled)
    features = channels * (pooled[-1] if pooled else positions)
    return channels * (7 * positions + stages) + 2 * features * classes


def machine_peaks() -> dict[str, float]:
    """What this machine does at most, on all of torch's threads: Gflop/s in a matrix product, GB/s within a cache."""
    a = torch.randn(2048, 2048)
    flops = _best(lambda: a @ a, 2 * 2048**3)
    block = torch.randn(32 * 1024)

    def copy() -> None:
        for _ in range(1000):
            block.clone()

    single = _best(copy, 1000 * 2 * block.numel() * 4)
    return {"gflops": flops / 1e9, "cache_gbs": single * torch.get_num_threads() / 1e9}


def _best(run: Any, work: float) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return work / min(times)


def share_of_limit(
    size: str, layer: int, width: int, rows: Sequence[dict[str, Any]], peaks: dict[str, float]
) -> dict[str, Any]:
    """The engine's rate as a share of the least time its operations, or the 12 bytes read a position, would take.

    Args:
        size, layer, width: what was timed.
        rows: candidates a second of every contestant.
        peaks: from `machine_peaks`.
    """
    side, stages = (15, 7, 3)[layer], 2 - layer
    pooled = [(side >> s + 1) ** 2 for s in range(stages)]
    flops, transfer = operations(width, side * side, pooled, 10), 12 * width * side * side
    least = max(flops / peaks["gflops"] / 1e9, transfer / peaks["cache_gbs"] / 1e9)
    rate = next(row["candidates_per_second"] for row in rows
                if (row["size"], row["layer"], row["contestant"]) == (size, f"block{layer}", "engine"))
    return {"size": size, "layer": f"block{layer}", "operations": flops, "bytes": transfer, "share": rate * least}
