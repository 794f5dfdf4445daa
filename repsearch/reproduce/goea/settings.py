"""Greedy evolution: what is measured of its theory, of random steps, and of trainings, at each preset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.config import FitConfig
from repsearch.reproduce.goea import greedy, steps, theory
from repsearch.reproduce.goea.flat_settings import flatness_setup, transfer_setup
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.variant import TEST_PARTS

if TYPE_CHECKING:
    from repsearch.presets import Preset

PLACES = {"before": 0, "transfer": 8, "optimum": 10}
"""Where steps are taken, and how many classes the network was trained on before."""
POPULATION, STD = 20, 0.01
GENERATIONS = {"training": 800, "sizes": 40, "ways": 100}
SIZES = {
    "base": (POPULATION, STD), "step x8": (POPULATION, 8 * STD), "step /8": (POPULATION, STD / 8),
    "population x2": (2 * POPULATION, STD), "population /5": (POPULATION // 5, STD),
}
REACHED = 0.6
"""Share of training images that a network has learned where Figure 7 begins."""
FOREVER = 10**6  # epochs: the budget ends a training


def theory_setup(preset: Preset, *_: object) -> theory.Setup:
    """On random numbers alone, whatever the data."""
    if preset.name != "smoke":
        return theory.Setup()
    return theory.Setup(
        caps=((2, 30.0), (10, 60.0)), curves=(3, 9854), angles=(60.0,), points=5, samples=500, dimensions=(2, 10),
        counts=(10, 20), far=(1000,), repeats=20, means=((50, (20, 100), 2),), spheres=((10, 1.0, 0.1),),
        populations=(2, 5), generations=50, weights=10)


def steps_setup(preset: Preset, variant: str, train: int | None) -> steps.Setup:
    """At a place, by variant: a key of `PLACES`."""
    checks.one_of("variant", variant, PLACES)
    known = PLACES[variant]
    if preset.name != "smoke":
        return steps.Setup(_sample(preset, train or 6000), known)
    return steps.Setup(
        _sample(preset, train or 200), known, epochs=2, judged=50, steps=12, batches=((4, 6), (32, 4)), probes=2,
        populations=((4, 2),), close=20, dimensions=(2,), counts=(10, 20), directions=40, pairs=40)


def greedy_setup(preset: Preset, variant: str, train: int | None) -> greedy.Setup:
    """Trainings, by variant: the "training" of Figure 2; the "sizes" of Figure 7, of step and population, at equal
    generations; the "ways" to make a step of a generation's tries, at equal evaluations."""
    checks.one_of("variant", variant, GENERATIONS)
    smoke = preset.name == "smoke"
    count, images = (2, train or 50) if smoke else (GENERATIONS[variant], train or 1000)
    sample, whole = _sample(preset, images), FitConfig(count, images, 1.0, 0.0, keep="last")
    if variant == "training":
        return greedy.Setup(sample, (_goea("best", whole),), every=10)
    if variant == "sizes":
        cells = tuple(_goea(name, whole, *size) for name, size in SIZES.items())
        return greedy.Setup(sample, cells, every=5, start=REACHED, patience=2 if smoke else 400)
    # What that many generations of GO-EA cost: children, their parent, and one pass of the settled network.
    budget = float(count * (POPULATION + 2) * images)
    within = FitConfig(FOREVER, images, 1.0, 0.0, budget=budget, keep="last")
    return greedy.Setup(sample, (
        _goea("best", within), _goea("first", within, accept="first"),
        _mixed("mean of improvers", "mean of improvers", within, elitist=True),
        _mixed("weighted sum", "weighted sum", within, elitist=False),
        _mixed("weighted sum if better", "weighted sum", within, elitist=True),
        greedy.Cell("SGD", "Backprop", FitConfig(2 if smoke else 30, 32, 0.1, 0.0, keep="last")),
    ), every=2)


def _goea(
    name: str, fit: FitConfig, population: int = POPULATION, std: float = STD, accept: str = "best"
) -> greedy.Cell:
    return greedy.Cell(name, "GOEA", fit, {"population": population, "std": std, "accept": accept, "dropout": "off"})


def _mixed(name: str, way: str, fit: FitConfig, elitist: bool) -> greedy.Cell:
    return greedy.Cell(name, "Mixed", fit, {"way": way, "elitist": elitist, "population": POPULATION, "std": STD})


def _sample(preset: Preset, train: int) -> Sample:
    """Each seed has its own part of the test images; `fit` looks at a few validation images, and nothing chooses."""
    return Sample(preset.data, train, 50 if preset.name == "smoke" else 100, preset.test, TEST_PARTS[preset.name])


SETUPS: dict[str, Callable[[Preset, str, int | None], Any]] = {
    "theory": theory_setup, "steps": steps_setup, "greedy": greedy_setup, "flatness": flatness_setup,
    "transfer": transfer_setup,
}
"""By the module of this package that computes it."""
