"""Run the searches that the explorer steps through, and write them as scripts: book/_static/explorer/data-*.js.

    python book/explorer.py

A search is a file: an image, a reading of what the paper leaves open, a size of the population and a seed of the
draws. data-index.js lists them. The photographs are read from CIFAR-10 in REPSEARCH_DATA; the digits come with
scikit-learn. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch import operators, reference
from repsearch.config import LayerSearch

FOLDER = Path(__file__).resolve().parent / "_static" / "explorer"
PRESETS = {
    "digits": replace(rs.presets.book("digits"), train=200, validation=200, test=300),
    "cifar10": rs.presets.book("cifar10"),
}
IMAGES = {  # data set, number of the training image, what is seen
    "two": ("digits", 2, "handwritten 2"),
    "four": ("digits", 4, "handwritten 4"),
    "zero": ("digits", 0, "handwritten 0"),
    "ship": ("cifar10", 108, "photograph of a ship"),
    "dog": ("cifar10", 115, "photograph of a dog"),
    "automobile": ("cifar10", 71, "photograph of an automobile"),
}
READINGS: dict[str, dict[str, Any]] = {
    "map": {},
    "pixel": {"noise": "pixel"},
    "literal": {"noise": "pixel", "blurred": "child"},
}
POPULATIONS, DRAWS = (20, 80), (0, 1)
LAYERS, EVERY = ("block 0", "block 1", "block 2", "logits"), (3, 3, 5, 1)  # generations from one step to the next
FIRST = "two-map-80-0"
# What the bytes 0 and 255 stand for.
VALUES = (-4.0, 4.0)  # of a map
DISTANCES = (0.0, 2.0)  # from the parents' mean
LOSSES = (-4.0, 1.0)  # logarithm of the cross-entropy, base 10


def as_bytes(values: Tensor, limits: tuple[float, float]) -> bytes:
    """Any shape, a byte a value: 0 is the lower limit or below it, 255 the upper or above."""
    low, high = limits
    share = ((values.double() - low) / (high - low)).clamp(0, 1)
    return bytes((255 * share).round().to(torch.uint8).flatten().tolist())


def short(value: float) -> float:
    """Three digits are enough for what is read, and take fewer bytes."""
    return float(f"{value:.3g}")


@dataclass
class Seen:
    """What is kept of one search. All but the curve is of every few generations.

    Args:
        curve: cross-entropy of the best after each generation of each layer.
        best: its number among the candidates; parents come first, then explorers, then refiners.
        born: the generation in which it was made; 0 is a first copy.
        kept: how many children are fit enough to be parents of the next generation.
        rough: cross-entropy that the best would have without smoothing.
        cloud: distance and cross-entropy of every candidate.
        smooth, unsmoothed: one channel of the best, and of what it would be without smoothing; of logits the
            probabilities.
    """

    curve: list[list[float]] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    born: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    rough: list[float] = field(default_factory=list)
    cloud: bytearray = field(default_factory=bytearray)
    smooth: bytearray = field(default_factory=bytearray)
    unsmoothed: bytearray = field(default_factory=bytearray)

    def script(self, key: str) -> str:
        """The file of this search: it adds itself to those that the page has."""
        content = {name: b64encode(value).decode() if isinstance(value, bytearray) else value
                   for name, value in vars(self).items()}
        return f"repsearchExplorer.searches[{json.dumps(key)}] = {json.dumps(content, separators=(',', ':'))};\n"


class Watcher:
    """Watches the search of one image, and beside each candidate what it would be without smoothing."""

    def __init__(self, network: nn.Module, image: rs.Split, config: rs.SearchConfig, channel: int) -> None:
        self.network, self.labels, self.config, self.channel = network, image.labels, config, channel
        self.children: list[Tensor] = []  # of one generation, unsmoothed
        self.before: tuple[Tensor, Tensor] | None = None  # the generation before: unsmoothed candidates, fitness
        self.seen = Seen()

    @contextmanager
    def births(self) -> Iterator[None]:
        """Every child is made a second time, of the same draws, with no pass of smoothing."""
        make = reference.make_children

        def both(parents: Tensor, pairs: Tensor, noise: Tensor, strength: float, schedule: LayerSearch,
                 config: rs.SearchConfig) -> Tensor:
            self.children.append(make(parents, pairs, noise, strength, replace(schedule, blur=0), config))
            return make(parents, pairs, noise, strength, schedule, config)

        with mock.patch.object(reference, "make_children", both):
            yield

    def watch(self, layer: int, generation: int, population: Tensor, fitness: Tensor) -> None:
        unsmoothed = self._unsmoothed(generation, population)
        self.before = unsmoothed, fitness
        if generation == 0:
            self.seen.curve.append([])
            self.history: list[float] = []
        self.history.append(float(fitness.max()))
        self.seen.curve[-1].append(short(-self.history[-1]))
        if generation % EVERY[layer] == 0:
            self._keep(layer, generation, population, fitness, unsmoothed)

    def _unsmoothed(self, generation: int, population: Tensor) -> Tensor:
        """(1, n, ...) for the population (1, n, ...): of parents what they were when they were children."""
        if generation == 0 or self.before is None:
            return population
        parents, _ = operators.select(*self.before, self.config.parents)
        children, self.children = self.children, []
        return torch.cat([parents, *children], 1)

    def _keep(self, layer: int, generation: int, population: Tensor, fitness: Tensor, unsmoothed: Tensor) -> None:
        seen, k = self.seen, self.config.parents
        best = int(fitness[0].argmax())
        seen.best.append(best)
        seen.born.append(self.history.index(self.history[-1]))
        seen.kept.append(int((fitness[0].topk(k).indices >= k).sum()) if generation else 0)
        rough = reference.evaluate(self.network, layer, unsmoothed[:, best : best + 1], self.labels)
        seen.rough.append(short(-float(rough)))
        # Before the first generation there are no parents: the mean is that of all.
        centre = population[0, : k if generation else None].mean(0)
        distance = (population[0] - centre).flatten(1).square().mean(1).sqrt()
        losses = (-fitness[0]).clamp_min(10 ** LOSSES[0]).log10()
        pairs = zip(as_bytes(distance, DISTANCES), as_bytes(losses, LOSSES), strict=True)
        seen.cloud += bytes(value for pair in pairs for value in pair)
        if population.ndim == 3:
            seen.smooth += as_bytes(population[0, best].softmax(0), (0, 1))
            return
        seen.smooth += as_bytes(population[0, best, self.channel], VALUES)
        if generation:
            seen.unsmoothed += as_bytes(unsmoothed[0, best, self.channel], VALUES)


@cache
def material(name: str) -> tuple[rs.Dataset, nn.Module]:
    """A data set as its preset takes it, and the network to search."""
    preset = PRESETS[name]
    data = rs.load(name, train=preset.train, validation=preset.validation, test=preset.test, seed=0)
    return data, rs.search_network(data, preset, seed=0)


@cache
def channel_of(image: str) -> int:
    """The channel to show: the one that varies most over the image's own activation at block 0, normalised."""
    name, number, _ = IMAGES[image]
    data, network = material(name)
    own = rs.activations(network, data.train.images[number : number + 1])[0]
    return int(own[0].flatten(1).std(1).argmax())


def keys() -> list[str]:
    """The names of all searches."""
    return ["-".join(map(str, parts)) for parts in product(IMAGES, READINGS, POPULATIONS, DRAWS)]


def search(key: str) -> Seen:
    """Run the search of this name.

    Example:
        >>> len(search("two-map-20-0").curve)
        4
    """
    image, reading, population, draws = key.split("-")
    name, number, _ = IMAGES[image]
    data, network = material(name)
    split = data.train[number : number + 1]
    config = replace(PRESETS[name].search.resized(int(population)), **READINGS[reading])
    watcher = Watcher(network, split, config, channel_of(image))
    with watcher.births():
        reference.search_images(network, split, config, int(draws), watcher.watch)
    return watcher.seen


def index(found: dict[str, Seen]) -> dict[str, Any]:
    """What the page has to know before any search: images, readings, populations, layers, and the bytes' limits."""
    schedule = PRESETS["digits"].search.schedule
    generations = [list(range(0, row.generations + 1, every)) for row, every in zip(schedule, EVERY, strict=True)]
    sizes = [PRESETS["digits"].search.resized(size) for size in POPULATIONS]
    return {
        "first": FIRST,
        "images": [{**_image(key), "axes": _axes(key, found, [len(shown) for shown in generations])} for key in IMAGES],
        "readings": list(READINGS),
        "populations": [{kind: getattr(size, kind) for kind in ("parents", "explorers", "refiners")} for size in sizes],
        "draws": list(DRAWS),
        "layers": [{"name": name, "generations": shown} for name, shown in zip(LAYERS, generations, strict=True)],
        "sides": [15, 7, 3],
        "limits": {"values": VALUES, "distances": DISTANCES, "losses": LOSSES},
        "guess": short(math.log(10)),
        "made": {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()},
    }


def _image(key: str) -> dict[str, Any]:
    name, number, seen = IMAGES[key]
    data, network = material(name)
    pixels = torch.as_tensor(data.pixels(data.train.images[number : number + 1]))[0]
    width = rs.activations(network, data.train.images[:1])[0].shape[1]
    return {
        "key": key, "seen": seen, "classes": data.classes, "label": data.classes[int(data.train.labels[number])],
        "side": pixels.shape[0], "pixels": b64encode(as_bytes(pixels, (0, 1))).decode(),
        "channel": channel_of(key), "channels": width,
    }


def _axes(image: str, found: dict[str, Seen], steps: list[int]) -> list[dict[str, float]]:
    """For each layer the largest distance, and the lowest and highest cross-entropy, of all searches of an image."""
    axes, first = [], 0
    for count in steps:
        parts = []
        for key, seen in found.items():
            each = 2 * int(key.split("-")[2])
            if key.startswith(f"{image}-"):
                parts.append(bytes(seen.cloud[first * each : (first + count) * each]))
        distances, losses = (b"".join(part[i::2] for part in parts) for i in (0, 1))
        low, high = (10 ** (LOSSES[0] + (LOSSES[1] - LOSSES[0]) * end(losses) / 255) for end in (min, max))
        axes.append({"distance": short(max(distances) / 255 * DISTANCES[1]), "low": short(low), "high": short(high)})
        first += count
    return axes


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {}
    for key in keys():
        found[key] = search(key)
        (FOLDER / f"data-{key}.js").write_text(found[key].script(key), encoding="utf-8")
    head = f"window.repsearchExplorer = {{searches: {{}}, index: {json.dumps(index(found), separators=(',', ':'))}}};\n"
    (FOLDER / "data-index.js").write_text(head, encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)  # whatever the machine, sums are then taken in the same order
    main()
