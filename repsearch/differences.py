"""How different trained models are, by what they predict and by their representations.

Logits are (n, classes) of the same n images in the same order. Less accurate models disagree more, whatever else is
true of them: print `disagreement` beside `chance_disagreement`, and compare models of about equal accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError
from repsearch.measure import effective_number

if TYPE_CHECKING:
    from collections.abc import Sequence


def disagreement(a: Tensor, b: Tensor) -> float:
    """Share of images for which two models predict different classes, in 0..1; a tie goes to the lower class.

    Args:
        a: logits or probabilities (n, classes).
        b: likewise, of the other model.

    Raises:
        InputError: not finite numbers (n, classes), or shapes that differ.

    References: Fort et al. 2019 (arXiv 1912.02757).

    Example:
        >>> a = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 1.0]])
        >>> disagreement(a, a), disagreement(a, a.flip(0))
        (0.0, 1.0)
    """
    _check_pair(a, b)
    return float((a.argmax(1) != b.argmax(1)).double().mean())


def chance_disagreement(accuracy_a: float, accuracy_b: float, classes: int) -> float:
    """The `disagreement` to expect of models that err independently, and on any wrong class alike, in 0..1.

    D0 = 1 - a b - (1 - a)(1 - b) / (classes - 1)

    Args:
        accuracy_a: a, share of images that one model labels correctly, in 0..1.
        accuracy_b: b, of the other.
        classes: at least two.

    Raises:
        InputError: an accuracy outside of 0..1, as in per cent, or too few classes.

    Example:
        >>> round(chance_disagreement(0.45, 0.45, 10), 6)
        0.763889
    """
    for name, value in (("accuracy_a", accuracy_a), ("accuracy_b", accuracy_b)):
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value!r}: expected a share in 0..1; divide a percentage by 100")
    wrong = (1 - accuracy_a) * (1 - accuracy_b)
    return 1 - accuracy_a * accuracy_b - wrong / (checks.positive_int("classes", classes, minimum=2) - 1)


def error_correlation(a: Tensor, b: Tensor, labels: Tensor) -> float:
    """phi, the correlation over images of "this model is wrong" between two models, in -1..1: 0 if independent.

    Args:
        a: logits or probabilities (n, classes).
        b: likewise, of the other model.
        labels: (n,), whole numbers in 0 .. classes-1.

    Raises:
        InputError: shapes that differ, labels out of range, or a model that is right, or wrong, on every image.

    Example:
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> a = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [1.0, 0.0]])  # wrong on the last image alone
        >>> round(error_correlation(a, a, labels), 6), round(error_correlation(a, a[[0, 1, 1, 1]], labels), 6)
        (1.0, -0.333333)
    """
    _check_pair(a, b)
    checks.labels("labels", labels, *a.shape)
    wrong = torch.stack([x.argmax(1) != labels for x in (a, b)]).double()
    for name, share in zip("ab", wrong.mean(1).tolist(), strict=True):
        if share in (0, 1):
            found = "wrong" if share else "right"
            raise InputError(f"{name}: is {found} on all {len(a)} images, which has no correlation; give more images")
    return float(torch.corrcoef(wrong)[0, 1])


def divergence(a: Tensor, b: Tensor) -> float:
    """Mean over images of the Kullback-Leibler divergence between two models' predictions, in nats.

    Each image's is the mean of both directions, (KL(p, q) + KL(q, p)) / 2 = sum_k (p_k - q_k) log(p_k / q_k) / 2, with
    p and q the softmax of the logits: symmetric, 0 if they are equal.

    Args:
        a: logits (n, classes).
        b: likewise, of the other model.

    Raises:
        InputError: not finite numbers (n, classes), or shapes that differ.

    Example:
        >>> round(divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])), 6)  # log(3) / 8
        0.137327
    """
    _check_pair(a, b)
    log_p, log_q = a.double().log_softmax(1), b.double().log_softmax(1)
    return float(((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean() / 2)


@dataclass(frozen=True)
class Ensemble:
    """What the mean probability of some models is worth, beside the models themselves; see `ensemble`.

    Args:
        accuracy: of the mean probability, in 0..1.
        gain: by how much that exceeds the models' mean accuracy.
        nll: negative log-likelihood of the labels under the mean probability, nats an image.
        member_nll: the models' mean; never below `nll`.
        brier: squared distance of the mean probability from the label's unit vector, 0..2, mean over images.
        member_brier: the models' mean; `brier` = `member_brier` - `ambiguity`.
        ambiguity: squared distance of a model's probabilities from their mean, mean over models and images.
    """

    accuracy: float
    gain: float
    nll: float
    member_nll: float
    brier: float
    member_brier: float
    ambiguity: float


def ensemble(logits: Sequence[Tensor], labels: Tensor) -> Ensemble:
    """Accuracy, likelihood and Brier score of the mean probability of some models, and of the models.

    Args:
        logits: one (n, classes) a model.
        labels: (n,), whole numbers in 0 .. classes-1.

    Raises:
        InputError: no model, shapes that differ, numbers that are not finite, or labels out of range.

    References: Krogh and Vedelsby 1995 (the ambiguity).

    Example:
        >>> a = torch.tensor([[4.0, 0.0], [1.0, 0.0]])
        >>> both = ensemble([a, a.flip(0)], torch.tensor([0, 0]))
        >>> both.accuracy, both.gain, round(both.member_brier - both.ambiguity - both.brier, 6)
        (1.0, 0.0, 0.0)
    """
    log_p = _stacked("logits", logits).log_softmax(2)
    checks.labels("labels", labels, *log_p.shape[1:])
    p, truth = log_p.exp(), torch.nn.functional.one_hot(labels.long(), log_p.shape[2])
    mean = p.mean(0)
    accuracy, members = (float((q.argmax(-1) == labels).double().mean()) for q in (mean, p))
    log_likelihoods = log_p[:, torch.arange(len(labels)), labels.long()]
    return Ensemble(
        accuracy=accuracy,
        gain=accuracy - members,
        nll=math.log(len(p)) - float(log_likelihoods.logsumexp(0).mean()),  # a mean that underflows would have no log
        member_nll=-float(log_likelihoods.mean()),
        brier=float((mean - truth).square().sum(-1).mean()),
        member_brier=float((p - truth).square().sum(-1).mean()),
        ambiguity=float((p - mean).square().sum(-1).mean()),
    )


def cka(X: Tensor, Y: Tensor) -> float:
    """Linear centred kernel alignment of two representations of the same images, in 0..1.

    The cosine of K and L, <K, L> / sqrt(<K, K> <L, L>), the Gram matrices of the features, centred over the images: 1
    if one is a rotation and scaling of the other. With n not well above the features it is large for unrelated
    representations too.

    Args:
        X: (n, ...).
        Y: (n, ...), of as many images; its features may be others in number and shape.

    Raises:
        InputError: numbers of images that differ, not finite, or equal for all images.

    References: Kornblith et al. 2019 (arXiv 1905.00414).

    Example:
        >>> X = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
        >>> round(cka(X, 3 * X.flip(1)), 6), round(cka(X, X[:, :1]), 6)
        (1.0, 0.175899)
    """
    K, L = _centred_gram("X", X), _centred_gram("Y", Y)
    if len(K) != len(L):
        raise InputError(f"Y: expected {len(K)} images, as many as in X, found {len(L)}; give both the same images")
    return float((K * L).sum() / (K.norm() * L.norm()))


def distinct_models(probabilities: Sequence[Tensor]) -> float:
    """The effective number of distinct models among M, 1 to M: `measure.effective_number` of all they predict.

    Args:
        probabilities: one (n, classes) a model, each row of sum 1.

    Raises:
        InputError: no model, shapes that differ, or rows that are no probabilities.

    Example:
        >>> a = torch.eye(3)  # three images, three classes
        >>> round(distinct_models([a, a]), 6), round(distinct_models([a, a[[1, 2, 0]]]), 6)
        (1.0, 2.0)
    """
    p = _stacked("probabilities", probabilities)
    if bool((p < 0).any()) or not torch.allclose(p.sum(2), torch.ones_like(p[..., 0]), atol=1e-4):
        raise InputError("probabilities: expected rows of numbers >= 0 of sum 1; of logits, give logits.softmax(1)")
    return effective_number(p)


def _centred_gram(name: str, X: Tensor) -> Tensor:
    """Inner products (n, n) of representations (n, ...) less their mean, float64."""
    checks.instance(name, X, Tensor, "give representations (n, ...)")
    if X.ndim < 2 or len(X) < 2 or not bool(torch.isfinite(X).all()):
        raise InputError(f"{name}: expected finite representations (n, ...) of two images or more, "
                         f"found {tuple(X.shape)}")
    if bool((X[:1] == X).all()):
        raise InputError(f"{name}: all {len(X)} representations are equal, which align with nothing; give others")
    centred = X.flatten(1).double() - X.flatten(1).double().mean(0)
    return centred @ centred.T


def _stacked(name: str, members: Sequence[Tensor]) -> Tensor:
    """What some models give, as one float64 (members, n, classes)."""
    if len(members) == 0:
        raise InputError(f"{name}: expected one tensor (n, classes) a model, found none")
    for number, member in enumerate(members):
        _check(f"{name}[{number}]", member)
        if member.shape != members[0].shape:
            raise InputError(f"{name}[{number}]: expected the shape of {name}[0], {tuple(members[0].shape)}, found "
                             f"{tuple(member.shape)}; give all models the same images")
    return torch.stack([member.double() for member in members])


def _check_pair(a: Tensor, b: Tensor) -> None:
    _check("a", a)
    _check("b", b)
    if a.shape != b.shape:
        raise InputError(f"b: expected the shape of a, {tuple(a.shape)}, found {tuple(b.shape)}; "
                         "give both models the same images")


def _check(name: str, value: Tensor) -> None:
    checks.instance(name, value, Tensor, "give what repsearch.predict returns")
    if value.ndim != 2 or len(value) == 0 or value.shape[1] < 2 or not value.is_floating_point():
        raise InputError(f"{name}: expected floating-point numbers (n, classes) of two classes or more, found "
                         f"{value.dtype} {tuple(value.shape)}; give what repsearch.predict returns")
    if not bool(torch.isfinite(value).all()):
        row = int((~torch.isfinite(value)).any(1).nonzero()[0])
        raise InputError(f"{name}: row {row} has NaN or infinite numbers; leave a training that diverged out")
