"""What rules ask of activations, beside what search finds for them, and beside the gradient there."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from repsearch.airbench import learn_network
from repsearch.fitting import fit
from repsearch.method import Batch, Method
from repsearch.methods.backprop import Backprop
from repsearch.methods.latent_search import LatentSearch
from repsearch.networks import Network, activations, calibrate
from repsearch.reproduce.rule_classes import CLASSES
from repsearch.searching import search

if TYPE_CHECKING:
    from repsearch.config import FitConfig, SearchConfig
    from repsearch.data import Dataset, Split
    from repsearch.reproduce.samples import Sample

PLACES = ("before training", "after training")


@dataclass(frozen=True)
class Ask:
    """Who asks.

    Args:
        name: in tables.
        method: a class of `repsearch.methods`; "evolution", or "LatentSearch".
        arguments: of the method.
        learns: whether it has heads or feedback of its own, which practise first.
    """

    name: str
    method: str
    arguments: dict[str, Any] = field(default_factory=dict)
    learns: bool = False


@dataclass(frozen=True)
class Setup:
    """One network at two moments.

    Args:
        sample: images.
        width, groups: of the network.
        fit: how SGD trains it between the moments.
        search: how evolution searches; its readings hold for the other searches, too.
        asks: who is compared; the first is what the others are held beside.
        images: of each that activations are asked for.
        practice: batches on which heads and feedback learn beforehand, of the network as it is.
        statistics: as in `repsearch.presets.Preset`.
    """

    sample: Sample
    width: int
    groups: int
    fit: FitConfig
    search: SearchConfig
    asks: tuple[Ask, ...]
    images: int = 256
    practice: int = 60
    statistics: Literal["running", "batch"] = "running"


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Ask before and after training.

    Returns:
        `places`, by moment and by who asks, one entry a block: means over images of cosines; with what the first
        `found`, and with minus the `gradient`; the same with another image's: `others` and `others_gradient`.
    """
    data, places = setup.sample.load(root, seed), {}
    network = learn_network(data, setup, seed)
    trained = [p for p in network.parameters() if p.requires_grad]
    calibrate(network, data.train.images[:512])  # which also freezes it
    for parameter in trained:
        parameter.requires_grad_(True)
    for place in PLACES:
        if place == PLACES[1]:
            fit(network, data, Backprop(), setup.fit, seed, progress=False)
        network.eval()
        places[place] = _compared(setup, network, data, seed)
    return {"images": setup.sample.counts(data), "places": places}


def _compared(setup: Setup, network: Network, data: Dataset, seed: int) -> dict[str, list[dict[str, float]]]:
    split = data.train[: setup.images]
    downhill = asked(network, Backprop(), split, setup.fit)
    moves = {ask.name: _move(setup, ask, network, data, split, seed) for ask in setup.asks}
    found = moves[setup.asks[0].name]
    return {name: [_cosines(*one) for one in zip(blocks, found, downhill, strict=True)]
            for name, blocks in moves.items()}


def _cosines(move: Tensor, found: Tensor, downhill: Tensor) -> dict[str, float]:
    return {"found": cosine(move, found), "others": cosine(move, found.roll(1, 0)),
            "gradient": cosine(move, downhill), "others_gradient": cosine(move, downhill.roll(1, 0))}


def _move(setup: Setup, ask: Ask, network: Network, data: Dataset, split: Split, seed: int) -> list[Tensor]:
    """Where each block's activations (B, C, H, W) should go, by one who asks."""
    if ask.method in CLASSES:
        batches = setup.practice if ask.learns else 0
        method, twin = practised(CLASSES[ask.method](**ask.arguments), network, data, setup.fit, batches, seed)
        return asked(twin, method, split, setup.fit)
    with torch.no_grad():
        own = activations(network, split.images)[:-1]
    if ask.method == "LatentSearch":
        targets = LatentSearch(network, like=setup.search, **ask.arguments).search(split, seed)
        return [targets.read(f"block{block}") - H for block, H in enumerate(own)]
    with TemporaryDirectory() as store:
        targets = search(network, split, setup.search, seed, store, progress=False)
        return [targets.read(f"block{block}") - H for block, H in enumerate(own)]


def practised(
    method: Method, network: Network, data: Dataset, config: FitConfig, batches: int, seed: int = 0
) -> tuple[Method, Network]:
    """A method whose heads and feedback have learned, and the network that it knows: a copy, which stayed as it was.

    Args:
        method: fresh; its steps leave the weights alone.
        network: as it is asked about, in eval mode.
        data: whose training images it practises on.
        config: of its steps.
        batches: how many, as many images each as `config` says.
        seed: of what it draws.
    """
    twin = copy.deepcopy(network)
    method.start(twin, data, config, seed)
    for number in range(batches):
        rows = torch.arange(number * config.batch, (number + 1) * config.batch) % len(data.train)
        some = data.train[rows]
        method.step(twin, Batch(some.images.clone(), some.labels, 0, len(some)), config)
    twin.zero_grad()
    return method, twin


def asked(network: Network, method: Method, split: Split, config: FitConfig) -> list[Tensor]:
    """Minus the gradient (B, C, H, W) that a method's step brings to each block's output.

    Args:
        network: the one that `method` was started with; its weights stay, its gradients are cleared.
        method: whose step leaves gradients.
        split: the batch.
        config: of the step.
    """
    seen: dict[int, Tensor] = {}

    def keep(block: int, output: Tensor) -> None:
        if output.requires_grad and block not in seen:
            output.retain_grad()
            seen[block] = output

    hooks = [block.register_forward_hook(lambda _, __, output, number=number: keep(number, output))
             for number, block in enumerate(network.blocks)]
    try:
        network.zero_grad()
        method.step(network, Batch(split.images.clone(), split.labels, 0, len(split)), config)
    finally:
        for hook in hooks:
            hook.remove()
    network.zero_grad()
    return [-_gradient(seen[block]) for block in range(len(network.blocks))]


def _gradient(output: Tensor) -> Tensor:
    return torch.zeros_like(output) if output.grad is None else output.grad.detach()


def cosine(first: Tensor, second: Tensor) -> float:
    """Of each image's (B, ...), the mean over images."""
    return float(F.cosine_similarity(first.flatten(1), second.flatten(1)).mean())
