"""The engine for networks of convolutions is the reference, faster: same draws, same children, same selection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from children import children_of
from numba import njit
from readings import READINGS
from torch import Tensor, nn

import repsearch as rs
from repsearch.airbench import convnet
from repsearch.engine.conv_engine import ConvEngine
from repsearch.engine.conv_kernel import Net, begin
from repsearch.engine.conv_network import net_of, why_not_conv, work_for
from repsearch.engine.convolution import convolve
from repsearch.engine.draws import Banks, draw, pack, tiles, unpack
from repsearch.engine.kernel import Array
from repsearch.engine.mix_kernel import search_mixes
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tile_kernel import search_tiles
from repsearch.engine.torch_engine import TorchEngine
from repsearch.networks import activations, rest
from repsearch.operators import image_generators, normalise, select
from repsearch.populations import initial_population
from repsearch.populations import propagate as send_on
from repsearch.presets import Preset
from repsearch.reference import evaluate

CONFIG = rs.presets.smoke().search
LITERAL: dict[str, object] = {"noise": "pixel", "blurred": "child"}


def as_if_trained(network: rs.Network) -> rs.Network:
    """With weights and statistics that are nobody's identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            module.weight.data += 0.05 * torch.randn(module.weight.shape, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean += 0.2 * torch.randn(module.running_mean.shape, generator=generator)
            module.running_var *= 0.5 + torch.rand(module.running_var.shape, generator=generator)
            module.weight.data[::3] *= -1.5  # a BatchNorm's scale may be negative
            module.bias.data += 0.2 * torch.randn(module.bias.shape, generator=generator)
            module.num_batches_tracked += 1  # type: ignore[operator]
    return network.eval().requires_grad_(False)


def trained(images: Tensor, classes: int, width: int, groups: int) -> rs.Network:
    return as_if_trained(convnet(images, classes, width, groups, "residual", statistics="running"))


@pytest.fixture(scope="module")
def learned(data: rs.Dataset) -> rs.Network:
    return trained(data.train.images, data.train.classes, 20, 1)


@njit
def convolved(
    x: Array, start: int, pitch: int, block: int, channels: int, high: int, across: int, weights: Array, out: Array,
    apart: int, vectors: int, places: int,
) -> None:
    convolve(x, start, pitch, block, channels, high, across, weights, 0, out, 0, apart, vectors, places)


@pytest.mark.parametrize("places", range(1, 9))
@pytest.mark.parametrize(("channels", "vectors", "window"), [(3, 2, 2), (16, 1, 3), (24, 2, 3), (33, 1, 1)])
def test_a_row_is_torchs_convolution(places: int, channels: int, vectors: int, window: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(channels, window, places + window - 1, generator=generator)
    weight = torch.randn(16 * vectors, channels, window, window, generator=generator)
    ordered = torch.cat([part.permute(2, 3, 1, 0).reshape(-1) for part in weight.split(16, dim=1)])  # type: ignore[no-untyped-call]
    packed, width = pack(x), places + window - 1
    out = np.zeros(vectors * places * 16, np.float32)
    convolved(packed.ravel(), 0, width * 16, window * width * 16, channels, window, window, ordered.numpy(), out,
              places * 16, vectors, places)
    ours = unpack(torch.from_numpy(out.reshape(vectors, -1)), 16 * vectors, 1, places)
    assert torch.allclose(ours, F.conv2d(x[None], weight)[0], atol=1e-4)


def sent(
    net: Net, stage: int, images: Array, shape: tuple[int, ...], label: int, normalised: bool
) -> tuple[Tensor, Tensor]:
    """What images (n, C, H, W) become before a stage, and its fitness."""
    channels, height, width = shape
    out = np.zeros((len(images), tiles(channels), height * width * 16), np.float32)
    fitness = np.zeros(len(images), np.float32)
    begin(net, stage, images, channels, normalised, out, height, width, label, fitness, work_for(net))
    return unpack(torch.from_numpy(out), *shape), torch.from_numpy(fitness)


def compare(network: rs.Network, image: rs.Split, config: rs.SearchConfig) -> None:
    """First population, and one generation of every convolutional layer, against the reference."""
    config = replace(config, schedule=tuple(replace(row, generations=1) for row in config.schedule))
    shapes, index = layer_shapes(network, image, config), int(image.indices)
    engine = ConvEngine(network, config, 0, shapes, range(len(shapes)))
    prepared = engine.prepared(tuple(image.images.shape[1:]))
    work = work_for(prepared.net)
    population = initial_population(network, image.images, config, image_generators(0, [index]))
    copies = engine.begin(image, image_generators(0, [index]), None)
    assert not isinstance(copies, Tensor)
    scale, label = population.abs().max(), int(image.labels)
    begun, fitness = sent(prepared.net, prepared.behind[0], copies, shapes["block0"], label, config.normalise)
    assert torch.allclose(begun, population[0], atol=2e-5 * scale)
    wanted = evaluate(network, 0, population, image.labels)[0]
    assert torch.allclose(fitness, wanted, atol=2e-5 * max(1.0, float(wanted.abs().max())))
    for layer, shape in enumerate(list(shapes.values())[:-1]):
        if layer:  # copies of one candidate: make them differ
            noise = torch.randn(population.shape, generator=torch.Generator().manual_seed(layer))
            population = normalise(population + 0.1 * noise)
        parents, fitness = select(population, evaluate(network, layer, population, image.labels), config.parents)
        drawn = draw(0, layer, index, shape[0], Banks(0, layer, shape, config).rows, config)
        children = children_of(parents, layer, config, drawn, Banks(0, layer, shape, config))
        children_fitness = evaluate(network, layer, children, image.labels)
        everyone, losses = torch.cat([parents, children], 1), -torch.cat([fitness, children_fitness], 1)
        best, _ = select(everyone, -losses, 1)

        H, history = prepared.searchers[layer].search_from(pack(population[0]), image, work)
        tolerance = 2e-5 * max(1.0, float(losses.abs().max()))
        assert abs(history[0, 0] + fitness[0, 0]) < tolerance
        assert abs(history[0, 1] - losses.min()) < tolerance
        near = losses[0] < losses.min() + tolerance  # of equally fit ones either may win
        assert (everyone[0, near] - H).abs().flatten(1).amax(1).min() < 1e-4 * max(1.0, float(scale))
        population = send_on(network, layer, best[:, 0], config)


@pytest.mark.parametrize("reading", [*READINGS, LITERAL, {**LITERAL, "border": "inside"}], ids=str)
def test_same_draws_same_children_fitness_and_selection(
    learned: rs.Network, data: rs.Dataset, preset: Preset, reading: dict[str, object]
) -> None:
    compare(learned, data.train[:1], replace(preset.search, **reading))  # type: ignore[arg-type]


@pytest.mark.parametrize("reading", [{}, LITERAL], ids=str)
@pytest.mark.parametrize(
    ("sides", "channels", "width", "groups", "classes"),
    [((9, 12), 1, 20, 1, 5), ((19, 17), 3, 7, 2, 2), ((28, 28), 1, 16, 3, 10), ((32, 32), 3, 33, 1, 100)],
)
def test_same_children_at_other_sizes(
    preset: Preset, sides: tuple[int, int], channels: int, width: int, groups: int, classes: int,
    reading: dict[str, object],
) -> None:
    """Odd sides, maps of one position, one to three ConvGroups, widths that fill no tile, any number of classes."""
    images = torch.randn(40, channels, *sides, generator=torch.Generator().manual_seed(0))
    image = rs.Split(images[:1], torch.tensor([1]), classes, torch.tensor([11]))
    compare(trained(images, classes, width, groups), image, replace(preset.search, **reading))  # type: ignore[arg-type]


def test_a_network_as_arrays_is_the_network() -> None:
    """Biases, windows of other sizes, stages without pooling or BatchNorm, all blocks of different widths."""
    torch.manual_seed(0)
    network = rs.Network(
        nn.Sequential(nn.Conv2d(1, 5, (2, 3)), nn.GELU()),
        [nn.Sequential(nn.Conv2d(5, 18, 3, padding=1), nn.MaxPool2d(2), nn.GELU(), nn.Conv2d(18, 33, 1), nn.GELU()),
         nn.Sequential(nn.Conv2d(33, 7, 3), nn.MaxPool2d(2), nn.BatchNorm2d(7), nn.GELU())],
        nn.Sequential(nn.Flatten(), nn.Linear(7 * 6 * 6, 4)),
    ).eval().requires_grad_(False)
    images = torch.randn(3, 1, 32, 32)
    assert why_not_conv(network, CONFIG) is None
    H = activations(network, images)
    net, behind = net_of(network, (1, 32, 32))
    for layer in (0, 1):
        shape = tuple(H[layer].shape[1:])
        found, fitness = sent(net, behind[layer], images.numpy(), shape, 2, False)
        assert torch.allclose(found, H[layer], atol=1e-5)
        loss = F.cross_entropy(rest(network, layer, H[layer]), torch.full((3,), 2), reduction="none")
        assert torch.allclose(-fitness, loss, atol=1e-5)


@pytest.mark.parametrize("reading", [{}, LITERAL], ids=str)
def test_several_generations_find_what_torch_finds(
    learned: rs.Network, data: rs.Dataset, preset: Preset, reading: dict[str, object]
) -> None:
    """Until rounding decides between two equally fit candidates, of which there are none here."""
    config = replace(preset.search, **reading)  # type: ignore[arg-type]
    shapes = layer_shapes(learned, data.train, config)
    ours, theirs = (make(learned, config, 0, shapes, range(len(shapes))).search(data.train[:6], lambda *_: None)
                    for make in (ConvEngine, TorchEngine))
    for mine, other in zip(ours.activations, theirs.activations, strict=True):
        assert torch.allclose(mine, other, atol=2e-3)
    for mine, other in zip(ours.cross_entropy, theirs.cross_entropy, strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_the_best_never_falls_and_is_what_it_is_said_to_be(
    learned: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    shapes = layer_shapes(learned, data.train, preset.search)
    found = ConvEngine(learned, preset.search, 0, shapes, range(len(shapes))).search(data.train, lambda *_: None)
    for layer, (H, curves) in enumerate(zip(found.activations, found.cross_entropy, strict=True)):
        loss = F.cross_entropy(rest(learned, layer, H), data.train.labels, reduction="none")
        assert (curves.diff(dim=1) <= 0).all() and torch.allclose(loss, curves[:, -1], atol=1e-4)
    assert found.cross_entropy[-1][:, -1].mean() < found.cross_entropy[0][:, 0].mean()


@pytest.mark.parametrize("layers", [[0, 1, 2, 3], [1], [2, 3]])
def test_an_image_depends_on_nothing_else(
    learned: rs.Network, data: rs.Dataset, preset: Preset, layers: list[int]
) -> None:
    """The same bytes alone or among others, on one thread or two."""
    shapes = layer_shapes(learned, data.train, preset.search)

    def found(rows: slice, threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        result = ConvEngine(learned, preset.search, 0, shapes, layers).search(data.train[rows], lambda *_: None)
        torch.set_num_threads(2)
        return [*result.activations, *result.cross_entropy]

    everything = found(slice(0, 12), 2)
    for rows, threads in ((slice(7, 8), 2), (slice(3, 10), 1)):
        for whole, part in zip(everything, found(rows, threads), strict=True):
            assert torch.equal(whole[rows], part)


def test_a_search_from_given_activations(learned: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    shapes = layer_shapes(learned, data.train, preset.search)
    start = activations(learned, data.train.images[:3])[1]
    ours, theirs = (make(learned, preset.search, 0, shapes, [1, 2]).search(data.train[:3], lambda *_: None, start)
                    for make in (ConvEngine, TorchEngine))
    for mine, other in zip(ours.activations, theirs.activations, strict=True):
        assert torch.allclose(mine, other, atol=2e-3)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda net: setattr(net.stem, "1", nn.ReLU()), "the stem has ReLU.*, where a GELU is expected"),
    (lambda net: setattr(net.blocks[1][0], "3", nn.GELU("tanh")), "block 1 has GELU.*, where a GELU"),
    (lambda net: setattr(net.blocks[2][0], "4", nn.Conv2d(20, 20, 3, 2, 1)), "block 2 has Conv2d.*stride"),
    (lambda net: setattr(net.blocks[2][0], "4", nn.Conv2d(20, 20, 3, padding=1, groups=2)), "block 2 has Conv2d"),
    (lambda net: setattr(net.blocks[0][0], "0", nn.Linear(3, 3)), "block 0 has Linear"),
    (lambda net: setattr(net, "head", nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(9, 9))), "the head is not"),
    (lambda net: net.double(), "the network is torch.float64 on cpu, the kernel float32 on the CPU"),
])
def test_why_other_networks_are_torchs(data: rs.Dataset, change: Callable[[Any], None], reason: str) -> None:
    network = trained(data.train.images, 10, 20, 1)
    assert why_not_conv(network, CONFIG) is None
    change(network)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(why_not_conv(network, CONFIG))


def test_a_candidate_without_a_fitness_loses(data: rs.Dataset, preset: Preset) -> None:
    """A head that overflows for one class makes every fitness NaN; the search ends, and says nothing it cannot know."""
    network = trained(data.train.images, 10, 20, 1)
    network.head[1].weight.data[3] = torch.inf  # type: ignore[index,operator,union-attr]
    shapes = layer_shapes(network, data.train, preset.search)
    found = ConvEngine(network, preset.search, 0, shapes, [0]).search(data.train[:2], lambda *_: None)
    assert torch.isfinite(found.activations[0]).all() and found.cross_entropy[0].isnan().all()


SEARCH = """
import hashlib, json, sys
from dataclasses import replace
import repsearch as rs
from repsearch.engine import conv_kernel, mix_kernel, tile_kernel
from repsearch.engine.conv_engine import ConvEngine
from repsearch.engine.shapes import layer_shapes

kernels = (conv_kernel.begin, mix_kernel.search_mixes, tile_kernel.search_tiles)
data, preset, found = rs.load("digits", train=3, validation=10, test=10), rs.presets.smoke("digits"), []
network = rs.calibrate(rs.learn_network(data, preset, groups=2), data.train.images)
for reading in json.loads(sys.argv[1]):
    config = replace(preset.search, **reading)
    engine = ConvEngine(network, config, 0, layer_shapes(network, data.train, config), range(4))
    activations = engine.search(data.train, lambda *_: None).activations
    found.append([hashlib.sha256(H.numpy().tobytes()).hexdigest() for H in activations])
hits = [sum(kernel.stats.cache_hits.values()) for kernel in kernels]
print(json.dumps([found, hits, [len(kernel.signatures) for kernel in kernels]]))
"""


@pytest.mark.slow
def test_kernels_just_compiled_and_from_the_cache_find_the_same(tmp_path: Path) -> None:
    def search() -> Any:
        done = subprocess.run([sys.executable, "-c", SEARCH, json.dumps([*READINGS, LITERAL])], capture_output=True, text=True,
                              check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
        return json.loads(done.stdout)

    found, *known = search()
    assert known == [[0] * 3, [1] * 3]  # a reading that compiled anything again would make its search wait
    assert search() == [found, [1] * 3, [1] * 3]


def test_the_cache_knows_a_change_of_what_is_called_from_other_files() -> None:
    """Numba looks at a kernel's own file alone: the names of its files hold the content of the others."""
    names = {kernel.py_func.__qualname__.removeprefix(name) for kernel, name in (
        (begin, "begin"), (search_mixes, "search_mixes"), (search_tiles, "search_tiles"))}
    assert len(names) == 1 and len(names.pop()) == 13
