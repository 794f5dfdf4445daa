"""The reference, the paper's pseudocode, on single populations."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

import repsearch as rs
from repsearch.config import LayerSearch, split_population
from repsearch.operators import image_generators
from repsearch.populations import first_population, initial_population, propagate
from repsearch.presets import Preset
from repsearch.reference import evaluate, make_children, search_images


def test_parents_survive_unchanged(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    seen: list[tuple[int, int, torch.Tensor, torch.Tensor]] = []
    search_images(network, data.train[:2], preset.search, 0, lambda *args: seen.append(args))
    for (layer, _, before, fitness), (next_layer, _, after, kept) in pairwise(seen):
        if layer == next_layer:
            best = fitness.topk(preset.search.parents, dim=1)
            assert torch.equal(kept[:, : preset.search.parents], best.values)
            for b in range(2):
                assert torch.equal(after[b, : preset.search.parents], before[b, best.indices[b]])


def test_the_first_population_is_made_of_noisy_copies(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    config = replace(preset.search, input_noise=1e-6, **split_population(200, 20))
    first = initial_population(network, data.train.images[:2], config, image_generators(0, [0, 1]))
    clean = rs.operators.normalise(rs.activations(network, data.train.images[:2])[0])
    assert first.shape == (2, 200, 8, 15, 15)
    assert torch.allclose(first, clean[:, None].expand_as(first), atol=1e-3)


def test_noise_of_the_copies_is_a_share_of_each_channels_deviation(preset: Preset) -> None:
    images = torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1, 10])[:, None, None]
    config = replace(preset.search, input_noise=0.3, normalise=False, **split_population(200, 20))
    unchanged = rs.Network(nn.Identity(), [nn.Identity()], nn.Flatten())
    copies = initial_population(unchanged, images, config, image_generators(0, [0, 1]))
    share = (copies - images[:, None]).std(dim=(1, 3, 4)) / images.std(dim=(2, 3))
    assert torch.allclose(share, torch.full((2, 3), 0.3), rtol=0.02)  # of 200 x 400 draws each


def test_logits_start_recentred(network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    images = data.train.images[:2]
    with torch.no_grad():
        H = rs.activations(network, images)[2]
        first, raw = propagate(network, 2, H, preset.search), network.head(H)
        alone = first_population(network, images, preset.search, image_generators(0, [0, 1]), 3)
    assert (raw.mean(1).abs() > 1e-3).all()
    expected = raw - raw.mean(1, keepdim=True)
    assert torch.allclose(first, expected[:, None].expand_as(first), atol=1e-6)
    assert torch.allclose(alone.mean(2), torch.zeros(alone.shape[:2]), atol=1e-6)


def test_fitness_is_minus_the_cross_entropy(network: rs.Network, data: rs.Dataset) -> None:
    logits = torch.randn(3, 5, 10, generator=torch.Generator().manual_seed(0))
    fitness = evaluate(network, 3, logits, data.train.labels[:3])
    for b in range(3):
        for i in range(5):
            assert torch.isclose(fitness[b, i], logits[b, i].log_softmax(0)[data.train.labels[b]])


def test_what_is_blurred(preset: Preset) -> None:
    """With noise of strength 0 a blurred child is its smoothed parents, a child of blurred noise its plain parents."""
    parents = torch.randn(1, 2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    pairs, noise = torch.tensor([[[0, 1]]]), torch.randn(1, 1, 3, 7, 7)
    layer = LayerSearch(1, 0.1, blur=2)
    whole = replace(preset.search, normalise=False, blurred="child")
    mean = (parents[:, 0] + parents[:, 1])[:, None] / 2
    child = make_children(parents, pairs, noise, 0.0, layer, whole)
    assert torch.allclose(child, rs.operators.smooth(mean, 2), atol=1e-6)
    child = make_children(parents, pairs, noise, 0.0, layer, replace(whole, blurred="noise"))
    assert torch.allclose(child, mean)
    inside = make_children(parents, pairs, noise, 0.0, layer, replace(whole, border="inside"))
    assert torch.allclose(inside, rs.operators.smooth(mean, 2, "inside"), atol=1e-6)


def test_explorers_get_boost_times_the_noise_and_refiners_the_parents_that_are_asked_for(
    network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    """With a single parent, its spread known, the deviation of the children is that of the noise they got."""
    row, shares = LayerSearch(1, 0.1, boost=5), {}
    for source in ("parents", "parents and explorers"):
        config = replace(preset.search, parents=1, explorers=40, refiners=40, schedule=(row,) * 4, noise="pixel",
                         normalise=False, refine_from=source)  # type: ignore[arg-type]
        seen: list[torch.Tensor] = []
        search_images(network, data.train[:1], config, 0, lambda *args, seen=seen: seen.append(args[2]), layers=[0])
        parent, children = seen[1][0, 0], seen[1][0, 1:]
        share = ((children - parent) / parent.std(dim=(1, 2), keepdim=True)).flatten(1).std(1)
        shares[source] = share[:40].mean().item(), share[40:].mean().item()
    # 40 x 8 x 225 draws: explorers 5 x 0.1, refiners of the parent 0.1, both within a percent.
    assert abs(shares["parents"][0] / 0.5 - 1) < 0.02 and abs(shares["parents"][1] / 0.1 - 1) < 0.02
    # Nearly all refiners have an explorer among their parents: half its noise, at least.
    assert shares["parents and explorers"][1] > 0.25


def test_both_parents_of_a_refiner_are_drawn_from_parents_and_explorers(
    network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    """Of one parent and one explorer: a quarter of the refiners is of the parent alone, a quarter of the explorer."""
    config = replace(preset.search, parents=1, explorers=1, refiners=200, schedule=(LayerSearch(1, 0.1, boost=5),) * 4,
                     noise="pixel", normalise=False)
    seen: list[torch.Tensor] = []
    search_images(network, data.train[:1], config, 0, lambda *args: seen.append(args[2]), layers=[0])
    parent, refiners = seen[1][0, 0], seen[1][0, 2:]
    share = ((refiners - parent) / parent.std(dim=(1, 2), keepdim=True)).flatten(1).std(1)
    # Away from the parent by 0.1, by half of the explorer's 0.5, or by all of it.
    counts = torch.bucketize(share, torch.tensor([0.18, 0.4])).bincount(minlength=3)
    assert ((counts / 200 - torch.tensor([0.25, 0.5, 0.25])).abs() < 0.18).all()  # five deviations of a share
