"""Who is timed at each search layer: the reference, the engine, and evolution libraries."""

from __future__ import annotations

import copy
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from repsearch.airbench import search_network
from repsearch.bench.contestants import LIBRARIES, Runs
from repsearch.engine.kernel_engine import KernelEngine, kernel_parents
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.operators import image_generators, select
from repsearch.populations import initial_population, propagate
from repsearch.reference import evaluate, search_layer

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Dataset, Split
    from repsearch.presets import Preset


def contestants_by_layer(preset: Preset, data: Dataset) -> list[dict[str, tuple[int, Runs]]]:
    """For each convolutional layer every contestant: children a generation, and what runs it.

    Args:
        preset: gives width and search.
        data: its first training image is searched.
    """
    config, network = preset.search, search_network(data, preset)
    light, shapes = without_identities(network), layer_shapes(network, data.train, preset.search)
    engine = KernelEngine(light, config, 0, shapes, range(len(shapes)))
    first, generators = data.train[:1], image_generators(0, data.train.indices[:1].tolist())
    with torch.no_grad():
        population = initial_population(light, first.images, config, generators)
        layers = []
        for layer in range(len(shapes) - 1):
            layers.append(_contestants(layer, population, network, light, engine, first, preset))
            population = propagate(light, layer, population[:, 0], config)
    return layers


def _contestants(
    layer: int, population: Tensor, network: nn.Module, light: nn.Module, engine: KernelEngine, image: Split,
    preset: Preset,
) -> dict[str, tuple[int, Runs]]:
    config = preset.search
    children = config.explorers + config.refiners
    torch.manual_seed(0)

    def reference(net: nn.Module) -> Runs:
        def run(generations: int) -> None:
            long = with_generations(config, generations)
            with torch.no_grad():
                search_layer(net, layer, population, image.labels, long, image_generators(0, [0]))

        return run

    found: dict[str, tuple[int, Runs]] = {
        "reference": (children, reference(network)),
        "reference, no identities": (children, reference(light)),
        "engine": (children * torch.get_num_threads(), _engine_runs(engine, layer, population, image)),
    }
    for name, library in LIBRARIES.items():
        if importlib.util.find_spec(name.lower()) is not None:
            for tag, net in (("", network), (", no identities", light)):
                runs = library(net, layer, population[0], int(image.labels), config.schedule[layer])
                found[f"{name}{tag}"] = (config.population, runs)
    return found


def _engine_runs(engine: KernelEngine, layer: int, population: Tensor, image: Split) -> Runs:
    """The engine as `search` runs it: an image a thread."""
    with torch.no_grad():
        fitness = evaluate(engine.light, layer, population, image.labels)
        parents, fitness = select(population, fitness, engine.config.parents)
    engine.noise(layer)  # before there are threads

    def one(index: int, generations: int) -> None:
        long = copy.copy(engine)  # shares what was prepared
        long.config = with_generations(engine.config, generations)
        state = kernel_parents(parents[0], fitness[0], engine.banks(layer).smoothing)
        long.generations(layer, state, int(image.labels), index)

    def run(generations: int) -> None:
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(threads), [generations] * threads))

    return run


def with_generations(config: SearchConfig, generations: int) -> SearchConfig:
    """The same search with so many generations in every layer."""
    return replace(config, schedule=tuple(replace(row, generations=generations) for row in config.schedule))
