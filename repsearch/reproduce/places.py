"""Where to search: hill climbing in activations, in all weights, and in weights by steps of rank 1, on one network and
the same images, by what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from repsearch.airbench import convnet
from repsearch.cost import multiply_adds
from repsearch.networks import activations, calibrate, rest
from repsearch.operators import normalise, spread

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Sample

Curve = dict[str, list[float]]
Noise = Callable[..., Tensor]


@dataclass(frozen=True)
class Setup:
    """Climbs in every place.

    Args:
        sample: its first training images are climbed for, and as many validation images are looked at.
        width: channels a block.
        images: how many; a step of the weights serves all of them, one of the activations its own.
        strengths: of a step, as shares of the standard deviation of a weight tensor or of a channel.
        candidates: steps tried a generation, of which the best is taken if it is better.
        generations: of a climb.
    """

    sample: Sample
    width: int = 32
    images: int = 64
    strengths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    candidates: int = 24
    generations: int = 30


@torch.no_grad()
def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Climb in every place at every strength.

    Returns:
        `places`, by name: `dimension`, and `climbs`, by strength: `spent`, in F an image; `cross_entropy` of the images
        climbed for; and in the weights that of the `others`, which were not.
    """
    data = setup.sample.load(root, seed)
    network = calibrate(convnet(data.train.images, data.train.classes, setup.width, statistics="running", seed=seed),
                        data.train.images[:512])
    shown, others = ((part.images[: setup.images], part.labels[: setup.images])
                     for part in (data.train, data.validation))
    counts, places = multiply_adds(network, shown[0][:1]), dict[str, Any]()
    for block, H in enumerate(activations(network, shown[0])[:-1]):
        share = sum(counts[block + 1 :]) / sum(counts)
        places[f"block{block}"] = {"dimension": H[0].numel(), "climbs": {
            f"{strength:g}": _climb_activations(network, block, normalise(H), shown[1], share, strength, setup, seed)
            for strength in setup.strengths}}
    weights: dict[str, Tensor] = {
        name: w for name, w in network.named_parameters() if w.ndim > 1 and not name.startswith("stem")}
    for name, noise in (("weights", torch.randn), ("weights, rank 1", rank_1)):
        places[name] = {"dimension": sum(w.numel() for w in weights.values()), "climbs": {
            f"{strength:g}": _climb_weights(network, weights, shown, others, noise, strength, setup, seed)
            for strength in setup.strengths}}
    return {"images": setup.sample.counts(data), "places": places}


def rank_1(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Noise of mean 0 and variance 1, the product of a column and a row, as EGGROLL draws it.

    Example:
        >>> noise = rank_1(torch.Size([4, 3, 2, 2]), torch.Generator().manual_seed(0))
        >>> noise.shape, int(torch.linalg.matrix_rank(noise.flatten(1)))
        (torch.Size([4, 3, 2, 2]), 1)
    """
    rows, columns = shape[0], shape[1:].numel()
    return (torch.randn(rows, 1, generator=generator) * torch.randn(1, columns, generator=generator)).view(shape)


def _climb_activations(
    network: nn.Module, block: int, H: Tensor, labels: Tensor, share: float, strength: float, setup: Setup, seed: int
) -> Curve:
    """Each image its own climb; a try costs what is behind the block, a `share` of F."""
    generator, sigma = torch.Generator().manual_seed(seed), spread(H[None])[0]
    losses = _losses(rest(network, block, H), labels)
    curve: Curve = {}
    _note(curve, 1, losses)
    for generation in range(setup.generations):
        best, found = H, losses
        for _ in range(setup.candidates):
            moved = normalise(H + strength * sigma * torch.randn(H.shape, generator=generator))
            new = _losses(rest(network, block, moved), labels)
            better = new < found
            best, found = torch.where(better.view(-1, 1, 1, 1), moved, best), torch.where(better, new, found)
        H, losses = best, found
        _note(curve, 1 + (generation + 1) * setup.candidates * share, losses)
    return curve


def _climb_weights(
    network: nn.Module, weights: dict[str, Tensor], shown: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor],
    noise: Noise, strength: float, setup: Setup, seed: int,
) -> Curve:
    """One climb for all images."""
    generator = torch.Generator().manual_seed(seed)
    curve: Curve = {"others": []}

    def losses_of(tried: dict[str, Tensor], where: tuple[Tensor, Tensor]) -> Tensor:
        return _losses(functional_call(network, tried, (where[0],)), where[1])

    losses = losses_of(weights, shown)
    for generation in range(setup.generations + 1):
        _note(curve, 1 + generation * setup.candidates, losses)
        curve["others"].append(float(losses_of(weights, others).mean()))
        if generation == setup.generations:
            return curve
        best = weights
        for _ in range(setup.candidates):
            moved = {name: w + strength * w.std() * noise(w.shape, generator=generator) for name, w in weights.items()}
            new = losses_of(moved, shown)
            if new.mean() < losses.mean():
                best, losses = moved, new
        weights = best
    return curve


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _note(curve: Curve, spent: float, losses: Tensor) -> None:
    curve.setdefault("spent", []).append(spent)
    curve.setdefault("cross_entropy", []).append(float(losses.mean()))
