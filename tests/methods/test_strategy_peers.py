"""Evolution strategies against evosax's and EvoTorch's, whole algorithms that are given the noise that ours draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import evosax.algorithms as evosax_algorithms
import evosax.core.fitness_shaping as evosax_shaping
import evotorch.algorithms as evotorch_algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from evotorch import Problem
from evotorch.distributions import Distribution
from nets import Point, blank
from torch import Tensor

import repsearch as rs
from repsearch.methods import EvolutionStrategy, OpenAIES
from repsearch.methods._population import Population, centred_ranks
from repsearch.methods.snes import SNES
from repsearch.methods.xnes import XNES

DIMENSION, MEMBERS, SIGMA, RATE, GENERATIONS = 7, 20, 0.4, 0.05, 6
START = torch.linspace(-1, 1, DIMENSION)
CONFIG = rs.FitConfig(epochs=1, batch=2)

Around = tuple[Tensor, Tensor]
"""The centre (DIMENSION,), and standard deviations (DIMENSION,) or the square root of a covariance."""
Peer = Callable[[Tensor], Around]
"""Takes a generation's noise, does the generation, and says what it was drawn around."""


def quadratic(points: Tensor) -> Tensor:
    """(..., DIMENSION) to (...): a fixed one, whose axes are not those of the space."""
    generator = torch.Generator().manual_seed(0)
    half, b = torch.randn(DIMENSION, DIMENSION, generator=generator), torch.randn(DIMENSION, generator=generator)
    half, b = half.to(points.dtype) / 2, b.to(points.dtype)
    return 1.5 + points @ b - (points @ half).square().sum(-1) / 2


def fitness(logits: Tensor, _labels: Tensor) -> Tensor:
    return quadratic(logits[0])


def follow(method: Population, around: Callable[[], Tensor | None], peer: Peer) -> None:
    """Generation after generation, both draw around the same."""
    point, batch = Point(START.clone()), blank()
    method.start(point, None, CONFIG, 3)  # type: ignore[arg-type]
    sgd = torch.optim.SGD(point.parameters(), RATE)  # what `fit` does with a gradient; SNES and XNES leave none
    for generation in range(GENERATIONS):
        directions = method.directions if isinstance(method, EvolutionStrategy) else method.population
        ours, spread = point.weights.detach().clone(), around()
        centre, theirs = peer(method.draw(0, directions))
        torch.testing.assert_close(ours, centre.float())
        if spread is not None:
            torch.testing.assert_close(spread, theirs.float())
        assert generation == 0 or not torch.equal(ours, START)
        sgd.zero_grad()
        method.step(point, batch, CONFIG)
        sgd.step()


# --- EvoTorch, in double precision: what is left of a difference is the rounding of ours ------------------------------


@pytest.fixture
def evotorch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Peer]:
    """An algorithm of theirs by its class and arguments."""
    noise: list[Tensor] = []

    def given(
        _self: Any, *, out: Tensor, center: Tensor | float = 0.0, stdev: Tensor | float = 1.0, symmetric: bool = False,
        **_: Any,
    ) -> None:
        z = noise[-1].double()
        if symmetric:  # solution 0 is at + noise 0, solution 1 at - noise 0, solution 2 at + noise 1, ...
            z = torch.stack([z, -z], dim=1).flatten(0, 1)
        assert out.shape == z.shape
        out.copy_(center + stdev * z)

    def peer(algorithm: Any, **arguments: Any) -> Peer:
        problem = Problem("max", quadratic, solution_length=DIMENSION, initial_bounds=(-1, 1), vectorized=True,
                          dtype=torch.float64)
        searcher = algorithm(problem, center_init=START, stdev_init=SIGMA, **arguments)

        def generation(drawn: Tensor) -> Around:
            noise.append(drawn)
            searcher.step()  # what follows from the generation before, then this one
            return searcher.status["center"].clone(), searcher.status["stdev"].clone()

        return generation

    monkeypatch.setattr(Distribution, "make_gaussian", given)
    return peer


@pytest.mark.parametrize(("sampling", "shaping", "ranking", "factor"), [
    ("antithetic", "none", "raw", 1.0),
    ("antithetic", "ranks", "centered", 1.0),
    # They divide by the standard deviation with n - 1, we by that with n.
    ("antithetic", "z-scores", "normalized", (MEMBERS / (MEMBERS - 1)) ** 0.5),
    # They take off the mean of all, we that of the others.
    ("one-sided", "baseline", "raw", MEMBERS / (MEMBERS - 1)),
    ("one-sided", "ranks", "centered", 1.0),
])
def test_the_estimate_is_evotorchs(
    evotorch: Callable[..., Peer], sampling: str, shaping: str, ranking: str, factor: float
) -> None:
    """Theirs is a sum over noise that sigma is part of, and isn't divided by it: sigma^2 times ours."""
    peer = evotorch(evotorch_algorithms.PGPE, popsize=MEMBERS, center_learning_rate=factor * RATE / SIGMA**2,
                    stdev_learning_rate=0.0, optimizer=None, ranking_method=ranking, symmetric=sampling == "antithetic")
    follow(EvolutionStrategy(MEMBERS, SIGMA, sampling, shaping=shaping, fitness=fitness), lambda: None, peer)


def test_snes_is_evotorchs(evotorch: Callable[..., Peer]) -> None:
    """Its rates by default."""
    method = SNES(MEMBERS, SIGMA, fitness=fitness)
    follow(method, lambda: method.sigmas, evotorch(evotorch_algorithms.SNES, popsize=MEMBERS))


def test_snes_with_rates_of_ones_own_is_evotorchs(evotorch: Callable[..., Peer]) -> None:
    method = SNES(MEMBERS, SIGMA, 0.7, 0.3, fitness=fitness)
    peer = evotorch(evotorch_algorithms.SNES, popsize=MEMBERS, center_learning_rate=0.7, stdev_learning_rate=0.3,
                    scale_learning_rate=False)
    follow(method, lambda: method.sigmas, peer)


@pytest.mark.parametrize("arguments", [{}, {"population": MEMBERS, "rate": 0.7, "shape_rate": 0.3}])
def test_xnes_is_evotorchs(evotorch: Callable[..., Peer], arguments: dict[str, Any]) -> None:
    """Population and rates by default, and others. Theirs keeps sigma B as one matrix, too, and calls it A."""
    method = XNES(sigma=SIGMA, fitness=fitness, **arguments)
    names = {"population": "popsize", "rate": "center_learning_rate", "shape_rate": "stdev_learning_rate"}
    peer = evotorch(evotorch_algorithms.XNES, scale_learning_rate=not arguments,
                    **{names[name]: value for name, value in arguments.items()})
    follow(method, lambda: method.shape, peer)
    assert not torch.allclose(method.shape, method.shape.diag().diag(), atol=1e-3)  # it has turned


# --- evosax, which minimises; in single precision ---------------------------------------------------------------------


@pytest.fixture
def evosax(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Peer]]:
    """A strategy of theirs, and what is special about its parameters."""
    noise: list[Tensor] = []

    def given(_key: Any, shape: tuple[int, ...]) -> Any:
        assert shape == noise[-1].shape
        return jnp.asarray(noise[-1].numpy())

    def peer(strategy: Any, **special: Any) -> Peer:
        key, params = jax.random.key(0), strategy.default_params.replace(**special)
        states = [strategy.init(key, jnp.asarray(START.numpy()), params)]

        def generation(drawn: Tensor) -> Around:
            noise.append(drawn)
            before = states[-1]
            population, state = strategy.ask(key, before, params)
            losses = -quadratic(tensor(population))
            states.append(strategy.tell(key, population, jnp.asarray(losses.numpy()), state, params)[0])
            return tensor(before.mean), tensor(before.std)

        return generation

    monkeypatch.setattr(jax.random, "normal", given)
    with jax.disable_jit():  # faster than to compile a few generations; and what is compiled would keep its noise
        yield peer


def tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))


def open_es(optimizer: Any, shaping: str, antithetic: bool = True) -> Any:
    return evosax_algorithms.Open_ES(MEMBERS, START.numpy(), antithetic, optimizer, optax.constant_schedule(SIGMA),
                   getattr(evosax_shaping, f"{shaping}_fitness_shaping_fn"))


@pytest.mark.parametrize(("sampling", "shaping", "theirs"), [
    ("antithetic", "none", "identity"), ("antithetic", "ranks", "centered_rank"),
    ("antithetic", "z-scores", "standardize"), ("one-sided", "none", "identity"),
])
def test_the_estimate_is_evosaxs(evosax: Callable[..., Peer], sampling: str, shaping: str, theirs: str) -> None:
    peer = evosax(open_es(optax.sgd(RATE), theirs, sampling == "antithetic"))
    follow(EvolutionStrategy(MEMBERS, SIGMA, sampling, shaping=shaping, fitness=fitness), lambda: None, peer)


def test_openai_es_is_evosaxs(evosax: Callable[..., Peer]) -> None:
    """Theirs divides the estimate by sigma, ours doesn't: it matters, as weight decay is added before Adam."""
    chain = optax.chain(optax.scale(SIGMA), optax.add_decayed_weights(0.1), optax.adam(RATE))
    follow(OpenAIES(MEMBERS, SIGMA, 0.1, fitness=fitness), lambda: None, evosax(open_es(chain, "centered_rank")))


def test_snes_is_evosaxs(evosax: Callable[..., Peer]) -> None:
    method = SNES(MEMBERS, SIGMA, fitness=fitness)
    follow(method, lambda: method.sigmas, evosax(evosax_algorithms.SNES(MEMBERS, jnp.zeros(DIMENSION)), std_init=SIGMA))


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0, 5.0], [1.0, 1.0, 5.0, 1.0], [2.0, 2.0]])
def test_equal_members_share_ranks_as_evosaxs_do(values: list[float]) -> None:
    """EvoTorch's don't: they are ranked in the order that a sort leaves them in."""
    theirs = evosax_shaping.centered_rank_fitness_shaping_fn(None, jnp.asarray(values), None, None)
    torch.testing.assert_close(centred_ranks(torch.tensor(values)), tensor(theirs))
