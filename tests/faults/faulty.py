"""What several tests of faults need: small networks, damage, data sets as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

import repsearch as rs

SMALL = ("--train", "20", "--validation", "20", "--test", "40", "--quiet")
CONFIG = rs.SearchConfig((rs.LayerSearch(2, 0.2),) * 3, parents=4, explorers=4, refiners=4, shard=4)
"""A search of a network of two blocks."""


def two_blocks(second: nn.Module | None = None, head: nn.Module | None = None) -> rs.Network:
    """A network for the 32x32 digits, with layers (8, 16, 16), (8, 8, 8) and logits; seeded."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        blocks = [nn.Conv2d(8, 8, 3, 1, 1), nn.Sequential(second or nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))]
        end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
        return rs.Network(nn.Conv2d(1, 8, 3, 2, 1), blocks, nn.Sequential(*([head] if head else []), *end)).eval()


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def write_npz(path: Path, counts: list[int], **changes: np.ndarray) -> Path:
    """A data set of 9x9 images with so many training images a class, one test image each, as an npz file."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (len(labels), 9, 9), dtype=np.uint8), "train_labels": labels,
        "test_images": rng.integers(0, 256, (len(counts), 9, 9), dtype=np.uint8), "test_labels": np.arange(len(counts)),
        "classes": np.array([f"class {i}" for i in range(len(counts))]), **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path
