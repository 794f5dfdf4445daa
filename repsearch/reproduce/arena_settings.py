"""Methods that search weights, activations, or follow a gradient, on one network and budget: what was tried of each on
validation images, and the best of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.config import LayerSearch, LearnConfig, SearchConfig, split_population
from repsearch.reproduce import perceptron_turns
from repsearch.reproduce.loops import sample_of
from repsearch.reproduce.strategies import Cell, Setup
from repsearch.reproduce.strategy_settings import MNIST, arms, ranks, within
from repsearch.rounds import AlternateConfig

if TYPE_CHECKING:
    from repsearch.presets import Preset

METHODS = {
    "Backprop": "SGD", "EvolutionStrategy": "evolution strategy", "OpenAIES": "OpenAI-ES", "EGGROLL": "EGGROLL, rank 1",
    "SNES": "SNES", "DeepGA": "deep GA", "GOEA": "GO-EA",
}
"""What can be trained, and how tables call it."""
BUDGETS, TRIED = {"mnist": 16e6}, {"mnist": 2e6}
"""In F: of the table, and of a trial."""
ALL = 2000  # all training images are one batch, so that a member's fitness never changes


def sgd(rate: float, decay: float, batch: int = 125) -> Cell:
    """With the preset's momentum."""
    fit = replace(within(1, batch, rate), momentum=0.85, weight_decay=decay)
    return Cell(f"Backprop, x{rate:g}, decay {decay:g}", "Backprop", fit)


def strategy(method: str, population: int, sigma: float, rate: float, batch: int = 64, **more: Any) -> Cell:
    """One that estimates a gradient, which goes to Adam."""
    return Cell(f"{method}, {population}, {sigma:g}, {rate:g}", method, within(1, batch, rate),
                {"population": population, "sigma": sigma, **more})


def natural(population: int, sigma: float, batch: int = 64) -> Cell:
    """SNES, whose rates are its own."""
    return Cell(f"SNES, {population}, {sigma:g}", "SNES", within(1, batch, 1),
                {"population": population, "sigma": sigma})


def genetic(population: int, std: float, batch: int) -> Cell:
    """A tenth of the population are parents."""
    return Cell(f"DeepGA, {population}, {std:g}, {batch}", "DeepGA", within(1, batch, 1),
                {"population": population, "parents": population // 10, "std": std})


def greedy(population: int, std: float, batch: int) -> Cell:
    """Best of a generation."""
    return Cell(f"GOEA, {population}, {std:g}, {batch}", "GOEA", within(1, batch, 1),
                {"population": population, "std": std, "dropout": "off"})


ADAM: dict[str, dict[str, Any]] = {
    "EvolutionStrategy": {"optimizer": "adam"}, "OpenAIES": {},
    "EGGROLL": {"rank": 1, "shaping": "ranks", "optimizer": "adam"},
}
TRIALS = {
    "mnist": (
        *(sgd(*one) for one in product((0.03, 0.1, 0.3, 1), (5e-4, 2e-3, 5e-3))),
        *(strategy(name, *one, **more) for name, more in ADAM.items()
          for one in product((64, 256), (0.005, 0.02), (0.003, 0.01, 0.03))),
        *(natural(*one) for one in product((32, 64, 128, 256), (0.003, 0.01, 0.03))),
        *(genetic(*one) for one in product((50, 200), (0.005, 0.01, 0.02), (250, ALL))),
        *(greedy(20, *one) for one in product((0.0005, 0.001, 0.002, 0.004, 0.008, 0.016), (250, ALL))),
    ),
}
"""As many a method."""
FURTHER: dict[str, tuple[Cell, ...]] = {"mnist": (
    *(strategy("EvolutionStrategy", 64, 0.02, rate, **ADAM["EvolutionStrategy"]) for rate in (1e-3, 3e-4)),
    *(strategy("OpenAIES", 64, 0.005, rate) for rate in (1e-3, 3e-4)),
    *(strategy("EGGROLL", 64, 0.005, rate, **ADAM["EGGROLL"]) for rate in (1e-3, 3e-4)),
)}
"""Two rates more, where the best was at the edge of what was tried."""
TUNING = (*(f"{method}-tuning" for method in METHODS),
          *(f"{method}-further" for method in dict.fromkeys(cell.method for cell in FURTHER["mnist"])))
CHOSEN: dict[str, tuple[Cell, ...]] = {
    "mnist": (
        sgd(0.3, 2e-3),
        strategy("EvolutionStrategy", 64, 0.02, 0.003, **ADAM["EvolutionStrategy"]),
        strategy("OpenAIES", 64, 0.005, 0.003),
        strategy("EGGROLL", 64, 0.005, 0.003, **ADAM["EGGROLL"]),
        natural(64, 0.01),
        genetic(50, 0.005, 250),
        greedy(20, 0.004, 250),
    ),
}
"""The best of each method's trials."""


def es_setup(preset: Preset, variant: str, _: int | None) -> Setup:
    """Trainings, by variant: "arms", "ranks", a method, or its trials: its name with "-tuning" or "-further"."""
    checks.one_of("variant", variant, ("arms", "ranks", *METHODS, *TUNING))
    if variant == "arms":
        return arms()
    if variant == "ranks":
        return ranks(preset)
    cells = CHOSEN if variant in METHODS else FURTHER if variant.endswith("-further") else TRIALS
    return _method(preset, variant.removesuffix("-tuning").removesuffix("-further"), cells, variant in METHODS)


def _method(preset: Preset, method: str, cells: dict[str, tuple[Cell, ...]], tested: bool) -> Setup:
    """On MNIST a perceptron, on photographs the convolutional network of the trainings."""
    data = "cifar10" if preset.data == "cifar10" else "mnist"
    budget = (BUDGETS if tested else TRIED)[data] / (1 if preset.name == "book" else 400)
    of_it = tuple(replace(cell, fit=replace(cell.fit, budget=budget)) for cell in cells[data] if cell.method == method)
    return Setup(sample_of(preset, None, tested), None if data == "cifar10" else MNIST, of_it, tested, preset.width,
                 preset.groups, preset.statistics)


# --- search and learning in turn, of the perceptron -------------------------------------------------------------------

TURNS = {f"trial-{rate:g}-{head:g}": (rate, head) for rate, head in product((0.3, 1), (0.1, 0.3))}
TAKEN = (1, 0.1)
"""Rates of the body, and of the head as a share, that were tried on validation images; and the best."""


def perceptron_turns_setup(preset: Preset, variant: str, _: int | None) -> perceptron_turns.Setup:
    """The loop, by variant: "loop", or one of `TURNS`."""
    checks.one_of("variant", variant, ("loop", *TURNS))
    tested, times = variant == "loop", 1 if preset.name == "book" else 10
    rate, head = TAKEN if tested else TURNS[variant]
    counts, later = (30 // times, 15 // times, 5), (8 // times + 1, 8 // times + 1, 4)
    schedule = tuple(LayerSearch(count, 0.1, boost) for count, boost in zip(counts, (5, 3, 1), strict=True))
    search = SearchConfig(schedule, **split_population(60, 10), noise="pixel")  # each unit is a channel of one pixel
    learn = LearnConfig(epochs=40 // times, batch=125, learning_rate=rate, head_weight=head, weight_decay=5e-4)
    turns = AlternateConfig(search, learn, 3, later, epochs=16 // times + 1, input_noise=0.1)
    return perceptron_turns.Setup(sample_of(preset, None, tested), MNIST, turns, tested)
