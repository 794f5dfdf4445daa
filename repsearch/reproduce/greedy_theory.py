"""How near a random step comes to the gradient, and what it gains, in closed form.

    cap probability    p(a, n) = I_{sin^2 a}((n-1)/2, 1/2) / 2  for a <= 90 degrees; 1 - p(180 - a, n) beyond
    smallest angle     E min = int_0^pi (1 - p(a, n))^N da, of N steps of a linear f
    Fisher's model     f = |theta|^2 / 2 at distance R: P(improve) = P(chi'^2_n(R^2/s^2) < R^2/s^2)
    any curvature      P(improve) ~ Phi(-s trH / 2 / sqrt(|g|^2 + s^2 tr(H^2) / 2))

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD": its theorem 1, and figure 6
of its appendix, which is the first line. Angles are in degrees, s is the standard deviation of a step on each weight.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.special import betainc, betaincinv, betaln, ndtr, ndtri
from scipy.stats import chi2

from repsearch.reproduce.greedy_network import Way

BEST_OF = 20
"""Steps a generation in the source."""


def log_cap(angle: float, dimension: int) -> float:
    """ln p(angle, n), also where p is too small for a float: the share of directions in n >= 2 dimensions within an
    angle of one.

    Example:
        >>> round(math.exp(log_cap(60, 3)), 6), round(log_cap(30, 9854) / math.log(10), 1)
        (0.25, -2968.4)
    """
    if angle > 90:
        return math.log1p(-math.exp(log_cap(180 - angle, dimension)))
    a, x = (dimension - 1) / 2, math.sin(math.radians(angle)) ** 2
    share = float(betainc(a, 0.5, x)) / 2
    if share > 1e-280 or x == 0:
        return math.log(share) if x else -math.inf
    terms = np.arange(math.ceil(40 / -math.log(x)))  # of the series of the incomplete beta function
    series = 1 + float(np.cumprod((a + 0.5 + terms) / (a + 1 + terms) * x).sum())
    return a * math.log(x) + math.log1p(-x) / 2 + math.log(series / (2 * a)) - float(betaln(a, 0.5))


def expected_angle(dimension: int, tries: int) -> float:
    """Of the smallest angle between N random directions and a given one, in degrees.

    Example:
        >>> round(expected_angle(2, 20), 3), round(expected_angle(9854, 20), 3)
        (8.571, 88.922)
    """
    def angle(left: float) -> float:
        share = -math.expm1(math.log(left) / tries)  # of directions, nearer than it is with probability 1 - left
        half = math.degrees(math.asin(math.sqrt(betaincinv((dimension - 1) / 2, 0.5, 2 * min(share, 1 - share)))))
        return half if share <= 0.5 else 180 - half

    return float(quad(angle, 0, 1, limit=200)[0])


def expected_maximum(tries: int, elitist: bool = False) -> float:
    """m(N), of N standard normal numbers; elitist, of them and 0: GO-EA's gain a generation, in s|g|, of a linear f.

    Example:
        >>> round(expected_maximum(20), 4)
        1.8675
    """
    def quantile(share: float) -> float:
        return -float(ndtri(-math.expm1(math.log(share) / tries)))

    return float(quad(quantile, 0.5**tries if elitist else 0, 1, limit=200)[0])


def expected_cosine(dimension: int, generations: int, tries: int = BEST_OF) -> float:
    """Between the gradient and the mean of the best steps of K generations from the same weights, of a linear f."""
    return 1 / math.sqrt(1 + (dimension - 1) / (generations * expected_maximum(tries) ** 2))


def expected_gain(way: Way, tries: int) -> float:
    """Of a step as long as one random one, in |g| / sqrt(n) of its length, for n much larger than N: a single improving
    step, the best, the mean of the improving ones, or all of them weighted with their gain above the mean."""
    gains = {"one": math.sqrt(2 / math.pi), "mean": math.sqrt(tries / math.pi), "sum": math.sqrt(tries - 1)}
    return expected_maximum(tries) if way == "best" else gains[way]


def fisher_share(dimension: int, distance: float, std: float) -> float:
    """P(improve) in Fisher's geometric model, in n >= 2 dimensions, by quadrature over the part of a step that is at a
    right angle to the gradient.

    Example:
        >>> round(fisher_share(10, 1, 0.1), 6)
        0.326097
    """
    reach = distance / std

    def share(quantile: float) -> float:
        aside = float(chi2.ppf(quantile, dimension - 1))
        root = math.sqrt(max(reach**2 - aside, 0))
        return float(ndtr(-aside / (reach + root)) - ndtr(-reach - root))

    return float(quad(share, 0, float(chi2.cdf(reach**2, dimension - 1)), limit=200)[0])


def curved_share(slope: float, trace: float, squares: float, std: float) -> float:
    """P(improve), nearly, for a gradient of norm `slope` and a Hessian of this trace, and trace of its square."""
    return float(ndtr(-std * trace / 2 / math.sqrt(slope**2 + std**2 * squares / 2)))


def best_std(slope: float, trace: float, tries: int) -> float:
    """The std with which the best of N steps gains most."""
    return expected_maximum(tries) * slope / trace
