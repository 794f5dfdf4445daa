"""`repsearch.search`, the one door to every search: which engine, which layers, from where, into which folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from tqdm import tqdm

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine.choice import choose
from repsearch.engine.shapes import Shapes, layer_shapes
from repsearch.store.description import describe
from repsearch.store.reader import Targets
from repsearch.store.writer import TargetsWriter


def search(
    network: nn.Module,
    data: Split,
    config: SearchConfig,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    engine: Literal["auto", "kernel", "torch", "reference"] = "auto",
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
        progress: show a bar with the best cross-entropy of the layer at work, averaged over the images in memory.
        engine: "kernel" is fast, runs on the CPU, and searches the networks of `search_network`; "torch" searches any
            network on any device; "reference" is the paper's pseudocode, in every reading. "auto" takes the first that
            applies. The first two make the same random draws, the reference its own.
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
    checks.positive_int("seed", seed, minimum=0)
    shapes = layer_shapes(network, data, config)
    chosen = _chosen(layers, shapes)
    if start is not None:
        _check_start(start, len(data), list(shapes.values())[chosen[0]])
    searcher = choose(network, config, seed, shapes, engine, chosen)
    writer = TargetsWriter(describe(network, data, config, seed, searcher.name, shapes, chosen, start), store)
    with writer.resumed():
        missing = writer.missing()
        with _bar(config, list(shapes), chosen, missing, progress) as advance:
            for first, stop in ranks.turns(missing):
                begin = None if start is None else start[first:stop]
                writer.write(first, stop, searcher.search(data[first:stop], advance, begin))
        ranks.wait_for_all()
    return writer.finish()


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
    config: SearchConfig, names: Sequence[str], chosen: Sequence[int], missing: Sequence[tuple[int, int]], show: bool
) -> Iterator[Callable[[int, int, Tensor], None]]:
    """A bar of all generations still to do, as the engines' `Progress`."""
    generations = sum(config.schedule[layer].generations + 1 for layer in chosen)
    total = generations * sum(stop - start for start, stop in missing)
    with tqdm(total=total, unit="generation", disable=not show or ranks.rank() > 0) as bar:

        def advance(layer: int, done: int, cross_entropy: Tensor) -> None:
            bar.set_postfix_str(f"{names[layer]} cross-entropy {cross_entropy.mean():.3f}", refresh=False)
            bar.update(done)

        yield advance
