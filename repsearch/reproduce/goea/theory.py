"""What greedy evolution does where its closed forms hold, measured: random directions, linear and spherical fitness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn

from repsearch.config import FitConfig
from repsearch.method import Batch
from repsearch.methods.goea import GOEA
from repsearch.reproduce.goea.formulas import alignment, angle_of_best, best_of, cap, fisher, log10_cap
from repsearch.reproduce.samples import generator_of

CAPS, BEST, MEANS, FISHER, GAINS = range(5)  # what draws, beside the seed
AT_ONCE = 2**22  # numbers drawn
STD = 0.01  # of the steps whose gain is measured; all of it scales


@dataclass(frozen=True)
class Setup:
    """What is measured, all of it on random numbers.

    Args:
        caps: (n, degrees) at which the chance of a cap is counted.
        curves: numbers of weights at which the chance is a curve over the angle; Figure 6, right.
        angles: at which it is a curve over the number of weights; left.
        points: of each curve.
        samples: random directions, or steps, that a chance is counted over.
        dimensions, counts: n and N of the angle between the best of N steps and the gradient.
        far: larger N, for which it is only computed.
        repeats: of that angle.
        means: (n, numbers of steps K, repeats) of the mean of K steps, each the best of `population`.
        population: N of those.
        spheres: (n, R, s) of Fisher's model.
        populations: N whose gain a generation is measured.
        generations: of these.
        weights: of the linear fitness that they gain on.
    """

    caps: tuple[tuple[int, float], ...] = (
        (2, 30.0), (3, 30.0), (3, 60.0), (4, 60.0), (10, 30.0), (10, 60.0), (100, 80.0), (9854, 89.0))
    curves: tuple[int, ...] = (3, 10, 100, 1000, 9854)
    angles: tuple[float, ...] = (5.0, 10.0, 30.0, 60.0)
    points: int = 31
    samples: int = 20_000
    dimensions: tuple[int, ...] = (2, 3, 10, 100, 9854)
    counts: tuple[int, ...] = (10, 20, 100, 1000)
    far: tuple[int, ...] = (10_000, 1_000_000)
    repeats: int = 200
    means: tuple[tuple[int, tuple[int, ...], int], ...] = (
        (500, (20, 200, 2000), 20), (9854, (100, 1000, 10_000), 1))
    population: int = 20
    spheres: tuple[tuple[int, float, float], ...] = (
        (10, 1.0, 0.1), (100, 1.0, 0.02), (3, 1.0, 0.5), (9854, 100.0, 0.01))
    populations: tuple[int, ...] = (2, 3, 5, 20)
    generations: int = 2000
    weights: int = 50


def run(setup: Setup, seed: int, _root: str | None = None, _store: Path | None = None) -> dict[str, Any]:
    """Measure everything.

    Returns:
        `caps`: by (n, angle), `theory`, `log10` of it, and the share counted, with its standard error.
        `curves`, lists of log10 of the chance: `by_angle` for some n, and `by_n` for some angles.
        `best`: by (n, N), mean angle of the best of N steps to the gradient in degrees, beside `theory`.
        `means`: by (n, K), cosine of the mean of K steps and the gradient. `fisher`: by (n, R, s), share of steps that
        improve. `gains`: by (N, accept), what a generation of `repsearch.methods.GOEA` gains, in std |g|.
    """
    return {"caps": _caps(setup, seed), "curves": _curves(setup), "best": _best(setup, seed),
            "means": _means(setup, seed), "fisher": _fisher(setup, seed), "gains": _gains(setup, seed)}


def _caps(setup: Setup, seed: int) -> list[dict[str, float]]:
    rows = []
    for n, angle in setup.caps:
        within = 0
        for steps in _drawn(setup.samples, n, seed, CAPS, n, round(angle)):
            within += int((_angles(steps) < angle).sum())
        rows.append({"n": n, "angle": angle, "theory": cap(angle, n), "log10": log10_cap(angle, n),
                     **_share(within, setup.samples)})
    return rows


def _curves(setup: Setup) -> dict[str, Any]:
    """Figure 6 of the appendix: the chance against the angle, and against n."""
    angles = np.linspace(1, 90, setup.points).round(2).tolist()
    sizes = np.geomspace(10, 1000, setup.points).round().astype(int).tolist()
    return {
        "angles": angles, "sizes": sizes,
        "by_angle": {str(n): [round(log10_cap(angle, n), 4) for angle in angles] for n in setup.curves},
        "by_n": {str(angle): [round(log10_cap(angle, n), 4) for n in sizes] for angle in setup.angles},
    }


def _best(setup: Setup, seed: int) -> list[dict[str, float]]:
    """Theorem 1 on a linear fitness, whose gradient is the first axis: the best step is the nearest to it."""
    rows: list[dict[str, float]] = []
    for n in setup.dimensions:
        for N in setup.counts:
            nearest = torch.full((setup.repeats,), torch.inf, dtype=torch.float64)
            for repeat in range(setup.repeats):
                for steps in _drawn(N, n, seed, BEST, n, N, repeat):
                    nearest[repeat] = min(nearest[repeat], _angles(steps).min())
            rows.append({"n": n, "N": N, "theory": angle_of_best(N, n), **_mean(nearest)})
        rows += [{"n": n, "N": N, "theory": angle_of_best(N, n)} for N in setup.far]
    return rows


def _means(setup: Setup, seed: int) -> list[dict[str, float]]:
    """Steps are summed, of which each is the best of a generation; weights stay where they are."""
    rows = []
    for n, counts, repeats in setup.means:
        found = torch.empty(repeats, len(counts))
        for repeat in range(repeats):
            generator, total = generator_of(seed, MEANS, n, repeat), torch.zeros(n)
            for K in range(1, counts[-1] + 1):
                steps = torch.randn(setup.population, n, generator=generator)
                total += steps[steps[:, 0].argmax()]
                if K in counts:
                    found[repeat, counts.index(K)] = total[0] / total.norm()
        rows += [{"n": n, "K": K, "theory": alignment(K, setup.population, n), "mean": float(found[:, at].mean()),
                  "repeats": repeats} for at, K in enumerate(counts)]
    return rows


def _fisher(setup: Setup, seed: int) -> list[dict[str, float]]:
    """Steps from a point at distance R of the optimum, and how many end nearer to it."""
    rows = []
    for n, R, s in setup.spheres:
        better = 0
        for steps in _drawn(setup.samples, n, seed, FISHER, n):
            better += int((2 * R * s * steps[:, 0] + s**2 * steps.square().sum(1) < 0).sum())
        rows.append({"n": n, "R": R, "s": s, "theory": fisher(n, R, s), "normal": float(norm.cdf(-s * n / (2 * R))),
                     **_share(better, setup.samples)})
    return rows


class Line(nn.Module):
    """A network that is its weights: it gives them back for every image, so that fitness is a function of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(size))

    def forward(self, images: Tensor) -> Tensor:
        """The weights, once an image."""
        return self.weights.expand(len(images), -1)


def _gains(setup: Setup, seed: int) -> list[dict[str, Any]]:
    """Of the library's own method. With accept="first" every step that is better is taken, half of them."""
    g = torch.nn.functional.normalize(torch.randn(setup.weights, generator=generator_of(seed, GAINS)), dim=0)
    nothing, config = Batch(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long), 0, 2), FitConfig(epochs=1, batch=2)
    rows = []
    for accept in ("best", "first"):
        for N in setup.populations:
            line = Line(setup.weights)
            method = GOEA(N, STD, accept=accept, fitness=lambda weights, _: weights[0] @ g)
            method.start(line, None, config, seed)  # type: ignore[arg-type]
            heights = torch.zeros(setup.generations + 1, dtype=torch.float64)
            for generation in range(setup.generations):
                method.step(line, nothing, config)
                heights[generation + 1] = line.weights.detach().double() @ g.double()
            wanted = best_of(N, kept=True) if accept == "best" else N * float(norm.pdf(0))
            rows.append({"N": N, "accept": accept, "theory": wanted, **_mean(heights.diff() / STD)})
    return rows


# --- random steps -----------------------------------------------------------------------------------------------------


def _drawn(count: int, n: int, *seed: int) -> Iterable[Tensor]:
    """Standard normal steps (some, n), in all `count`."""
    generator, size = generator_of(*seed), max(1, AT_ONCE // n)
    for start in range(0, count, size):
        yield torch.randn(min(size, count - start), n, generator=generator)


def _angles(steps: Tensor) -> Tensor:
    """Degrees between steps (some, n) and the first axis; an arc cosine would lose small ones."""
    return torch.atan2(steps[:, 1:].double().norm(dim=1), steps[:, 0].double()).rad2deg()


def _share(count: int, of: int) -> dict[str, float]:
    share = count / of
    return {"mean": share, "error": (share * (1 - share) / of) ** 0.5}


def _mean(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "error": float(values.std()) / len(values) ** 0.5}
