"""`repsearch.search`, the one door to every search: which engine, which layers, from where, into which folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from tqdm import tqdm

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.engine.choice import choose
from repsearch.engine.forecast import announce, seconds_an_image
from repsearch.engine.shapes import layer_shapes
from repsearch.identity import with_statistics
from repsearch.networks import own_settings
from repsearch.store.description import describe
from repsearch.store.writer import TargetsWriter

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.engine.interface import Engine
    from repsearch.engine.shapes import Shapes
    from repsearch.store.reader import Targets


def search(
    network: nn.Module,
    data: Split,
    config: SearchConfig,
    seed: int = 0,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
    engine: Literal["auto", "kernel", "conv", "torch", "reference"] = "auto",
    layers: Sequence[str] | None = None,
    start: Tensor | None = None,
) -> Targets:
    """Evolve the activations of every image until the network labels it correctly (section 3.1).

    What is found for an image depends on the network, the image, its label, `config`, `seed` and the image's entry in
    `data.indices` alone: not on the other images, nor on threads, processes, or interruptions. Where torch.distributed
    has been initialised, as under torchrun, its ranks share the work, through a `store` that all can reach.

    Args:
        network: offers stem, blocks and head; its weights stay as they are. It runs on the device it is on.
        data: images and labels.
        config: one schedule entry a search layer; see `SearchConfig`.
        seed: of all random draws.
        store: folder to cache the targets in. If a search for the same targets was interrupted there, it goes on.
        progress: say which engine searches, and for about how long; show a bar with the mean best cross-entropy.
        engine: "kernel" is fast, runs on the CPU, and searches the networks of `search_network`; "conv" does so for
            those of `learn_network`, trained or not; "torch" searches any network on any device; "reference" is the
            paper's pseudocode, in every reading. "auto" takes the first that applies. All but the reference make the
            same random draws.
        layers: names of the layers to search, such as ("block1",) (section 3.2); None is all; others are passed.
        start: activations (images, ...) of the first layer searched, to start from instead of noisy copies of images.

    Returns:
        `Targets`: the searched activations of every layer, the best cross-entropy of every layer and generation, and
        for every image the final probability of its label.

    Raises:
        InputError: a network that does not fit the images or the schedule, an `engine` that cannot run it, unknown
            `layers`, a `start` of another shape, or a `store` that holds other targets or cannot be written.

    Example:
        >>> from repsearch import load, presets, search_network
        >>> data, preset = load("digits", train=10, validation=10, test=10), presets.smoke("digits")
        >>> targets = search(search_network(data, preset), data.train[:2], preset.search, progress=False)
        >>> targets.layers, targets.shape("block1"), targets.probability.shape
        (('block0', 'block1', 'block2', 'logits'), (16, 7, 7), torch.Size([2]))
    """
    seed = checks.seed(seed)
    with own_settings():
        shapes = layer_shapes(network, data, config)
        chosen = _chosen(layers, shapes)
        if start is not None:
            _check_start(start, len(data), list(shapes.values())[chosen[0]])
        name = choose(network, config, seed, shapes, engine, chosen).name
        writer = TargetsWriter(describe(network, data, config, seed, name, shapes, chosen, start), store)
        # All shards are of one network, to the last bit of its statistics, whichever processor computed those.
        with writer.resumed(), with_statistics(network, writer.statistics):
            _fill(writer, lambda part: choose(network, part, seed, shapes, name, chosen), data, config, start, progress)
        return writer.finish()


def _fill(
    writer: TargetsWriter, make: Callable[[SearchConfig], Engine], data: Split, config: SearchConfig,
    start: Tensor | None, progress: bool,
) -> None:
    """Search the shards that are missing; `make` gives the engine for a configuration."""
    missing, searcher = writer.missing(), make(config)

    def begin(first: int, stop: int) -> Tensor | None:
        return None if start is None else start[first:stop]

    if 0 < len(missing) < ranks.world_size() and ranks.rank() == 0:
        warnings.warn(f"{ranks.world_size()} processes share {len(missing)} shards, so some have nothing to do; "
                      f"search with a SearchConfig of a smaller shard than {config.shard}", stacklevel=4)
    if progress and missing and ranks.rank() == 0:
        one = missing[0][0]
        images = sum(stop - first for first, stop in missing) / ranks.world_size()
        announce(searcher, images, lambda: seconds_an_image(
            make, data[one : one + 1], config, begin(one, one + 1)))
    with _bar(config, list(writer.manifest["layers"]), searcher.layers, missing, progress) as advance:
        for first, stop in ranks.turns(missing):
            writer.write(first, stop, searcher.search(data[first:stop], advance, begin(first, stop)))


def _chosen(layers: Sequence[str] | None, shapes: Shapes) -> list[int]:
    """Numbers of the layers to search, in order."""
    names = list(shapes)
    if layers is None:
        return list(range(len(names)))
    if isinstance(layers, str) or not layers:
        raise InputError(f"layers={layers!r}: expected one or more names such as ('block0', 'block1')")
    for name in layers:
        checks.one_of("layers", name, names)
    return sorted({names.index(name) for name in layers})


def _check_start(start: Tensor, images: int, shape: tuple[int, ...]) -> None:
    if tuple(start.shape) != (images, *shape):
        raise InputError(
            f"start: expected the activations {(images, *shape)} of the first layer searched, found "
            f"{tuple(start.shape)}"
        )


@contextmanager
def _bar(
    config: SearchConfig, names: Sequence[str], layers: Sequence[int], missing: Sequence[tuple[int, int]], show: bool
) -> Iterator[Callable[[int, int, Tensor], None]]:
    """A bar of all generations still to do, as the engines' `Progress`; `names` are those of `layers`."""
    generations = sum(config.schedule[layer].generations + 1 for layer in layers)
    total, titles = generations * sum(stop - start for start, stop in missing), dict(zip(layers, names, strict=True))
    with tqdm(total=total, unit="generation", disable=not show or ranks.rank() > 0) as bar:

        def advance(layer: int, done: int, cross_entropy: Tensor) -> None:
            bar.set_postfix_str(f"{titles[layer]} cross-entropy {cross_entropy.mean():.3f}", refresh=False)
            bar.update(done)

        yield advance
