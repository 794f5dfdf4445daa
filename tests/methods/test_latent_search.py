"""Latent-space search against torch's Adam, closed forms, and loops written out; what it may touch, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch.cost import multiply_adds, search_multiply_adds
from repsearch.methods._latent import ascend
from repsearch.methods.latent_search import LatentSearch, equal_samples, latent_targets
from repsearch.reference import search_images

PRESET = replace(rs.presets.smoke("digits"), width=8, groups=1)
LEARN = replace(PRESET.learn, epochs=4)
NAMES = ("block0", "block1", "block2", "logits")
BOTH = ({"searcher": "gradient", "steps": 3}, {"searcher": "random", "samples": 7})


@pytest.fixture(scope="module")
def net(digits: rs.Dataset) -> rs.Network:
    return rs.search_network(digits, PRESET)


@pytest.fixture(scope="module")
def small(digits: rs.Dataset) -> rs.Dataset:
    return replace(digits, train=digits.train[:60])


def some(split: rs.Split, rows: list[int]) -> rs.Split:
    return rs.Split(split.images[rows], split.labels[rows], split.classes, split.indices[rows])


def tensors(targets: rs.Targets) -> dict[str, Tensor]:
    return {name: targets.read(name) for name in targets.layers} | {f"loss {name}": targets.cross_entropy(name) for name in targets.layers}


def equal(one: dict[str, Tensor], other: dict[str, Tensor], rows: list[int] | None = None) -> bool:
    return all(torch.equal(value if rows is None else value[rows], other[name]) for name, value in one.items())


def tidied(H: Tensor) -> Tensor:
    """Normalised, or of mean zero: written out."""
    if H.ndim == 2:
        return H - H.mean(1, keepdim=True)
    mean, variance = H.mean((1, 2, 3), keepdim=True), H.var((1, 2, 3), keepdim=True, correction=0)
    return (H - mean) / (variance + 1e-5).sqrt()


def loss_from(net: rs.Network, layer: int, H: Tensor, labels: Tensor) -> Tensor:
    """Of each image's activations (B, ...) in a layer."""
    for part in [*net.blocks, net.head][layer + 1 :]:
        H = part(H)
    return F.cross_entropy(H, labels, reduction="none")


# --- gradient ascent --------------------------------------------------------------------------------------------------


def test_ascent_of_a_concave_quadratic_reaches_its_argmax() -> None:
    torch.manual_seed(0)
    A, peak = torch.randn(4, 6, 6), torch.randn(4, 6)
    A = A @ A.mT + torch.eye(6)

    def fitness(at: Tensor) -> Tensor:
        return -torch.einsum("bi,bij,bj->b", at - peak, A, at - peak)

    best, history = ascend(fitness, torch.zeros(4, 6), 300, rate=0.03)
    torch.testing.assert_close(best, peak, rtol=0, atol=0.02)
    torch.testing.assert_close(history[:, -1], fitness(best))
    assert (history[:, 0] < -1).all()


@pytest.mark.parametrize("tidy", [lambda at: at, tidied])
@pytest.mark.parametrize("clip", [1.0, 0.2])
def test_ascent_is_torchs_adam_image_by_image(tidy: Callable[[Tensor], Tensor], clip: float) -> None:
    """With gradients shorter and longer than the clip, and a rate so high that the last is not the best."""
    torch.manual_seed(0)
    start, weight, rate, steps = tidied(torch.randn(6, 2, 3, 3)), torch.randn(2, 3, 3), 0.4, 12
    scale = torch.tensor([0.01, 0.03, 0.1, 1, 3, 10])[:, None, None, None]

    def fitness(at: Tensor, scale: Tensor = scale) -> Tensor:
        return (scale * ((3 * at).sin() * weight - at**2)).sum((1, 2, 3))

    best, history = ascend(fitness, start, steps, rate, clip, tidy)
    lengths, last_is_best = [], []
    for image in range(6):
        at = nn.Parameter(start[image : image + 1].clone())
        adam = torch.optim.Adam([at], lr=rate, betas=(0.9, 0.9))
        visited = [at.detach().clone()]
        for _ in range(steps):
            adam.zero_grad()
            (-fitness(at, scale[image])).sum().backward()  # type: ignore[no-untyped-call]
            lengths.append(float(nn.utils.clip_grad_norm_([at], clip)))
            adam.step()
            at.data = tidy(at.data)
            visited.append(at.detach().clone())
        found = fitness(torch.cat(visited), scale[image])
        torch.testing.assert_close(history[image], found.cummax(0).values)
        torch.testing.assert_close(best[image], visited[int(found.argmax())][0], rtol=1e-4, atol=1e-5)
        last_is_best.append(int(found.argmax()) == steps)
    assert min(lengths) < clip < max(lengths) and not all(last_is_best)


def test_a_fitness_that_is_not_a_number_is_never_better() -> None:
    best, history = ascend(lambda at: torch.where(at > 0.25, torch.nan, at)[:, 0], torch.zeros(1, 1), 5)
    assert 0.15 < float(best) < 0.25 and float(history[0, -1]) == float(best)


def test_a_layer_climbs_the_gradient_that_autograd_gives(net: rs.Network, digits: rs.Dataset) -> None:
    """The first step of Adam goes so far along the sign of each number's gradient, however small, unless it is zero."""
    split, rate = digits.train[:4], 0.5
    found = latent_targets(net, split, steps=1, rate=rate).read("block0")
    start = tidied(net.blocks[0](net.stem(split.images))).requires_grad_()
    (gradient,) = torch.autograd.grad(-loss_from(net, 0, start, split.labels).sum(), start)
    with torch.no_grad():
        wanted = tidied(start + rate * gradient / (gradient.abs() + 1e-8))
        assert (loss_from(net, 0, wanted, split.labels) < loss_from(net, 0, start, split.labels)).all()
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
        assert ((found - start).abs() > 0.4 * rate).float().mean() > 0.005  # three poolings leave little a gradient


# --- both, in a network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("none", [{"searcher": "gradient", "steps": 0}, {"searcher": "random", "samples": 0}])
@pytest.mark.parametrize("normalise", [True, False])
def test_no_steps_give_the_networks_own_activations(none: dict[str, Any], normalise: bool, net: rs.Network, digits: rs.Dataset) -> None:
    split = digits.train[:5]
    found = latent_targets(net, split, like=replace(PRESET.search, normalise=normalise), **none)
    H = net.stem(split.images)
    for layer, (name, part) in enumerate(zip(NAMES, [*net.blocks, net.head], strict=True)):
        H = tidied(part(H)) if normalise or name == "logits" else part(H)
        torch.testing.assert_close(found.read(name), H, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.cross_entropy(name), loss_from(net, layer, H, split.labels)[:, None], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("how", [{"searcher": "gradient", "rate": 10.0}, {"searcher": "random", "std": 2.0}])
def test_the_best_is_kept_and_is_never_worse_than_the_start(how: dict[str, Any], net: rs.Network, digits: rs.Dataset) -> None:
    """At a step, and noise, so large that many are for the worse; and more steps begin like fewer."""
    split, count = digits.train[:20], {"gradient": "steps", "random": "samples"}[how["searcher"]]
    few, many = (latent_targets(net, split, **how, **{count: number}) for number in (4, 12))
    for layer, name in enumerate(NAMES):
        losses = many.cross_entropy(name)
        assert losses.shape == (20, 13) and (losses.diff(dim=1) <= 0).all()
        torch.testing.assert_close(loss_from(net, layer, many.read(name), split.labels), losses[:, -1], rtol=2e-2, atol=2e-3)
    torch.testing.assert_close(few.cross_entropy("block0"), many.cross_entropy("block0")[:, :5])
    still = torch.cat([many.cross_entropy(name).diff(dim=1) == 0 for name in NAMES])
    assert 0.2 < float(still.float().mean()) < 0.95


def drawn(seed: int, index: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def test_random_search_is_the_best_of_what_is_drawn(net: rs.Network, digits: rs.Dataset) -> None:
    """Written out for two images, layer by layer: maps of noise, blurred by pooling, as wide as each channel varies."""
    split, samples, seed = some(digits.train, [5, 2]), 30, 3
    found = latent_targets(net, split, seed, searcher="random", samples=samples, std=0.8)
    for row in range(2):
        draws, H, moved = drawn(seed, int(split.indices[row])), net.stem(split.images[row : row + 1]), 0
        for layer, (name, part, blur) in enumerate(zip(NAMES, [*net.blocks, net.head], (5, 1, 1, 0), strict=True)):
            start = tidied(part(H))
            visited = [start]
            for _ in range(samples):
                if start.ndim == 2:
                    visited.append(tidied(start + 0.8 * start.std() * torch.randn(10, generator=draws)))
                    continue
                noise = torch.randn(start.shape[1], 1, 1, generator=draws).expand(start.shape)
                for _ in range(blur):
                    noise = F.avg_pool2d(noise, 3, 1, 1)
                visited.append(tidied(start + 0.8 * start.std((2, 3), keepdim=True) * noise))
            losses = loss_from(net, layer, torch.cat(visited), split.labels[row].expand(samples + 1))
            torch.testing.assert_close(found.cross_entropy(name)[row], losses.cummin(0).values, rtol=1e-3, atol=1e-4)
            H = visited[int(losses.argmin())]
            moved += int(losses.argmin() > 0)
            torch.testing.assert_close(found.read(name)[row], H[0], rtol=2e-3, atol=2e-3)
        assert moved > 1


@pytest.mark.parametrize("how", BOTH)
def test_an_image_has_its_target_whatever_is_beside_it(how: dict[str, Any], net: rs.Network, digits: rs.Dataset) -> None:
    """To the last bit: alone, in another order, and beside images that are changed."""
    split = digits.train[:40]
    together = tensors(latent_targets(net, split, seed=1, **how))
    assert equal(together, tensors(latent_targets(net, split, seed=1, **how)))
    for rows in ([7], [39, 3, 20]):
        assert equal(together, tensors(latent_targets(net, some(split, rows), seed=1, **how)), rows)
    images, labels = split.images.clone(), split.labels.clone()
    images[0], labels[0] = -images[0], (labels[0] + 1) % 10
    changed = tensors(latent_targets(net, rs.Split(images, labels, 10, split.indices), seed=1, **how))
    assert equal({name: H[1:] for name, H in together.items()}, {name: H[1:] for name, H in changed.items()})
    assert all(not torch.equal(H[0], changed[name][0]) for name, H in together.items())


def test_images_draw_their_own_noise_unless_it_is_shared(net: rs.Network, digits: rs.Dataset) -> None:
    one = digits.train[:1]
    twins = rs.Split(one.images.repeat(2, 1, 1, 1), one.labels.repeat(2), 10, torch.tensor([4, 9]))
    for draws, same in (("own", False), ("shared", True)):
        like = replace(PRESET.search, draws=draws)
        H = latent_targets(net, twins, searcher="random", samples=20, like=like).read("logits")
        assert torch.equal(H[0], H[1]) is same
    seeds = [latent_targets(net, one, seed, searcher="random", samples=20).read("logits") for seed in (0, 1)]
    assert not torch.equal(*seeds)


@pytest.mark.parametrize("how", BOTH)
def test_the_network_stays_as_it_is(how: dict[str, Any], net: rs.Network, digits: rs.Dataset) -> None:
    """Though it is in train mode, and its weights could have gradients; nor do torch's generators move."""
    loose = deepcopy(net).requires_grad_(True).train()
    loose.blocks[1].eval()
    before, state, modes = deepcopy(loose.state_dict()), torch.get_rng_state(), [m.training for m in loose.modules()]
    found = latent_targets(loose, digits.train[:3], **how)
    assert all(torch.equal(value, before[name]) for name, value in loose.state_dict().items())
    assert [m.training for m in loose.modules()] == modes and torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in loose.parameters())
    assert equal(tensors(found), tensors(latent_targets(net, digits.train[:3], **how)))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        around = latent_targets(net, digits.train[:3], **how)
    assert equal(tensors(found), tensors(around))


# --- cost -------------------------------------------------------------------------------------------------------------


def test_the_cost_in_closed_form(net: rs.Network, small: rs.Dataset) -> None:
    """Convolutions of 8 to 8 channels: 31 x 31 whitened positions, the second after pooling; then 15 x 15 and 7 x 7."""
    whitening, square = 8 * 4 * 31 * 31, 8 * 8 * 9
    ways = [whitening + square * (31**2 + 15**2), square * (15**2 + 7**2), square * (7**2 + 3**2), 720]
    assert multiply_adds(net, small.train.images[:1]) == ways
    rests, F_ = [sum(ways[1:]), sum(ways[2:]), ways[3], 0], sum(ways)
    for how, passes in (({"steps": 5}, [16] * 4), ({"steps": (4, 3, 0, 9)}, [13, 10, 1, 28]), ({"searcher": "random", "samples": 12}, [13] * 4)):
        method = LatentSearch(net, **how)
        method.start(deepcopy(net), small, LEARN, 0)
        wanted = ways[0] + sum(a * b for a, b in zip(passes, rests, strict=True))
        assert method.spent(deepcopy(net), small) == pytest.approx(60 * wanted / F_)
    history = rs.fit(rs.learn_network(small, PRESET), small, LatentSearch(deepcopy(net), steps=5), replace(LEARN, epochs=1), progress=False)
    assert history.spent[0] == pytest.approx(60 * (3 + (ways[0] + 16 * sum(rests)) / sum(multiply_adds(rs.learn_network(small, PRESET), small.train.images[:1]))))


@pytest.mark.parametrize("how", [{"steps": 4}, {"searcher": "random", "samples": 28}])
def test_as_much_is_computed_as_is_said(how: dict[str, Any], net: rs.Network, digits: rs.Dataset) -> None:
    """Images that reach the head in 32 searches, of three layers, and on the way to the logits."""
    counted = deepcopy(net)
    method, passes = LatentSearch(counted, **how), 1 + how.get("steps", how.get("samples"))
    rows: list[int] = []
    counted.head.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    method._described(digits.train[:32], 0)
    before = sum(rows)
    method.search(digits.train[:32])
    assert sum(rows) - 2 * before == 32 * (3 * passes + 1)


def test_equal_samples_are_as_many_evaluations_as_evolutions(net: rs.Network, digits: rs.Dataset) -> None:
    """Counted in the reference; the costs differ by evolution's noisy copies of the image, which go to the first layer."""
    config, image = replace(PRESET.search, schedule=tuple(replace(row, generations=3) for row in PRESET.search.schedule)), digits.train.images[:1]
    seen = [0] * 4

    def watch(layer: int, generation: int, population: Tensor, _fitness: Tensor) -> None:
        seen[layer] += population.shape[1] - (config.parents if generation else 0)

    search_images(net, digits.train[:1], config, 0, watch)
    assert [samples + 1 for samples in equal_samples(config)] == seen
    random = LatentSearch(net, "random", samples=equal_samples(config), like=config)._described(digits.train, 0)
    copies = (config.population - 1) * multiply_adds(net, image)[0]
    assert random.manifest["multiply_adds"] == search_multiply_adds(net, image, config, [0, 1, 2, 3]) - copies
