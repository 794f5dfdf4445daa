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
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig, LayerSearch, LearnConfig, SearchConfig, as_dict
from repsearch.data import Dataset, Split
from repsearch.identity import fingerprint, statistics
from repsearch.learning import Regression
from repsearch.methods._cut import example
from repsearch.methods._latent import IMAGES, Find, climb, latent_multiply_adds, search_layers, throw
from repsearch.networks import cannot_take, check_network, device_of, layer_names, own_settings
from repsearch.reference import Found
from repsearch.store.description import describe
from repsearch.store.manifest import shard_size
from repsearch.store.reader import Targets
from repsearch.store.statistics import statistics_hash

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
        self.steps, self.samples = _counts("steps", steps, layers), _counts("samples", samples, layers)
        self.rate, self.clip = checks.positive_float("rate", rate), checks.positive_float("clip", clip)
        self.std = checks.positive_float("std", std)
        self.config = _search_config(self.steps if searcher == "gradient" else self.samples, self.std, like)

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
        return Targets(targets.manifest, _shards(found, targets), None)

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
        """The targets before the search: all that is said of them."""
        shapes, gradient = _shapes(self.network, split), self.searcher == "gradient"
        image = split.images[:1].to(device_of(self.network))
        asked = [3 * row.generations + 1 if gradient else row.generations + 1 for row in self.config.schedule]
        described = describe(self.network, split, self.config, seed, "torch", shapes, range(len(shapes)), None).manifest
        # Among the configuration, so that no evolution has the same identity.
        configuration = {**described["configuration"], "latent": self._arguments()}
        return Targets({**described, "configuration": configuration,
                        "multiply_adds": latent_multiply_adds(self.network, image, asked)}, [], None)


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
        >>> equal_samples(SearchConfig((LayerSearch(300, 0.3, 5, 5), LayerSearch(10, 0.1))))
        (66239, 2439)
    """
    children = config.explorers + config.refiners
    return tuple(config.population + children * row.generations - 1 for row in config.schedule)


# --- arguments --------------------------------------------------------------------------------------------------------


def _counts(name: str, value: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """One number a layer."""
    if not isinstance(value, list | tuple):
        return (checks.positive_int(name, value, minimum=0),) * layers
    if len(value) != layers:
        raise InputError(f"{name}={value!r}: has {len(value)} numbers, the network {layers} layers; give one for each, "
                         "or one for all")
    return tuple(checks.positive_int(name, count, minimum=0) for count in value)


def _search_config(counts: Sequence[int], std: float, like: SearchConfig | None) -> SearchConfig:
    """The readings of `like`; a layer's generations are its steps or samples, its strength their noise."""
    last = len(counts) - 1
    if like is None:
        blurs = [0 if layer == last else 5 if layer == 0 else 1 for layer in range(last + 1)]
        return SearchConfig(tuple(LayerSearch(n, std, blur=blur) for n, blur in zip(counts, blurs, strict=True)))
    checks.instance("like", like, SearchConfig, "give a preset's .search")
    if len(like.schedule) != len(counts):
        raise InputError(f"like: its schedule has {len(like.schedule)} layers, the network {len(counts)}; give one "
                         "LayerSearch for each")
    for name, needed in (("statistics", "frozen"), ("selection", "image"), ("pull", 0), ("precision", "float32")):
        if getattr(like, name) != needed:
            raise InputError(f"like: has {name}={getattr(like, name)!r}; these searchers know {needed!r} alone")
    return replace(like, schedule=tuple(LayerSearch(n, std, blur=row.blur)
                                        for n, row in zip(counts, like.schedule, strict=True)))


def _shapes(network: nn.Module, split: Split) -> dict[str, tuple[int, ...]]:
    """The shape of one image's activations in every layer, by name; `InputError` for what can't be searched."""
    checks.instance("data", split, Split, "give data.train, a split of what repsearch.load returns")
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.track_running_stats:
            raise InputError(f"network: {name} has no statistics to freeze; build it with running statistics")
    images = split.images[:2].to(device_of(network))
    try:
        layers = example(network, images)
    except RuntimeError as error:
        raise cannot_take(network, images, error) from None
    shapes = {name: tuple(H.shape[1:]) for name, H in zip(layer_names(network), layers, strict=True)}
    if layers[-1].dtype != torch.float32:
        raise InputError(f"network: computes in {layers[-1].dtype}; give network.float() and such images")
    for name, shape in list(shapes.items())[:-1]:
        if len(shape) != 3:
            raise InputError(f"network: {name} gives {shape} an image; expected (channels, height, width): end the "
                             "block with a reshape, and begin the next with its inverse")
    if shapes["logits"] != (split.classes,):
        raise InputError(f"network: its head gives {shapes['logits']} an image; expected ({split.classes},), one a "
                         "class")
    return shapes


def _shards(found: Found, targets: Targets) -> list[dict[str, Tensor]]:
    """What was found, as the cache keeps it: in float16."""
    size, whole = shard_size(targets.manifest), dict[str, Tensor]()
    for name, H, losses in zip(targets.layers, found.activations, found.cross_entropy, strict=True):
        whole[name], whole[f"cross_entropy.{name}"] = H.half(), losses
        if not bool(torch.isfinite(whole[name]).all()):
            raise InputError(f"network: {name} is NaN or exceeds the range of float16; look at its weights")
    return [{name: H[i : i + size] for name, H in whole.items()} for i in range(0, len(targets), size)]
