"""The measures against closed forms, and their null controls."""

from __future__ import annotations

import math

import pytest
import torch

import repsearch as rs
from repsearch import measure


def equicorrelated(n: int, r: float) -> torch.Tensor:
    """n unit vectors whose pairwise cosine is r."""
    K = torch.full((n, n), r, dtype=torch.float64).fill_diagonal_(1)
    return torch.linalg.cholesky(K)


def test_effective_number_in_closed_form() -> None:
    n = 12
    assert measure.effective_number(torch.eye(n)) == pytest.approx(n)
    assert measure.effective_number(torch.ones(n, 4)) == pytest.approx(1)
    for r in (0.1, 0.5, 0.9):
        assert measure.effective_number(equicorrelated(n, r)) == pytest.approx(n / (1 + (n - 1) * r**2))


def test_collision_entropy_is_the_renyi_entropy_of_the_eigenvalues() -> None:
    K = measure.cosine_gram(torch.randn(9, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    shares = torch.linalg.eigvalsh(K) / K.trace()
    assert measure.collision_entropy(K) == pytest.approx(-math.log(float(shares.square().sum())))


def test_scale_does_not_matter() -> None:
    H = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    scales = torch.tensor([0.1, 1, 5, 2, 30, 1])[:, None]
    assert measure.effective_number(scales * H) == pytest.approx(measure.effective_number(H), rel=1e-5)


def test_class_entropies_in_closed_form() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    a, b = 0.8, 0.3  # cosine within and between the classes
    K = torch.tensor([[1, a, b, b], [a, 1, b, b], [b, b, 1, a], [b, b, a, 1]], dtype=torch.float64)
    within, between = measure.class_entropies(torch.linalg.cholesky(K), labels)
    assert within == pytest.approx(-math.log(a**2))
    assert between == pytest.approx(-math.log(b**2))


def test_shuffled_labels_close_the_gap_between_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 4
    H = torch.randn(4, 30, generator=generator)[labels] + 0.3 * torch.randn(200, 30, generator=generator)
    within, between = measure.class_entropies(H, labels)
    null_within, null_between = measure.class_entropies_null(H, labels, generator)
    assert between - within > 1
    assert abs(null_between - null_within) < 0.1


def test_between_class_share_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    noise = torch.randn(400, 50, generator=generator)
    assert measure.between_class_share(noise, labels) == pytest.approx(3 / 399, abs=0.004)
    assert measure.between_class_share(torch.eye(4)[labels], labels) == pytest.approx(1)
    # Class means of variance 1 beside noise of variance 1: half of it lies between.
    means = torch.randn(4, 5000, generator=generator)
    means = (means - means.mean(0)) / (means - means.mean(0)).square().mean().sqrt()
    H = means[labels] + torch.randn(400, 5000, generator=generator)
    assert measure.between_class_share(H, labels) == pytest.approx(0.5, abs=0.02)


def test_cosine_distance_in_closed_form() -> None:
    H = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    T = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]])
    assert measure.cosine_distance(H, T).tolist() == pytest.approx([0, 1, 2, 1 - 1 / math.sqrt(2)])


def test_the_null_of_the_distance_never_pairs_an_image_with_itself() -> None:
    H = torch.eye(7)
    for seed in range(20):
        null = measure.cosine_distance_null(H, H, torch.Generator().manual_seed(seed))
        assert null.tolist() == pytest.approx([1.0] * 7)  # an image with itself would be at distance 0


def test_the_null_of_the_effective_number() -> None:
    """n perturbations of h at root-mean-square distance d: pairwise cosine r = |h|^2 / (|h|^2 + D d^2)."""
    generator = torch.Generator().manual_seed(0)
    n, D = 8, 20_000
    h = torch.randn(1, D, generator=generator)
    H = h + 0.5 * torch.randn(n, D, generator=generator)
    H[0] = h[0]
    r = 1 / (1 + 0.5**2)
    assert measure.effective_number_null(H, generator) == pytest.approx(n / (1 + (n - 1) * r**2), rel=0.02)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: measure.cosine_gram(torch.tensor([[1.0, float("nan")]])), "H: expected finite representations"),
    (lambda: measure.class_entropies(torch.eye(3), torch.tensor([0, 1])), "labels: expected 3"),
    (lambda: measure.class_entropies(torch.eye(3), torch.tensor([0, 1, 2])), "at least two images of one class"),
    (lambda: measure.cosine_distance(torch.eye(3), torch.eye(2)), r"targets: expected the representations' shape \(3, 3\)"),
    (lambda: measure.cosine_distance_null(torch.eye(1), torch.eye(1), torch.Generator()), "found one"),
])
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        call()  # type: ignore[operator]
