"""How alike parents become, and what reaches the body."""

from __future__ import annotations

import pytest
import torch

import repsearch as rs
from repsearch.presets import Preset
from repsearch.reproduce import diversity, gradients
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.search_plans import EXPLORERS

SAMPLE = Sample("digits", 100, 50, 50)


def test_parents_are_as_different_as_their_cosines_say(data: rs.Dataset, preset: Preset) -> None:
    """Generation 0, computed here from the first population's ten fittest."""
    setup = diversity.Setup(SAMPLE, preset.width, preset.search, 2)
    points = diversity.parents_of(data, setup)
    network = rs.search_network(data, setup)
    firsts: list[torch.Tensor] = []

    def watch(layer: int, generation: int, population: torch.Tensor, fitness: torch.Tensor) -> None:
        if (layer, generation) == (0, 0):
            order = fitness.argsort(1, descending=True)[:, : preset.search.parents]
            firsts.extend(population[image, rows].flatten(1) for image, rows in enumerate(order))

    from repsearch.reference import search_images
    found = search_images(network, data.train[:2], preset.search, 0, watch)
    numbers = []
    for parents in firsts:
        unit = parents / parents.norm(dim=1, keepdim=True)
        numbers.append(len(unit) ** 2 / float((unit @ unit.T).square().sum()))
    assert points[0]["parents"][0] == pytest.approx(sum(numbers) / 2, rel=1e-4)
    assert [len(point["parents"]) for point in points] == [row.generations + 1 for row in preset.search.schedule[:-1]]
    assert points[1]["cross_entropy"] == pytest.approx(found.cross_entropy[1].mean(0).tolist(), rel=1e-5)


def test_without_explorers_parents_are_more_alike(data: rs.Dataset, preset: Preset) -> None:
    ends = {name: diversity.parents_of(data, diversity.Setup(SAMPLE, preset.width, change(preset.search), 4))[0]["parents"]
            for name, change in EXPLORERS.items()}
    assert ends["explorers"][0] == ends["no-explorers"][0] > ends["explorers"][-1] > ends["no-explorers"][-1] >= 1


def test_the_heads_term_reaches_the_head_alone(data: rs.Dataset, preset: Preset) -> None:
    setup = gradients.Setup(SAMPLE, preset.width, preset.groups, preset.search, preset.learn, 20)
    found = gradients.norms(data, setup)
    assert set(found) == {"block0", "block1", "block2", "head", "cross_entropy"}
    assert found["head"]["body"] == 0 < found["head"]["head"]
    assert all(found[block]["head"] == 0 < found[block]["body"] for block in ("block0", "block1", "block2"))
    model = rs.learn_network(data, preset)
    loss = torch.nn.functional.cross_entropy(model(data.train.images[:20]), data.train.labels[:20])
    loss.backward()
    squares = sum(float(p.grad.square().sum()) for p in model.blocks.parameters() if p.grad is not None)
    assert found["cross_entropy"]["body"] == pytest.approx(squares**0.5, rel=1e-4) and squares > 0
