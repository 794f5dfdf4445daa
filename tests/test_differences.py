"""How different models are by what they predict: exact identities, simulations, and what others compute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics

import repsearch as rs
from repsearch import differences, measure

N, K = 200, 5


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels_of(seed: int, count: int = N) -> torch.Tensor:
    return torch.randint(K, (count,), generator=torch.Generator().manual_seed(seed))


def members(count: int = 4) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Logits of models that are right more often than not, each in its own way, and the labels."""
    labels = labels_of(0)
    return [1.5 * drawn(seed, N, K) + 2 * F.one_hot(labels, K) for seed in range(count)], labels


# --- predictions ------------------------------------------------------------------------------------------------------


def test_a_model_does_not_differ_from_itself() -> None:
    (a, *_), labels = members()
    assert differences.disagreement(a, a) == 0
    assert differences.error_correlation(a, a, labels) == pytest.approx(1)
    assert differences.divergence(a, a) == 0
    assert differences.distinct_models([a.softmax(1)] * 3) == pytest.approx(1)
    alone, thrice = differences.ensemble([a], labels), differences.ensemble([a, a, a], labels)
    assert alone.gain == alone.ambiguity == 0
    assert thrice.nll == pytest.approx(alone.nll) and thrice.nll == pytest.approx(thrice.member_nll)
    assert thrice.ambiguity == pytest.approx(0)


def test_disagreement_counts_images() -> None:
    a = torch.eye(4)
    assert differences.disagreement(a, a[[0, 1, 3, 2]]) == 0.5
    assert differences.disagreement(a, 100 * a - 7) == 0  # the same classes
    assert differences.disagreement(a, a.softmax(1)) == 0


def test_chance_disagreement_by_hand() -> None:
    assert differences.chance_disagreement(0.45, 0.45, 10) == pytest.approx(0.763889, abs=1e-6)
    assert differences.chance_disagreement(1, 1, 10) == 0
    assert differences.chance_disagreement(0, 1, 3) == 1
    assert differences.chance_disagreement(0, 0, 2) == 0  # both give the one wrong class
    assert differences.chance_disagreement(0.1, 0.1, 10) == pytest.approx(0.9)  # two that guess


@pytest.mark.parametrize(("accuracy_a", "accuracy_b", "classes"), [(0.45, 0.45, 10), (0.9, 0.3, 4), (0.2, 0.8, 2)])
def test_chance_disagreement_by_simulation(accuracy_a: float, accuracy_b: float, classes: int) -> None:
    random, count = np.random.default_rng(0), 400_000
    predictions = []
    for accuracy in (accuracy_a, accuracy_b):  # the label is 0
        wrong = random.integers(1, classes, count)
        predictions.append(np.where(random.random(count) < accuracy, 0, wrong))
    a, b = (F.one_hot(torch.from_numpy(p), classes).float() for p in predictions)
    assert differences.disagreement(a, b) == pytest.approx(
        differences.chance_disagreement(accuracy_a, accuracy_b, classes), abs=0.004)
    truth = torch.zeros(count, dtype=torch.long)
    assert differences.error_correlation(a, b, truth) == pytest.approx(0, abs=0.008)


def test_error_correlation_is_that_of_numpy_and_of_sklearn() -> None:
    (a, b, *_), labels = members()
    b = b + a  # so that errors are shared
    wrong_a, wrong_b = ((x.argmax(1) != labels).numpy() for x in (a, b))
    assert 0.1 < differences.error_correlation(a, b, labels) < 0.9
    assert differences.error_correlation(a, b, labels) == pytest.approx(np.corrcoef(wrong_a, wrong_b)[0, 1])
    assert differences.error_correlation(a, b, labels) == pytest.approx(metrics.matthews_corrcoef(wrong_a, wrong_b))


def test_error_correlation_of_opposite_errors() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    right = F.one_hot(labels, 2).float()
    a, b = right.clone(), right.clone()
    a[:2], b[2:] = 1 - a[:2], 1 - b[2:]
    assert differences.error_correlation(a, b, labels) == pytest.approx(-1)


def test_divergence_is_the_mean_of_torchs_two() -> None:
    a, b = drawn(0, N, K), drawn(1, N, K)
    log_p, log_q = a.double().log_softmax(1), b.double().log_softmax(1)
    forwards = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    backwards = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    assert differences.divergence(a, b) == pytest.approx(float(forwards + backwards) / 2)
    assert abs(float(forwards - backwards)) > 1e-3
    assert differences.divergence(a, b + 5) == pytest.approx(differences.divergence(b, a), rel=1e-5)


def test_divergence_of_models_that_are_certain() -> None:
    """Probabilities of e^-1000 have no logarithm of their own; the logits do."""
    a = torch.tensor([[1000.0, 0.0]])
    assert differences.divergence(a, -a) == pytest.approx(1000)


# --- ensembles --------------------------------------------------------------------------------------------------------


def test_an_ensemble_as_others_compute_it() -> None:
    logits, labels = members()
    found = differences.ensemble(logits, labels)
    probabilities = [x.double().softmax(1).numpy() for x in logits]
    mean, unit = np.mean(probabilities, 0), np.eye(K)[labels]
    accuracies = [metrics.accuracy_score(labels, p.argmax(1)) for p in probabilities]
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, mean.argmax(1)))
    assert found.gain == pytest.approx(found.accuracy - np.mean(accuracies)) and found.gain > 0.02
    assert found.nll == pytest.approx(metrics.log_loss(labels, mean))
    assert found.member_nll == pytest.approx(np.mean([metrics.log_loss(labels, p) for p in probabilities]))
    assert found.brier == pytest.approx(K * metrics.mean_squared_error(unit, mean))
    assert found.member_brier == pytest.approx(np.mean([K * metrics.mean_squared_error(unit, p) for p in probabilities]))
    assert found.ambiguity == pytest.approx(K * np.mean([metrics.mean_squared_error(mean, p) for p in probabilities]))


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_never_worse_and_ambiguity_is_what_it_gains(seed: int) -> None:
    logits, labels = [seed * drawn(10 * seed + m, N, K) for m in range(1 + seed)], labels_of(seed)
    found = differences.ensemble(logits, labels)
    assert found.nll <= found.member_nll + 1e-12
    assert found.brier == pytest.approx(found.member_brier - found.ambiguity, abs=1e-12)


def test_the_likelihood_of_a_mean_that_underflows() -> None:
    a = torch.tensor([[-1000.0, 0.0]])
    assert differences.ensemble([a, a], torch.tensor([0])).nll == pytest.approx(1000)


def test_distinct_models_is_the_projects_effective_number() -> None:
    p = [x.softmax(1) for x in members()[0]]
    assert differences.distinct_models(p) == pytest.approx(measure.effective_number(torch.stack(p)))
    assert differences.distinct_models(list(torch.eye(4)[:, None, :])) == pytest.approx(4)


# --- representations --------------------------------------------------------------------------------------------------


def test_cka_of_a_representation_with_itself_turned_scaled_and_moved() -> None:
    X = drawn(0, 40, 3, 4, 4)
    turn = torch.linalg.qr(drawn(1, 48, 48).double()).Q
    turned = 7 * X.flatten(1).double() @ turn + drawn(2, 48)
    Y = drawn(3, 40, 6) + X.flatten(1)[:, :6]
    assert differences.cka(X, X) == pytest.approx(1)
    assert differences.cka(X, turned) == pytest.approx(1)
    assert 0.1 < differences.cka(X, Y) < 0.9
    assert differences.cka(turned, Y) == pytest.approx(differences.cka(X, Y)) == differences.cka(Y, X)
    stretched = X.flatten(1) * torch.logspace(-1, 1, 48)  # no rotation and no single scale
    assert differences.cka(X, stretched) < 0.95


def test_cka_in_closed_form() -> None:
    x, y = drawn(0, 30), drawn(1, 30)
    y = y + x
    assert differences.cka(x[:, None], y[:, None]) == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-5)
    X, Y = drawn(2, 30, 4).double(), drawn(3, 30, 7).double()
    Xc, Yc = X - X.mean(0), Y - Y.mean(0)
    features = (Xc.T @ Yc).norm() ** 2 / ((Xc.T @ Xc).norm() * (Yc.T @ Yc).norm())
    assert differences.cka(X, Y) == pytest.approx(float(features))


def test_cka_is_computed_in_double_precision() -> None:
    X = drawn(0, 50, 8)
    assert differences.cka(300 * X.half(), X) == pytest.approx(1, abs=1e-5)  # inner products beyond half's range


# --- bad input --------------------------------------------------------------------------------------------------------

A, Y = torch.eye(3), torch.tensor([0, 1, 1])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: differences.disagreement(A, torch.eye(4)), r"b: expected the shape of a, \(3, 3\), found \(4, 4\)"),
    (lambda: differences.disagreement(A, A * math.nan), "b: row 0 has NaN"),
    (lambda: differences.disagreement(A.argmax(1), A.argmax(1)), "a: expected floating-point numbers"),
    (lambda: differences.disagreement(A.long(), A), "a: expected floating-point numbers"),
    (lambda: differences.disagreement(A[:, :1], A[:, :1]), "of two classes or more"),
    (lambda: differences.disagreement(A[:0], A[:0]), "a: expected floating-point numbers"),
    (lambda: differences.disagreement(A.tolist(), A), "a: expected a Tensor, found a list"),
    (lambda: differences.chance_disagreement(45, 0.5, 10), "accuracy_a=45: expected a share in 0..1; divide"),
    (lambda: differences.chance_disagreement(0.5, math.nan, 10), "accuracy_b=nan"),
    (lambda: differences.chance_disagreement(0.5, 0.5, 1), "classes=1"),
    (lambda: differences.error_correlation(A, A, torch.arange(3)), "a: is right on all 3 images"),
    (lambda: differences.error_correlation(A, A[[1, 2, 0]], torch.tensor([0, 1, 1])), "b: is wrong on all 3 images"),
    (lambda: differences.error_correlation(A, A, Y[:2]), "labels: expected one label an image"),
    (lambda: differences.error_correlation(A, A, Y + 2), r"labels: expected labels in 0..2, found 2..3"),
    (lambda: differences.divergence(A, A / 0), "b: row 0 has NaN or infinite"),
    (lambda: differences.ensemble([], Y), "logits: expected one tensor"),
    (lambda: differences.ensemble([A, A[:2]], Y), r"logits\[1\]: expected the shape of logits\[0\]"),
    (lambda: differences.ensemble([A, A * math.inf], Y), r"logits\[1\]: row 0 has NaN"),
    (lambda: differences.ensemble([A], Y - 1), "labels: expected labels in 0..2"),
    (lambda: differences.ensemble([A], Y.float()), "labels: expected whole numbers"),
    (lambda: differences.cka(A, A[:2]), "Y: expected 3 images, as many as in X, found 2"),
    (lambda: differences.cka(A, A * math.nan), "Y: expected finite representations"),
    (lambda: differences.cka(A[:1], A[:1]), "X: expected finite representations .* of two images or more"),
    (lambda: differences.cka(torch.ones(3, 2), A), "X: all 3 representations are equal"),
    (lambda: differences.cka(None, A), "X: expected a Tensor, found a NoneType"),
    (lambda: differences.distinct_models([A, 2 * A]), "probabilities: expected rows"),
    (lambda: differences.distinct_models([torch.tensor([[1.5, -0.5]])]), "of logits, give logits.softmax"),
    (lambda: differences.distinct_models([]), "probabilities: expected one tensor"),
])
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        call()
