"""The kernel is the reference, faster: same draws, same children; own draws, same distribution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
from scipy.stats import ks_2samp

import repsearch as rs
from repsearch.airbench import convnet
from repsearch.config import LayerSearch, split_population
from repsearch.engine import compiling, kernel
from repsearch.engine.draws import Banks, draw, pack, unpack
from repsearch.engine.kernel import Array
from repsearch.engine.kernel_engine import KernelEngine, kernel_children, kernel_parents
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.engine.torch_engine import TorchEngine
from repsearch.networks import rest
from repsearch.operators import image_generators, normalise, select, spread
from repsearch.populations import initial_population, propagate
from repsearch.presets import Preset
from repsearch.reference import evaluate


def compare(network: rs.Network, image: rs.Split, config: rs.SearchConfig) -> None:
    """One generation of every convolutional layer, by the kernel, the torch engine and the reference."""
    shapes = layer_shapes(network, image, config)
    light = without_identities(network)
    engine, in_torch = (make(light, config, 0, shapes, range(len(shapes))) for make in (KernelEngine, TorchEngine))
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

        schedule, history = config.schedule[layer], np.zeros(1, np.float32)
        state, sides = kernel_parents(parents[0], fitness[0], banks.smoothing), engine.tails[layer].sides
        made = kernel_children(shape[0], sides[min(1, len(sides) - 1)], config)
        kernel.search_layer(
            state, made, kernel.Draws(drawn.first[:1], drawn.second[:1], drawn.noise[:1]), engine.noise(layer),
            engine.tails[layer], label, config.explorers, schedule.strength * schedule.boost, schedule.strength,
            shape[0], config.normalise, banks.smoothing, history,
        )
        assert history[0] == -state.fitness[0] and state.settled.sum() == state.settled[state.slot].sum() == config.parents
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


@njit
def activate(x: Array, scale: Array, shift: Array) -> None:
    kernel.activate(x, scale, shift)


@njit
def fittest(parents: Array, children: Array, order: Array) -> None:
    kernel.fittest(parents, children, order)


def test_gelu_is_torchs() -> None:
    x = np.linspace(-12, 12, 16 * 500, dtype=np.float32)
    ours = x.copy()
    activate(ours, np.ones_like(x), np.zeros_like(x))
    assert np.abs(ours - F.gelu(torch.from_numpy(x).double()).numpy()).max() < 3e-6


def test_the_fittest_are_those_of_a_stable_sort() -> None:
    """From the fittest down, of equals the first, and NaN last, as numpy sorts."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        k, n = (int(size) for size in generator.integers(1, 12, 2))
        values = generator.choice(np.array([-np.inf, -2, -1, 0, 1, 2, np.inf, np.nan], np.float32), k + n)
        order = np.full(k, -1)
        fittest(values[:k], values[k:], order)
        assert (order == np.argsort(-values, kind="stable")[:k]).all(), values


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
        shifted = ours.log() + 0.45 * ours.log().std()
        assert ks_2samp(reference.log().numpy(), shifted.numpy()).pvalue < 0.01  # it would see half a deviation


SEARCH = """
import hashlib, json, sys
from collections import Counter
from dataclasses import replace
from numba.core import event
import repsearch as rs
from repsearch.engine import kernel
from repsearch.engine.compiling import compiled

class Compiled(event.Listener):
    functions = Counter()
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        self.functions[f"{function.__module__}.{function.__qualname__}"] += 1
    def on_end(self, event):
        pass

before, found = compiled(kernel.search_loop), []
event.register("numba:compile", Compiled())
data, preset = rs.load("digits", train=3, validation=10, test=10), rs.presets.smoke("digits")
network = rs.search_network(data, preset)
for reading in json.loads(sys.argv[1]):
    config = replace(preset.search, **reading)
    targets = rs.search(network, data.train, config, progress=False, engine="kernel")
    found.append([hashlib.sha256(targets.read(layer).numpy().tobytes()).hexdigest() for layer in targets.layers])
    found.append([targets.cross_entropy(layer).tolist() for layer in targets.layers])
signatures = [len(loop.signatures) for loop in (kernel.search_loop, kernel.smooth_loop)]
print(json.dumps([found, before, compiled(kernel.search_loop), Compiled.functions, signatures]))
"""
LITERAL: dict[str, object] = {"noise": "pixel", "blurred": "child"}


def search_with(cache: Path, readings: list[dict[str, object]], **environment: str) -> Any:
    """SEARCH in another process: what it finds; whether the kernel is compiled, before and after; how often each
    function was compiled, and for how many signatures each kernel."""
    done = subprocess.run([sys.executable, "-c", SEARCH, json.dumps(readings)], capture_output=True, text=True, check=True,
                          env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment})
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_kernel_just_compiled_and_one_from_the_cache_find_the_same(tmp_path: Path) -> None:
    found, *known, functions, signatures = search_with(tmp_path / "cache", [*READINGS, LITERAL])
    assert list((tmp_path / "cache").rglob("kernel.search_loop*.nbc")) and known == [False, True]
    # A reading that compiles anything again would make its first search wait.
    assert signatures == [1, 1]
    assert {count for name, count in functions.items() if name.startswith("repsearch")} == {1}
    # Nor is anything compiled that only words a message.
    assert not [name for name in functions if "unicode" in name]
    again, *known, functions, signatures = search_with(tmp_path / "cache", [*READINGS, LITERAL])
    assert again == found and known == [True, True] and not functions and signatures == [1, 1]
    # Whichever function is compiled and cached first, and by itself.
    smoothed = "from repsearch.engine import kernel; import numpy as np; a = np.ones((1, 16), np.float32); kernel.smooth_rows(a, a[:, :1], a, a)"
    subprocess.run([sys.executable, "-c", smoothed], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "parts")}, check=True)
    assert search_with(tmp_path / "parts", [*READINGS, LITERAL])[0] == found


@pytest.mark.slow
def test_code_of_another_source_or_processor_does_not_count_as_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_with(tmp_path, [{}])
    folder = next(tmp_path.rglob("kernel.search_loop*.nbi")).parent
    assert compiling._in_cache(kernel.search_loop, folder)
    with monkeypatch.context() as patch:
        patch.setattr(compiling.config, "CPU_NAME", "another")
        assert not compiling._in_cache(kernel.search_loop, folder)
    with monkeypatch.context() as patch:
        edited = tmp_path / "kernel.py"
        edited.write_text(Path(kernel.__file__).read_text(encoding="utf-8") + "\n", encoding="utf-8")
        written = kernel.search_loop.py_func
        patch.setattr(written, "__code__", written.__code__.replace(co_filename=str(edited)))
        assert not compiling._in_cache(kernel.search_loop, folder)
    with monkeypatch.context() as patch:
        patch.setattr(compiling.numba, "__version__", "another")
        assert not compiling._in_cache(kernel.search_loop, folder)
    next(folder.glob("kernel.search_loop*.nbc")).unlink()
    assert not compiling._in_cache(kernel.search_loop, folder)


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, 2**14))
""" + SEARCH


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_disk_too_full_for_the_cache_costs_no_search(tmp_path: Path) -> None:
    """Numba finds a folder that can be written, but not the code."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, "[{}]"], capture_output=True, text=True,
                          env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("kernel.search_loop*.nbc"))
    assert json.loads(done.stdout)[1:3] == [False, True]
    assert json.loads(done.stdout)[0] == search_with(tmp_path / "whole", [{}])[0]


def test_a_block_searched_alone(data: rs.Dataset, preset: Preset) -> None:
    network = rs.search_network(data, preset)
    shapes = layer_shapes(network, data.train, preset.search)
    for block in range(3):
        engine = KernelEngine(without_identities(network), preset.search, 0, shapes, [block])
        found = engine.search(data.train[:3], lambda *_: None)
        (H,), (curves,) = found.activations, found.cross_entropy
        assert (curves.diff(dim=1) <= 0).all() and curves.shape == (3, preset.search.schedule[block].generations + 1)
        loss = F.cross_entropy(rest(network, block, H), data.train.labels[:3], reduction="none")
        assert torch.allclose(loss, curves[:, -1], atol=1e-4)
        alone = engine.search(data.train[2:3], lambda *_: None).activations[0]
        assert torch.equal(alone[0], H[2])
        targets = rs.search(network, data.train[:3], preset.search, progress=False, layers=(f"block{block}",))
        assert targets.layers == (f"block{block}",) and torch.equal(targets.read(f"block{block}"), H.half().float())
        assert torch.equal(targets.cross_entropy(f"block{block}"), curves)
