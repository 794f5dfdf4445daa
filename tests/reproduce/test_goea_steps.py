"""Random steps of a network and its gradients: against autograd, draws made again by hand, and a linear loss."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.method import Batch
from repsearch.methods import EvolutionStrategy
from repsearch.reproduce.goea import place as places
from repsearch.reproduce.goea import steps
from repsearch.reproduce.goea.network import network, shown
from repsearch.reproduce.goea.place import Place
from repsearch.reproduce.goea.settings import PLACES, steps_setup
from repsearch.reproduce.goea.theory import Line
from repsearch.reproduce.goea.ways import WAYS, direction
from repsearch.reproduce.samples import generator_of

NORMED = (1, 5, 9, 12, 16)
SMOKE = steps_setup(presets.smoke(), "before", None)


@pytest.fixture(scope="module")
def digits() -> rs.Dataset:
    return shown(rs.load("digits", train=100, validation=50, test=100))


@pytest.fixture(scope="module")
def regression() -> nn.Sequential:
    """A linear classifier, whose loss is nearly linear in short steps, and cheap."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 10))


# --- a place ----------------------------------------------------------------------------------------------------------


def divided(net: nn.Sequential, images: Tensor, weights: list[Tensor]) -> Tensor:
    """Logits of the network with these weights, each layer divided by torch's own largest singular value."""
    given = dict(zip([name for name, _ in net.named_parameters()], weights, strict=True))
    for at in NORMED:
        W = given.pop(f"{at}.parametrizations.weight.original")
        given[f"{at}.weight"] = W / torch.linalg.matrix_norm(W.flatten(1), 2)
    return torch.func.functional_call(network(drop_in=0, drop=0, spectral=False).double(), given, (images,))


def test_gradients_go_through_the_singular_values(digits: rs.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(drop_in=0, drop=0)
    place = Place(net, digits.train, exact=True)
    step = 0.05 * torch.randn(place.n, generator=generator_of(1))
    weights = [part.view(weight.shape).requires_grad_() for part, weight in zip(
        (place.centre + step).split([weight.numel() for weight in net.parameters()]), net.parameters(), strict=True)]
    images, labels = digits.train.images.double(), digits.train.labels
    for known in (10, 8):
        loss = F.cross_entropy(divided(net, images, weights), torch.where(labels < known, labels, -1), ignore_index=-1)
        wanted = torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])
        for chunk in (400, 30):
            monkeypatch.setattr(places, "CHUNK", chunk)
            found = place.gradient(step, known=known)
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
    loss, accuracy = place.judged(step)
    logits = divided(net, images, [weight.detach() for weight in weights])
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item())
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert not place.gradient(images=images[labels > 7], labels=labels[labels > 7], known=8).any()


def test_every_step_is_from_the_same_weights(digits: rs.Dataset) -> None:
    net = network(drop_in=0.5, drop=0.5)
    before = [weight.clone() for weight in net.parameters()]
    place = Place(net, digits.train[:30])
    one, two = (std * torch.randn(place.n, generator=generator_of(2)) for std in (0.1, 1.0))
    together = place.changes(torch.stack([one, two, one]))
    assert torch.equal(together[0][0], together[0][2]) and together[0][0] != together[0][1]
    assert together[0][1] == place.judged(two)[0] - place.loss and together[1][1] == place.judged(two)[1] - place.accuracy
    assert place.changes(torch.zeros(1, place.n)) == (torch.zeros(1), torch.zeros(1))
    assert all(torch.equal(weight, its) for weight, its in zip(net.parameters(), before, strict=True)) and net.training


def test_curvature_is_that_of_the_hessian(digits: rs.Dataset, regression: nn.Sequential) -> None:
    place = Place(regression, digits.train, exact=True)
    features, probes = regression[:2](digits.train.images).double(), 300

    def loss(vector: Tensor) -> Tensor:
        return F.cross_entropy(features @ vector[:490].view(10, 49).T + vector[490:], digits.train.labels)

    H = torch.autograd.functional.hessian(loss, place.centre)
    found = place.curvature(1e-3, probes, generator_of(3))
    assert found.slope == pytest.approx(torch.autograd.functional.jacobian(loss, place.centre).norm().item(), rel=1e-5)
    assert found.error == pytest.approx(math.sqrt(2 * H.square().sum().item() / probes), rel=0.3)  # var v'Hv = 2 tr H^2
    assert abs(found.trace - H.trace().item()) < 4 * found.error
    assert found.trace2 == pytest.approx(H.square().sum().item(), rel=0.2)


# --- ways to mix ------------------------------------------------------------------------------------------------------


def test_ways_by_hand() -> None:
    tried, gains = torch.tensor([[3.0, 0.0], [0.0, 1.0], [4.0, 3.0]]), torch.tensor([-1.0, 1.0, 3.0])
    wanted = {"one improver": [0, 1], "best": [0.8, 0.6], "mean of improvers": [2**-0.5, 2**-0.5]}
    for way, vector in wanted.items():
        torch.testing.assert_close(direction(way, tried, gains), torch.tensor(vector, dtype=torch.float32))
    weighted = direction("weighted sum", tried, gains)  # gains minus their mean are -2, 0, 2
    torch.testing.assert_close(weighted, F.normalize(torch.tensor([2 * 4 - 2 * 3.0, 2 * 3.0]), dim=0))
    worse = -gains.abs()
    assert direction("one improver", tried, worse) is direction("mean of improvers", tried, worse) is None
    torch.testing.assert_close(direction("best", tried, worse), torch.tensor([1.0, 0.0]))
    with pytest.raises(rs.InputError, match="way='worst': unknown"):
        direction("worst", tried, gains)


def test_the_weighted_sum_is_what_an_evolution_strategy_estimates() -> None:
    line, target = Line(30), torch.randn(30, generator=generator_of(4))
    method = EvolutionStrategy(12, 0.1, "one-sided", shaping="z-scores", fitness=lambda w, _: -(w[0] - target).square().sum())
    config = rs.FitConfig(epochs=1, batch=2)
    method.start(line, None, config, 0)  # type: ignore[arg-type]
    tried = 0.1 * method.draw(0, 12)
    gains = target.square().sum() - (tried - target).square().sum(1)
    method.step(line, Batch(torch.zeros(2, 1), torch.zeros(2).long(), 0, 2), config)
    assert line.weights.grad is not None
    torch.testing.assert_close(direction("weighted sum", tried, gains), F.normalize(-line.weights.grad, dim=0))


# --- what is measured -------------------------------------------------------------------------------------------------


def test_ways_gain_what_a_linear_loss_says(digits: rs.Dataset) -> None:
    """Steps so short that the loss of a wide linear classifier is linear: a unit step gains the theory's number."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    setup = replace(SMOKE, std=1e-4, populations=((20, 30),), lengths=(0.1, 1.0))
    rows = steps._ways(setup, Place(net, digits.train[:10], exact=True), 0)
    assert [row["way"] for row in rows] == list(WAYS)
    for row in rows:
        assert row["generations"] == 30 and len(row["gained"]) == 2
        for found in (row["linear"], *row["gained"]):
            assert abs(found["mean"] - row["theory"]) < 4 * found["error"] + 0.05 * row["theory"], row


def test_theorem_1_holds_in_few_dimensions_and_few_show_what_many_hide(
    digits: rs.Dataset, regression: nn.Sequential
) -> None:
    setup = replace(SMOKE, dimensions=(2, 3, 10), counts=(10, 100), directions=1000, subspace=10, pairs=4000)
    place = Place(regression, digits.train[:20], exact=True)
    rows = steps._theorem(setup, place, 0)
    assert [row["generations"] for row in rows] == [100, 10] * 3
    for row in rows:
        assert abs(row["mean"] - row["theory"]) < 4 * row["error"], row
    found = steps._subspace(setup, place, 0)
    assert found["pairs"] == int(found["improving"] * 4000) // 2 and 0.4 < found["improving"] < 0.6
    # Half spaces bring two directions nearer by 2/pi/n radians.
    closer = found["fresh"]["mean"] - found["found"]["mean"]
    error = math.hypot(found["fresh"]["sd"], found["found"]["sd"]) / math.sqrt(found["pairs"])
    assert abs(closer - math.degrees(2 / math.pi / 10)) < 4 * error and found["p"] < 0.01


def test_minibatches_without_a_known_label_are_counted_and_left_out(digits: rs.Dataset, regression: nn.Sequential) -> None:
    place = Place(regression, digits.train)
    setup = replace(SMOKE, known=2, batches=((2, 40), (20, 10), (100, 10)))
    rows = steps._batches(setup, place, digits, 3)
    assert [(row["classes"], row["batch"]) for row in rows] == [(10, 2), (10, 20), (10, 100), (2, 2), (2, 20), (2, 100)]
    draws = generator_of(3, steps.BATCHES, 2)
    labels = torch.stack([digits.train.labels[torch.randint(100, (2,), generator=draws)] for _ in range(40)])
    empty = int((labels > 1).all(1).sum())
    assert empty > 10 and rows[3]["empty"] == empty and rows[0]["empty"] == 0
    for number, row in ((40, rows[0]), (40 - empty, rows[3])):
        assert sum(row["angle"]["counts"]) == number * (number - 1) // 2  # no vector beside itself
    medians = [row["angle"]["percentiles"][2] for row in rows[:3]]
    assert medians == sorted(medians, reverse=True)


def test_angles_by_hand() -> None:
    tilted = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-2.0, 0.0], [1.0, 1e-5]], dtype=torch.float64)
    torch.testing.assert_close(steps._degrees(tilted[:1].expand(4, 2), tilted),
                               torch.tensor([0, 45, 180, math.degrees(1e-5)], dtype=torch.float64))
    torch.testing.assert_close(steps._between(tilted[:3]), torch.tensor([45, 180, 135], dtype=torch.float64))
    told: Any = steps._described(torch.arange(101).float())
    assert told["percentiles"] == [5, 25, 50, 75, 95] and (told["low"], told["high"]) == (0, 100) and sum(told["counts"]) == 101
    assert steps._described(torch.zeros(1)) is None and sum(steps._described(torch.ones(7))["counts"]) == 7  # type: ignore[index]
    nobody = steps._tested(torch.zeros(0), torch.zeros(0))
    assert nobody == {"pairs": 0, "p": None, "found": None, "fresh": None}


@pytest.mark.parametrize("variant", PLACES)
def test_a_record_at_every_place(variant: str) -> None:
    setup = replace(steps_setup(presets.smoke(), variant, 60), steps=8, populations=((3, 2),), pairs=20, directions=20)
    found = steps.run(setup, 0)
    json.dumps(found, allow_nan=False)
    assert found["place"]["known"] == PLACES[variant] and found["place"]["n"] == 9854
    assert len(found["batches"]) == (4 if variant == "transfer" else 2)
    told = found["steps"]
    assert told["better"] + told["same"] + told["worse"] == pytest.approx(1)
    improvers = round(8 * told["improving"])
    assert found["angles"]["improvers"] == improvers and found["angles"]["pairs"] == improvers * (improvers - 1) // 2
    if variant == "before":
        assert json.dumps(steps.run(setup, 0)) == json.dumps(found) != json.dumps(steps.run(setup, 1))


def test_sizes_of_the_book() -> None:
    setup = steps_setup(presets.book("mnist"), "transfer", None)
    assert (setup.sample.train, setup.known, setup.std, setup.steps) == (6000, 8, 0.01, 200)
    with pytest.raises(rs.InputError, match="variant='nowhere': unknown"):
        steps_setup(presets.smoke(), "nowhere", None)
