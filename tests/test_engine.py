"""The engine is the reference, faster: same draws, same children; own draws, same distribution; independent images."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ks_2samp
from torch import Tensor, nn

import repsearch as rs
from repsearch import kernel
from repsearch.config import LayerSearch, split_population
from repsearch.draws import Banks, draw, pack, unpack
from repsearch.engine import KernelEngine, TorchEngine, choose
from repsearch.networks import convnet
from repsearch.operators import image_generators, normalise, select, spread
from repsearch.presets import Preset
from repsearch.search import check_fit, evaluate, initial_population, make_children, propagate
from repsearch.tail import is_identity, tail_of, why_not_kernel, without_identities

READINGS: list[dict[str, object]] = [
    {}, {"noise": "map"}, {"blurred": "noise"}, {"border": "inside"}, {"normalise": False},
    {"refine_from": "parents"}, {"pairs": "distinct"}, {"explorers": 0}, {"refiners": 0},
]


def children_of(parents: Tensor, layer: int, config: rs.SearchConfig, drawn: kernel.Draws, banks: Banks) -> Tensor:
    """What the reference makes of the engine's draws for the first generation."""
    schedule, n = config.schedule[layer], config.explorers
    pairs = torch.from_numpy(np.stack([drawn.first[0], drawn.second[0]], 1))[None]
    noise = banks.rows_of(0, drawn.noise[0], smoothed=False)[None]
    explorers = make_children(parents, pairs[:, :n], noise[:, :n], schedule.strength * schedule.boost, schedule, config)
    pool = parents if config.refine_from == "parents" else torch.cat([parents, explorers], 1)
    refiners = make_children(pool, pairs[:, n:], noise[:, n:], schedule.strength, schedule, config)
    return torch.cat([explorers, refiners], 1)


def compare(network: rs.Network, image: rs.Split, config: rs.SearchConfig) -> None:
    """One generation of every convolutional layer, by the kernel, the torch engine and the reference."""
    shapes = check_fit(network, image, config)
    light = without_identities(network)
    engine, in_torch = KernelEngine(light, config, 0, shapes), TorchEngine(light, config, 0, shapes)
    index, label = int(image.indices), int(image.labels)
    population = initial_population(network, image.images, config, image_generators(0, [index]))
    for layer, shape in enumerate(list(shapes.values())[:-1]):
        if layer:  # copies of one candidate: make them differ
            noise = torch.randn(population.shape, generator=torch.Generator().manual_seed(layer))
            population = normalise(population + 0.1 * noise)
        parents, fitness = select(population, evaluate(network, layer, population, image.labels), config.parents)
        banks = engine.banks(layer)
        drawn = draw(0, layer, index, shape[0], banks.rows, config)
        children = children_of(parents, layer, config, drawn, banks)
        children_fitness = evaluate(network, layer, children, image.labels)
        everyone = torch.cat([fitness, children_fitness], 1)
        best, best_fitness = select(torch.cat([parents, children], 1), everyone, config.parents)

        schedule, noise_banks = config.schedule[layer], engine.noise(layer)
        first_bank = kernel.Noise(noise_banks.once[0], noise_banks.twice[0], *noise_banks[2:])
        state, made = engine.parents(layer, parents[0], fitness[0]), engine.children(layer)
        kernel.generation(
            state, made, kernel.Draws(drawn.first[0], drawn.second[0], drawn.noise[0]), first_bank, engine.tails[layer],
            label, config.explorers, np.float32(schedule.strength * schedule.boost), np.float32(schedule.strength),
            shape[0], config.normalise, banks.smoothing,
        )
        assert torch.allclose(torch.from_numpy(made.fitness), children_fitness[0], atol=2e-5)
        assert torch.allclose(torch.from_numpy(state.fitness), best_fitness[0], atol=2e-5)
        assert torch.allclose(unpack(torch.from_numpy(state.H[state.slot]), *shape), best[0], atol=1e-4)
        sigma = torch.from_numpy(state.sigma[state.slot]).flatten(1)[:, : shape[0]]
        assert torch.allclose(sigma, spread(best)[0].flatten(1).expand(-1, shape[0]), atol=1e-5)

        pairs = torch.from_numpy(np.stack([drawn.first[0], drawn.second[0]], 1))[None]
        again = in_torch.children(layer, parents, pairs, banks.rows_of(0, drawn.noise[0])[None])
        assert torch.allclose(again, children, atol=1e-4)
        population = propagate(network, layer, best[:, 0], config)


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_same_draws_same_children_fitness_and_selection(
    network: rs.Network, data: rs.Dataset, preset: Preset, reading: dict[str, object]
) -> None:
    compare(network, data.train[:1], replace(preset.search, **reading))  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "channels", "width"), [(9, 1, 20), (19, 3, 7), (28, 1, 16), (32, 3, 33)])
def test_same_children_at_other_sizes(preset: Preset, side: int, channels: int, width: int) -> None:
    """Odd sides, maps of one position, one and three channels, widths that fill no tile."""
    images = torch.randn(40, channels, side, side, generator=torch.Generator().manual_seed(0))
    network = rs.calibrate(convnet(images, 5, width, statistics="running"), images)
    compare(network, rs.Split(images[:1], torch.tensor([3]), 5, torch.tensor([11])), preset.search)


def test_gelu_is_torchs() -> None:
    x = np.linspace(-12, 12, 16 * 500, dtype=np.float32)
    ours = x.copy()
    kernel.activate(ours, np.ones_like(x), np.zeros_like(x))
    assert np.abs(ours - F.gelu(torch.from_numpy(x).double()).numpy()).max() < 3e-6


@pytest.mark.parametrize("border", ["zeros", "inside"])
def test_smoothing_is_average_pooling(border: str) -> None:
    maps = torch.randn(20, 11, 6, generator=torch.Generator().manual_seed(0))
    layer = rs.SearchConfig((LayerSearch(1, 0.3, blur=3), LayerSearch(1, 0.1)), border=border)  # type: ignore[arg-type]
    banks = Banks(0, 0, (20, 11, 6), layer)
    tiles = pack(maps)
    smoothed = np.empty_like(tiles)
    kernel.smooth_rows(tiles, banks.down, banks.across, smoothed)
    for _ in range(3):
        maps = F.avg_pool2d(maps[None], 3, 1, 1, count_include_pad=border == "zeros")[0]
    assert torch.allclose(unpack(torch.from_numpy(smoothed), 20, 11, 6), maps, atol=1e-6)
    assert torch.allclose(unpack(torch.from_numpy(pack(maps)), 20, 11, 6), maps)


def test_noise_is_standard_normal_and_new_for_every_bank(preset: Preset) -> None:
    banks = Banks(3, 0, (8, 15, 15), replace(preset.search, schedule=(LayerSearch(20, 0.3), LayerSearch(1, 0.1))))
    flat = torch.from_numpy(np.stack([banks.raw(turn) for turn in range(banks.count)])).reshape(-1)
    # 7.4 million draws: the mean is within 5 / sqrt(n), the variance within 5 sqrt(2 / n), the kurtosis 5 sqrt(24 / n).
    n = flat.numel()
    assert abs(flat.mean()) < 5 / n**0.5
    assert abs(flat.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs(((flat - flat.mean()) / flat.std()).pow(4).mean() - 3) < 5 * (24 / n) ** 0.5
    assert len({banks.raw(turn).tobytes() for turn in range(banks.count)}) == banks.count


def test_draws_are_uniform_and_depend_on_the_image_alone(preset: Preset) -> None:
    long = tuple(replace(row, generations=2000) for row in preset.search.schedule)
    config = replace(preset.search, schedule=long)
    drawn = draw(0, 0, 5, 40, 256, config)
    refiners = drawn.first[:, config.explorers :]
    counts = np.bincount(refiners.ravel(), minlength=config.parents + config.explorers)
    expected = refiners.size / len(counts)
    # Chi-squared has mean k - 1 and variance 2 (k - 1); far beyond 5 deviations if a parent is favoured.
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5
    assert drawn.first[:, : config.explorers].max() == config.parents - 1
    assert drawn.noise.min() == 0 and drawn.noise.max() == 2 * 256 - 1
    for one, other in zip(drawn, draw(0, 0, 5, 40, 256, config), strict=True):
        assert (one == other).all()
    assert (drawn.first != draw(0, 0, 6, 40, 256, config).first).any()
    distinct = draw(0, 0, 5, 40, 256, replace(config, pairs="distinct"))
    assert (distinct.first != distinct.second).all()


@pytest.mark.slow
def test_own_draws_same_distribution() -> None:
    """300 searches each, by reference and engine: a Kolmogorov-Smirnov test of the best fitness at every layer.

    Each image and seed is one search, so that all are independent; the seeds are fixed, and so is the outcome.
    """
    data = rs.load("digits", train=100, validation=20, test=20)
    preset = rs.presets.smoke("digits")
    schedule = tuple(replace(row, generations=6) for row in preset.search.schedule)
    config = replace(preset.search, schedule=schedule, **split_population(24, 4))
    network = rs.search_network(data, preset)
    runs = {
        engine: [rs.search(network, data.train, config, seed, progress=False, engine=engine) for seed in (0, 1, 2)]
        for engine in ("reference", "kernel")
    }
    for layer in ("block0", "block1", "block2", "logits"):
        reference, ours = (torch.cat([t.cross_entropy(layer)[:, -1] for t in runs[e]]) for e in ("reference", "kernel"))
        assert ks_2samp(reference.numpy(), ours.numpy()).pvalue > 0.01, layer
        shifted = ours + 0.3 * ours.std()
        assert ks_2samp(reference.numpy(), shifted.numpy()).pvalue < 0.01  # the test would see a third of a deviation


SEARCH = """
import hashlib, repsearch as rs
data, preset = rs.load("digits", train=4, validation=10, test=10), rs.presets.smoke("digits")
targets = rs.search(rs.search_network(data, preset), data.train, preset.search, progress=False)
print(*(hashlib.sha256(targets.read(layer).numpy().tobytes()).hexdigest() for layer in targets.layers))
"""


@pytest.mark.slow
def test_a_kernel_just_compiled_and_one_from_the_cache_find_the_same(tmp_path: Path) -> None:
    run = partial(subprocess.run, [sys.executable, "-c", SEARCH], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
                  check=True, capture_output=True, text=True)
    compiled = run().stdout
    assert list(tmp_path.rglob("kernel.search_layer*.nbc"))
    assert run().stdout == compiled


def test_kernel_and_torch_engine_find_the_same(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    one, other = (rs.search(network, data.train[:4], preset.search, progress=False, engine=e) for e in ("kernel", "torch"))
    for layer in one.layers:
        assert torch.allclose(one.cross_entropy(layer), other.cross_entropy(layer), atol=1e-3)
        assert torch.allclose(one.read(layer), other.read(layer), atol=2e-2)


@pytest.mark.parametrize("together", [1, 3, 4])
def test_torch_engine_in_batches(network: rs.Network, data: rs.Dataset, preset: Preset, together: int) -> None:
    """On other devices several images are computed together; the last batch is filled up."""
    shapes = check_fit(network, data.train, preset.search)
    light = without_identities(network)
    alone = TorchEngine(light, preset.search, 0, shapes).search(data.train[:4], lambda *_: None)
    found = TorchEngine(light, preset.search, 0, shapes, together).search(data.train[:4], lambda *_: None)
    for one, other in zip(alone.activations + alone.cross_entropy, found.activations + found.cross_entropy, strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, atol=1e-3)


# --- which engine ---------------------------------------------------------------------------------------------------


def name_of(network: nn.Module, data: rs.Dataset, config: rs.SearchConfig, engine: str = "auto") -> str:
    return choose(network, config, 0, check_fit(network, data.train, config), engine).name


def test_the_fastest_engine_that_applies(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    assert name_of(network, data, preset.search) == "kernel"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reading in READINGS:
            assert name_of(network, data, replace(preset.search, **reading)) == "kernel"  # type: ignore[arg-type]
    trained = rs.search_network(data, preset)
    trained.blocks[2][0][4].weight.data.add_(0.01)  # type: ignore[index,operator,union-attr]
    assert name_of(trained, data, preset.search) == "torch"
    with pytest.warns(UserWarning, match="searching with the reference, many times slower"):
        assert name_of(network, data, replace(preset.search, statistics="candidates")) == "reference"
    assert name_of(network, data, preset.search, "reference") == "reference"


def test_engines_that_do_not_apply(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="engine='abacus': unknown; choose one of auto, kernel, reference, torch"):
        name_of(network, data, preset.search, "abacus")
    with pytest.raises(rs.InputError, match="statistics='candidates' needs engine='reference'"):
        name_of(network, data, replace(preset.search, statistics="candidates"), "kernel")
    trained = rs.search_network(data, preset)
    trained.blocks[2][0][4].weight.data.add_(0.01)  # type: ignore[index,operator,union-attr]
    with pytest.raises(rs.InputError, match=r"engine='kernel': behind block 0 there is Conv2d\(8, 8.*use engine='torch'"):
        name_of(trained, data, preset.search, "kernel")


def test_only_convolutions_that_are_the_identity_are_left_out(data: rs.Dataset) -> None:
    network = rs.search_network(data, rs.presets.smoke("digits"))
    convs = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    identities = {name for name, m in convs.items() if is_identity(m)}
    assert identities == {name for name in convs if name.startswith("blocks") and name != "blocks.0.0.0"}
    light = without_identities(network)
    left = {name for name, m in light.named_modules() if isinstance(m, nn.Conv2d)}
    assert left == set(convs) - identities
    for one, other in zip(rs.activations(network, data.train.images), rs.activations(light, data.train.images), strict=True):
        assert torch.equal(one, other)
    assert {name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)} == set(convs)


@pytest.mark.parametrize("change", [
    {"stride": 2}, {"padding": 0}, {"kernel_size": 1, "padding": 1}, {"kernel_size": 2, "padding": "same"}, {"groups": 4}, {"bias": True},
    {"out_channels": 5}, {},
])
def test_a_convolution_is_the_identity_only_if_it_returns_its_input(change: dict[str, object]) -> None:
    conv = nn.Conv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False, **change})  # type: ignore[arg-type]
    if conv.groups == 1:
        nn.init.dirac_(conv.weight)
    if change == {}:
        conv.weight.data[0, 1, 0, 0] = 1e-7
    assert not is_identity(conv)
    x = torch.randn(2, 4, 6, 6)
    assert not torch.equal(conv(x), x) if conv(x).shape == x.shape else True


@pytest.mark.parametrize(("parts", "reason"), [
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU())], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(3), nn.BatchNorm2d(8), nn.GELU())], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU("tanh"))], "neither the identity nor a pattern"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.GELU())], "not alike"),
    ([nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU()),
      nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU(), nn.BatchNorm2d(8), nn.GELU())], "not alike"),
])
def test_networks_the_kernel_does_not_know(parts: list[nn.Module], reason: str) -> None:
    first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GELU())
    network = rs.Network(nn.Identity(), [first, *parts], nn.Sequential(nn.Flatten(), nn.LazyLinear(5))).eval()
    network(torch.zeros(1, 1, 16, 16))
    shapes = {f"block{i}": tuple(H.shape[1:]) for i, H in enumerate(rs.activations(network, torch.zeros(1, 1, 16, 16)))}
    assert reason in str(why_not_kernel(without_identities(network), shapes))


def test_the_tail_is_the_rest_of_the_network(network: rs.Network, data: rs.Dataset) -> None:
    """Scale, shift and head, applied by hand, give the network's logits."""
    light = without_identities(network)
    H = rs.activations(network, data.train.images[:3])[1]
    tail = tail_of(light, 1, tuple(H.shape[1:]))
    x = F.max_pool2d(H, 2).double()
    for step in range(2):
        scale, shift = (
            unpack(torch.from_numpy(values[0, step].reshape(1, -1)), 8, 3, 3).double() for values in (tail.scale, tail.shift)
        )
        x = F.gelu(scale * x + shift)
    weights = unpack(torch.from_numpy(tail.head.reshape(10, 1, -1)), 8, 3, 3).double()
    logits = torch.einsum("nchw,kchw->nk", x, weights)
    assert torch.allclose(logits.float(), rs.activations(network, data.train.images[:3])[-1], atol=1e-5)


# --- independence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["kernel", "torch", "reference"])
def test_an_image_depends_on_nothing_else(
    network: rs.Network, data: rs.Dataset, preset: Preset, engine: str
) -> None:
    """The same bytes alone or among others, in other shards, on one thread or two."""

    def found(rows: slice, shard: int, threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        config = replace(preset.search, shard=shard)
        targets = rs.search(network, data.train[rows], config, progress=False, engine=engine)  # type: ignore[arg-type]
        torch.set_num_threads(2)
        return [read(layer) for layer in targets.layers for read in (targets.read, targets.cross_entropy)]

    everything = found(slice(0, 12), 4, 2)
    for rows, shard, threads in ((slice(0, 12), 5, 1), (slice(7, 8), 4, 2), (slice(3, 10), 64, 2)):
        for whole, part in zip(everything, found(rows, shard, threads), strict=True):
            assert torch.equal(whole[rows], part)
