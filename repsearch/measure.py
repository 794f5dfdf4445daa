"""Measures of representations, each with its null control (section 3.2, section 4.5, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from repsearch.checks import InputError


def cosine_gram(H: Tensor) -> Tensor:
    """K[i, j] = cos(H_i, H_j) of representations (n, ...), as float64 (n, n)."""
    if H.ndim < 2 or len(H) < 1 or not bool(torch.isfinite(H).all()):
        raise InputError(f"H: expected finite representations (n, ...), found {tuple(H.shape)}")
    unit = F.normalize(H.flatten(1).double(), dim=1)
    return unit @ unit.T


def collision_entropy(K: Tensor) -> float:
    """Matrix-based collision (order-2 Renyi) entropy of a Gram matrix, in nats.

    H_coll = -log( sum_ij K_ij^2 / (sum_i K_ii)^2 )

    References: section 3.2; Skean et al. 2025.

    Example:
        >>> round(collision_entropy(torch.eye(8)), 6)  # log 8: eight orthogonal representations
        2.079442
    """
    return float(-(K.square().sum() / K.trace().square()).log())


def effective_number(H: Tensor) -> float:
    """N_eff = exp(H_coll), the effective number of distinct representations among (n, ...): 1 to n (Figure 3).

    n orthogonal ones give n, equal ones 1, ones of equal pairwise cosine r give n / (1 + (n - 1) r^2).

    Example:
        >>> round(effective_number(torch.eye(8)), 6), round(effective_number(torch.ones(8, 5)), 6)
        (8.0, 1.0)
    """
    return float(torch.tensor(collision_entropy(cosine_gram(H))).exp())


def effective_number_null(H: Tensor, generator: torch.Generator) -> float:
    """A yardstick for `effective_number`: n copies of the first representation, each moved by noise of its own.

    The noise has the root-mean-square distance of the others from the first. Where they have a cosine c with it, the
    copies have one of about 1 / (3 - 2 c) with each other: more than theirs if c is below one half, less if above. So
    it tells what noise of that size looks like, and is no bound that structure would exceed.
    """
    first = H[:1].flatten(1)
    scale = (H.flatten(1) - first)[1:].square().mean().sqrt() if len(H) > 1 else torch.tensor(0.0)
    noise = torch.randn(len(H), first.shape[1], generator=generator, device=H.device)
    return effective_number(first + scale * noise)


def class_entropies(H: Tensor, labels: Tensor) -> tuple[float, float]:
    """Within-class and between-class collision entropy of representations (n, ...), in nats (Figures 6 and 7).

    -log of the mean of K_ij^2 over pairs i != j of the same class, and over pairs of different classes. Unrelated
    representations give a large value, equal ones 0.

    Raises:
        InputError: no pair of the same class, or none of different classes.
    """
    if len(labels) != len(H):
        raise InputError(f"labels: expected {len(H)}, one a representation, found {len(labels)}")
    same = labels[:, None] == labels[None, :]
    others = ~torch.eye(len(H), dtype=torch.bool, device=H.device)
    if not bool((same & others).any()) or not bool((~same).any()):
        raise InputError("labels: expected at least two images of one class, and two classes")
    squared = cosine_gram(H).square()
    return float(-squared[same & others].mean().log()), float(-squared[~same].mean().log())


def class_entropies_null(H: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """Null control of `class_entropies`: the same representations, their labels shuffled."""
    order = torch.randperm(len(labels), generator=generator, device=labels.device)
    return class_entropies(H, labels[order])


def class_means(H: Tensor, labels: Tensor) -> Tensor:
    """Every representation of (n, ...) replaced by the mean of its class.

    Example:
        >>> class_means(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([0, 0, 1])).flatten()
        tensor([2., 2., 8.])
    """
    if len(labels) != len(H):
        raise InputError(f"labels: expected {len(H)}, one a representation, found {len(labels)}")
    sums = torch.zeros(int(labels.max()) + 1, *H.shape[1:], dtype=H.dtype, device=H.device).index_add_(0, labels, H)
    counts = labels.bincount().clamp(min=1).to(H).reshape(-1, *[1] * (H.ndim - 1))
    means: Tensor = (sums / counts)[labels]
    return means


def between_class_share(H: Tensor, labels: Tensor) -> float:
    """Share of the variance of (n, ...) that lies between the classes: 1 if all of a class are equal.

    Labels that say nothing give about (classes - 1) / (n - 1), its null.

    Example:
        >>> between_class_share(torch.tensor([[1.0], [1.0], [8.0]]), torch.tensor([0, 0, 1]))
        1.0
    """
    means = class_means(H, labels)
    return float((means - H.mean(0)).square().sum() / (H - H.mean(0)).square().sum())


def cosine_distance(H: Tensor, targets: Tensor) -> Tensor:
    """1 - cos(H_i, target_i) for representations and targets (n, ...): shape (n,), in 0..2 (Figure 5)."""
    if H.shape != targets.shape:
        raise InputError(f"targets: expected the representations' shape {tuple(H.shape)}, found {tuple(targets.shape)}")
    return 1 - F.cosine_similarity(H.flatten(1), targets.flatten(1), dim=1)


def cosine_distance_null(H: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Null control of `cosine_distance`: every representation against the target of another image."""
    if len(H) < 2:
        raise InputError("H: expected at least two representations to exchange targets between, found one")
    order = torch.randperm(len(H), generator=generator, device=H.device)
    return cosine_distance(H[order], targets[order.roll(1)])
