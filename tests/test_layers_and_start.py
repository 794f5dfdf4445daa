"""`rs.search` of some layers only, and from given activations: every engine, against the reference's own steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.operators import image_generators, normalise
from repsearch.populations import first_population
from repsearch.presets import Preset
from repsearch.reference import evaluate, search_layer

ENGINES = ("kernel", "conv", "torch", "reference")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_layers_of_a_search_do_not_need_the_later_ones(
    engine: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    whole = rs.search(network, data.train[:3], preset.search, progress=False, engine=engine)  # type: ignore[arg-type]
    part = rs.search(network, data.train[:3], preset.search, progress=False, engine=engine,  # type: ignore[arg-type]
                     layers=("block1", "block0"))
    assert part.layers == ("block0", "block1") and whole.layers == ("block0", "block1", "block2", "logits")
    for layer in part.layers:
        assert torch.equal(part.read(layer), whole.read(layer))
        assert torch.equal(part.cross_entropy(layer), whole.cross_entropy(layer))
    assert torch.equal(part.probability, (-part.cross_entropy("block1")[:, -1]).exp())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_alone_starts_from_noisy_copies(
    engine: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    """The first fitness at block 2: of noisy images, sent through both blocks before it, each candidate normalised."""
    found = rs.search(network, data.train[:2], preset.search, progress=False, engine=engine, layers=("block2",))  # type: ignore[arg-type]
    assert found.layers == ("block2",) and found.shape("block2") == (8, 3, 3)
    for i in range(2):
        x, y = data.train.images[i : i + 1], data.train.labels[i : i + 1]
        with torch.no_grad():
            sigma = x.std(dim=(2, 3), keepdim=True)
            generator = image_generators(0, data.train.indices[i : i + 1].tolist())[0]
            noise = torch.randn(preset.search.population, *x.shape[1:], generator=generator)
            H = network.stem(x + preset.search.input_noise * sigma * noise)
            for block in network.blocks:
                H = normalise(block(H))
            losses = torch.nn.functional.cross_entropy(network.head(H), y.expand(len(H)), reduction="none")
        assert found.cross_entropy("block2")[i, 0].item() == pytest.approx(losses.min().item(), abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_between_is_passed_through(engine: str, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """Block 2 starts from what the best of block 0 becomes there."""
    found = rs.search(network, data.train[:2], preset.search, progress=False, engine=engine, layers=("block0", "block2"))  # type: ignore[arg-type]
    with torch.no_grad():
        H = normalise(network.blocks[1](found.read("block0")))
        H = normalise(network.blocks[2](H))
        losses = torch.nn.functional.cross_entropy(network.head(H), data.train.labels[:2], reduction="none")
    assert torch.allclose(found.cross_entropy("block2")[:, 0], losses, atol=0.02)  # block0 was stored as float16


@pytest.mark.parametrize("engine", ENGINES)
def test_a_given_start(engine: str, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    images = data.train[:3]
    with torch.no_grad():
        own = rs.activations(network, images.images)[0]
        losses = torch.nn.functional.cross_entropy(rs.networks.rest(network, 0, normalise(own)), images.labels, reduction="none")
    found = rs.search(network, images, preset.search, progress=False, engine=engine, start=own)  # type: ignore[arg-type]
    assert torch.allclose(found.cross_entropy("block0")[:, 0], losses, atol=1e-4)
    assert (found.cross_entropy("block0")[:, -1] < found.cross_entropy("block0")[:, 0]).any()
    # An image's result depends on its own start alone.
    alone = rs.search(network, images[1:2], preset.search, progress=False, engine=engine, start=own[1:2])  # type: ignore[arg-type]
    assert torch.equal(alone.read("block1")[0], found.read("block1")[1])


def test_logits_from_a_given_start(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """Recentred, and then searched as the reference does."""
    start = torch.randn(1, 10, generator=torch.Generator().manual_seed(0)) + 3
    image = data.train[:1]
    found = rs.search(network, image, preset.search, progress=False, layers=("logits",), start=start)
    generators = image_generators(0, image.indices.tolist())
    with torch.no_grad():
        population = first_population(network, image.images, preset.search, generators, 3, start)
        assert torch.allclose(population[0, 0], start[0] - start.mean())
        assert evaluate(network, 3, population, image.labels).unique().numel() == 1
        H, _ = search_layer(network, 3, population, image.labels, preset.search, generators)
    assert torch.equal(found.read("logits"), H.half().float())


def test_what_was_chosen_is_part_of_a_search(
    tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    images, start = data.train[:2], torch.zeros(2, 8, 15, 15)
    rs.search(network, images, preset.search, store=tmp_path / "t", progress=False, layers=("block0",))
    with pytest.raises(rs.InputError, match="targets of another choice of layers"):
        rs.search(network, images, preset.search, store=tmp_path / "t", progress=False)
    with pytest.raises(rs.InputError, match="targets of another start"):
        rs.search(network, images, preset.search, store=tmp_path / "t", progress=False, layers=("block0",), start=start)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"layers": ("block7",)}, "layers='block7': unknown; choose one of block0, block1, block2, logits"),
    ({"layers": "block0"}, r"layers='block0': expected one or more names such as \('block0', 'block1'\)"),
    ({"layers": ()}, r"layers=\(\): expected one or more names"),
    ({"start": torch.zeros(2, 8, 15, 14)}, r"start: expected the activations \(2, 8, 15, 15\) of the first layer searched, found \(2, 8, 15, 14\)"),
    ({"start": torch.zeros(1, 8, 15, 15)}, r"start: expected the activations \(2, 8, 15, 15\)"),
])
def test_bad_choice(
    arguments: dict[str, object], message: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    with pytest.raises(rs.InputError, match=message):
        rs.search(network, data.train[:2], preset.search, progress=False, **arguments)  # type: ignore[arg-type]


def test_learning_needs_targets_of_the_logits(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    images = replace(preset.learn, epochs=1)
    some = rs.search(network, data.train, preset.search, progress=False, layers=("block1", "logits"))
    history = rs.learn(rs.learn_network(data, preset), data, some, images, progress=False)
    assert list(history.parts) == ["block1", "head"]
    none = rs.search(network, data.train, preset.search, progress=False, layers=("block1",))
    with pytest.raises(rs.InputError, match="targets: of block1 only; the head needs searched logits, too"):
        rs.learn(rs.learn_network(data, preset), data, none, images, progress=False)
