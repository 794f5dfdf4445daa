"""The same per-image search as one would write it with EvoTorch or evosax, for `python -m repsearch bench`.

Both evolve flat vectors with their own operators; smoothing and normalisation, which neither has, are part of the
fitness function. Nothing here is used by the library itself.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch.engine.tail import leaves
from repsearch.networks import check_network, rest
from repsearch.operators import normalise, pooling_matrix, smooth

if TYPE_CHECKING:
    from repsearch.config import LayerSearch

Runs = Callable[[int], None]
"""Runs a number of generations."""


def evotorch_runs(network: nn.Module, layer: int, population: Tensor, label: int, schedule: LayerSearch) -> Runs:
    """EvoTorch's genetic algorithm: tournaments of 4, one-point crossover, Gaussian mutation, elitism.

    Args:
        network: evaluates the candidates.
        layer: the search layer.
        population: the first candidates (n, C, H, W).
        label: of the image.
        schedule: gives the strength of mutation and the smoothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import evotorch
        from evotorch.algorithms import GeneticAlgorithm
        from evotorch.operators import GaussianMutation, OnePointCrossOver

    logging.getLogger("evotorch").setLevel(logging.WARNING)
    n, shape = len(population), population.shape[1:]
    target = torch.full((1,), label)

    def cross_entropy(candidates: Tensor) -> Tensor:
        with torch.no_grad():
            H = normalise(smooth(candidates.reshape(-1, *shape), schedule.blur))
            return F.cross_entropy(rest(network, layer, H), target.expand(len(H)), reduction="none")

    problem = evotorch.Problem(
        "min", cross_entropy, solution_length=population[0].numel(), initial_bounds=(-1.0, 1.0), vectorized=True, seed=0
    )
    operators = [OnePointCrossOver(problem, tournament_size=4), GaussianMutation(problem, stdev=schedule.strength)]
    searcher = GeneticAlgorithm(problem, operators=operators, popsize=n, re_evaluate=False)
    searcher.population.set_values(population.flatten(1).clone())
    return lambda generations: searcher.run(generations)


def evosax_runs(network: nn.Module, layer: int, population: Tensor, label: int, schedule: LayerSearch) -> Runs:
    """evosax's genetic algorithm: the better half are parents; crossover, Gaussian mutation. A generation is compiled.

    Arguments as for `evotorch_runs`.
    """
    import jax
    import jax.numpy as jnp
    from evosax.algorithms import SimpleGA

    shape = tuple(population.shape[1:])
    forward = _in_jax(network, layer)
    down, across = (jnp.asarray(pooling_matrix(side, schedule.blur).float().numpy()) for side in shape[1:])

    def cross_entropy(candidates: Any) -> Any:
        H = down @ candidates.reshape(-1, *shape) @ across.T
        mean, variance = H.mean((1, 2, 3), keepdims=True), H.var((1, 2, 3), keepdims=True)
        return -jax.nn.log_softmax(forward((H - mean) / jnp.sqrt(variance + 1e-5)))[:, label]

    start, key = jnp.asarray(population.flatten(1).numpy()), jax.random.key(0)
    strategy = SimpleGA(
        population_size=len(start), solution=start[0], std_schedule=lambda _: jnp.float32(schedule.strength)
    )
    params = strategy.default_params.replace(crossover_rate=0.5)

    def generation(turn: Any, state: Any) -> Any:
        ask, tell = jax.random.split(jax.random.fold_in(key, turn))
        candidates, state = strategy.ask(ask, state, params)
        return strategy.tell(tell, candidates, cross_entropy(candidates), state, params)[0]

    step = jax.jit(generation)
    state = strategy.init(key, start, jax.jit(cross_entropy)(start), params)

    def run(generations: int) -> None:
        now = state
        for turn in range(generations):
            now = step(turn, now)
        jax.block_until_ready(now)  # type: ignore[no-untyped-call]

    return run


LIBRARIES = {"EvoTorch": evotorch_runs, "evosax": evosax_runs}


def _in_jax(network: nn.Module, layer: int) -> Callable[[Any], Any]:
    """The network behind a search layer as a JAX function of (n, C, H, W); for the networks of `convnet`."""
    import jax
    import jax.numpy as jnp

    parts = check_network(network)
    modules = [m for part in [*list(parts.blocks)[layer + 1 :], parts.head] for m in leaves(part)]

    def array(value: Tensor | None) -> Any:
        return None if value is None else jnp.asarray(value.detach().numpy())

    def compiled(module: nn.Module) -> Callable[[Any], Any]:
        if isinstance(module, nn.Conv2d):
            weight = array(module.weight)
            return lambda x: jax.lax.conv(x, weight, (1, 1), "SAME")
        if isinstance(module, nn.MaxPool2d):
            window = (1, 1, 2, 2)
            return lambda x: jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            scale = (module.running_var + module.eps).rsqrt()
            shift = module.bias - module.running_mean * scale
            weight, bias = array(scale[:, None, None]), array(shift[:, None, None])
            return lambda x: weight * x + bias
        if isinstance(module, nn.GELU):
            return lambda x: jax.nn.gelu(x, approximate=False)
        if isinstance(module, nn.Flatten):
            return lambda x: x.reshape(len(x), -1)
        if isinstance(module, nn.Linear):
            matrix = array(module.weight)
            return lambda x: x @ matrix.T
        raise TypeError(f"{module} is not part of convnet")

    steps = [compiled(module) for module in modules]

    def forward(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return forward
