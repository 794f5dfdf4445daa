"""How near a random step comes to the gradient, and what it gains, measured beside the closed forms.

Source: theorem 1 of Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD": the best of N
random steps tends to the step of SGD as N grows. Figure 6 of its appendix says how many that takes. Angles are in
degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from repsearch.config import FitConfig
from repsearch.method import Batch
from repsearch.methods.goea import GOEA
from repsearch.reproduce.greedy_network import (
    PLAIN,
    Way,
    combined,
    flat,
    gradient,
    greedy_network,
    measure,
    pictures,
    place,
    settle,
)
from repsearch.reproduce.greedy_theory import (
    BEST_OF,
    expected_angle,
    expected_cosine,
    expected_gain,
    expected_maximum,
    fisher_share,
    log_cap,
)
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.reproduce.samples import Sample

CAPS = (5, 10, 30, 60, 80, 85, 88, 89)
CAP_DIMENSIONS = (2, 3, 10, 30, 100, 300, 1000, 9854)
FISHER = ((10, 1.0, 0.1), (100, 1.0, 0.02), (3, 1.0, 0.5), (9854, 100.0, 0.01))
"""Dimension, distance and standard deviation."""
MEAN_STEPS = ((500, 200), (9854, 100))
"""Dimension and generations of the best of 20 whose steps are averaged."""
DRAWN = 2**23
"""Numbers drawn at once."""


@dataclass(frozen=True)
class Setup:
    """Angles and gains on a "linear" function, or on the loss of the "network" at its initial weights.

    Args:
        sample: its first training images are the network's.
        where: see above.
        dimensions: of the space that steps are drawn in; of the network a random subspace, or all of its weights.
        tries: N, of which the best is taken.
        pool: steps drawn in each space; each N makes as many generations of them as it can.
        images: that the network's loss is the mean of.
        length: of its steps, short enough for the loss to be linear.
        generations: that GO-EA's gain is the mean of.
    """

    sample: Sample
    where: Literal["linear", "network"]
    dimensions: tuple[int, ...] = (2, 3, 10, 100, 9854)
    tries: tuple[int, ...] = (10, 20, 100, 1000)
    pool: int = 20000
    images: int = 100
    length: float = 0.01
    generations: int = 400


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Measure angles and gains beside what is expected of them.

    Returns:
        Lists of what was `expected` and `measured`, with the standard `error` of the second: `angles` of the best of N,
        by dimension and tries, in degrees; `mean_steps`, cosines of the mean of `generations` best steps. Of the linear
        function also `caps`, log10 of p; `cap_shares`, p itself; `fisher`, shares of improving steps; `gains` of
        GO-EA's own generations, in s|g|; `ways`, gains of four ways to make a step of 20, in |g| / sqrt(n).
    """
    return _linear(setup, seed) if setup.where == "linear" else _network(setup, seed, root)


def compared(expected: float, found: Tensor, **what: Any) -> dict[str, Any]:
    """An expectation, and the mean and its standard error of what was found, (count,)."""
    found = found.double()
    error = float(found.std()) / math.sqrt(len(found)) if len(found) > 1 else None
    return {**what, "expected": expected, "measured": float(found.mean()), "error": error}


def best_angles(scores: Tensor, angles: Tensor, tries: int) -> Tensor:
    """Angle of the step with the highest score in each generation of N: of (pool,) steps, (pool // N,)."""
    generations = len(scores) // tries
    best = scores[: generations * tries].view(generations, tries).argmax(1, keepdim=True)
    return angles[: generations * tries].view(generations, tries).gather(1, best)[:, 0]


def _linear(setup: Setup, seed: int) -> dict[str, Any]:
    """f falls along the first axis."""
    generator, found = generator_of(seed, 2), cast("dict[str, Any]", {"angles": [], "cap_shares": []})
    for dimension in setup.dimensions:
        angles = torch.cat([_off_axis(steps) for steps in _steps(setup.pool, dimension, generator)])
        found["angles"] += [compared(expected_angle(dimension, tries), best_angles(-angles, angles, tries),
                                     dimension=dimension, tries=tries) for tries in setup.tries]
        for cap in CAPS:
            expected = math.exp(log_cap(cap, dimension))
            if expected * setup.pool >= 20:
                near = (angles < cap).double()
                found["cap_shares"].append(compared(expected, near, dimension=dimension, angle=cap))
    caps = [{"dimension": dimension, "angle": angle, "log10": log_cap(angle, dimension) / math.log(10)}
            for dimension in CAP_DIMENSIONS for angle in CAPS]
    fisher = [_fisher(*case, setup.pool, generator) for case in FISHER]
    gains = [compared(expected_maximum(tries, elitist=True), goea_gains(tries, setup.generations, seed), tries=tries)
             for tries in (2, 5, 20, 100)]
    mean_steps = [_mean_step(*case, generator) for case in MEAN_STEPS]
    return {**found, "caps": caps, "fisher": fisher, "gains": gains, "mean_steps": mean_steps,
            "ways": _ways(max(setup.dimensions), generator)}


def _steps(count: int, dimension: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Standard normal steps, (count, dimension) in all, a part at a time."""
    each = max(1, DRAWN // dimension)
    for start in range(0, count, each):
        yield torch.randn(min(each, count - start), dimension, generator=generator, dtype=torch.float64)


def _off_axis(steps: Tensor) -> Tensor:
    """Angles (count,) between steps (count, dimension) and the first axis, in degrees."""
    return torch.rad2deg(torch.atan2(steps[:, 1:].norm(dim=1), steps[:, 0]))


def _fisher(dimension: int, distance: float, std: float, count: int, generator: torch.Generator) -> dict[str, Any]:
    """Of random steps in Fisher's model; of fewer in many dimensions, for their errors are small there."""
    count = min(count, 4 * DRAWN // dimension)
    gained = torch.cat([2 * distance * std * steps[:, 0] + std**2 * steps.square().sum(1) < 0
                        for steps in _steps(count, dimension, generator)])
    return compared(fisher_share(dimension, distance, std), gained, dimension=dimension, distance=distance, std=std)


def _mean_step(dimension: int, generations: int, generator: torch.Generator) -> dict[str, Any]:
    total, left = torch.zeros(dimension, dtype=torch.float64), generations
    while left:
        some = min(left, max(1, DRAWN // (BEST_OF * dimension)))
        steps = torch.randn(some, BEST_OF, dimension, generator=generator, dtype=torch.float64)
        total += steps[torch.arange(some), steps[:, :, 0].argmax(1)].sum(0)
        left -= some
    return compared(expected_cosine(dimension, generations), (total[0] / total.norm())[None], dimension=dimension,
                    generations=generations)


def _ways(dimension: int, generator: torch.Generator, generations: int = 200) -> list[dict[str, Any]]:
    """What a step of one length gains that is made of 20 random ones in four ways."""
    gains: dict[Way, list[Tensor]] = {way: [] for way in get_args(Way)}
    for _ in range(generations):
        steps = torch.randn(BEST_OF, dimension, generator=generator, dtype=torch.float64)
        for way, made in gains.items():
            step = combined(steps, steps[:, 0], way)
            made.append(step[0] / step.norm() * math.sqrt(dimension))
    return [compared(expected_gain(way, BEST_OF), torch.stack(made), way=way) for way, made in gains.items()]


class _Slope(nn.Module):
    """A linear f of its weights, whatever it is shown; the gradient has norm 1."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(dimension))

    def forward(self, images: Tensor) -> Tensor:
        return (self.weights.sum() / math.sqrt(len(self.weights))).expand(len(images), 1)


def _height(logits: Tensor, _: Tensor) -> Tensor:
    return logits.mean()


def goea_gains(tries: int, generations: int, seed: int, dimension: int = 50, std: float = 0.01) -> Tensor:
    """What GO-EA gains in each generation on a linear f, in s|g|, (generations,)."""
    slope, method, config = _Slope(dimension), GOEA(tries, std, fitness=_height), FitConfig(epochs=1, batch=2)
    batch = Batch(torch.zeros(2, 1, 1, 1), torch.zeros(2, dtype=torch.long), 0, 2)
    method.start(slope, cast("Any", None), config, seed)
    heights = torch.stack([torch.zeros(()), *(-method.step(slope, batch, config).loss for _ in range(generations))])
    return heights.double().diff() / std


# --- on the network's loss --------------------------------------------------------------------------------------------


def _network(setup: Setup, seed: int, root: str | None) -> dict[str, Any]:
    """In float64, for the losses of steps that are nearly as good differ by less than float32 can tell."""
    data, generator = pictures(setup.sample, root, seed), generator_of(seed, 2)
    images, labels = data.train.images[: setup.images].double(), data.train.labels[: setup.images]
    model = greedy_network(PLAIN, seed).double().to(memory_format=torch.contiguous_format).eval()
    settle(model)
    start, downhill = flat(model.parameters()), -gradient(model, images, labels)
    angles, mean_steps = [], []
    for dimension in setup.dimensions:
        basis = _basis(len(start), dimension, generator)
        goal = downhill if basis is None else downhill @ basis
        steps = torch.cat(list(_steps(setup.pool, dimension, generator)))
        steps /= steps.norm(dim=1, keepdim=True)
        scores = torch.empty(len(steps), dtype=torch.float64)
        for number, step in enumerate(steps):
            place(model, start + setup.length * (step if basis is None else basis @ step))
            scores[number] = -measure(model, images, labels)[0]
        near = torch.rad2deg((steps @ goal / goal.norm()).clamp(-1, 1).acos())
        angles += [compared(expected_angle(dimension, tries), best_angles(scores, near, tries), dimension=dimension,
                            tries=tries) for tries in setup.tries]
        generations = len(steps) // BEST_OF
        best = scores[: generations * BEST_OF].view(generations, BEST_OF).argmax(1)
        mean = steps[best + BEST_OF * torch.arange(generations)].mean(0)
        mean_steps.append(compared(expected_cosine(dimension, generations), (mean @ goal / mean.norm() / goal.norm())[
            None], dimension=dimension, generations=generations))
    return {"images": setup.sample.counts(data), "slope": float(downhill.norm()), "angles": angles,
            "mean_steps": mean_steps}


def _basis(weights: int, dimension: int, generator: torch.Generator) -> Tensor | None:
    """Of a random subspace, orthonormal columns (weights, dimension); None where it is all of the space."""
    if dimension == weights:
        return None
    drawn = torch.randn(weights, dimension, generator=generator, dtype=torch.float64)
    return cast("Tensor", torch.linalg.qr(drawn).Q)
