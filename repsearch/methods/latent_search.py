"""Latent-space search: gradient ascent, or random samples, in the place of evolution; then the paper's regression.

    fitness  f_l(H) = log p(label) of the untrained network, from layer l on
    gradient H <- N(H + Adam(clip(df_l/dH))), steps times;  random  H_i = N(H + std sigma S(eps_i)), i = 1 .. samples
    target   the fittest H visited, the start included; its propagated activations are the start of layer l+1

N normalises as evolution does its children, S smooths, sigma is a channel's standard deviation in that image and layer.
Start of the first layer: the image's own activations. Then `repsearch.learning.Regression`.

Source: the searchers of LPN (Bonnet, Macfarlane 2024, arXiv 2411.08706), which searches the latent of a trained
decoder: Adam at 0.1, betas 0.9 and 0.9, gradients of norm 1 at most, 1 to 100 steps; or 25 or 250 samples, std 0.5.
Cost an image, in F, before the first step: in each layer 3 steps + 1, or samples + 1, times the share of the network
behind it; and a forward pass to the first layer. Then 3 a step. Needs a network with stem, blocks and head that is not
trained and whose statistics are frozen; "gradient" needs a slope in all that is behind a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import LearnConfig, as_dict
from repsearch.identity import fingerprint, statistics
from repsearch.learning import Regression
from repsearch.methods._latent import IMAGES, climb, search_layers, throw
from repsearch.methods._latent_arguments import counts, search_config
from repsearch.methods._latent_targets import described, with_found
from repsearch.networks import check_network, own_settings
from repsearch.store.statistics import statistics_hash

if TYPE_CHECKING:
    from repsearch.config import FitConfig, SearchConfig
    from repsearch.data import Dataset, Split
    from repsearch.methods._latent import Find
    from repsearch.store.reader import Targets

SEARCHERS = ("gradient", "random")


class LatentSearch(Regression):
    """Regression to targets that a gradient, or chance, finds in the untrained network's activations.

    The search is in float32 and takes place in `start`, again when a training is resumed; `search` gives the targets
    themselves. The same seed finds the same, whatever images are beside an image.

    Args:
        network: the one to search, such as `repsearch.search_network` gives; it stays as it is.
        searcher: "gradient" or "random".
        steps: of gradient ascent, a number for all layers or one each; with 0 the targets are the network's own
            activations.
        samples: of random search, likewise; see `equal_samples`.
        rate: of Adam, for activations of variance one.
        clip: largest norm of an image's gradient.
        std: of a sample, in standard deviations of each channel of that image and layer, of logits over the classes:
            what evolution calls strength. Smoothing then lowers it.
        like: the evolution whose readings of noise, smoothing and normalisation hold, and whose shards; its population
            and generations don't matter. By default one of the default readings, with the paper's 5 passes of smoothing
            in the first block, 1 in later ones.

    Raises:
        InputError: arguments out of range; in `start` and `search`, a network that does not fit the images or can't be
            searched image by image, activations that are not finite; in `start`, all that `Regression` refuses.

    Example:
        >>> from dataclasses import replace
        >>> from repsearch import fit, learn_network, load, presets, search_network
        >>> data, preset = load("digits", train=50, validation=50, test=50), presets.smoke("digits")
        >>> method = LatentSearch(search_network(data, preset), "gradient", steps=2)
        >>> history = fit(learn_network(data, preset), data, method, replace(preset.learn, epochs=1), progress=False)
        >>> sorted(history.parts), method.targets.layers
        (['block0', 'block1', 'block2', 'head'], ('block0', 'block1', 'block2', 'logits'))
    """

    def __init__(
        self, network: nn.Module | None = None, searcher: str = "gradient", steps: int | Sequence[int] = 20,
        samples: int | Sequence[int] = 250, rate: float = 0.1, clip: float = 1.0, std: float = 0.5,
        like: SearchConfig | None = None,
    ) -> None:
        if network is None:
            raise InputError("network=None: expected the network to search, such as repsearch.search_network gives")
        self.network, layers = network, len(check_network(network).blocks) + 1
        checks.one_of("searcher", searcher, SEARCHERS)
        self.searcher = searcher
        self.steps, self.samples = counts("steps", steps, layers), counts("samples", samples, layers)
        self.rate, self.clip = checks.positive_float("rate", rate), checks.positive_float("clip", clip)
        self.std = checks.positive_float("std", std)
        self.config = search_config(self.steps if searcher == "gradient" else self.samples, self.std, like)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """Search the training images; `InputError` unless model, data, network and configuration fit each other."""
        checks.instance("config", config, LearnConfig, "give a preset's .learn, or one of your own")
        self.targets = self._described(data.train, seed)
        super().start(model, data, config, seed)  # before the search, which takes long
        self.targets = self.search(data.train, seed)

    @torch.inference_mode(False)
    def search(self, split: Split, seed: int = 0) -> Targets:
        """The targets of images, in memory: as `repsearch.search` gives them, and `repsearch.learn` takes them.

        `targets.cross_entropy` has a column for the start and one for each step, or each sample, of the best so far.
        """
        with own_settings():
            targets = self._described(split, checks.seed(seed))
            find, together = self._finder()
            found = search_layers(self.network, split, self.config, checks.seed(seed), find, together)
        return with_found(targets, found)

    def identity(self) -> dict[str, Any]:
        """Its arguments, as far as they matter, and the network that is searched."""
        return {"method": type(self).__name__, **self._arguments(), "like": as_dict(self.config),
                "network": fingerprint(self.network), "statistics": statistics_hash(statistics(self.network))}

    def _finder(self) -> tuple[Find, int]:
        """What searches a layer, and of how many images together."""
        if self.searcher == "random":
            return partial(throw, config=self.config), 1
        return partial(climb, config=self.config, rate=self.rate, clip=self.clip), IMAGES

    def _arguments(self) -> dict[str, Any]:
        if self.searcher == "random":
            return {"searcher": "random", "samples": list(self.samples), "std": self.std}
        return {"searcher": "gradient", "steps": list(self.steps), "rate": self.rate, "clip": self.clip}

    def _described(self, split: Split, seed: int) -> Targets:
        asked = [(3 if self.searcher == "gradient" else 1) * row.generations + 1 for row in self.config.schedule]
        return described(self.network, split, self.config, seed, self._arguments(), asked)


def latent_targets(network: nn.Module, split: Split, seed: int = 0, **arguments: Any) -> Targets:
    """The targets that `LatentSearch` finds for images, for `repsearch.learn`; its arguments go by name.

    Example:
        >>> from repsearch import load, presets, search_network
        >>> data, preset = load("digits", train=50, validation=50, test=50), presets.smoke("digits")
        >>> targets = latent_targets(search_network(data, preset), data.train[:3], searcher="random", samples=10)
        >>> targets.read("block1").shape, targets.cross_entropy("block1").shape
        (torch.Size([3, 16, 7, 7]), torch.Size([3, 11]))
    """
    return LatentSearch(network, **arguments).search(split, seed)


def equal_samples(config: SearchConfig) -> tuple[int, ...]:
    """How many samples of random search, with its start, are as many evaluations as an evolution makes, layer by layer.

    Example:
        >>> from repsearch import LayerSearch, SearchConfig
        >>> equal_samples(SearchConfig((LayerSearch(300, 0.3, 5, 5), LayerSearch(10, 0.1))))
        (66239, 2439)
    """
    children = config.explorers + config.refiners
    return tuple(config.population + children * row.generations - 1 for row in config.schedule)
