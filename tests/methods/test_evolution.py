"""Evolution strategies: against autograd, closed forms, scipy and torch.optim; one process or two; bad fitness."""

from __future__ import annotations

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
from nets import CONFIG, Point, StopHereError, blank, mlp, of_weights, stop
from scipy.stats import rankdata
from torch import Tensor, nn

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods._population import centred_ranks, noise
from repsearch.methods.evolution import EvolutionStrategy

DIMENSION = 12


def at(weights: Tensor, seed: int = 0, **arguments: Any) -> tuple[Point, EvolutionStrategy]:
    point, method = Point(weights), EvolutionStrategy(**arguments)
    method.start(point, None, CONFIG, seed)  # type: ignore[arg-type]
    return point, method


def estimate(point: Point, method: EvolutionStrategy, images: Batch | None = None) -> Tensor:
    method.step(point, images or blank(), CONFIG)
    assert point.weights.grad is not None
    return -point.weights.grad


def test_a_linear_fitness_gives_the_projections_of_its_gradient() -> None:
    g = torch.linspace(-1, 2, DIMENSION)
    for sigma in (0.01, 3.0):
        point, method = at(torch.zeros(DIMENSION), population=16, sigma=sigma, fitness=of_weights(lambda w: w @ g))
        eps = noise((0, 0, 0), 8, DIMENSION)
        torch.testing.assert_close(estimate(point, method), ((eps @ g)[:, None] * eps).mean(0), rtol=1e-4, atol=1e-5)


def test_more_members_than_a_block_are_drawn_from_seeds_of_their_own() -> None:
    g, directions = torch.ones(DIMENSION), 256 + 5
    point, method = at(torch.zeros(DIMENSION), seed=3, population=2 * directions, fitness=of_weights(lambda w: w @ g))
    eps = torch.cat([noise((3, 0, start), count, DIMENSION) for start, count in ((0, 256), (256, 5))])
    torch.testing.assert_close(estimate(point, method), ((eps @ g)[:, None] * eps).mean(0), rtol=1e-4, atol=1e-4)
    assert abs(np.corrcoef(eps[:5].flatten(), eps[256:].flatten())[0, 1]) < 0.5


def test_a_constant_does_not_matter_to_pairs_and_an_even_fitness_gives_nothing() -> None:
    plain, lifted, even = (
        estimate(*at(torch.zeros(DIMENSION), population=8, sigma=0.5, fitness=of_weights(function)))
        for function in (lambda w: w.sin().sum(), lambda w: w.sin().sum() + 64, lambda w: -w.square().sum()))
    torch.testing.assert_close(plain, lifted, rtol=1e-3, atol=1e-4)
    assert torch.equal(even, torch.zeros(DIMENSION))


def moments(repeats: int = 1500, **arguments: Any) -> tuple[np.ndarray, float, float]:
    """The mean of the estimates, the trace of their covariance, and the standard error of that."""
    point, method = at(torch.full((DIMENSION,), 0.3), **arguments)
    found = np.stack([estimate(point, method).numpy() for _ in range(repeats)]).astype(float)
    distances = ((found - found.mean(0)) ** 2).sum(1)
    return found.mean(0), distances.mean(), distances.std() / np.sqrt(repeats)


@pytest.fixture(scope="module")
def quadratic() -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    """Gradient and Hessian at the point, and the fitness."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(DIMENSION, DIMENSION, generator=generator) / 4
    H, b = -(half @ half.T), torch.randn(DIMENSION, generator=generator)
    return b + H @ torch.full((DIMENSION,), 0.3), H, of_weights(lambda w: 1.7 + w @ b + w @ H @ w / 2)


def test_variances_are_those_of_the_closed_forms(quadratic: Any) -> None:
    """Of a quadratic: antithetic pairs, and one-sided members with any offset."""
    g, H, fitness = quadratic
    sigma, squared = 0.3, float(g @ g)
    mean, variance, error = moments(population=16, sigma=sigma, fitness=fitness)
    wanted = (DIMENSION + 1) * squared / 8
    assert abs(variance - wanted) < 4 * error
    assert np.linalg.norm(mean - g.numpy()) < 4 * np.sqrt(wanted / 1500)

    J = float(fitness(torch.full((1, DIMENSION), 0.3), None) + sigma**2 * H.trace() / 2)
    mean, variance, error = moments(population=8, sigma=sigma, sampling="one-sided", fitness=fitness)
    wanted = (DIMENSION / sigma**2 * J**2 + 2 * J * float(H.trace()) + (DIMENSION + 1) * squared
              + sigma**2 / 2 * (DIMENSION + 4) * float((H @ H).trace())) / 8
    assert abs(variance - wanted) < 4 * error


def test_the_others_mean_as_baseline_has_the_closed_form_of_a_linear_fitness() -> None:
    g = torch.linspace(-1, 2, DIMENSION)
    mean, variance, error = moments(population=16, sigma=0.3, sampling="one-sided", shaping="baseline",
                                    fitness=of_weights(lambda w: 50 + w @ g))
    wanted = (DIMENSION + 1) * float(g @ g) / 15
    assert abs(variance - wanted) < 4 * error and np.linalg.norm(mean - g.numpy()) < 4 * np.sqrt(wanted / 1500)


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [1.0, 1.0, 5.0, 1.0], [2.0, 2.0]])
def test_ranks_are_scipys(values: list[float]) -> None:
    wanted = (rankdata(values) - 1) / (len(values) - 1) - 0.5
    assert centred_ranks(torch.tensor(values)).tolist() == pytest.approx(wanted)


def test_ranks_see_the_order_alone_and_z_scores_no_scale() -> None:
    def shaped(shaping: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        return estimate(*at(torch.ones(DIMENSION), population=32, sigma=0.2, shaping=shaping, fitness=of_weights(function)))

    assert torch.equal(shaped("ranks", lambda w: w.sum()), shaped("ranks", lambda w: w.sum().exp()))
    torch.testing.assert_close(shaped("z-scores", lambda w: w.sum()), shaped("z-scores", lambda w: 7 * w.sum() - 3), rtol=1e-3,
                               atol=1e-4)


def test_adam_is_torchs() -> None:
    generator = torch.Generator().manual_seed(1)
    method, twin = EvolutionStrategy(optimizer="adam"), nn.Parameter(torch.zeros(5))
    optimizer, ours = torch.optim.Adam([twin], lr=0.1), torch.zeros(5)
    for _ in range(6):
        gradient = torch.randn(5, generator=generator)
        ours = ours - 0.1 * method._adam(gradient)
        method.steps += 1
        twin.grad = gradient
        optimizer.step()
    torch.testing.assert_close(ours, twin.detach())


def test_who_sees_what() -> None:
    """A fitness that tells which images it saw."""
    seen: list[list[int]] = []

    def fitness(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels.tolist())
        return logits.sum() * 0

    numbered = Batch(torch.zeros(9, 1, 1, 1), torch.arange(9), 0, 9)
    for minibatch, wanted, cost in (
        ("shared", [list(range(9))] * 4, 4), ("pair", [[0, 1, 2, 3], [4, 5, 6, 7]] * 2, 16 / 9),
        ("member", [[0, 1], [2, 3], [4, 5], [6, 7]], 8 / 9),
    ):
        seen.clear()
        point, method = at(torch.zeros(3), population=4, minibatch=minibatch, fitness=fitness)
        assert method.step(point, numbered, CONFIG).cost == pytest.approx(cost) and seen == wanted
    with pytest.raises(rs.InputError, match="9 images are fewer than the 10 parts"):
        estimate(*at(torch.zeros(3), population=10, minibatch="member", fitness=fitness), numbered)



def test_it_trains_by_what_has_no_gradient(digits: rs.Dataset) -> None:
    """A network of signs, by its accuracy: no gradient anywhere."""
    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sign()

    net = mlp()
    net[3] = Sign()  # type: ignore[index]
    config = rs.FitConfig(epochs=15, batch=200, learning_rate=0.03, momentum=0)
    method = EvolutionStrategy(100, 0.1, shaping="ranks", optimizer="adam",
                               fitness=lambda logits, labels: (logits.argmax(1) == labels).float().mean())
    before = rs.accuracy(net, digits.validation)
    rs.fit(net, digits, method, config, progress=False)
    assert rs.accuracy(net, digits.validation) > max(0.4, before + 0.2)


def test_it_resumes_to_the_same_bytes(digits: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=3, batch=200, learning_rate=0.01, momentum=0)
    whole, halves = mlp(), mlp()

    def method() -> EvolutionStrategy:
        return EvolutionStrategy(6, optimizer="adam")

    rs.fit(whole, digits, method(), config, progress=False)

    with pytest.raises(StopHereError):
        rs.fit(halves, digits, method(), config, checkpoint=tmp_path / "c.pt", progress=False, watch=stop)
    halves = mlp()
    rs.fit(halves, digits, method(), config, checkpoint=tmp_path / "c.pt", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), halves.parameters(), strict=True))


def test_the_books_network_with_its_batchnorm(data: rs.Dataset, preset: Any) -> None:
    model = rs.learn_network(data, preset)
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    history = rs.fit(model, data, EvolutionStrategy(4), replace(preset.baseline, epochs=1), progress=False)
    assert history.spent[0] == 20 * 5 and history.train_accuracy is not None
    assert any(not torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())


def test_a_member_without_a_finite_fitness_loses_and_is_counted(digits: rs.Dataset) -> None:
    calls = []

    def sometimes(logits: Tensor, labels: Tensor) -> Tensor:
        calls.append(None)
        return torch.tensor(float("nan") if len(calls) % 10 == 3 else -float(nn.functional.cross_entropy(logits, labels)))

    net = mlp()
    with pytest.warns(UserWarning, match="1 of 10 members have no finite fitness"):
        history = rs.fit(net, digits, EvolutionStrategy(10, fitness=sometimes), rs.FitConfig(epochs=1, batch=200, learning_rate=0.01),
                         progress=False)
    assert history.parts["lost"] == [pytest.approx(0.1)]
    with pytest.raises(rs.InputError, match="no member has a finite fitness"):
        rs.fit(mlp(), digits, EvolutionStrategy(4, fitness=lambda logits, _labels: logits.sum() / 0 * 0), CONFIG, progress=False)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"population": 5}, "population=5: antithetic members come in pairs"),
    ({"population": 1}, "population=1: expected"),
    ({"sigma": 0}, "sigma=0: expected"),
    ({"sampling": "both"}, "sampling"),
    ({"shaping": "baseline"}, "it cancels within a pair"),
    ({"fitness": abs, "loss": abs}, "expected one of them, found both"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        EvolutionStrategy(**arguments)


def test_bad_networks_and_fitness(digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match="none of its parameters can be trained"):
        EvolutionStrategy().start(nn.Flatten(), digits, CONFIG, 0)
    with pytest.raises(rs.InputError, match="precision='bfloat16'"):
        EvolutionStrategy().start(mlp(), digits, replace(CONFIG, precision="bfloat16"), 0)
    with pytest.raises(rs.InputError, match="expected a tensor of one number"):
        rs.fit(mlp(), digits, EvolutionStrategy(4, fitness=lambda logits, _labels: logits), CONFIG, progress=False)


SHARED = """
import sys
import torch
import torch.distributed as dist
import repsearch as rs
from repsearch.methods import EvolutionStrategy
if len(sys.argv) > 2:
    dist.init_process_group("gloo")
data = rs.load("digits", train=100, validation=50, test=50)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(64, 10))
config = rs.FitConfig(epochs=2, batch=50, learning_rate=0.1)
rs.fit(model, data, EvolutionStrategy(1000, 0.05), config, progress=False)
name = sys.argv[1] + (str(dist.get_rank()) if len(sys.argv) > 2 else "")
torch.save(model.state_dict(), name)
if len(sys.argv) > 2:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_share_a_generation(tmp_path: Path) -> None:
    script, environment = tmp_path / "train.py", {**os.environ, "OMP_NUM_THREADS": "1"}
    script.write_text(SHARED, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, str(script), str(tmp_path / "w"), "shared"], check=True, env=environment, capture_output=True)
    subprocess.run([sys.executable, str(script), str(tmp_path / "alone")], check=True, env=environment)
    weights = [torch.load(tmp_path / name) for name in ("w0", "w1", "alone")]
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other)
