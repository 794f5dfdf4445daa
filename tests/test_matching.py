"""How different networks are in their weights: permuted copies, every permutation of tiny networks, closed forms."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from permuted import IMAGES, SPLIT, equal_states, made, orders_of, random, reordered
from torch import nn

import repsearch as rs
from repsearch import matching

# --- distance ---------------------------------------------------------------------------------------------------------


def test_distance_in_closed_form() -> None:
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    for network, sign in ((a, 1.0), (b, -4.0)):
        for parameter in network.parameters():
            nn.init.constant_(parameter, sign)
    assert matching.parameter_distance(a, a) == 0
    assert matching.parameter_distance(a, b) == pytest.approx(5 / 2)  # (1 + 4) / sqrt(1 * 4)


def test_distance_is_of_what_is_trained() -> None:
    a, b = made(4, seed=0), made(4, seed=1)
    distance = matching.parameter_distance(a, b)
    flat = [torch.cat([v.flatten() for k, v in n.state_dict().items() if ("blocks" in k and v.ndim == 4) or "bias" in k or "head" in k])
            for n in (a, b)]
    assert distance == pytest.approx(float((flat[0] - flat[1]).norm() / (flat[0].norm() * flat[1].norm()).sqrt()), rel=1e-5)
    with torch.no_grad():
        b.stem[0].weight.fill_(100)  # type: ignore[index]
        b.blocks[0][0][2].running_mean.fill_(100)
    assert matching.parameter_distance(a, b) == distance


# --- matching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "groups", "statistics", "same"), [
    (8, 1, "running", False), (16, 1, "running", True), (5, 2, "running", False), (20, 3, "running", False), (8, 3, "batch", True),
])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_permuted_copy_is_brought_back(width: int, groups: int, statistics: str, same: bool, seed: int) -> None:
    network = made(width, groups, statistics=statistics)
    shuffled = reordered(network, orders_of(network, seed, same))
    assert torch.allclose(shuffled(IMAGES), network(IMAGES), rtol=1e-3, atol=1e-3)
    assert matching.parameter_distance(shuffled, network) > 0.5
    matched = matching.match(shuffled, to=network, seed=seed)
    assert matching.parameter_distance(matched, network) == 0
    assert equal_states(matched, network)  # the statistics too
    assert torch.equal(matched(IMAGES), network(IMAGES))


@pytest.mark.parametrize(("groups", "statistics"), [(1, "running"), (2, "batch"), (3, "running")])
def test_a_matched_network_computes_the_same_and_is_nearer(groups: int, statistics: str) -> None:
    a, b = made(12, groups, 0, statistics), made(12, groups, 1, statistics)
    kept = copy.deepcopy(a)
    matched = matching.match(a, to=b)
    assert matching.parameter_distance(matched, b) < matching.parameter_distance(a, b)
    assert torch.allclose(matched(IMAGES), a(IMAGES), rtol=1e-3, atol=1e-3)
    assert not equal_states(matched, a) and equal_states(a, kept)
    assert [p.requires_grad for p in matched.parameters()] == [p.requires_grad for p in a.parameters()]


def test_trained_networks(data: rs.Dataset, preset: rs.presets.Preset) -> None:
    a, b = (rs.learn_network(data, preset, seed) for seed in range(2))
    for network in (a, b):
        rs.fit(network, data, rs.methods.Backprop(), preset.baseline, progress=False)
    matched = matching.match(a, to=b)
    assert matching.parameter_distance(matched, b) < matching.parameter_distance(a, b)
    assert torch.allclose(rs.predict(matched, data.test.images), rs.predict(a, data.test.images), rtol=1e-3, atol=1e-3)
    assert matching.barrier(matched, a, data.test, data.train.images, points=3) > 0.05  # one function, two places
    assert matching.barrier(matching.match(matched, to=a), a, data.test, data.train.images, points=3) == 0


def test_every_permutation_of_two_channels() -> None:
    """What is found is one of the 64 that there are, and mostly the nearest."""
    nearest = []
    for seed in range(5):
        a, b = random(2, seed), random(2, seed + 50)
        every = itertools.product([[0, 1], [1, 0]], repeat=6)
        distances = [matching.parameter_distance(reordered(a, orders), b) for orders in every]
        found = matching.parameter_distance(matching.match(a, to=b), b)
        assert min(abs(found - distance) for distance in distances) < 1e-7
        nearest.append(found == pytest.approx(min(distances), abs=1e-7))
    assert sum(nearest) >= 3


def test_networks_of_one_start_do_not_part() -> None:
    """Their first filters, small and in another order, call for one that all the other layers speak against."""
    a = rs.convnet(IMAGES, 3, 12, init="residual")
    b = copy.deepcopy(a)
    with torch.no_grad():
        b.blocks[0][0][0].weight.copy_(0.2 * a.blocks[0][0][0].weight.flip(0))
    assert equal_states(matching.match(a, to=b), a)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_layer_alone_could_be_nearer(seed: int) -> None:
    b = random(4, seed + 50)
    matched = matching.match(random(4, seed), to=b)
    found = matching.parameter_distance(matched, b)
    for layer, order in itertools.product(range(6), itertools.permutations(range(4))):
        orders: list[Sequence[int]] = [range(4)] * 6
        orders[layer] = order
        assert matching.parameter_distance(reordered(matched, orders), b) >= found - 1e-9


def test_the_seed_decides() -> None:
    a, b = random(16, 0), random(16, 1)
    ends = [matching.match(a, to=b, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert equal_states(ends[0], ends[1])
    assert not all(equal_states(ends[0], end) for end in ends[2:])  # each a local optimum


def test_the_biases_are_matched_too() -> None:
    """Filters that are all the same say nothing of the order; the biases behind them do."""
    a = made(3)
    with torch.no_grad():
        for value in a.state_dict().values():
            if value.ndim in (2, 4):
                value.fill_(1)
    shuffled = reordered(a, [[2, 0, 1]] * 6)
    assert matching.parameter_distance(shuffled, a) > 0
    assert matching.parameter_distance(matching.match(shuffled, to=a), a) == 0


# --- barriers ---------------------------------------------------------------------------------------------------------


def straight(w: float) -> rs.Network:
    """Logits (w^2 x, -w^2 x) of one pixel x."""
    network = rs.Network(nn.Conv2d(1, 1, 1, bias=False), [nn.Identity()], nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False)))
    with torch.no_grad():
        network.stem.weight.fill_(w)
        network.head[1].weight.copy_(torch.tensor([[w], [-w]]))  # type: ignore[index]
    return network


def test_a_barrier_in_closed_form() -> None:
    """w and -w compute the same, and halfway every weight is zero."""
    pixel = rs.Split(torch.ones(2, 1, 1, 1), [0, 0], 2, range(2))
    a, b, c = straight(1.5), straight(-1.5), straight(-0.5)
    end, other = (math.log1p(math.exp(-2 * w * w)) for w in (1.5, 0.5))
    assert matching.barrier(a, b, pixel, pixel.images) == pytest.approx(math.log(2) - end, rel=1e-5)
    # At alpha = 3/4 the weights are 3/4 * -0.5 + 1/4 * 1.5 = 0; the line is there at end / 4 + 3 * other / 4.
    rises = [math.log1p(math.exp(-2 * (1.5 - 2 * x) ** 2)) - (1 - x) * end - x * other for x in (0.25, 0.5, 0.75)]
    assert matching.barrier(a, c, pixel, pixel.images, points=5) == pytest.approx(max(rises), rel=1e-5)
    assert matching.barrier(c, a, pixel, pixel.images, points=5) == pytest.approx(max(rises), rel=1e-5)
    assert matching.barrier(a, straight(2.0), pixel, pixel.images) == 0  # lower all the way: the ends count


def apart() -> tuple[rs.Network, rs.Network, rs.Split]:
    """Two networks with a barrier between them, one a permuted copy of the other, and the labels that they give."""
    a = made(6)
    with torch.no_grad():
        a.head[1].weight.mul_(4)  # type: ignore[index]
    b = reordered(a, orders_of(a, 0))
    rs.calibrate(known := copy.deepcopy(a), IMAGES, normalised=False)
    return a, b, rs.Split(IMAGES, known(IMAGES).argmax(1), 3, range(40))


def test_no_barrier_to_itself() -> None:
    a = made(6)
    assert matching.barrier(a, copy.deepcopy(a), SPLIT, IMAGES) == 0
    batch = made(6, statistics="batch")
    assert matching.barrier(batch, batch, SPLIT, IMAGES) == 0


def test_the_statistics_are_those_of_the_images() -> None:
    """With the images of the loss they are, but for n / (n - 1), what BatchNorm without statistics of its own uses."""
    a, b, split = apart()
    twins = [made(6, statistics="batch"), made(6, statistics="batch")]
    for twin, network in zip(twins, (a, b), strict=True):
        twin.load_state_dict(network.state_dict(), strict=False)
    found = matching.barrier(a, b, split, IMAGES)
    assert found > 0.2
    assert found == pytest.approx(matching.barrier(*twins, split, IMAGES), rel=0.02)
    assert abs(found - matching.barrier(a, b, split, 3 * IMAGES[:10] + 1)) > 0.05


def test_a_barrier_as_it_is_written() -> None:
    a, b, split = apart()
    losses = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        network = made(6)
        with torch.no_grad():
            for p, x, y in zip(network.parameters(), a.parameters(), b.parameters(), strict=True):
                p.copy_((1 - alpha) * x + alpha * y)
            for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
                norm.momentum = 1.0
            network.train()(IMAGES[:20])
            losses.append(float(F.cross_entropy(network.eval()(IMAGES), split.labels)))
    rises = [loss - (1 - i / 4) * losses[0] - i / 4 * losses[4] for i, loss in enumerate(losses)]
    assert max(rises) > 0.2
    assert matching.barrier(a, b, split, IMAGES[:20], points=5) == pytest.approx(max(rises), rel=1e-3)


def test_own_statistics_have_no_say_and_networks_stay_as_they_are() -> None:
    a, b, split = apart()
    found = matching.barrier(a.train(), b, split, IMAGES)
    for norm in (m for m in a.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.fill_(3)  # type: ignore[union-attr]
    kept = copy.deepcopy(a)
    assert matching.barrier(a, b, split, IMAGES) == found
    assert equal_states(a, kept) and a.training and a.head[1].weight.requires_grad  # type: ignore[index, union-attr]


# --- bad input --------------------------------------------------------------------------------------------------------


def spoiled() -> rs.Network:
    network = made(4)
    with torch.no_grad():
        network.head[1].weight[0, 0] = math.nan  # type: ignore[index]
    return network


def unlike(part: nn.Module) -> rs.Network:
    network = made(4)
    network.blocks[0][0][0] = part
    return network


class Added(nn.Sequential):
    """A block that may as well add its input: its channels would no longer be free."""


def residual() -> rs.Network:
    network = made(4)
    network.blocks[1] = Added(*network.blocks[1])
    return network


@pytest.mark.parametrize(("call", "message"), [
    (lambda: matching.parameter_distance(made(4), made(5)), r"b: expected the architecture of a, with blocks.0.0.0.weight of \(\(4, 16"),
    (lambda: matching.parameter_distance(made(4), spoiled()), "b: has NaN or infinite parameters"),
    (lambda: matching.parameter_distance(made(4), made(4).requires_grad_(False)), r"\(shape, trained\)"),
    (lambda: matching.parameter_distance(*[made(4).requires_grad_(False)] * 2), "a: expected trainable .* found none"),
    (lambda: matching.parameter_distance(straight(1), straight(0)), "b: expected trainable .* found zeros"),
    (lambda: matching.parameter_distance(made(4), IMAGES), "b: expected a Module, found a Tensor"),
    (lambda: matching.match(made(4), to=made(5)), "to: expected the architecture of network"),
    (lambda: matching.match(made(4, 2), to=made(4, 1)), "to: expected the architecture of network"),
    (lambda: matching.match(spoiled(), to=made(4)), "network: has NaN"),
    (lambda: matching.match(made(4), to=rs.convnet(IMAGES**2, 3, 4)), "to: expected the whitening filters of network"),
    (lambda: matching.match(nn.Linear(2, 2), to=made(4)), "network: expected a Network, found a Linear"),
    (lambda: matching.match(made(4), to=straight(1)), "to: expected the parts of repsearch.convnet"),
    (lambda: matching.match(made(4), to=residual()), "to: expected the parts of repsearch.convnet"),
    (lambda: matching.match(unlike(nn.Conv2d(16, 4, 3)), to=made(4)), "network: expected the parts"),  # has biases
    (lambda: matching.match(unlike(nn.Conv2d(16, 4, 3, groups=4, bias=False)), to=made(4)), "network: expected the parts"),
    (lambda: matching.match(made(4), to=made(4), seed=-1), "seed=-1"),
    (lambda: matching.barrier(made(4), made(5), SPLIT, IMAGES), "b: expected the architecture of a"),
    (lambda: matching.barrier(made(4), spoiled(), SPLIT, IMAGES), "b: has NaN"),
    (lambda: matching.barrier(made(4), made(4), SPLIT, IMAGES, points=2), "points=2"),
    (lambda: matching.barrier(made(4), made(4), IMAGES, IMAGES), "split: expected a Split, found a Tensor"),
    (lambda: matching.barrier(made(4), made(4), rs.Split(IMAGES, [0] * 40, 4, range(40)), IMAGES), r"expected \(4,\)"),
    (lambda: matching.barrier(made(4), made(4), SPLIT, IMAGES[:, :1]), "network: cannot take images"),
    (lambda: matching.barrier(made(4), made(4), SPLIT, IMAGES * math.nan), "images: image 0 has NaN"),
    (lambda: matching.barrier(made(4), made(4), SPLIT, None), "images: expected a floating-point tensor"),
    (lambda: matching.barrier(nn.Linear(2, 2), nn.Linear(2, 2), SPLIT, IMAGES), "network: cannot take"),
])
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        call()
