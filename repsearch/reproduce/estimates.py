"""How good the gradients are that evolution strategies estimate: variances against closed forms, bias, angles.

On one small network, where gradient, Hessian and the gradients of single images can be computed. Closed forms, for
N pairs, d weights, gradient g and Hessian H of the fitness (a quadratic one; see the chapter on evolution strategies):

    antithetic pairs                      (d+1) |g|^2 / N
    on a shared minibatch of b            ... + (1 + (d+1)/N) tr Sigma / b
    each pair on its own minibatch        ... + (d+2) tr Sigma / (N b)
    each member on its own minibatch      ... + (d+2) tr Sigma / (2 N b) + d s^2 / (2 sigma^2 N b)
    one-sided, M members, offset J        (d J^2/sigma^2 + 2 J tr H + (d+1) |g|^2 + sigma^2/2 (d+4) tr H^2) / M
    low rank r, a layer (m, n)            (|G|^2 (m n + 1 + 2(m+n+1)/r) + (|g|^2 - |G|^2) m n) / N
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, vmap

from repsearch.config import FitConfig
from repsearch.fitting import fit
from repsearch.method import Batch
from repsearch.methods._members import dense
from repsearch.methods.backprop import Backprop
from repsearch.methods.eggroll import EGGROLL
from repsearch.methods.evolution import EvolutionStrategy
from repsearch.reproduce.cubes import growth, low_rank
from repsearch.reproduce.strategies import perceptron

if TYPE_CHECKING:
    from repsearch.data import Split
    from repsearch.reproduce.samples import Sample

PLAIN = FitConfig(epochs=1)


@dataclass(frozen=True)
class Setup:
    """What is measured.

    Args:
        sample: its training images are the population that minibatches are drawn from, with replacement.
        network: sizes of the perceptron's layers.
        trained: epochs of SGD before; the gradient is measured before them, too.
        pairs: N.
        batch: b.
        sigmas: of the noise.
        counts: other numbers of pairs, for the angle to the gradient.
        ranks: of EGGROLL.
        repeats: estimates of each kind.
        smoothed: noise vectors that the gradient of the smoothed fitness is averaged over.
    """

    sample: Sample
    network: tuple[int, ...] = (64, 32, 10)
    trained: int = 10
    pairs: int = 32
    batch: int = 16
    sigmas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    counts: tuple[int, ...] = (8, 32, 128, 512)
    ranks: tuple[int, ...] = (1, 2, 4, 8)
    repeats: int = 100
    smoothed: int = 1000


@dataclass(frozen=True)
class Point:
    """A network, and what calculus says about the mean log-probability of its labels there.

    Args:
        model: the network.
        images: all of them, as one batch.
        g: gradient, (d,).
        J: the fitness.
        traces: "H", "H2": of the Hessian and its square; "Sigma": of the covariance of single images' gradients.
        spread: s^2, the variance of single images' fitness.
    """

    model: nn.Sequential
    images: Batch
    g: Tensor
    J: float
    traces: dict[str, float]
    spread: float


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Measure before training and after.

    Returns:
        `points`, "before" and "after": `calculus`; `arms`, `angles`, `ranks` and `smoothing`, lists of what was
        measured beside what the closed forms say. `growth` and `low_rank`, of cubes.
    """
    data = setup.sample.load(root, seed)
    model, found = perceptron(data, setup.network, seed), {}
    for name, epochs in (("before", 0), ("after", setup.trained)):
        if epochs:
            config = FitConfig(epochs=epochs, batch=50, learning_rate=0.1, keep="last")
            fit(model, data, Backprop(), config, seed, progress=False)
        point = look(model, data.train)
        calculus = {"d": len(point.g), "g2": float(point.g @ point.g), "J": point.J, "s2": point.spread, **point.traces}
        found[name] = {"calculus": calculus, "arms": _arms(setup, point, seed), "angles": _angles(setup, point, seed),
                       "ranks": _ranks(setup, point, seed), "smoothing": _smoothing(setup, point, seed)}
    return {"images": setup.sample.counts(data), "points": found, "growth": growth(seed), "low_rank": low_rank(seed)}


def look(model: nn.Sequential, split: Split) -> Point:
    """Gradient, Hessian and spread of the network's fitness on these images."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [weight.shape for weight in model.parameters()]
    flat = nn.utils.parameters_to_vector(model.parameters()).detach()

    def fitness(vector: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        pieces = torch.split(vector, [shape.numel() for shape in shapes])
        weights = {name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        return -F.cross_entropy(functional_call(model, weights, (images,)), labels)

    single = vmap(grad(fitness), (None, 0, 0))(flat, split.images[:, None], split.labels[:, None])
    H = hessian(fitness)(flat, split.images, split.labels)
    with torch.no_grad():
        each = -F.cross_entropy(model(split.images), split.labels, reduction="none")
    g = single.mean(0)
    traces = {"H": float(H.trace()), "H2": float((H * H).sum()), "Sigma": float((single - g).square().sum(1).mean())}
    images = Batch(split.images, split.labels, 0, len(split))
    return Point(model, images, g, float(each.mean()), traces, float(each.var(correction=0)))


# --- measured beside closed forms -------------------------------------------------------------------------------------


def _arms(setup: Setup, point: Point, seed: int) -> list[dict[str, Any]]:
    """The mean squared distance of an estimate from g, for every way to share images, at equal evaluations."""
    N, b, d = setup.pairs, setup.batch, len(point.g)
    g2, Sigma, H, H2 = float(point.g @ point.g), *(point.traces[name] for name in ("Sigma", "H", "H2"))
    pairs = (d + 1) * g2 / N
    rows = []
    for sigma in setup.sigmas:
        curved = (d + 1) * g2 + sigma**2 / 2 * (d + 4) * H2
        J = point.J + sigma**2 / 2 * H
        kinds: list[tuple[str, dict[str, Any], int | None, float]] = [
            ("antithetic, all images", {}, None, pairs),
            ("antithetic, shared", {}, b, pairs + (1 + (d + 1) / N) * Sigma / b),
            ("antithetic, own of a pair", {"minibatch": "pair"}, N * b, pairs + (d + 2) * Sigma / (N * b)),
            ("antithetic, own of a member", {"minibatch": "member"}, 2 * N * b,
             pairs + ((d + 2) * Sigma / 2 + d * point.spread / (2 * sigma**2)) / (N * b)),
            ("one-sided, all images", {"sampling": "one-sided"}, None,
             (d * J**2 / sigma**2 + 2 * J * H + curved) / (2 * N)),
            ("one-sided, all images, baseline", {"sampling": "one-sided", "shaping": "baseline"}, None,
             curved / (2 * N - 1)),
        ]
        for name, arguments, images, wanted in kinds:
            method = EvolutionStrategy(2 * N, sigma, **arguments)
            squares = (_estimates(method, point, images, setup.repeats, seed) - point.g).square().sum(1)
            rows.append({"sigma": sigma, "arm": name, "theory": wanted, **_mean(squares)})
    return rows


def _angles(setup: Setup, point: Point, seed: int) -> list[dict[str, Any]]:
    """Cosine of an estimate and g, by the number of pairs, beside sqrt(N / (N + d + 1))."""
    rows = []
    for N in setup.counts:
        found = _estimates(EvolutionStrategy(2 * N, min(setup.sigmas)), point, None, setup.repeats, seed)
        cosines = F.cosine_similarity(found, point.g[None])
        rows.append({"pairs": N, "theory": (N / (N + len(point.g) + 1)) ** 0.5, **_mean(cosines)})
    return rows


def _ranks(setup: Setup, point: Point, seed: int) -> list[dict[str, Any]]:
    """The mean squared distance of EGGROLL's estimate from g."""
    N, g2, rows = setup.pairs, float(point.g @ point.g), []
    shapes = [weight.shape for weight in point.model.parameters()]
    parts = torch.split(point.g, [shape.numel() for shape in shapes])
    for rank in setup.ranks:
        wanted = 0.0
        for shape, part in zip(shapes, parts, strict=True):
            size, G2 = shape.numel(), float(part @ part)
            more = 2 * (shape[0] + shape[1] + 1) / rank if len(shape) > 1 and min(shape) > rank else 0.0
            wanted += (G2 * (size + 1 + more) + (g2 - G2) * size) / N
        method = EGGROLL(rank, 2 * N, min(setup.sigmas))
        squares = (_estimates(method, point, None, setup.repeats, seed) - point.g).square().sum(1)
        rows.append({"rank": rank, "theory": wanted, **_mean(squares)})
    return rows


def _smoothing(setup: Setup, point: Point, seed: int) -> list[dict[str, Any]]:
    """How far the gradient of the smoothed fitness is from g, as a share of its length: the bias of an estimate.

    Averaged over back-propagated gradients of networks with noise in their weights, of full rank and of rank 1, for a
    mean of those is far more certain than of estimates. `floor` is the share that would come out of chance alone.
    """
    rows = []
    for rank in (0, 1):
        for sigma in setup.sigmas:
            method = EGGROLL(rank, 2, sigma) if rank else EvolutionStrategy(2, sigma)
            method.start(point.model, None, PLAIN, seed)  # type: ignore[arg-type]
            total, halves = torch.zeros_like(point.g), []
            for half in range(2):
                method.steps, part = half, torch.zeros_like(point.g)
                for start in range(0, setup.smoothed // 4, 50):
                    offsets = method.offsets(method.draw(start, start + 50))
                    for number in range(50):
                        part += _noisy_gradient(point, offsets, number, sigma)
                halves.append(part / (setup.smoothed // 2))
            total = sum(halves, total) / 2
            length = float(point.g.norm())
            rows.append({"sigma": sigma, "rank": rank, "error": float((total - point.g).norm()) / length,
                         "along": float(total @ point.g) / length**2,
                         "floor": float((halves[0] - halves[1]).norm()) / 2 / length})
    return rows


def _noisy_gradient(point: Point, offsets: Any, number: int, sigma: float) -> Tensor:
    """Of the fitness, summed over a mirrored pair."""
    total = torch.zeros_like(point.g)
    weights = dict(point.model.named_parameters())
    for side in (sigma, -sigma):
        moved = {}
        for name, weight in weights.items():
            offset = offsets[name]
            one = (offset[0][number], offset[1][number]) if isinstance(offset, tuple) else offset[number]
            moved[name] = (weight.detach() + side * dense(one, weight.shape)).requires_grad_()
        loss = F.cross_entropy(functional_call(point.model, moved, (point.images.images,)), point.images.labels)
        total -= torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(moved.values()))])
    return total


def _estimates(method: EvolutionStrategy, point: Point, images: int | None, repeats: int, seed: int) -> Tensor:
    """Estimates (repeats, d) of the gradient, each with noise and images of its own."""
    method.start(point.model, None, PLAIN, seed)  # type: ignore[arg-type]
    generator, found, whole = torch.Generator().manual_seed(seed), [], point.images
    for _ in range(repeats):
        batch = whole
        if images is not None:
            rows = torch.randint(len(whole), (images,), generator=generator)
            batch = Batch(whole.images[rows], whole.labels[rows], 0, images)
        method.step(point.model, batch, PLAIN)
        found.append(-torch.cat([w.grad.flatten() for w in point.model.parameters() if w.grad is not None]))
    point.model.zero_grad()
    return torch.stack(found)


def _mean(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "error": float(values.std()) / len(values) ** 0.5}
