"""What random steps and gradients find around the weights of a network: figures 1, 4 and 5.

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD". Three places: the initial
weights; the start of the transfer, after SGD with the labels of eight classes; the optimum, after SGD with all ten.
Steps are of weights alone; losses are without dropout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.stats import chi2, expon, genpareto, kstest
from torch import Tensor, nn

from repsearch.reproduce.greedy_network import (
    DEFAULT,
    Recipe,
    flat,
    gradient,
    greedy_network,
    learn,
    measure,
    pictures,
    place,
    settle,
    shown,
)
from repsearch.reproduce.samples import generator_of

if TYPE_CHECKING:
    from pathlib import Path

    from repsearch.data import Split
    from repsearch.reproduce.samples import Sample

PLACES = ("init", "start", "optimum")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Setup:
    """Gradients at the start of the transfer, or steps at all three places.

    Args:
        sample: its training images are trained on, and looked at.
        what: "noise" of minibatches (figure 1), or "steps" (figures 4 and 5).
        recipe: the network, and SGD before the transfer.
        epochs: of SGD with all ten classes, from there to the optimum.
        batches: sizes of minibatches.
        repeats: minibatches of each size at most; they share no image.
        images: first training images, whose loss and accuracy steps change.
        steps: at each place.
        std: of a step on each weight.
        subspace: dimension of the random subspace in which improving steps are told from random ones.
        pairs: of improving steps there, no step in two of them.
        subspace_images, subspace_std: of the loss there, and of its steps along each axis.
    """

    sample: Sample
    what: Literal["noise", "steps"]
    recipe: Recipe = DEFAULT
    epochs: int = 10
    batches: tuple[int, ...] = (4, 32, 128, 1024)
    repeats: int = 100
    images: int = 2000
    steps: int = 100
    std: float = 0.01
    subspace: int = 10
    pairs: int = 1500
    subspace_images: int = 100
    subspace_std: float = 0.02


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train, and look around.

    Returns:
        `test_accuracy` of each place but the first, of ten classes, in 0..1. `noise`, of each size of batch: see
        `minibatches`. Or `places`, of each place by name: see `landscape`; and `subspace`, of the first two: see
        `mixing`.
    """
    data = pictures(setup.sample, root, seed)
    train, test, generator = data.train, data.test, generator_of(seed, 2)
    model = greedy_network(setup.recipe, seed).eval()
    settle(model)
    found: dict[str, Any] = {"images": setup.sample.counts(data), "test_accuracy": {}}
    found |= {"noise": []} if setup.what == "noise" else {"places": {}, "subspace": {}}
    for place_name in PLACES:
        if place_name == "start":
            learn(model, train.images, shown(train.labels), setup.recipe, generator)
        if place_name == "optimum":
            if setup.what == "noise":
                break
            learn(model, train.images, train.labels, setup.recipe, generator, setup.epochs)
        if place_name != "init":
            found["test_accuracy"][place_name] = measure(model, test.images, test.labels)[1]
        if setup.what == "steps":
            found["places"][place_name] = landscape(model, train, setup, generator_of(seed, 3))
            if place_name != "optimum":
                found["subspace"][place_name] = mixing(model, train, setup, generator_of(seed, 4))
    if setup.what == "noise":
        found["noise"] = [minibatches(model, train, size, setup.repeats, generator) for size in setup.batches]
    return found


# --- figure 1 ---------------------------------------------------------------------------------------------------------


def minibatches(model: nn.Module, train: Split, size: int, repeats: int, generator: torch.Generator) -> dict[str, Any]:
    """Gradients of all ten classes at fixed weights, without dropout.

    Returns:
        `batch`, `batches`; `zero`, gradients left out because they are 0; `norms` of the others; `angles` between any
        two, in degrees; `median` of the angles.
    """
    order = torch.randperm(len(train), generator=generator)
    rows = [part for part in torch.split(order, size)[:repeats] if len(part) == size]
    gradients = torch.stack([gradient(model, train.images[part], train.labels[part]) for part in rows])
    kept = gradients[gradients.norm(dim=1) > 0]
    angles = pairwise(kept)
    return {"batch": size, "batches": len(rows), "zero": len(rows) - len(kept), "norms": kept.norm(dim=1).tolist(),
            "angles": shape(angles), "median": float(angles.median())}


def pairwise(vectors: Tensor) -> Tensor:
    """Angles between any two of (N, dimension), each pair once, in degrees: (N (N-1) / 2,)."""
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).double()
    rows, columns = torch.triu_indices(len(unit), len(unit), offset=1)
    return torch.rad2deg((unit @ unit.T)[rows, columns].clamp(-1, 1).acos())


def shape(values: Tensor) -> dict[str, Any]:
    """Counts of values in 60 equal bins from the least to the largest, and quantiles, for a density to be drawn."""
    counts, edges = np.histogram(values.double().numpy(), bins=60)
    found = np.quantile(values.double().numpy(), QUANTILES)
    return {"counts": counts.tolist(), "least": float(edges[0]), "largest": float(edges[-1]),
            "quantiles": found.tolist()}


# --- figures 4 and 5 --------------------------------------------------------------------------------------------------


def landscape(model: nn.Module, train: Split, setup: Setup, generator: torch.Generator) -> dict[str, Any]:
    """Random steps of all weights.

    Returns:
        `loss` and `accuracy` there, and their `loss_changes` and `accuracy_changes` by step; `improving`, shares of the
        steps that make each better; `expected`, the share for the loss, of a normal distribution with their mean and
        variance; `gains`: see `tail`; `angles`: see `angles_of`.
    """
    images, labels = train.images[: setup.images], train.labels[: setup.images]
    start = flat(model.parameters())
    loss, accuracy = measure(model, images, labels)
    steps = setup.std * torch.randn(setup.steps, len(start), generator=generator)
    changes = []
    for step in steps:
        place(model, start + step)
        there = measure(model, images, labels)
        changes.append((there[0] - loss, there[1] - accuracy))
    place(model, start)
    losses, accuracies = torch.tensor(changes, dtype=torch.float64).T
    expected = 0.5 * math.erfc(float(losses.mean() / losses.std()) / math.sqrt(2))
    fresh = torch.randn(setup.steps, len(start), generator=generator)
    return {
        "loss": loss, "accuracy": accuracy, "loss_changes": losses.tolist(), "accuracy_changes": accuracies.tolist(),
        "improving": {"loss": float((losses < 0).double().mean()), "accuracy": float((accuracies > 0).double().mean())},
        "expected": expected, "gains": tail(-losses[losses < 0]), "angles": angles_of(steps, losses < 0, fresh),
    }


def tail(gains: Tensor) -> dict[str, float] | None:
    """`shape` of the generalised Pareto distribution of what improving steps gain, and `p`, by its likelihood ratio, of
    an exponential one, whose shape is 0; None for fewer than ten."""
    if len(gains) < 10:
        return None
    values = gains.numpy() / float(gains.mean())
    fitted = genpareto.fit(values, floc=0)
    ratio = 2 * float(genpareto.logpdf(values, *fitted).sum() - expon.logpdf(values).sum())
    return {"shape": float(fitted[0]), "p": float(chi2.sf(max(ratio, 0), 1))}


def angles_of(steps: Tensor, improving: Tensor, fresh: Tensor) -> dict[str, Any] | None:
    """Angles between improving steps, beside those between fresh random ones; None for fewer than three of them.

    Returns:
        `improving` and `random`: see `shape`; `p` of a Kolmogorov-Smirnov test that they are of one distribution;
        `p_all` of the source's test, whose other angles are of all steps, the improving ones among them.
    """
    if int(improving.sum()) < 3:
        return None
    better, others, everything = pairwise(steps[improving]), pairwise(fresh), pairwise(steps)
    return {"improving": shape(better), "random": shape(others), "p": _p(better, others),
            "p_all": _p(better, everything)}


def mixing(model: nn.Module, train: Split, setup: Setup, generator: torch.Generator) -> dict[str, Any]:
    """The same in a random subspace, between improving steps of which none is in two pairs.

    Returns:
        `improving` and `random`: see `shape`; `shift` of the mean, in degrees; `p`; `tried`, steps.
    """
    images, labels = train.images[: setup.subspace_images], train.labels[: setup.subspace_images]
    start = flat(model.parameters())
    basis = torch.linalg.qr(torch.randn(len(start), setup.subspace, generator=generator)).Q
    loss, tried = measure(model, images, labels)[0], 0
    better: list[Tensor] = []
    while len(better) < 2 * setup.pairs and tried < 20 * setup.pairs:
        step = setup.subspace_std * torch.randn(setup.subspace, generator=generator)
        place(model, start + basis @ step)
        tried += 1
        if measure(model, images, labels)[0] < loss:
            better.append(step)
    place(model, start)
    half = len(better) // 2
    angles = between(torch.stack(better[:half]), torch.stack(better[half : 2 * half]))
    random = between(*torch.randn(2, 20 * half, setup.subspace, generator=generator))
    return {"improving": shape(angles), "random": shape(random), "shift": float(angles.mean() - random.mean()),
            "p": _p(angles, random), "tried": tried}


def between(first: Tensor, second: Tensor) -> Tensor:
    """Angles between the rows of two (N, dimension), in degrees, (N,)."""
    cosines = torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=1)
    return torch.rad2deg(cosines.clamp(-1, 1).acos())


def _p(first: Tensor, second: Tensor) -> float:
    return float(kstest(first.numpy(), second.numpy()).pvalue)
