"""Searches of networks that have been trained, image by image: the engines, and evolution libraries."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from repsearch import presets
from repsearch.airbench import learn_network
from repsearch.bench.contestants import LIBRARIES
from repsearch.engine.choice import choose
from repsearch.engine.conv_engine import ConvEngine
from repsearch.engine.shapes import layer_shapes
from repsearch.fitting import fit
from repsearch.methods.backprop import Backprop
from repsearch.networks import Network, calibrate
from repsearch.populations import initial_population, propagate

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Dataset, Split

LITERAL: dict[str, Any] = {"noise": "pixel", "blurred": "child"}
OLD = "torch engine, one core"
"""How release 0.3 searched them: an image after the other, each on one core."""


def trained_rows(data: Dataset, seconds: float) -> list[dict[str, Any]]:
    """Images a second of whole searches in a later round, an entry a network, reading and contestant.

    The book's network is searched as `repsearch.alternate` does, in the default and in the literal reading; ResNet-18,
    cut into its four stages, for two generations a layer, in torch alone.
    """
    rows, book = [], presets.book("cifar10")
    network = _trained(data)
    for name, reading in (("map", {}), ("literal", LITERAL)):
        config = replace(book.alternate.search_of(1), **reading)
        contestants = {OLD: _search(network, config, data.train, "torch", 1),
                       "torch engine": _search(network, config, data.train, "torch"),
                       "conv engine": _search(network, config, data.train, "conv")}
        found = {title: images_a_second(run, seconds) for title, run in contestants.items()}
        found |= _libraries(network, config, data.train[:1], seconds) if not reading else {}
        rows += [{"network": "book", "reading": name, "contestant": title, "images_per_second": rate}
                 for title, rate in found.items()]
    rows += [{"network": "ResNet-18", "reading": "map", "contestant": title, "images_per_second": rate}
             for title, rate in _resnet_rates(data, book.search, seconds).items()]
    return rows


def images_a_second(run: Callable[[int], None], seconds: float) -> float:
    """Over enough images to take this long; the first ones are not counted."""
    count = torch.get_num_threads()
    run(count)
    while True:
        start = time.perf_counter()
        run(count)
        took = time.perf_counter() - start
        if took >= seconds:
            return count / took
        count *= max(2, min(8, int(seconds / took)))


def _search(
    network: nn.Module, config: SearchConfig, split: Split, name: str, threads: int | None = None
) -> Callable[[int], None]:
    """Searches so many images by an engine; on as many threads as torch has, if not on fewer."""
    shapes = layer_shapes(network, split, config)
    engine = ConvEngine(network, config, 0, shapes, range(len(shapes))) if name == ConvEngine.name else choose(
        network, config, 0, shapes, name)

    def run(images: int) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            for start in range(0, images, len(split)):
                engine.search(split[: min(images - start, len(split))], lambda *_: None)
        finally:
            torch.set_num_threads(before)

    return run


def _libraries(network: Network, config: SearchConfig, image: Split, seconds: float) -> dict[str, float]:
    """Images a second of libraries, from the candidates a second of each block."""
    rates = {}
    for name, library in LIBRARIES.items():
        if importlib.util.find_spec(name.lower()) is None:
            continue
        took, generators = 0.0, [torch.Generator().manual_seed(0)]
        with torch.no_grad():
            population = initial_population(network, image.images, config, generators)
            for layer, schedule in enumerate(config.schedule[:-1]):
                run = library(network, layer, population[0], int(image.labels), schedule)
                took += (schedule.generations + 1) * _seconds_a_generation(run, seconds / 3)
                population = propagate(network, layer, population[:, 0], config)
        rates[name] = 1 / took
    return rates


def _seconds_a_generation(run: Callable[[int], None], seconds: float) -> float:
    run(2)
    start, done = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        run(5)
        done += 5
    return (time.perf_counter() - start) / done


def _trained(data: Dataset) -> Network:
    """The book's network after an epoch, its statistics frozen."""
    book = presets.book("cifar10")
    model = learn_network(data, book)
    fit(model, data, Backprop(), replace(book.baseline, epochs=1), progress=False)
    return calibrate(model, data.train.images[:512])


def _resnet_rates(data: Dataset, search: SearchConfig, seconds: float) -> dict[str, float]:
    """Of torchvision's ResNet-18 for small images."""
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=data.train.classes)
    stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), net.bn1, net.relu)
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    network = calibrate(Network(stem, [net.layer1, net.layer2, net.layer3, net.layer4], head), data.train.images[:64])
    rows = [replace(row, generations=2) for row in (*search.schedule[:3], search.schedule[2], search.schedule[3])]
    config = replace(search, schedule=tuple(rows))
    rounded = replace(config, precision="bfloat16")
    contestants = {OLD: _search(network, config, data.train, "torch", 1),
                   "torch engine": _search(network, config, data.train, "torch"),
                   "torch engine, bfloat16": _search(network, rounded, data.train, "torch")}
    return {title: images_a_second(run, seconds) for title, run in contestants.items()}
