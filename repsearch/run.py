"""Running a search: which engine, which images, into which folder; alone, or as one of several ranks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Split
from repsearch.engine import choose
from repsearch.networks import layer_names
from repsearch.search import check_fit
from repsearch.targets import Targets
from repsearch.writer import TargetsWriter, sole_writer


def search(
    network: nn.Module,
    data: Split,
    config: SearchConfig,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    engine: Literal["auto", "kernel", "torch", "reference"] = "auto",
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

    Returns:
        `Targets`: the searched activations of every layer, the best cross-entropy of every layer and generation, and
        for every image the final probability of its label.

    Raises:
        InputError: a network that lacks a part or does not fit the images or the schedule, an `engine` that
            cannot run them, or a `store` that holds other targets, cannot be written, or is being written.

    Example:
        >>> from repsearch import load, presets, search_network
        >>> data, preset = load("digits", train=10, validation=10, test=10), presets.smoke("digits")
        >>> targets = search(search_network(data, preset), data.train[:2], preset.search, progress=False)
        >>> targets.layers, targets.shape("block1"), targets.probability.shape
        (('block0', 'block1', 'block2', 'logits'), (16, 7, 7), torch.Size([2]))
    """
    checks.positive_int("seed", seed, minimum=0)
    shapes = check_fit(network, data, config)
    searcher = choose(network, config, seed, shapes, engine)
    writer = TargetsWriter(network, data, config, seed, searcher.name, shapes, store)
    names, rank = layer_names(network), dist.get_rank() if dist.is_initialized() else 0
    per_image = sum(layer.generations + 1 for layer in config.schedule)

    with _resumed(writer, rank):
        missing = writer.missing()
        total = per_image * sum(stop - start for start, stop in missing)
        with tqdm(total=total, unit="generation", disable=not progress or rank > 0) as bar:

            def advance(layer: int, generations: int, cross_entropy: Tensor) -> None:
                bar.set_postfix_str(f"{names[layer]} cross-entropy {cross_entropy.mean():.3f}", refresh=False)
                bar.update(generations)

            for start, stop in _turns(missing):
                writer.write(start, stop, searcher.search(data[start:stop], advance))
        _wait_for_all()
    return writer.finish()


@contextmanager
def _resumed(writer: TargetsWriter, rank: int) -> Iterator[None]:
    """The writer with what its folder has; the first rank looks after the folder."""
    if writer.folder is None:
        if dist.is_initialized() and dist.get_world_size() > 1:
            raise InputError("store=None: several processes need a folder that all of them can reach")
        yield
    elif rank == 0:
        with sole_writer(writer.folder):
            writer.resume()
            _wait_for_all()
            yield
    else:
        _wait_for_all()
        writer.join()
        yield


_searches = count()


def _turns(shards: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The shards, one after the other; of several ranks each takes the next that none has taken."""
    if not dist.is_initialized():
        yield from shards
        return
    c10d = dist.distributed_c10d
    counter = c10d.PrefixStore(f"repsearch-{next(_searches)}", c10d._get_default_store())
    while (turn := counter.add("taken", 1) - 1) < len(shards):
        yield shards[turn]


def _wait_for_all() -> None:
    if dist.is_initialized():
        try:
            dist.barrier()
        except RuntimeError as error:
            raise InputError(
                f"ranks: one of the {dist.get_world_size()} processes was lost ({str(error).splitlines()[0]}); start "
                "them again: finished shards are kept"
            ) from None
