"""Trainings by evolution in the space of weights, and the estimates behind them: against torch and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import presets
from repsearch.method import Method
from repsearch.reproduce import cubes, estimates
from repsearch.reproduce.arena_settings import es_setup
from repsearch.reproduce.contenders import CONTENDERS
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.strategies import Cell, Setup, perceptron, run, thinned
from repsearch.reproduce.strategy_settings import DIGITS, MNIST

SMALL = Sample("digits", 60, 50, 50)


@pytest.fixture(scope="module")
def images() -> rs.Dataset:
    return rs.load("digits", train=60, validation=50, test=50)


@pytest.mark.parametrize(("sizes", "count"), [(DIGITS, 2410), (MNIST, 118282)])
def test_perceptrons_have_the_sizes_of_the_notes(images: rs.Dataset, sizes: tuple[int, ...], count: int) -> None:
    net = perceptron(images, sizes, 0)
    assert sum(weight.numel() for weight in net.parameters()) == count
    pixels = F.avg_pool2d(images.train.images, 4) if sizes[0] == 64 else images.train.images[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(net[2](pixels.flatten(1)), net[:3](images.train.images))
    before = torch.get_rng_state()
    same, other = perceptron(images, sizes, 0), perceptron(images, sizes, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(net[2].weight, same[2].weight) and not torch.equal(net[2].weight, other[2].weight)


@pytest.mark.parametrize(("length", "points", "wanted"), [(5, 10, [0, 1, 2, 3, 4]), (10, 4, [0, 3, 6, 9]), (11, 4, [1, 4, 7, 10])])
def test_a_curve_keeps_its_end(length: int, points: int, wanted: list[int]) -> None:
    curve = [(float(at), 0.0) for at in range(length)]
    assert [at for at, _ in thinned(curve, points)] == wanted


def test_every_cell_is_a_method_and_costs_the_same() -> None:
    for variant, count in (("arms", 70), ("ranks", 24)):
        cells = es_setup(presets.book("mnist"), variant, None).cells
        assert len({cell.name for cell in cells}) == len(cells) == count
        assert all(isinstance(CONTENDERS[cell.method](**cell.arguments), Method) for cell in cells)
        assert len({cell.fit.budget for cell in cells}) == 1
    with pytest.raises(rs.InputError, match="variant='annealing': unknown"):
        es_setup(presets.smoke(), "annealing", None)


def test_the_budget_is_kept_and_a_training_that_diverges_is_said() -> None:
    fit = rs.FitConfig(10**6, 30, 0.01, 0.0, budget=3000)
    cells = (Cell("es", "EvolutionStrategy", fit, {"population": 10}),
             Cell("wild", "EvolutionStrategy", replace(fit, learning_rate=1e30), {"population": 10}))
    found = run(Setup(SMALL, DIGITS, cells), 0)["cells"]
    assert 3000 <= found["es"]["spent"] < 3000 + 10 * 60  # not more than the last epoch beyond
    assert found["es"]["best"] == max(accuracy for _, accuracy in found["es"]["curve"])
    assert 0 <= found["es"]["test_accuracy"] <= 1 and list(found["wild"]) == ["failed"]


# --- estimates --------------------------------------------------------------------------------------------------------


def test_what_calculus_says_is_what_torch_and_differences_say(images: rs.Dataset) -> None:
    net = perceptron(images, (4, 3, 10), 0).double()
    split = replace(images.train, images=images.train.images.double())
    point = estimates.look(net, split)
    loss = F.cross_entropy(net(split.images), split.labels)
    loss.backward()
    torch.testing.assert_close(point.g, -torch.cat([weight.grad.flatten() for weight in net.parameters()]))
    assert -loss.item() == pytest.approx(point.J)
    weights, step = nn.utils.parameters_to_vector(net.parameters()).detach(), 1e-5

    def gradient(vector: torch.Tensor) -> torch.Tensor:
        nn.utils.vector_to_parameters(vector, net.parameters())
        return -torch.cat([part.flatten() for part in torch.autograd.grad(F.cross_entropy(net(split.images), split.labels), net.parameters())])

    H = torch.stack([(gradient(weights + step * one) - gradient(weights - step * one)) / (2 * step) for one in torch.eye(len(weights)).double()])
    assert point.traces["H"] == pytest.approx(H.trace().item(), rel=1e-4)
    assert point.traces["H2"] == pytest.approx((H @ H).trace().item(), rel=1e-4)


def test_estimates_are_near_their_closed_forms_where_noise_is_little() -> None:
    setup = estimates.Setup(SMALL, (16, 8, 10), 2, 4, 4, (0.003,), (2, 8), (1, 2), 60, 40)
    found: dict[str, Any] = estimates.run(setup, 0)["points"]
    for point in found.values():
        for row in (*point["arms"], *point["ranks"], *point["angles"]):
            assert abs(row["mean"] - row["theory"]) < 4 * row["error"] + 0.08 * row["theory"], row
    assert len(found["before"]["arms"]) == 6 and {row["rank"] for row in found["before"]["smoothing"]} == {0, 1}


def test_cubes_are_near_their_closed_forms() -> None:
    for row in (*cubes.growth(1), *cubes.low_rank(1)):
        assert abs(row["mean"] - row["theory"]) < 4 * row["error"], row
