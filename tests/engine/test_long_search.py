"""Searches as long as the paper's, in which each bank of noise serves many generations, against noise that never repeats.

The reference draws new noise for every child. The engines draw rows of a few banks, which all images of a seed share. In
the paper's 300 generations of block 0 each of its banks serves 38 times; so it does here, in small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor

import repsearch as rs
from repsearch.airbench import convnet
from repsearch.config import LayerSearch
from repsearch.engine.draws import BANKS, Banks
from repsearch.engine.kernel_engine import KernelEngine
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.engine.torch_engine import TorchEngine
from repsearch.reference import Found, search_images

IMAGES, COPIES, CLASSES = 8, 8, 10
LAYERS = ("block0", "block1", "block2", "logits")
GENERATIONS = (38 * 8, 20, 20, 3)
# Strengths so small that a search is still under way at its end, and remembers all the noise it took.
READINGS: dict[str, dict[str, Any]] = {
    "map": {"noise": "map", "blurred": "noise", "strengths": (0.03, 0.02, 0.02, 0.1), "blurs": (5, 1, 1, 0)},
    "pixel": {"noise": "pixel", "blurred": "child", "strengths": (0.3, 0.05, 0.02, 0.1), "blurs": (1, 1, 1, 0)},
}


@dataclass
class Many:
    """Many searches of each image: of each layer the best activations (seeds, IMAGES, COPIES, ...), and their
    cross-entropies (seeds, IMAGES, COPIES)."""

    best: list[Tensor]
    loss: list[Tensor]


def searches(reading: dict[str, Any], engine: str, seeds: range) -> Many:
    """Each image is searched COPIES times with each seed: a copy has an index, and so draws, of its own."""
    images = torch.randn(64, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    network = rs.calibrate(convnet(images, CLASSES, 8), images)
    rows = zip(GENERATIONS, reading["strengths"], (5, 3, 3, 1), reading["blurs"], strict=True)
    config = rs.SearchConfig(
        tuple(LayerSearch(*row) for row in rows), parents=4, explorers=6, refiners=6, input_noise=0.03,
        noise=reading["noise"], blurred=reading["blurred"])
    which = torch.arange(IMAGES).repeat_interleave(COPIES)
    data = rs.Split(images[which], which, CLASSES, torch.arange(len(which)))
    shapes, light = layer_shapes(network, data, config), without_identities(network)

    def found(seed: int) -> Found:
        if engine == "reference":
            return search_images(network, data, config, seed)
        if engine == "kernel":
            return KernelEngine(light, config, seed, shapes, range(4)).search(data, lambda *_: None)
        return TorchEngine(light, config, seed, shapes, range(4), len(data)).search(data, lambda *_: None)

    every = [found(seed) for seed in seeds]
    return Many(
        [torch.stack([f.activations[layer] for f in every]).reshape(len(seeds), IMAGES, COPIES, -1) for layer in range(4)],
        [torch.stack([f.cross_entropy[layer][:, -1] for f in every]).reshape(len(seeds), IMAGES, -1) for layer in range(4)])


def distances(best: Tensor) -> tuple[float, float]:
    """The mean cosine distance of two solutions of an image, both of one seed, and of different seeds."""
    unit = torch.nn.functional.normalize(best.double(), dim=3)
    seeds, _, copies, _ = unit.shape
    of_seed, of_all = unit.sum(2), unit.sum((0, 2))
    within = of_seed.square().sum(2) - copies
    across = of_all.square().sum(1) - of_seed.square().sum((0, 2))
    return (1 - float(within.mean()) / (copies * (copies - 1)),
            1 - float(across.mean()) / (copies**2 * seeds * (seeds - 1)))


def alike(best: Tensor) -> float:
    """By which share solutions of an image are nearer to each other if they are of one seed: 0 if noise is never shared."""
    within, across = distances(best)
    return 1 - within / across


def pvalue(one: Tensor, other: Tensor) -> float:
    """Kolmogorov-Smirnov, of cross-entropies about the mean of their image."""
    centre = (one.mean((0, 2)) + other.mean((0, 2)))[None, :, None] / 2
    return float(ks_2samp((one - centre).flatten().numpy(), (other - centre).flatten().numpy()).pvalue)
