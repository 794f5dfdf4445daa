"""Random steps of a real network's weights beside its gradients: Figures 1, 4 and 5, Theorem 1, and ways to mix steps.

At one of three places: before training, where transfer starts (trained on eight classes, judged on ten), and at the
optimum (trained on ten).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from scipy.stats import ks_2samp, norm
from torch import Tensor

from repsearch.reproduce.goea.formulas import angle_of_best, curved, gain_of
from repsearch.reproduce.goea.network import CLASSES, judge, network, shown, train
from repsearch.reproduce.goea.place import Place
from repsearch.reproduce.goea.ways import WAYS, direction
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from repsearch.data import Dataset
    from repsearch.reproduce.samples import Sample

BATCHES, STEPS, FRESH, PROBES, POPULATIONS, BASES, DIRECTIONS, PAIRS = range(8)  # what draws, beside the seed
PERCENTILES = (5, 25, 50, 75, 95)
BINS = 30


@dataclass(frozen=True)
class Setup:
    """Where, and what is measured there.

    Args:
        sample: images to train on; random steps are judged on the first of them.
        known: classes whose labels the training saw; 0 is before training.
        epochs, batch, rate: of SGD, without dropout, as the source's code asks for here.
        judged: images that a step's loss and accuracy are of.
        std: rewrite capacity, the standard deviation of a step on each weight.
        steps: random steps; Figures 4 and 5.
        batches: (size, number) of minibatches, drawn with replacement; Figure 1.
        probes: random vectors that estimate the Hessian's trace.
        populations: (N, generations) of which one step is made in each way.
        lengths: of that step, in lengths of a random one.
        close: images that steps within random subspaces are judged on.
        dimensions, counts: of these subspaces, and N of which the best step is taken; Theorem 1.
        directions: random steps in each, which are dealt into generations of N.
        radius: their length, so short that loss is linear.
        subspace, pairs: dimension in which Figure 5 is done again, and steps tried there.
    """

    sample: Sample
    known: int
    epochs: int = 8
    batch: int = 32
    rate: float = 0.1
    judged: int = 1000
    std: float = 0.01
    steps: int = 200
    batches: tuple[tuple[int, int], ...] = ((4, 200), (32, 200), (128, 100), (1024, 40))
    probes: int = 30
    populations: tuple[tuple[int, int], ...] = ((20, 20), (100, 6))
    lengths: tuple[float, ...] = (0.1, 1.0)
    close: int = 50
    dimensions: tuple[int, ...] = (2, 3, 10)
    counts: tuple[int, ...] = (10, 20, 100, 1000)
    directions: int = 1000
    radius: float = 1e-4
    subspace: int = 10
    pairs: int = 6000


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Go there, and measure.

    Returns:
        `place`: loss and accuracy of ten classes, on the images that judge steps and on test images.
        `batches`, `steps`, `angles`, `subspace`, `ways`, `theorem`: see the functions of these names below.
    """
    data = shown(setup.sample.load(root, seed))
    net = network(drop_in=0, drop=0, seed=seed)
    if setup.known:
        train(net, data, setup.epochs, setup.batch, setup.rate, setup.known, seed)
    place = Place(net, data.train[: setup.judged])
    tested = dict(zip(("test_loss", "test_accuracy"), judge(net, data.test), strict=True))
    steps, improvers = _steps(setup, place, seed)
    close = Place(net, data.train[: setup.close])
    return {
        "images": setup.sample.counts(data),
        "place": {"known": setup.known, "n": place.n, "loss": place.loss, "accuracy": place.accuracy, **tested},
        "batches": _batches(setup, place, data, seed), "steps": steps, "angles": _angles(improvers, seed),
        "subspace": _subspace(setup, close, seed), "ways": _ways(setup, place, seed),
        "theorem": _theorem(setup, Place(net, data.train[: setup.close], exact=True), seed),
    }


def _batches(setup: Setup, place: Place, data: Dataset, seed: int) -> list[dict[str, Any]]:
    """Figure 1: lengths of minibatch gradients at frozen weights, which times the rate are those of updates, and angles
    between any two, in degrees.

    By batch size, with the labels of ten classes; and of those known only, where these are fewer. A batch without a
    known label has no gradient and so no angles; `empty` counts them.
    """
    rows = []
    for known in [CLASSES, setup.known] if 0 < setup.known < CLASSES else [CLASSES]:
        for size, number in setup.batches:
            found, draws = torch.empty(number, place.n), generator_of(seed, BATCHES, size)
            for at in range(number):
                picked = torch.randint(len(data.train), (size,), generator=draws)
                found[at] = place.gradient(None, data.train.images[picked], data.train.labels[picked], known)
            lengths = found.norm(dim=1)
            angles = _between(found[lengths > 0])
            rows.append({"classes": known, "batch": size, "empty": int((lengths == 0).sum()),
                         "length": _described(lengths), "angle": _described(angles)})
    return rows


def _steps(setup: Setup, place: Place, seed: int) -> tuple[dict[str, Any], Tensor]:
    """Figure 4: what random steps change, in loss and in accuracy; and the steps (K, n) that make the loss smaller.

    `improving`: share of them that do. `by_spread` is the share that their mean and standard deviation alone would
    say, `by_curvature` the one that gradient and Hessian do, without a step.
    """
    steps = setup.std * torch.randn(setup.steps, place.n, generator=generator_of(seed, STEPS))
    loss, accuracy = place.changes(steps)
    # Gradients half a step away are what a step meets on its way.
    found = place.curvature(setup.std / 2, setup.probes, generator_of(seed, PROBES))
    record = {
        "loss": _described(loss), "accuracy": _described(accuracy), "improving": _share(loss < 0),
        "better": _share(accuracy > 0), "same": _share(accuracy == 0), "worse": _share(accuracy < 0),
        "by_spread": float(norm.cdf(-float(loss.mean() / loss.std()))),
        "by_curvature": curved(setup.std, found.slope, found.trace, found.trace2),
        "slope": found.slope, "trace": found.trace, "trace_error": found.error, "trace2": found.trace2,
    }
    return record, steps[loss < 0]


def _angles(improvers: Tensor, seed: int) -> dict[str, Any]:
    """Figure 5: angles between any two improving steps, beside those of as many fresh random ones; see `_tested`."""
    fresh = torch.randn(len(improvers), improvers.shape[1], generator=generator_of(seed, FRESH))
    return {"improvers": len(improvers), **_tested(_between(improvers), _between(fresh))}


def _subspace(setup: Setup, place: Place, seed: int) -> dict[str, Any]:
    """The same within a random subspace of few dimensions, where there is something to see, of independent pairs."""
    basis = _basis(setup.subspace, place.n, seed)
    draws = generator_of(seed, PAIRS)
    tried = torch.randn(setup.pairs, setup.subspace, generator=draws)
    better = torch.cat([place.changes(setup.std * some @ basis.T)[0] for some in torch.split(tried, 100)]) < 0
    couples = int(better.sum()) // 2
    improvers = tried[better][: 2 * couples].view(couples, 2, -1)
    fresh = torch.randn(couples, 2, setup.subspace, generator=draws)
    return {"n": setup.subspace, "tried": setup.pairs, "improving": _share(better),
            **_tested(_degrees(improvers[:, 0], improvers[:, 1]), _degrees(fresh[:, 0], fresh[:, 1]))}


def _ways(setup: Setup, place: Place, seed: int) -> list[dict[str, Any]]:
    """What one step made of N tried ones gains, in |g| / sqrt(n) times its length, by the way it is made.

    `linear` is its direction's share of the gradient, `gained` what the loss loses at each of `lengths`, `theory` what
    a linear loss of many weights says. `generations` counts those that had an improver, where the way needs one.
    """
    g, rows = place.gradient().float(), []
    unit = float(g.norm()) / math.sqrt(place.n)
    lengths = [share * setup.std * math.sqrt(place.n) for share in setup.lengths]
    for N, generations in setup.populations:
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for generation in range(generations):
            steps = setup.std * torch.randn(N, place.n, generator=generator_of(seed, POPULATIONS, N, generation))
            gains = -place.changes(steps)[0].float()
            for way in WAYS:
                towards = direction(way, steps, gains)
                if towards is not None:
                    losses = place.changes(torch.stack([length * towards for length in lengths]))[0].tolist()
                    found[way].append([-float(towards @ g) / unit, *(
                        -loss / length / unit for loss, length in zip(losses, lengths, strict=True))])
        for way in WAYS:
            means = [_mean(torch.tensor(column)) for column in zip(*found[way], strict=True)]
            rows.append({"N": N, "way": way, "generations": len(found[way]), "theory": gain_of(way, N),
                         "linear": means[0] if means else None, "gained": means[1:]})
    return rows


def _theorem(setup: Setup, place: Place, seed: int) -> list[dict[str, Any]]:
    """Theorem 1 within random subspaces: the angle between the best of N short steps and the gradient there."""
    g, rows = place.gradient(), []
    for n in setup.dimensions:
        basis = _basis(n, place.n, seed).double()
        tried = torch.randn(setup.directions, n, generator=generator_of(seed, DIRECTIONS, n), dtype=torch.float64)
        tried = setup.radius * torch.nn.functional.normalize(tried, dim=1)
        loss = place.changes(tried @ basis.T)[0]
        off = _degrees(tried, -(basis.T @ g)[None])
        for N in setup.counts:
            dealt = loss[: len(loss) // N * N].view(-1, N)
            best = dealt.argmin(1) + N * torch.arange(len(dealt))
            rows.append({"n": n, "N": N, "theory": angle_of_best(N, n), "generations": len(best), **_mean(off[best])})
    return rows


# --- numbers of vectors -----------------------------------------------------------------------------------------------


def _basis(n: int, of: int, seed: int) -> Tensor:
    """Of a random subspace, (of, n)."""
    basis: Tensor = torch.linalg.qr(torch.randn(of, n, generator=generator_of(seed, BASES, n)))[0]
    return basis


def _degrees(first: Tensor, second: Tensor) -> Tensor:
    """Angles between vectors (N, n) and those beside them, (N,); by halves, which an arc cosine would round away."""
    first, second = (torch.nn.functional.normalize(part.double(), dim=1) for part in (first, second))
    return 2 * torch.atan2((first - second).norm(dim=1), (first + second).norm(dim=1)).rad2deg()


def _between(vectors: Tensor) -> Tensor:
    """Angles between any two different ones of (N, n), in degrees."""
    units = torch.nn.functional.normalize(vectors.double(), dim=1)
    first, second = torch.triu_indices(len(units), len(units), offset=1)
    return (units @ units.T)[first, second].clamp(-1, 1).arccos().rad2deg()


def _tested(found: Tensor, fresh: Tensor) -> dict[str, Any]:
    """Angles found beside fresh ones, and p of the Kolmogorov-Smirnov test that both are alike; None of too few."""
    p = float(ks_2samp(found.numpy(), fresh.numpy(), method="asymp").pvalue) if len(found) > 1 else None
    return {"pairs": len(found), "p": p, "found": _described(found), "fresh": _described(fresh)}


def _described(values: Tensor) -> dict[str, Any] | None:
    """Mean, standard deviation, some percentiles, and counts in equal bins from the least to the largest."""
    if len(values) < 2:
        return None
    values = values.double()
    low, high = float(values.min()), float(values.max())
    quantiles = torch.tensor([share / 100 for share in PERCENTILES], dtype=torch.float64)
    return {"mean": float(values.mean()), "sd": float(values.std()), "low": low, "high": high,
            "percentiles": values.quantile(quantiles).tolist(),
            "counts": torch.histc(values, BINS, low, high).int().tolist()}


def _mean(values: Tensor) -> dict[str, Any]:
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": float(values.mean()), "error": error}


def _share(which: Tensor) -> float:
    return float(which.double().mean())
