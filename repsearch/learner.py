"""A network that is trained and searched in turn; see `repsearch.alternating`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from repsearch import checks, ranks
from repsearch.engine.threads import one_thread
from repsearch.learning import Regression, learn
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


SOME = 500
"""Images that are sent through a network at a time: always so many, for sums depend on it."""


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
        self.model, self.data, self.config, self.seed = model, data, config, checks.seed(seed)
        self.folder, self.progress = folder, progress
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained) if config.optimizer == "warm" and trained else None

    @property
    def speaks(self) -> bool:
        """Whether this process says how far it is: of several ranks the first, if any does."""
        return self.progress and ranks.rank() == 0

    def learn(self, number: int, split: Split, targets: Targets) -> tuple[History, float, float]:
        """Train for a round; of several ranks the first trains, and the others then read its checkpoint.

        Args:
            number: of the round.
            split: its training images.
            targets: of these.

        Returns:
            What training went through; what the search for the targets cost, and the training, in F.
        """
        path = None if self.folder is None else self.folder / f"round-{number}" / "training.pt"
        data = replace(self.data, train=split)
        for turn in (True, False):
            with ranks.all_or_none():
                if (ranks.rank() == 0) == turn:
                    history = learn(self.model, data, targets, self.config.learn_of(number), self.seed, path,
                                    self.progress, optimizer=self.optimizer)
        searching = Regression(targets).spent(self.model, data) or 0.0
        return history, searching, history.spent[-1] - searching

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
        """A copy of the network as it is searched: BatchNorm frozen at the statistics of noisy copies of the training
        images as they are, not augmented; or, where nothing is normalised, at its own."""
        network: Network = copy.deepcopy(self.model)  # type: ignore[assignment]
        if not self.config.search_of(1).normalise:
            return network.eval().requires_grad_(False)
        images = self.data.train.images[:512]
        copies = noisy(images, self.config.input_noise, image_generators(self.seed, range(len(images))))
        with one_thread():
            return calibrate(network, copies.to(device_of(self.model)))

    def _own(self, targets: Targets, split: Split) -> Targets:
        """The network's own activations as targets."""
        device, layers = device_of(self.model), []
        with undisturbed(self.model), one_thread():
            self.model.eval()
            for images in torch.split(split.images, SOME):
                layers.append([H.cpu() for H in activations(self.model, images.to(device))])
        own = dict(zip(layer_names(self.model), map(torch.cat, zip(*layers, strict=True)), strict=True))
        return remade(targets, {**tensors_of(targets), **own}, split)

    def _judged_by(self, untrained: nn.Module, network: nn.Module, split: Split, number: int) -> Targets:
        """Search block by block, each with the untrained network's later blocks behind it."""
        config, device = self.config.search_of(number), device_of(network)
        parts: list[Targets] = []
        start, judge = None, cast(Network, copy.deepcopy(untrained).to(device))
        own, theirs = cast(Network, network).blocks, judge.blocks
        for layer, name in enumerate(layer_names(network)):
            mixed = Network(cast(Network, network).stem, [*own[: layer + 1], *theirs[layer + 1 :]], judge.head)
            store = None if self.folder is None else self.folder / f"round-{number}" / f"targets-{name}"
            parts.append(search(mixed.eval().requires_grad_(False), split, config, self.seed, store, self.progress,
                                layers=(name,), start=start))
            if layer < len(own):
                following = own[layer + 1] if layer + 1 < len(own) else judge.head
                with torch.no_grad(), one_thread():
                    sent = [following(H.to(device)).cpu() for H in torch.split(parts[-1].read(name), SOME)]
                start = torch.cat([normalised(H, config) if H.ndim == 4 else H for H in sent])
        return of_all_layers(parts, split)
