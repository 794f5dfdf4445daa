"""Section 2: what a random perturbation gains, in parameter space and in activation space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from repsearch.airbench import convnet
from repsearch.checks import InputError
from repsearch.data import Dataset
from repsearch.networks import calibrate, rest
from repsearch.operators import image_generators, normalise, spread
from repsearch.reproduce.samples import Sample


@dataclass(frozen=True)
class Setup:
    """One perturbation experiment.

    Args:
        sample: its first training images are used.
        widths: channels a block; they set the dimension of both spaces.
        images: how many images must be served at once; the largest number is a multiple of each.
        strengths: tried for each point.
        candidates: perturbations drawn for each point.
    """

    sample: Sample
    widths: tuple[int, ...] = (4, 8, 16, 32)
    images: tuple[int, ...] = (1, 4, 16, 64)
    strengths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    candidates: int = 32


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Perturb networks of every width, on the sample's images; see `perturb`."""
    data = setup.sample.load(root, seed)
    return {"images": setup.sample.counts(data), "points": perturb(data, setup, seed)}


def perturb(data: Dataset, setup: Setup, seed: int = 0) -> list[dict[str, Any]]:
    """What the best of some random perturbations gains, in both spaces, on one network.

    A candidate is the network with noise on all its trainable weights, or its block-0 activations with noise on every
    value, normalised as in search; the noise has `strength` times the standard deviation of a weight tensor, or of a
    channel. Parameters must serve all images at once, so their gain is that of the mean cross-entropy over the images;
    activations are found for each image. Each space reports its best strength.

    Args:
        data: the first training images are used.
        setup: the experiment.
        seed: of the network and the noise.

    Returns:
        A list of points: space, width, dimension, images, strength, chance (share of the perturbations that lower the
        cross-entropy) and gain (of the best one, as a share of the cross-entropy before).
    """
    images, points = setup.images, []
    x, y = data.train.images[: max(images)], data.train.labels[: max(images)]
    if len(x) < max(images):
        raise InputError(f"images={tuple(images)}: the data has only {len(x)} training images; load more")
    for width in setup.widths:
        network = convnet(data.train.images, data.train.classes, width, statistics="running", seed=seed)
        calibrate(network, data.train.images[:512])
        for strength in setup.strengths:
            gains, before = _perturbed(network, x, y, strength, setup.candidates, seed)
            for space, dimension in _dimensions(network, x).items():
                for count in images:
                    chance, gain = progress(gains[space], before[space], count if space == "parameters" else 1)
                    points.append({
                        "space": space, "width": width, "dimension": dimension, "images": count, "strength": strength,
                        "chance": chance, "gain": gain,
                    })
    return _best_strengths(points)


def _best_strengths(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of points that differ in their strength alone, those that gain most."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for point in points:
        key = (point["space"], point["width"], point["images"])
        if key not in best or point["gain"] > best[key]["gain"]:
            best[key] = point
    return list(best.values())


@torch.no_grad()
def _perturbed(
    network: nn.Module, x: Tensor, y: Tensor, strength: float, candidates: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """In both spaces, the drop of each image's cross-entropy (candidates, images), and what it was (images,)."""
    generator = image_generators(seed, [0])[0]
    weights = {name: w for name, w in network.named_parameters() if w.ndim > 1 and not name.startswith("stem")}
    H = normalise(network.blocks[0](network.stem(x)))  # type: ignore[operator,index]
    sigma = spread(H[None])[0]

    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, reduction="none")

    def noise(like: Tensor) -> Tensor:
        return strength * torch.randn(like.shape, generator=generator)

    before = {"parameters": loss(network(x)), "activations": loss(rest(network, 0, H))}
    drops: dict[str, list[Tensor]] = {"parameters": [], "activations": []}
    for _ in range(candidates):
        perturbed = {name: w + w.std() * noise(w) for name, w in weights.items()}
        drops["parameters"].append(before["parameters"] - loss(functional_call(network, perturbed, (x,))))
        moved = normalise(H + sigma * noise(H))
        drops["activations"].append(before["activations"] - loss(rest(network, 0, moved)))
    return {space: torch.stack(rows) for space, rows in drops.items()}, before


def _dimensions(network: nn.Module, x: Tensor) -> dict[str, int]:
    weights = sum(w.numel() for name, w in network.named_parameters() if w.ndim > 1 and not name.startswith("stem"))
    with torch.no_grad():
        H = network.blocks[0](network.stem(x[:1]))  # type: ignore[operator,index]
    return {"parameters": weights, "activations": H.numel()}


def progress(drops: Tensor, before: Tensor, shared: int) -> tuple[float, float]:
    """Chance and size of an improvement of the mean over groups of `shared` images, averaged over the groups.

    Args:
        drops: of each image's cross-entropy (candidates, images).
        before: what it was (images,).
        shared: images that one candidate must serve.
    """
    drops, before = drops.reshape(len(drops), -1, shared).mean(2), before.reshape(-1, shared).mean(1)
    best = drops.amax(0).clamp(min=0).mean() / before.mean()
    return float((drops > 0).float().mean()), float(best)
