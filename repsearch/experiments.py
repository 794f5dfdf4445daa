"""Experiments: one function a figure or table, from data, preset and seed to a record that JSON can hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from repsearch.checks import InputError
from repsearch.config import as_dict
from repsearch.data import Dataset
from repsearch.learn import accuracy, learn
from repsearch.networks import calibrate, convnet, learn_network, rest, search_network
from repsearch.operators import image_generators, normalise, spread
from repsearch.presets import Preset
from repsearch.records import Record, record
from repsearch.run import search
from repsearch.targets import Targets

# Of the networks that `framework` perturbs, by preset.
WIDTHS = {"smoke": (4, 8, 16, 32), "book": (8, 16, 32, 64), "paper": (16, 64, 256)}


def demo(data: Dataset, preset: Preset, seed: int = 0, store: Path | None = None, progress: bool = True) -> Record:
    """The whole method once: search, learn from what was found, and the rivals under the same budget.

    Args:
        data: its training images are searched; its test images are used once, at the end.
        preset: sizes and configurations.
        seed: of networks, search and training.
        store: folder to cache the targets in.
        progress: show bars.

    Returns:
        A record: cross-entropy before and after search a layer, the curves of both trainings, and test accuracy of the
        search-based, the SGD-trained and an untrained network.
    """
    start = time.perf_counter()
    network = search_network(data, preset, seed)
    targets = search(network, data.train, preset.search, seed, store, progress=progress)
    searched = time.perf_counter()

    models = {name: learn_network(data, preset, seed) for name in ("untrained", "search-based", "SGD")}
    histories = {
        "search-based": learn(models["search-based"], data, targets, preset.learn, seed, progress=progress),
        "SGD": learn(models["SGD"], data, None, preset.baseline, seed, progress=progress),
    }
    curves = {layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers}
    return record(
        "demo", seed, time.perf_counter() - start,
        data=data.name, train=len(data.train), validation=len(data.validation), test=len(data.test),
        preset=preset.name, width=preset.width, groups=preset.groups, search=as_dict(preset.search),
        learn=as_dict(preset.learn), baseline=as_dict(preset.baseline), seconds_search=round(searched - start, 1),
        cross_entropy=curves, probability=float(targets.probability.mean()),
        labelled=float((targets.probability > 0.5).float().mean()),
        validation_accuracy={name: history.validation_accuracy for name, history in histories.items()},
        losses={name: history.parts for name, history in histories.items()},
        accuracy={name: accuracy(model, data.test) for name, model in models.items()},
    )


def search_record(data: Dataset, preset: Preset, seed: int, targets: Targets, seconds: float) -> Record:
    """What a search of training images found: the mean curves, and the probability of the label at each layer."""
    finals = {layer: (-targets.cross_entropy(layer)[:, [0, -1]]).exp() for layer in targets.layers}
    return record(
        "search", seed, seconds, data=data.name, train=len(data.train), images=len(targets), preset=preset.name,
        width=preset.width, engine=targets.manifest["engine"], search=as_dict(preset.search),
        cross_entropy={layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers},
        probability={layer: final.mean(0).tolist() for layer, final in finals.items()},
        above_half={layer: (final > 0.5).float().mean(0).tolist() for layer, final in finals.items()},
    )


def framework(
    data: Dataset,
    seed: int = 0,
    widths: Sequence[int] = (4, 8, 16, 32),
    images: Sequence[int] = (1, 4, 16, 64),
    strengths: Sequence[float] = (0.03, 0.1, 0.3, 1.0),
    candidates: int = 32,
) -> Record:
    """Section 2: what a random perturbation gains, in parameter space and in activation space, on one network.

    A candidate is the network with noise on all its trainable weights, or its block-0 activations with noise on every
    value, normalised as in search; the noise has `strength` times the standard deviation of a weight tensor, or of a
    channel. Parameters must serve all images at once, so their gain is that of the mean cross-entropy over the images;
    activations are found for each image. Each space reports its best strength.

    Args:
        data: the first training images are used.
        seed: of the network and the noise.
        widths: channels a block; they set the dimension of both spaces.
        images: how many images must be served at once; the largest number is a multiple of each.
        strengths: tried for each point.
        candidates: perturbations drawn for each point.

    Returns:
        A record with a list of points: space, width, dimension, images, strength, chance (share of the perturbations
        that lower the cross-entropy) and gain (of the best one, as a share of the cross-entropy before).
    """
    start, points = time.perf_counter(), []
    x, y = data.train.images[: max(images)], data.train.labels[: max(images)]
    if len(x) < max(images):
        raise InputError(f"images={tuple(images)}: the data has only {len(x)} training images; load more")
    for width in widths:
        network = convnet(data.train.images, data.train.classes, width, statistics="running", seed=seed)
        calibrate(network, data.train.images[:512])
        for strength in strengths:
            gains, before = _perturbed(network, x, y, strength, candidates, seed)
            for space, dimension in _dimensions(network, x).items():
                for count in images:
                    shared = count if space == "parameters" else 1
                    chance, gain = _progress(gains[space], before[space], shared)
                    points.append({
                        "space": space, "width": width, "dimension": dimension, "images": count, "strength": strength,
                        "chance": chance, "gain": gain,
                    })
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for point in points:
        key = (point["space"], point["width"], point["images"])
        if key not in best or point["gain"] > best[key]["gain"]:
            best[key] = point
    return record(
        "framework", seed, time.perf_counter() - start, data=data.name, candidates=candidates,
        strengths=list(strengths), points=list(best.values()),
    )


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


def _progress(drops: Tensor, before: Tensor, shared: int) -> tuple[float, float]:
    """Chance and size of an improvement of the mean over groups of `shared` images, averaged over the groups."""
    drops, before = drops.reshape(len(drops), -1, shared).mean(2), before.reshape(-1, shared).mean(1)
    best = drops.amax(0).clamp(min=0).mean() / before.mean()
    return float((drops > 0).float().mean()), float(best)
