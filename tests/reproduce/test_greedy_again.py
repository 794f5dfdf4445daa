"""What is claimed of greedy evolution and its steps a second time, from the records' JSON by numpy, by what each claim says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from again import Again, one, values
from again_checks import twice
from scipy import integrate, special, stats

from repsearch.reproduce.claims import claims

THEORY = "goea-theory-digits-book-all"
PLACES = {"before": "before training", "transfer": "where transfer starts", "optimum": "at the optimum"}
TWO = ("before", "transfer")


def at(place: str, value: Callable[[Any], float]) -> np.ndarray:
    return values(f"goea-steps-mnist-book-{place}", value)


def entry(rows: list[dict[str, Any]], key: str, **where: Any) -> float:
    (found,) = [row[key] for row in rows if key in row and all(row[name] == wanted for name, wanted in where.items())]
    return float(found)


# --- closed forms -----------------------------------------------------------------------------------------------------


def counted(kind: str) -> Again:
    def rms(record: Any) -> float:
        p, found = (np.array([row[key] for row in record[kind]]) for key in ("theory", "mean"))
        return float(np.sqrt(np.mean((found - p) ** 2 * 20_000 / (p * (1 - p)))))

    found = values(THEORY, rms)
    return one(2 - found, 0, found)


def gains() -> Again:
    found = values(THEORY, lambda r: float(np.sqrt(np.mean([((row["mean"] - row["theory"]) / row["error"]) ** 2 for row in r["gains"]]))))
    return one(2 - found, 0, found)


def best(n: int, N: int) -> np.ndarray:
    return values(THEORY, lambda r: entry(r["best"], "mean", n=n, N=N))


DIMENSIONS = (2, 3, 10, 100, 9854)


def approaches() -> Again:
    return Again({f"{n:,} weights": (best(n, 10) - best(n, 1000), 0) for n in DIMENSIONS}, [best(n, 1000) for n in DIMENSIONS])


def gets_there() -> Again:
    return Again({f"{n:,} weights": (45 - best(n, 1000), 0) for n in DIMENSIONS}, [best(n, 1000) for n in DIMENSIONS])


def in_subspaces() -> Again:
    """Over the mean angle of the best of ten directions, which is the integral of the chance that none is nearer."""
    def beyond(angle: float, n: int) -> float:
        below = special.betainc((n - 1) / 2, 0.5, np.sin(angle) ** 2) / 2
        return float((1 - (below if angle < np.pi / 2 else 1 - below)) ** 10)

    known = {n: np.degrees(integrate.quad(beyond, 0, np.pi, args=(n,), points=[np.pi / 2])[0]) for n in (2, 3, 10)}
    assert known[2] == pytest.approx(180 / 11)

    def ratio(record: Any) -> float:
        rows = {row["n"]: row for row in record["theorem"] if row["N"] == 10}
        assert {n: row["theory"] for n, row in rows.items()} == pytest.approx(known, rel=1e-5)
        return float(np.mean([row["mean"] / row["theory"] for row in rows.values()]))

    found = {name: at(place, ratio) for place, name in PLACES.items()}
    return Again({name: (0.2 - np.abs(off - 1), 0) for name, off in found.items()}, list(found.values()))


def downhill() -> Again:
    largest = integrate.quad(lambda x: 20 * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** 19, -10, 10)[0]  # of 20 normal numbers
    parts, shown = {}, []
    for n, K in ((500, 200), (500, 2000), (9854, 10_000)):
        cosine, theory = (values(THEORY, lambda r, key=key, n=n, K=K: entry(r["means"], key, n=n, K=K)) for key in ("mean", "theory"))
        assert theory == pytest.approx(1 / np.sqrt(1 + (n - 1) / (K * largest**2)), rel=1e-5)
        parts[f"{K:,} steps in {n:,} dimensions"] = (0.1 - np.abs(cosine / theory - 1), 0)
        shown.append(cosine)
    return Again(parts, shown)


# --- steps ------------------------------------------------------------------------------------------------------------


def median(place: str, batch: int) -> np.ndarray:
    def value(record: Any) -> float:
        (row,) = [row for row in record["batches"] if row["batch"] == batch and row["classes"] == 10]
        return float(row["angle"]["percentiles"][2])

    return at(place, value)


def fall(place: str) -> Again:
    found = {size: median(place, size) for size in (4, 32, 128, 1024)}
    parts = {"4 to 32": found[4] - found[32], "32 to 128": found[32] - found[128], "128 to 1,024": found[128] - found[1024]}
    return Again({name: (less, 0) for name, less in parts.items()}, list(found.values()))


def four() -> Again:
    found = median("transfer", 4)
    return Again({"70 degrees or more": (found - 70, 0), "90 degrees or less": (90 - found, 0)}, [found])


def improving(place: str) -> np.ndarray:
    return at(place, lambda r: 100 * r["steps"]["improving"])


def half() -> Again:
    found = improving("before")
    return Again({"35 % or more": (found - 35, 0), "65 % or less": (65 - found, 0)}, [found])


def harm() -> Again:
    loss, accuracy = 100 - improving("transfer"), at("transfer", lambda r: 100 * r["steps"]["worse"])
    return Again({"loss": (loss - 50, 0), "accuracy": (accuracy - 50, 0)}, [loss, accuracy])


def none() -> Again:
    return one(2 - improving("optimum"), 0, improving("optimum"))


def told() -> Again:
    found = {place: improving(place) - at(place, lambda r: 100 * r["steps"]["by_curvature"]) for place in PLACES}
    return Again({PLACES[place]: (10 - np.abs(off), 0) for place, off in found.items()}, [improving(place) for place in PLACES])


def angle(place: str, kind: str, whose: str) -> np.ndarray:
    return at(place, lambda r: r[kind][whose]["mean"])


def look_random() -> Again:
    ours = {place: angle(place, "angles", "found") for place in TWO}
    return Again({PLACES[place]: (0.1 - np.abs(ours[place] - angle(place, "angles", "fresh")), 0) for place in TWO}, list(ours.values()))


def alike_in_few() -> Again:
    ours = {place: angle(place, "subspace", "found") for place in TWO}
    return Again({PLACES[place]: (angle(place, "subspace", "fresh") - ours[place], 1) for place in TWO}, list(ours.values()))


def gained(place: str, way: str) -> np.ndarray:
    return at(place, lambda r: entry([{**row, "mean": row["gained"][1]["mean"]} for row in r["ways"] if row["gained"]], "mean", N=20, way=way))


def mixing() -> Again:
    mixed = {f"{way}, {PLACES[place]}": (gained(place, way), gained(place, "best"))
             for place in TWO for way in ("mean of improvers", "weighted sum")}
    return Again({name: (10 - 100 * (ours / best - 1), 0) for name, (ours, best) in mixed.items()}, [ours for ours, _ in mixed.values()])


# --- trainings --------------------------------------------------------------------------------------------------------


def end(variant: str, cell: str, column: int, look: int = -1) -> np.ndarray:
    """Columns: epochs, spent, loss and accuracy on training images, on test images."""
    return values(f"goea-greedy-mnist-book-{variant}", lambda r: r["cells"][cell]["curve"][look][column])


def accuracy_of(way: str) -> np.ndarray:
    return 100 * end("ways", way, 5)


def learns() -> Again:
    found = 100 * end("training", "best", 3)
    return one(found - 40, 0, found)


def never() -> Again:
    rise = values("goea-greedy-mnist-book-training", lambda r: r["cells"]["best"]["rise"])
    return one((rise <= 0).astype(float), 1, rise)


def mixing_trains() -> Again:
    found = {way: accuracy_of(way) for way in ("mean of improvers", "weighted sum if better", "weighted sum")}
    return Again({way: (0.5 - (mixed - accuracy_of("best")), 0) for way, mixed in found.items()}, list(found.values()))


def progress(cell: str) -> np.ndarray:
    return end("sizes", cell, 2, 0) - end("sizes", cell, 2)


def sizes() -> Again:
    found = {cell: progress(cell) for cell in ("step x8", "step /8", "population x2", "population /5")}
    return Again({cell: (0.2 - np.abs(ours / progress("base") - 1), 0) for cell, ours in found.items()}, list(found.values()))


def populations() -> Again:
    few, base, many = map(progress, ("population /5", "base", "population x2"))
    return Again({"20 against 4": (base - few, 0), "40 against 20": (many - base, 0)}, [few, base, many])


def against_sgd() -> Again:
    ours = 100 * end("training", "best", 5)
    return one(2 - (accuracy_of("SGD") - ours), 0, ours)


def as_printed() -> Again:
    return one(accuracy_of("first") - accuracy_of("best"), 0.5, accuracy_of("first"))


FALL = "Larger batches point more alike: the median angle between their gradients falls from 4 images to 1,024"
ROWS: dict[str, Callable[[], Again]] = {
    "Random directions within an angle of the gradient are as many as the cap's formula says (figure 6)": partial(counted, "caps"),
    "The best of N random steps is nearer to the gradient, the more there are: 1,000 against 10 (Theorem 1)": approaches,
    "The best of 1,000 random steps is within 45 degrees of the gradient": gets_there,
    "Steps that come nearer to an optimum are as many as Fisher's geometric model says": partial(counted, "fisher"),
    "Where fitness is linear, a generation gains what the closed forms say": gains,
    "The mean of many steps points down the gradient as the closed form says, within a tenth": downhill,
    "In 2, 3 and 10 random dimensions of the network, the best of ten steps is as near to the gradient as on a linear loss, within a fifth": in_subspaces,
    f"{FALL}, where transfer starts (figure 1)": partial(fall, "transfer"),
    "Gradients of batches of four are 70 to 90 degrees apart there (figure 1)": four,
    "Greedy evolution trains: 800 generations bring accuracy to four times that of chance (figure 2)": learns,
    "Its loss never rises (figure 2)": never,
    "Before training, about half of the steps improve the loss: 35 to 65 % (figure 4)": half,
    "Where transfer starts, most steps do harm (figure 4)": harm,
    "At the optimum none improves the loss: at most 2 % (figure 4)": none,
    "Improving steps are as far apart as random ones: the mean angle, within a tenth of a degree (figure 5)": look_random,
    "So nothing is gained by mixing them: a mixed step gains at most a tenth more than the best (figure 5)": mixing,
    "Mixing trains no better than the best of a generation, within half a point, at equal forward passes": mixing_trains,
    "Sizes hardly matter: another step or population leaves progress within a fifth of the base's (figure 7)": sizes,
    f"{FALL}, at the optimum": partial(fall, "optimum"),
    "In ten dimensions improving steps are nearer to each other than random ones, by a degree": alike_in_few,
    "The share of steps that improve is what gradient and curvature say, within ten points": told,
    "Greedy evolution comes within two points of SGD, which has fewer forward passes": against_sgd,
    "As printed, every improvement taken at once, it trains better than by the best of a generation": as_printed,
    "Progress grows with the population, from 4 tries to 20 and 40, at equal generations": populations,
}
CLAIMS = {claim.what: claim for claim in claims() if claim.section == "greedy" and claim.experiment not in ("goea-transfer", "goea-flatness")}

(test_every_claim_is_computed_twice, test_what_decides_is_the_same_by_a_second_computation,
 test_what_is_printed_first_is_the_same_by_a_second_computation) = twice(ROWS, CLAIMS)
