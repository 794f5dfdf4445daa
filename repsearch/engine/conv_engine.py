"""The fast engine on the CPU for networks of convolutions, such as those of `learn_network` once they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor, nn

from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine import conv_kernel
from repsearch.engine.compiling import run
from repsearch.engine.conv_network import net_of, work_for
from repsearch.engine.draws import Banks, pack, tiles, unpack
from repsearch.engine.interface import Progress
from repsearch.engine.kernel import LANES, Array
from repsearch.engine.mixes import Mixes
from repsearch.engine.threads import thread_each
from repsearch.engine.whole_maps import WholeMaps
from repsearch.operators import Generators, draw_noise, image_generators, mutate, select, spread
from repsearch.reference import Found, first_population, propagate, search_layer


@dataclass(frozen=True)
class Prepared:
    """What all images of a shape need: the network as arrays, the first stage behind each block, and what searches
    each layer."""

    net: conv_kernel.Net
    behind: list[int]
    searchers: dict[int, Mixes | WholeMaps]


class ConvEngine:
    """Searches on the CPU with `repsearch.engine.conv_kernel`, an image a thread. Logits with the reference.

    Args:
        network: one that `repsearch.engine.conv_network.why_not_conv` has no objection to.
        config, seed: as in `repsearch.search`.
        shapes: of all search layers.
        layers: numbers of those to search, in order.
        reason: why the faster kernel cannot do it.
    """

    name = "conv"

    def __init__(
        self, network: nn.Module, config: SearchConfig, seed: int, shapes: dict[str, tuple[int, ...]],
        layers: Sequence[int], reason: str | None = None,
    ) -> None:
        self.network, self.config, self.seed = network.eval().requires_grad_(False), config, seed
        self.layers, self.reason, self.together = layers, reason, torch.get_num_threads()
        self.shapes = list(shapes.values())
        self.of_images = cache(self.prepared)

    def prepared(self, image: tuple[int, ...]) -> Prepared:
        """The network as arrays, for images of this shape, and what searches its layers."""
        net, behind = net_of(self.network, image)
        return Prepared(net, behind, {layer: self._searcher(layer, net, behind[layer]) for layer in self.layers
                                      if layer < len(behind)})

    def _searcher(self, layer: int, net: conv_kernel.Net, stage: int) -> Mixes | WholeMaps:
        """What searches a layer: with candidates as mixes, where they are."""
        banks = Banks(self.seed, layer, self.shapes[layer], self.config)
        if self.config.noise == "map" and not banks.smoothing:
            return Mixes(self.network, net, stage, layer, self.shapes[layer], banks, self.config, self.seed)
        return WholeMaps(net, stage, layer, self.shapes[layer], banks, self.config, self.seed)

    def search(self, data: Split, progress: Progress, start: Tensor | None = None) -> Found:
        """See `Engine`."""
        prepared = self.of_images(tuple(data.images.shape[1:]))

        def one(i: int) -> Found:
            return self.search_image(data[i : i + 1], progress, prepared, None if start is None else start[i : i + 1])

        return Found.concatenate(thread_each(one, range(len(data))))

    @torch.no_grad()
    def search_image(
        self, data: Split, progress: Progress, prepared: Prepared, start: Tensor | None = None
    ) -> Found:
        """As `repsearch.reference.search_images`, for one image."""
        config, work = self.config, work_for(prepared.net)
        generators = image_generators(self.seed, data.indices.tolist())
        population = self.begin(data, generators, start, prepared, work)
        best, histories = [], []
        for layer, following in zip_longest(self.layers, self.layers[1:]):
            if isinstance(population, Tensor):
                H, history = search_layer(self.network, layer, population, data.labels, config, generators)
            else:
                H, history = self.search_layer(layer, population, data, prepared, work)
            best.append(H)
            histories.append(history)
            progress(layer, config.schedule[layer].generations + 1, history[:, -1])
            if following is not None:
                population = _candidates(propagate(self.network, layer, H, config, following), alike=True)
        return Found(best, histories)

    def begin(
        self, data: Split, generators: Generators, start: Tensor | None, prepared: Prepared, work: conv_kernel.Work
    ) -> Array | Tensor:
        """The first population of an image's first layer, see `_candidates`."""
        config, first, image = self.config, self.layers[0], data.images
        if first > 0 or start is not None:
            population = first_population(self.network, image, config, generators, first, start)
            return _candidates(population, alike=start is not None)
        channels, height, width = self.shapes[0]
        noise = draw_noise((config.population, *image.shape[1:]), generators)
        copies = mutate(image[:, None], spread(image[:, None]), config.input_noise, noise)[0].numpy()
        out = np.zeros((len(copies), tiles(channels), height * width * LANES), np.float32)
        run(conv_kernel.propagate, prepared.net, prepared.behind[0], copies, channels, config.normalise, out, work)
        return out

    def search_layer(
        self, layer: int, candidates: Array, image: Split, prepared: Prepared, work: conv_kernel.Work
    ) -> tuple[Tensor, Tensor]:
        """As `repsearch.reference.search_layer`, for one image and a convolutional layer.

        Args:
            layer: the search layer.
            candidates: its first (n, tiles, tile); of equal ones one.
            image: one image.
            prepared: what its kind of images need.
            work: of this thread.
        """
        shape, k = self.shapes[layer], self.config.parents
        fitness = np.zeros(len(candidates), np.float32)
        run(conv_kernel.judge, prepared.net, prepared.behind[layer], candidates, *shape[1:], int(image.labels), fitness,
            work)
        if len(candidates) > 1:
            rows, best = select(torch.arange(len(candidates))[None], torch.from_numpy(fitness)[None], k)
            candidates, fitness = candidates[rows[0].numpy()], best[0].numpy()
        else:
            fitness = np.repeat(fitness, k)
        parents = unpack(torch.from_numpy(candidates), *shape)
        H, later = prepared.searchers[layer].search_from(parents, fitness, image, work)
        return H, torch.cat([torch.from_numpy(-fitness[None, :1]), later[None]], 1)


def _candidates(population: Tensor, alike: bool) -> Array | Tensor:
    """Logits (1, n, K) as they are; maps (1, n, C, H, W) as the kernel's tiles (n, tiles, tile), of equal ones one."""
    return pack(population[0, : 1 if alike else None]) if population.ndim == 5 else population
