"""How fast a generation in the space of weights is: this library's, a loop over members, EvoTorch's and evosax's.

All are timed in one run on this machine, turn by turn, on the same network and the same batch, and compared as ratios.
A generation draws its members, evaluates each on the whole batch, and moves the weights.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from repsearch.config import FitConfig
from repsearch.method import Batch
from repsearch.methods._population import Population
from repsearch.methods.eggroll import EGGROLL
from repsearch.methods.evolution import EvolutionStrategy
from repsearch.methods.snes import SNES

SIGMA, RATE = 0.02, 0.1
TURNS = 7
LIBRARIES = ("EvoTorch", "evosax")
LOOP = "loop over members"


@dataclass(frozen=True)
class Setup:
    """What is timed.

    Args:
        seconds: how long each contestant is timed on each network, at least.
        threads: of torch, for the loop's sake: on two it is many times slower as soon as anything else runs. JAX takes
            what it finds.
    """

    seconds: float = 2.0
    threads: int = 1


@dataclass(frozen=True)
class Arena:
    """A network, and a generation of it.

    Args:
        widths: of its layers, from pixels to classes; ReLU between them.
        batch: images that every member sees.
        members: a generation; mirrored ones come in pairs.
    """

    widths: tuple[int, ...]
    batch: int
    members: int

    def network(self) -> nn.Sequential:
        """With the same first weights every time."""
        torch.manual_seed(0)
        layers = [nn.Linear(*sizes) for sizes in zip(self.widths, self.widths[1:], strict=False)]
        return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])

    def images(self) -> Batch:
        """Noise, (batch, widths[0]), and labels at random."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch, self.widths[0], generator=generator)
        labels = torch.randint(self.widths[-1], (self.batch,), generator=generator)
        return Batch(images, labels, 0, self.batch)


NETWORKS = {"digits": Arena((64, 32, 10), 64, 100), "MLP (A)": Arena((784, 128, 128, 10), 128, 256)}


@dataclass(frozen=True)
class Contestant:
    """Someone who is timed.

    Args:
        run: does a number of generations.
        centre: the weights that they have led to, (d,).
    """

    run: Callable[[int], None]
    centre: Callable[[], Tensor]


def run(setup: Setup, *_: Any) -> dict[str, Any]:
    """Members a second of every contestant.

    Args:
        setup: what is timed. Seed and folders have no say: networks, images and draws are the same every time.

    Returns:
        `rows`, each a network and contestant with its members a second; `skipped`, libraries that are not installed.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(setup.threads)
    try:
        rows = [{"network": name, "contestant": title, "members_per_second": rate}
                for name, arena in NETWORKS.items() for title, rate in _rates(arena, setup.seconds).items()]
    finally:
        torch.set_num_threads(before)
    return {"rows": rows, "skipped": [name for name in LIBRARIES if not installed(name)]}


def table(result: dict[str, Any]) -> str:
    """The record for the terminal: members a second, and how many times the loop's that is."""
    lines = []
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        rates = {row["contestant"]: row["members_per_second"] for row in result["rows"] if row["network"] == network}
        lines += ["", network, f"  {'':<28}{'members/s':>14}{'times the loop':>18}"]
        lines += [f"  {name:<28}{rate:14,.0f}{rate / rates[LOOP]:17.1f}x" for name, rate in rates.items()]
    lines += [f"  {name}: not installed, skipped; pip install 'repsearch[bench]'" for name in result["skipped"]]
    return "\n".join(lines)


def _rates(arena: Arena, seconds: float) -> dict[str, float]:
    """Members a second of each, the middle of several turns; the first generations are not counted."""
    entered = contestants(arena)
    generations = {}
    for name, contestant in entered.items():
        contestant.run(2)
        start = time.perf_counter()
        contestant.run(2)
        generations[name] = max(1, round(2 * seconds / TURNS / (time.perf_counter() - start)))
    found: dict[str, list[float]] = {name: [] for name in entered}
    for _ in range(TURNS):
        for name, contestant in entered.items():
            start = time.perf_counter()
            contestant.run(generations[name])
            found[name].append(arena.members * generations[name] / (time.perf_counter() - start))
    return {name: statistics.median(rates) for name, rates in found.items()}


def contestants(arena: Arena) -> dict[str, Contestant]:
    """All whose library is installed, by name."""
    found = {
        LOOP: loop(arena),
        "EvolutionStrategy": ours(EvolutionStrategy(arena.members, SIGMA), arena),
        "EGGROLL, rank 1": ours(EGGROLL(1, arena.members, SIGMA), arena),
        "SNES": ours(SNES(arena.members, SIGMA), arena),
    }
    if installed("EvoTorch"):
        found |= {"EvoTorch PGPE": evotorch("PGPE", arena), "EvoTorch SNES": evotorch("SNES", arena)}
    if installed("evosax"):
        found |= {"evosax Open_ES": evosax("Open_ES", arena), "evosax SNES": evosax("SNES", arena)}
    return found


def installed(library: str) -> bool:
    """Whether one of `LIBRARIES` is."""
    return importlib.util.find_spec(library.lower()) is not None


# --- in torch ---------------------------------------------------------------------------------------------------------


def loop(arena: Arena, draw: Callable[[int], Tensor] | None = None) -> Contestant:
    """What one writes: each member's weights are written into the network, one after the other.

    Args:
        draw: so many standard normal numbers; by default torch's.
    """
    network, batch, generator = arena.network(), arena.images(), torch.Generator().manual_seed(0)
    centre = parameters_to_vector(network.parameters()).detach()
    draw = draw or (lambda size: torch.randn(size, generator=generator))

    def loss(weights: Tensor) -> Tensor:
        vector_to_parameters(weights, network.parameters())
        return F.cross_entropy(network(batch.images), batch.labels)

    @torch.no_grad()
    def run(generations: int) -> None:
        for _ in range(generations):
            gradient = torch.zeros_like(centre)
            for _ in range(arena.members // 2):
                noise = draw(len(centre))
                gradient += (loss(centre + SIGMA * noise) - loss(centre - SIGMA * noise)) * noise
            centre.sub_(RATE / (arena.members * SIGMA) * gradient)

    return Contestant(run, centre.clone)


def ours(method: Population, arena: Arena) -> Contestant:
    """This library's, as `repsearch.fit` runs them."""
    network, batch = arena.network(), arena.images()
    config = FitConfig(epochs=1, batch=arena.batch, learning_rate=RATE, momentum=0.0, weight_decay=0.0)
    method.start(network, None, config, 0)  # type: ignore[arg-type]  # they don't look at the data
    optimizer = torch.optim.SGD(network.parameters(), RATE)

    def run(generations: int) -> None:
        for _ in range(generations):
            optimizer.zero_grad()
            method.step(network, batch, config)
            optimizer.step()

    return Contestant(run, lambda: parameters_to_vector(network.parameters()).detach().clone())


def losses(network: nn.Module, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Of members' weights (M, d), (M,): all side by side, as EvoTorch's documentation does it."""
    sizes = {name: weight.shape for name, weight in network.named_parameters()}

    def one(vector: Tensor) -> Tensor:
        pieces = torch.split(vector, [size.numel() for size in sizes.values()])
        weights = {name: piece.view(size) for (name, size), piece in zip(sizes.items(), pieces, strict=True)}
        return F.cross_entropy(functional_call(network, weights, (batch.images,)), batch.labels)

    return torch.no_grad()(vmap(one))


def evotorch(name: str, arena: Arena) -> Contestant:
    """Its "PGPE", which is the symmetric strategy and learns widths, too: here at rate 0; or its "SNES"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evotorch import Problem, algorithms

    logging.getLogger("evotorch").setLevel(logging.WARNING)
    network = arena.network()
    centre = parameters_to_vector(network.parameters()).detach()
    problem = Problem("min", losses(network, arena.images()), solution_length=len(centre), initial_bounds=(-1.0, 1.0),
                      vectorized=True, store_solution_stats=False, seed=0)
    # Its estimate is sigma^2 times the gradient.
    special = {"PGPE": {"center_learning_rate": RATE / SIGMA**2, "stdev_learning_rate": 0.0, "optimizer": None,
                        "ranking_method": "raw"}, "SNES": {}}[name]
    searcher = getattr(algorithms, name)(problem, popsize=arena.members, center_init=centre, stdev_init=SIGMA,
                                         **special)
    return Contestant(searcher.run, lambda: searcher.status["center"].clone())


# --- in JAX -----------------------------------------------------------------------------------------------------------


def losses_in_jax(network: nn.Sequential, batch: Batch) -> Callable[[Any], Any]:
    """The same of `Arena.network`."""
    import jax
    import jax.numpy as jnp

    images, labels = jnp.asarray(batch.images.numpy()), jnp.asarray(batch.labels.numpy())
    shapes = [tuple(weight.shape) for weight in network.parameters()]
    ends = [sum(weight.numel() for weight in list(network.parameters())[: number + 1]) for number in range(len(shapes))]

    def one(vector: Any) -> Any:
        parts = [part.reshape(shape) for part, shape in zip(jnp.split(vector, ends[:-1]), shapes, strict=True)]
        x = images
        for number in range(0, len(parts), 2):
            x = (jax.nn.relu(x) if number else x) @ parts[number].T + parts[number + 1]
        return -jax.nn.log_softmax(x)[jnp.arange(len(labels)), labels].mean()

    return jax.vmap(one)


def evosax(name: str, arena: Arena) -> Contestant:
    """Its "Open_ES", without ranks and with plain SGD, or its "SNES"; a generation is compiled."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax  # type: ignore[import-untyped]
    from evosax import algorithms
    from evosax.core.fitness_shaping import identity_fitness_shaping_fn

    network = arena.network()
    evaluate = losses_in_jax(network, arena.images())
    centre, key = jnp.asarray(parameters_to_vector(network.parameters()).detach().numpy()), jax.random.key(0)
    special = {"Open_ES": {"optimizer": optax.sgd(RATE), "std_schedule": optax.constant_schedule(SIGMA),
                           "fitness_shaping_fn": identity_fitness_shaping_fn}, "SNES": {}}[name]
    strategy = getattr(algorithms, name)(arena.members, centre, **special)
    params = strategy.default_params
    if name == "SNES":
        params = params.replace(std_init=SIGMA)

    def generation(turn: Any, state: Any) -> Any:
        ask, tell = jax.random.split(jax.random.fold_in(key, turn))
        members, state = strategy.ask(ask, state, params)
        return strategy.tell(tell, members, evaluate(members), state, params)[0]

    step, states = jax.jit(generation), [strategy.init(key, centre, params)]

    def run(generations: int) -> None:
        state = states.pop()
        for _ in range(generations):
            state = step(state.generation_counter, state)
        states.append(jax.block_until_ready(state))  # type: ignore[no-untyped-call]

    return Contestant(run, lambda: torch.from_numpy(np.array(states[0].mean)))
