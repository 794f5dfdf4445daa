"""What is claimed of evolution strategies a second time, from the records' JSON by numpy, by what each claim says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from again import Again, Numbers, each, one, together
from again_checks import twice

from repsearch.reproduce.claims import claims

ESTIMATES = "es-estimates-digits-smoke-all"
ARMS = ("antithetic, all images", "antithetic, shared", "antithetic, own of a pair", "antithetic, own of a member",
        "one-sided, all images", "one-sided, all images, baseline")


def variance(arm: str, sigma: float = 0.01, when: str = "before", theory: bool = False) -> Numbers:
    def of(record: Any) -> float:
        (row,) = [row for row in record["points"][when]["arms"] if (row["arm"], row["sigma"]) == (arm, sigma)]
        return float(row["theory" if theory else "mean"])

    return each(ESTIMATES, of)


def near_one(ratios: dict[str, np.ndarray], limit: float) -> Again:
    return Again({name: (limit - np.abs(values - 1), 0) for name, values in ratios.items()}, list(ratios.values()))


def closed_forms() -> Again:
    return near_one({arm: np.divide(*together(variance(arm), variance(arm, theory=True))) for arm in ARMS}, 0.2)


def cosines() -> Again:
    def ratio(at: int) -> np.ndarray:
        found = each(ESTIMATES, lambda r: r["points"]["before"]["angles"][at]["mean"])
        return together(found)[0] / np.sqrt((N := (8, 32, 128, 512)[at]) / (N + 2411))

    return near_one({f"{N} pairs": ratio(at) for at, N in enumerate((8, 32, 128, 512))}, 0.1)


def compared(over: str, under: str, sigma: float, when: str, first: str) -> Again:
    top, bottom = together(variance(over, sigma, when), variance(under, sigma, when))
    return one(top / bottom - 1, 0.1, top if first == over else bottom)


def sharing(arm: str) -> Again:
    return compared(arm, "antithetic, shared", 0.01, "before", "antithetic, shared")


def best(variant: str, names: list[str], last: bool = False) -> Numbers:
    """Test accuracy in percent of the cell whose best, or last, weights are best on validation images."""
    def of(record: Any) -> float:
        done = [record["cells"][name] for name in names if "best" in record["cells"][name]]
        validated = [cell["curve"][-1][1] if last else cell["best"] for cell in done]
        return float(100 * done[int(np.argmax(validated))]["test_accuracy"]) if done else 0.0

    return each(f"es-{variant}", of)


def arm(name: str, sigma: float) -> Numbers:
    return best("digits-smoke-arms", [f"{name}, {sigma}, {rate}" for rate in (0.003, 0.01, 0.03, 0.1, 0.3)], last=True)


def worse(name: str, sigma: float) -> Again:
    own, shared = together(arm(name, sigma), arm("antithetic, shared", sigma))
    return one(shared - own, 0.5, own)


def as_good() -> Again:
    both = {sigma: together(arm("antithetic, shared", sigma), arm("one-sided, shared, baseline", sigma)) for sigma in (0.01, 0.1)}
    return Again({f"sigma {sigma}": (2 - (pairs - own), 0) for sigma, (pairs, own) in both.items()}, [own for _, own in both.values()])


def power(rank: int) -> np.ndarray:
    def of(record: Any) -> float:
        rows = {row["sigma"]: row["error"] for row in record["points"]["before"]["smoothing"] if row["rank"] == rank}
        return float(np.log10(rows[0.1] / rows[0.01]))

    return together(each(ESTIMATES, of))[0]


def growth() -> Again:
    found = {d: together(each(ESTIMATES, lambda r, at=at: r["growth"][at]["mean"]))[0] for at, d in ((1, 100), (2, 1000))}
    return near_one({f"{d} weights": values / (0.01 * (d + 2)) for d, values in found.items()}, 0.1)


def rank_power() -> Again:
    first, last = together(*(each(ESTIMATES, lambda r, at=at: r["low_rank"][at]["mean"]) for at in (0, 3)))
    values = np.log2(first / last) / 3
    return one(values - 0.75, 0, values)


def ranks() -> Again:
    def of(rank: int | str, pairs: int) -> Numbers:
        return best("mnist-book-ranks", [f"{rank}, {pairs}, {rate}" for rate in (0.01, 0.03)])

    both = {pairs: together(of("full", pairs), of(1, pairs)) for pairs in (64, 256, 1024)}
    return Again({f"{pairs:,} pairs": (2 - (full - low), 0) for pairs, (full, low) in both.items()}, [low for _, low in both.values()])


SEARCHES = ("EvolutionStrategy", "OpenAIES", "EGGROLL", "SNES", "DeepGA", "GOEA")


def contest(key: Callable[[Any], float] | None = None) -> Again:
    """SGD, or what `key` makes of a record of the turns, against the search of weights with the highest mean."""
    def reached(method: str) -> Numbers:
        return each(f"es-mnist-book-{method}", lambda r: 100 * next(iter(r["cells"].values()))["test_accuracy"])

    best = max(map(reached, SEARCHES), key=lambda values: np.mean(list(values.values())))
    first, second = together(reached("Backprop") if key is None else each("es-turns-mnist-book-loop", key), best)
    return one(first - second, 0.5, first)


def topology(task: str, ours: str, base: str) -> Again:
    first, second = together(*(each("topology-digits-smoke-both", lambda r, arm=arm: 100 * r[task][arm]["test"]) for arm in (ours, base)))
    return one(first - second, 0.5, first)


PAIRS, SINGLE = "antithetic, all images", "one-sided, all images, baseline"
ROWS: dict[str, Callable[[], Again]] = {
    "The variance of an estimate is a quadratic's, within a fifth (before training, sigma 0.01)": closed_forms,
    "The cosine of estimate and gradient is a quadratic's, within a tenth (before training, sigma 0.01)": cosines,
    "Pairs are noisier than as many one-sided members with a baseline, by a tenth at least (before training, sigma 0.01)":
        partial(compared, PAIRS, SINGLE, 0.01, "before", PAIRS),
    "Pairs are less noisy than they, by a tenth at least (after training, sigma 0.1)": partial(compared, SINGLE, PAIRS, 0.1, "after", PAIRS),
    "A minibatch shared within a pair lowers the variance, by a tenth at least (before training, sigma 0.01)": partial(sharing, "antithetic, own of a member"),
    "A minibatch shared by all pairs lowers the variance, by a tenth at least (before training, sigma 0.01)": partial(sharing, "antithetic, own of a pair"),
    "Mirror images that see images of their own train worse, by half a point at least (sigma 0.01)": partial(worse, "antithetic, own of a member", 0.01),
    "Mirror images that see images of their own train worse, by half a point at least (sigma 0.1)": partial(worse, "antithetic, own of a member", 0.1),
    "Pairs that see images of their own train worse, by half a point at least (sigma 0.01)": partial(worse, "antithetic, own of a pair", 0.01),
    "One-sided members without a baseline train worse, by half a point at least (sigma 0.01)": partial(worse, "one-sided, shared", 0.01),
    "One-sided members with a baseline train at most two points worse than pairs": as_good,
    "The bias falls with sigma, by more than its root (before training, 0.1 to 0.01)": lambda: one(power(0) - 0.5, 0, power(0)),
    "The bias falls with a power of sigma nearer to two than to one (before training, 0.1 to 0.01)": lambda: one(power(0) - 1.5, 0, power(0)),
    "Of a cubic fitness the bias grows with the dimension: sigma^2 (d + 2), within a tenth, from 100 weights on": growth,
    "Under noise of rank 1 the bias falls with sigma, by more than its root (before training, 0.1 to 0.01)": lambda: one(power(1) - 0.5, 0, power(1)),
    "What low rank adds to a cube's bias falls with a power of the rank nearer to one than to a half": rank_power,
    "Noise of rank 1 trains at most two points worse than noise of full rank": ranks,
    "On one budget, SGD trains better than every search of weights: MNIST": contest,
    "Within the budget, one shot in activations trains better than they: MNIST": partial(contest, lambda record: 100 * record["test"][0]),
    "Within the budget, search and learning in turn train better than they: MNIST":
        partial(contest, lambda record: 100 * record["test"][int(np.argmax(record["validation"]))]),
    "NEAT: links that evolve solve more of the exclusive or than weights alone":
        partial(topology, "exclusive_or", "weights and links", "weights alone"),
    "NEAT: links that evolve tell more odd from even digits than weights alone":
        partial(topology, "digits", "weights and links", "weights alone"),
    "Back-propagation in a perceptron tells more of them than NEAT does": partial(topology, "digits", "back-propagation", "weights and links"),
}
CLAIMS = {claim.what: claim for claim in claims() if claim.section == "strategies"}

(test_every_claim_is_computed_twice, test_what_decides_is_the_same_by_a_second_computation,
 test_what_is_printed_first_is_the_same_by_a_second_computation) = twice(ROWS, CLAIMS)
