"""A network that is trained and searched in turn; see `repsearch.alternating`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from repsearch import ranks
from repsearch.learning import learn
from repsearch.networks import Network, activations, calibrate, device_of, layer_names, undisturbed
from repsearch.operators import image_generators, noisy
from repsearch.populations import normalised
from repsearch.remade import of_all_layers, remade, tensors_of
from repsearch.searching import search

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.data import Dataset, Split
    from repsearch.rounds import AlternateConfig
    from repsearch.store.reader import Targets
    from repsearch.training import History


class Learner:
    """Trains a network round by round, and searches it as it is then.

    Args:
        model: trained in place.
        data: its training images.
        config, seed, progress: as in `repsearch.alternate`.
        folder: of its files; None keeps none.
    """

    def __init__(
        self, model: nn.Module, data: Dataset, config: AlternateConfig, seed: int, folder: Path | None, progress: bool
    ) -> None:
        self.model, self.data, self.config, self.seed = model, data, config, seed
        self.folder, self.progress = folder, progress
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained) if config.optimizer == "warm" and trained else None

    def learn(self, number: int, targets: Targets) -> History:
        """Train for a round; of several ranks the first trains, and the others then read its checkpoint."""
        path = None if self.folder is None else self.folder / f"round-{number}" / "training.pt"
        for turn in (True, False):
            with ranks.all_or_none():
                if (ranks.rank() == 0) == turn:
                    history = learn(self.model, self.data, targets, self.config.learn_of(number), self.seed, path,
                                    self.progress, optimizer=self.optimizer)
        return history

    def search(self, number: int, split: Split, untrained: nn.Module) -> tuple[nn.Module, Targets]:
        """Search a copy of the network, from its own activations of the images; the copy, and what is found.

        Args:
            number: of the round.
            split: images, which need not be those that it is trained on.
            untrained: the network of round 0.
        """
        config, network = self.config.search_of(number), self.searchable()
        store = None if self.folder is None else self.folder / f"round-{number}" / "targets"
        if self.config.judges == "untrained":
            return network, self._judged_by(untrained, network, split, number)
        targets = search(network, split, config, self.seed, store, self.progress)
        return network, targets if any(self.config.generations) else self._own(targets, split)

    def searchable(self) -> nn.Module:
        """A copy of the network as it is searched: BatchNorm frozen at the statistics of what its search begins with,
        or, where nothing is normalised, at its own."""
        network: Network = copy.deepcopy(self.model)  # type: ignore[assignment]
        if not self.config.search_of(1).normalise:
            return network.eval().requires_grad_(False)
        images = self.data.train.images[:512]
        copies = noisy(images, self.config.input_noise, image_generators(self.seed, range(len(images))))
        return calibrate(network, copies.to(device_of(self.model)))

    def _own(self, targets: Targets, split: Split) -> Targets:
        """The network's own activations as targets."""
        device, layers = device_of(self.model), []
        with undisturbed(self.model):
            self.model.eval()
            for images in torch.split(split.images, 500):
                layers.append([H.cpu() for H in activations(self.model, images.to(device))])
        own = dict(zip(layer_names(self.model), map(torch.cat, zip(*layers, strict=True)), strict=True))
        return remade(targets, {**tensors_of(targets), **own}, split)

    def _judged_by(self, untrained: nn.Module, network: nn.Module, split: Split, number: int) -> Targets:
        """Search block by block, each with the untrained network's later blocks behind it."""
        config, parts, start = self.config.search_of(number), [], None
        for layer, name in enumerate(layer_names(network)):
            own, theirs = copy.deepcopy(network.blocks), copy.deepcopy(untrained.blocks)
            blocks = [*own[: layer + 1], *theirs[layer + 1 :]]  # type: ignore[index]
            mixed = Network(network.stem, blocks, untrained.head).eval().requires_grad_(False)  # type: ignore[arg-type]
            store = None if self.folder is None else self.folder / f"round-{number}" / f"targets-{name}"
            found = search(mixed, split, config, self.seed, store, self.progress, layers=(name,), start=start)
            parts.append(found)
            with torch.no_grad():
                H = found.read(name).to(device_of(network))
                if layer + 1 < len(own):  # type: ignore[arg-type]
                    start = normalised(own[layer + 1](H), config).cpu()  # type: ignore[index,operator]
                elif layer < len(own):  # type: ignore[arg-type]
                    start = untrained.head(H).cpu()  # type: ignore[operator]
        return of_all_layers(parts, split)


def halves_of(data: Dataset) -> list[tuple[torch.Tensor, Dataset]]:
    """Every other training image, and the rest: their rows, and the data set with these alone."""
    rows = [torch.arange(first, len(data.train), 2) for first in (0, 1)]
    return [(chosen, replace(data, train=data.train[chosen])) for chosen in rows]
