"""What greedy evolution does to a linear or a spherical fitness, in closed form: angles, gains, chances to improve.

n is the number of weights, N that of steps tried; angles are in degrees.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad, trapezoid
from scipy.special import betainc, betaln
from scipy.stats import ncx2, norm

SMALL = 1e-250
"""Below it `betainc` nears the end of float64, and a series of logarithms takes over."""
TERMS = 20_000
"""Of that series, whose n-th is at most sin^2n of the angle; it is small only where that is well below 1."""
GRID = np.pi * np.linspace(0, 1, 40_001) ** 4
"""Angles, dense near zero, where the best of many steps is in few dimensions."""


def cap(angle: float, n: int) -> float:
    """p(angle, n), the chance that a random direction is within this angle of a given one; 0 below 1e-308.

        p = 1/2 I_{sin^2 angle}((n - 1)/2, 1/2), and one minus that of the rest beyond 90 degrees

    Section "Stochastic gradients"; Figure 6 of the appendix.

    Example:
        >>> round(cap(30, 2), 6), round(cap(60, 3), 6)
        (0.166667, 0.25)
    """
    return float(_caps(np.radians([angle]), n)[0])


def log10_cap(angle: float, n: int) -> float:
    """Its logarithm, also where the chance itself is below the smallest float.

    Example:
        >>> round(log10_cap(30, 9854), 1)
        -2968.4
    """
    found = cap(angle, n)
    if found > SMALL:
        return math.log10(found)
    # I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) sum_k prod_{i <= k} x (a + b + i) / (a + 1 + i)
    x, a, b = math.sin(math.radians(angle)) ** 2, (n - 1) / 2, 0.5
    steps = np.arange(TERMS)
    series = 1 + np.cumprod(x * (a + b + steps) / (a + 1 + steps)).sum()
    natural = math.log(0.5) + a * math.log(x) + b * math.log1p(-x) - math.log(a) - betaln(a, b) + math.log(series)
    return float(natural / math.log(10))


def angle_of_best(N: int, n: int) -> float:
    """Mean angle between the gradient and the best of N steps in random directions: the integral of (1 - p)^N.

    Theorem 1 says that it goes to zero as N grows.

    Example:
        >>> round(angle_of_best(20, 2), 3), round(angle_of_best(20, 9854), 3)
        (8.571, 88.922)
    """
    with np.errstate(divide="ignore"):
        beyond = np.exp(N * np.log1p(-_caps(GRID, n)))
    return float(np.degrees(trapezoid(beyond, GRID)))


def best_of(N: int, kept: bool = False) -> float:
    """Mean of the largest of N standard normal numbers; with the parent `kept`, of them and zero.

    Times std |g| it is what a generation gains.

    Example:
        >>> round(best_of(20), 4), round(best_of(2, kept=True), 4)
        (1.8675, 0.681)
    """
    above = quad(lambda x: 1 - norm.cdf(x) ** N, 0, 12)[0]
    return float(above if kept else above - quad(lambda x: norm.cdf(x) ** N, -12, 0)[0])


def alignment(K: int, N: int, n: int) -> float:
    """Cosine between the gradient and the mean of K steps, each the best of N Gaussian ones from the same weights.

    Example:
        >>> round(alignment(1000, 20, 9854), 3)
        0.511
    """
    return 1 / math.sqrt(1 + (n - 1) / (K * best_of(N) ** 2))


def gain_of(way: str, N: int) -> float:
    """What a unit step, made of N tried ones in one of the `WAYS`, gains on a linear fitness of many weights.

    In |g| / sqrt(n).

    Example:
        >>> [round(gain_of(way, 20), 2) for way in ("one improver", "best", "mean of improvers", "weighted sum")]
        [0.8, 1.87, 2.52, 4.47]
    """
    return {"one improver": math.sqrt(2 / math.pi), "best": best_of(N),
            "mean of improvers": math.sqrt(N / math.pi), "weighted sum": math.sqrt(N)}[way]


def fisher(n: int, R: float, s: float) -> float:
    """Chance that a Gaussian step of standard deviation s leads nearer to an optimum at distance R: Fisher's model.

    Example:
        >>> round(fisher(10, 1, 0.1), 6)
        0.326097
    """
    return float(ncx2.cdf((R / s) ** 2, n, (R / s) ** 2))


def curved(s: float, slope: float, trace: float, trace2: float) -> float:
    """The same where loss is a quadratic of many weights: Phi(-s tr H / 2 / sqrt(|g|^2 + s^2 tr H^2 / 2)).

    Args:
        s: standard deviation of the step on each weight.
        slope: |g|.
        trace, trace2: of the Hessian H of the loss, and of its square.

    Example:
        >>> round(curved(0.02, 1, 100, 100), 3), round(fisher(100, 1, 0.02), 3)  # the sphere, whose H is the identity
        (0.161, 0.161)
    """
    spread = math.sqrt(slope**2 + s**2 * trace2 / 2)
    return float(norm.cdf(-s * trace / 2 / spread)) if spread > 0 else 0.5


def _caps(radians: np.ndarray, n: int) -> np.ndarray:
    inside = 0.5 * betainc((n - 1) / 2, 0.5, np.sin(radians) ** 2)
    found: np.ndarray = np.where(radians <= np.pi / 2, inside, 1 - inside)
    return found
