"""The fast engine on the CPU for networks of convolutions, such as those of `learn_network` once they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from repsearch.engine.compiling import compiled
from repsearch.engine.conv_network import net_of, why_not_conv, work_for
from repsearch.engine.draws import Banks, pack
from repsearch.engine.mixes import Mixes
from repsearch.engine.threads import thread_each
from repsearch.engine.whole_maps import WholeMaps
from repsearch.operators import Generators, image_generators
from repsearch.populations import first_population, noisy_copies, own_activations, propagate
from repsearch.reference import Found, search_layer

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.engine.conv_kernel import Net
    from repsearch.engine.interface import Name, Progress
    from repsearch.engine.kernel import Array


__all__ = ["ConvEngine", "why_not_conv"]


@dataclass(frozen=True)
class Prepared:
    """What all images of a shape need: the network as arrays, the first stage behind each block, and what searches
    each layer."""

    net: Net
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

    name: Name = "conv"

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

    @property
    def ready(self) -> bool:
        """See `Engine`."""
        blocks = [layer for layer in self.layers if layer < len(self.shapes) - 1]
        return all(compiled(function) for layer in blocks for function in self._kind(layer).compiled)

    def _kind(self, layer: int) -> type[Mixes | WholeMaps]:
        """What searches a layer: with candidates as mixes, where they are."""
        smoothed = self.config.blurred == "child" and self.config.schedule[layer].blur > 0
        return Mixes if self.config.noise == "map" and not smoothed else WholeMaps

    def _searcher(self, layer: int, net: Net, stage: int) -> Mixes | WholeMaps:
        banks = Banks(self.seed, layer, self.shapes[layer], self.config)
        return self._kind(layer)(net, stage, layer, self.shapes[layer], banks, self.config, self.seed)

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
        generators = image_generators(self.seed, list(map(config.draw_index, data.indices.tolist())))
        population = self.begin(data, generators, start)
        own = [H if H is None else pack(H[0]) for H in own_activations(self.network, data.images, config)]
        best, histories = [], []
        for layer, following in zip_longest(self.layers, self.layers[1:]):
            if isinstance(population, Tensor):
                H, history = search_layer(self.network, layer, population, data.labels, config, generators)
            else:
                H, history = prepared.searchers[layer].search_from(population, data, work, own[layer])
            best.append(H)
            histories.append(history)
            progress(layer, config.schedule[layer].generations + 1, history[:, -1])
            if following is not None:
                population = _candidates(propagate(self.network, layer, H, config, following), alike=True)
        return Found(best, histories)

    def begin(self, data: Split, generators: Generators, start: Tensor | None) -> Array | Tensor:
        """The first population of an image's first layer, see `_candidates`; or noisy copies (n, C, H, W) of the image,
        whose maps are the first block's."""
        config, first, image = self.config, self.layers[0], data.images
        if first > 0 or start is not None:
            population = first_population(self.network, image, config, generators, first, start)
            return _candidates(population, alike=start is not None)
        copies: Array = noisy_copies(image, config, generators)[0].numpy()
        return copies


def _candidates(population: Tensor, alike: bool) -> Array | Tensor:
    """Logits (1, n, K) as they are; maps (1, n, C, H, W) as the kernel's tiles (n, tiles, tile), of equal ones one."""
    return pack(population[0, : 1 if alike else None]) if population.ndim == 5 else population
