"""What the papers on greedy evolution claim, figure by figure, and what the records say to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import sqrt
from statistics import mean
from typing import TYPE_CHECKING, Any

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, within
from repsearch.reproduce.seeds import Numbers, numbers, paired, shown

if TYPE_CHECKING:
    from repsearch.reproduce.records import Record

THEORY, TRAININGS = "goea-theory-digits-book-all", "goea-greedy-mnist-book"
PLACES = {"before": "before training", "transfer": "where transfer starts", "optimum": "at the optimum"}
POINT, POINTS = 0.5, "points"
ERRORS, TENTH, FIFTH = 2, 0.1, 0.2  # standard errors that a closed form may be off; shares that matter


# --- numbers of the records, one a seed -------------------------------------------------------------------------------


def at(place: str, value: Callable[[Record], float]) -> Numbers:
    """Of the steps that were taken at a key of `PLACES`."""
    return numbers(f"goea-steps-mnist-book-{place}", value)


def trained(variant: str, cell: str, column: str = "test_accuracy", look: int = -1) -> Numbers:
    """A number of a training's curve, by default at its end; accuracies in percent."""
    def value(record: Record) -> float:
        found = float(record["cells"][cell]["curve"][look][record["columns"].index(column)])
        return 100 * found if column.endswith("accuracy") else found

    return numbers(f"{TRAININGS}-{variant}", value)


def medians(place: str, batch: int) -> Numbers:
    """Of the angles between minibatch gradients of ten classes, in degrees."""
    def value(record: Record) -> float:
        (row,) = [row for row in record["batches"] if (row["classes"], row["batch"]) == (10, batch)]
        return float(row["angle"]["percentiles"][2])

    return at(place, value)


def _theory(value: Callable[[Record], float]) -> Numbers:
    return numbers(THEORY, value)


def _mean(rows: list[dict[str, Any]], **where: Any) -> float:
    """The mean of the row with these entries."""
    (row,) = [row for row in rows if all(row[key] == value for key, value in where.items()) and "mean" in row]
    return float(row["mean"])


# --- closed forms -----------------------------------------------------------------------------------------------------


def shares_are_theory(kind: str) -> Found:
    """How far counted shares, of "caps" or "fisher", are from their closed forms, in standard errors."""
    def error(chance: float, record: Record) -> float:
        return sqrt(chance * (1 - chance) / record["settings"]["samples"])

    return _near(lambda record: [(row["mean"] - row["theory"]) / error(row["theory"], record) for row in record[kind]])


def gains_are_theory() -> Found:
    """The same of what a generation gains, in the errors that were measured."""
    return _near(lambda record: [(row["mean"] - row["theory"]) / row["error"] for row in record["gains"]])


def _near(errors: Callable[[Record], list[float]]) -> Found:
    """The root of their mean square, which is 1 where chance alone is at work."""
    off = _theory(lambda record: sqrt(mean(error**2 for error in errors(record))))
    return Found(f"{shown(off)} standard errors off", "1 by chance alone", [within(list(off.values()), ERRORS)],
                 f"standard errors under the limit of {ERRORS}")


def best(n: int, N: int) -> Numbers:
    """The angle between the best of N steps and the gradient in n dimensions, in degrees."""
    return _theory(lambda record: _mean(record["best"], n=n, N=N))


def approaches(dimensions: tuple[int, ...]) -> Found:
    """By how much the angle falls from ten tries to a thousand."""
    found = {n: (best(n, 10), best(n, 1000)) for n in dimensions}
    return Found("; ".join(f"{n:,} weights: {shown(many)} degrees" for n, (_, many) in found.items()),
                 "of ten: " + "; ".join(shown(few) for few, _ in found.values()),
                 [Contrast(paired(*both), name=f"{n:,} weights") for n, both in found.items()], "degrees nearer")


def gets_there(dimensions: tuple[int, ...]) -> Found:
    """The best of a thousand is within 45 degrees."""
    found = {n: best(n, 1000) for n in dimensions}
    return Found("; ".join(f"{n:,} weights: {shown(angle)} degrees" for n, angle in found.items()), "",
                 [within(list(angle.values()), 45, f"{n:,} weights") for n, angle in found.items()],
                 "degrees under the limit of 45")


def theorem_in_subspaces() -> Found:
    """The angle of the best of ten over its closed form, mean over the subspaces."""
    def ratio(record: Record) -> float:
        return float(mean(row["mean"] / row["theory"] for row in record["theorem"] if row["N"] == 10))

    found = {name: at(place, ratio) for place, name in PLACES.items()}
    return Found("; ".join(f"{name} {shown(values, 2)}" for name, values in found.items()), "measured over formula",
                 [within([abs(value - 1) for value in values.values()], FIFTH, name) for name, values in found.items()],
                 f"under the limit of {FIFTH}", digits=2)


def mean_points_downhill(sizes: tuple[tuple[int, int], ...]) -> Found:
    """Cosine of the mean of K steps and the gradient, over its closed form, by (n, K)."""
    def ratio(n: int, K: int, record: Record) -> float:
        (row,) = [row for row in record["means"] if (row["n"], row["K"]) == (n, K)]
        return float(row["mean"] / row["theory"])

    def cosine(n: int, K: int, record: Record) -> float:
        return _mean(record["means"], n=n, K=K)

    found = {(n, K): _theory(partial(ratio, n, K)) for n, K in sizes}
    cosines = {(n, K): _theory(partial(cosine, n, K)) for n, K in sizes}
    names = {(n, K): f"{K:,} steps in {n:,} dimensions" for n, K in sizes}
    return Found("; ".join(f"{names[size]}: cosine {shown(values, 2)}" for size, values in cosines.items()), "",
                 [within([abs(value - 1) for value in values.values()], TENTH, names[size])
                  for size, values in found.items()], "under the limit of 0.1", digits=2)


# --- figures 1 to 7 ---------------------------------------------------------------------------------------------------


def angles_fall(place: str) -> Found:
    """The median angle from each size of a batch to the next."""
    sizes = (4, 32, 128, 1024)
    found = {size: medians(place, size) for size in sizes}
    return Found("; ".join(f"{size:,} images: {shown(values)}" for size, values in found.items()) + " degrees", "",
                 [Contrast(paired(found[small], found[large]), name=f"{small} to {large:,}")
                  for small, large in pairwise(sizes)], "degrees less")


def angle_of_four() -> Found:
    """The median angle of batches of four."""
    found = medians("transfer", 4)
    return Found(f"{shown(found)} degrees", "", [
        Contrast([angle - 70 for angle in found.values()], name="70 degrees or more"),
        Contrast([90 - angle for angle in found.values()], name="90 degrees or less")], "degrees to spare")


def learns() -> Found:
    """Accuracy on the images it is trained on, against four times that of chance."""
    found, loss = trained("training", "best", "train_accuracy"), trained("training", "best", "train_loss")
    return Found(f"{shown(found)} %, loss {shown(loss, 2)}", f"test images {shown(trained('training', 'best'))} %",
                 [Contrast([value - 40 for value in found.values()])], "points above 40 %")


def never_rises() -> Found:
    """Whether the loss of a generation is ever above that of the one before."""
    rises = list(numbers(f"{TRAININGS}-training", "cells.best.rise").values())
    stalls = numbers(f"{TRAININGS}-training", "cells.best.stalls")
    return Found(f"it rises by {shown(rises, 3)} at most", f"{shown(stalls)} generations take no step",
                 [Contrast([float(rise == 0) for rise in rises], 1)], "of 1: whether it never rises", 0, exact=True)


def as_good_as_sgd() -> Found:
    """Test accuracy at the end of the training of Figure 2, and SGD's on the same images, which stops sooner."""
    ours, sgd = trained("training", "best"), trained("ways", "SGD")
    spent, less = trained("training", "best", "spent"), trained("ways", "SGD", "spent")
    less = {seed: spent[seed] / less[seed] for seed in spent}
    return Found(f"{shown(ours)} %", f"SGD {shown(sgd)} %, for {shown(less)} times less",
                 [within(paired(sgd, ours), 2)], "points under the limit of 2")


def half_improve() -> Found:
    """Share of random steps that make the loss smaller before training."""
    found = _improving("before")
    return Found(f"{shown(found)} %", "", [Contrast([share - 35 for share in found.values()], name="35 % or more"),
                                           Contrast([65 - share for share in found.values()], name="65 % or less")],
                 "points to spare")


def _improving(place: str) -> Numbers:
    return at(place, lambda record: 100 * record["steps"]["improving"])


def deleterious_at_transfer() -> Found:
    """Share of steps that make the loss larger, and of those that make the accuracy smaller."""
    loss = {seed: 100 - share for seed, share in _improving("transfer").items()}
    accuracy = at("transfer", lambda record: 100 * record["steps"]["worse"])
    return Found(f"loss {shown(loss)} %, accuracy {shown(accuracy)} % of the steps", "",
                 [Contrast([share - 50 for share in found.values()], name=name)
                  for name, found in (("loss", loss), ("accuracy", accuracy))], "points above half")


def none_improves() -> Found:
    """Share of steps that make the loss smaller at the optimum."""
    found = _improving("optimum")
    return Found(f"{shown(found)} %", "", [within(list(found.values()), 2)], "points under the limit of 2")


def curvature_tells() -> Found:
    """How far the share that improves is from what gradient and Hessian say, in points."""
    off = {name: at(place, lambda record: 100 * abs(record["steps"]["improving"] - record["steps"]["by_curvature"]))
           for place, name in PLACES.items()}
    told = (f"{name} {shown(_improving(place))} %" for place, name in PLACES.items())
    said = (shown(at(place, lambda record: 100 * record["steps"]["by_curvature"])) for place in PLACES)
    return Found("; ".join(told), f"formula {'; '.join(said)} %",
                 [within(list(values.values()), 10, name) for name, values in off.items()],
                 "points under the limit of 10")


def angle(place: str, kind: str, whose: str) -> Numbers:
    """The mean angle between two improving steps, "found", or two random ones, "fresh": of all weights, "angles", or in
    a "subspace"; in degrees."""
    return at(place, lambda record: record[kind][whose]["mean"])


def improvers_look_random() -> Found:
    """Of all weights: how far the mean angles are apart."""
    places = {"before": PLACES["before"], "transfer": PLACES["transfer"]}
    ours, fresh = ({place: angle(place, "angles", whose) for place in places} for whose in ("found", "fresh"))
    p = ", ".join(shown(at(place, lambda record: record["angles"]["p"]), 2) for place in places)
    return Found("; ".join(f"{name} {shown(ours[place], 2)} degrees" for place, name in places.items()),
                 f"random {', '.join(shown(fresh[place], 2) for place in places)}; p {p}",
                 [within([abs(one) for one in paired(ours[place], fresh[place])], TENTH, name)
                  for place, name in places.items()], "degrees under the limit of 0.1", digits=2)


def improvers_are_alike_in_few() -> Found:
    """In ten dimensions, where there is something to see: by how much the mean angle is smaller."""
    places = {"before": PLACES["before"], "transfer": PLACES["transfer"]}
    ours, fresh = ({place: angle(place, "subspace", whose) for place in places} for whose in ("found", "fresh"))
    return Found("; ".join(f"{name} {shown(ours[place])} degrees" for place, name in places.items()),
                 f"random {', '.join(shown(fresh[place]) for place in places)}",
                 [Contrast(paired(fresh[place], ours[place]), 1, name) for place, name in places.items()],
                 "degrees nearer")


def gained(place: str, way: str) -> Numbers:
    """What a step as long as a random one gains, in |g| / sqrt(n) times its length, of 20 tries."""
    def value(record: Record) -> float:
        (row,) = [row for row in record["ways"] if (row["N"], row["way"]) == (20, way)]
        return float(row["gained"][-1]["mean"])

    return at(place, value)


def mixing_gains_nothing() -> Found:
    """The mean of the improving steps, and all steps weighted, against the best of them, by what a step gains."""
    cases = [(place, way) for place in ("before", "transfer") for way in ("mean of improvers", "weighted sum")]
    names = [f"{way}, {PLACES[place]}" for place, way in cases]
    mixed, best = [gained(*case) for case in cases], [gained(place, "best") for place, _ in cases]
    more = [[100 * (one[seed] / other[seed] - 1) for seed in one] for one, other in zip(mixed, best, strict=True)]
    return Found("; ".join(f"{name} {shown(one, 2)}" for name, one in zip(names, mixed, strict=True)),
                 f"best of them {', '.join(shown(best[at], 2) for at in (0, 2))}",
                 [within(values, 10, name) for name, values in zip(names, more, strict=True)],
                 "% under the limit of 10")


def mixing_trains_no_better() -> Found:
    """Test accuracy after equal forward passes."""
    one = trained("ways", "best")
    found = {way: trained("ways", way) for way in ("mean of improvers", "weighted sum if better", "weighted sum")}
    return Found("; ".join(f"{way} {shown(values)} %" for way, values in found.items()), f"best of them {shown(one)} %",
                 [within(paired(values, one), POINT, way) for way, values in found.items()],
                 f"points under the limit of {POINT}")


def as_printed_is_faster() -> Found:
    """Every improvement taken at once, against the best of a generation, after equal forward passes."""
    ours, one = trained("ways", "first"), trained("ways", "best")
    return Found(f"{shown(ours)} %", f"best of a generation {shown(one)} %", [Contrast(paired(ours, one), POINT)],
                 POINTS)


def progress(cell: str) -> Numbers:
    """By how much a training of Figure 7 lowers the loss."""
    start, end = (trained("sizes", cell, "train_loss", look) for look in (0, -1))
    return dict(zip(start, paired(start, end), strict=True))


def sizes_hardly_matter(cells: tuple[str, ...]) -> Found:
    """The progress with another size over that of the base, less one, whichever sign it has."""
    base = progress("base")
    found = {cell: progress(cell) for cell in cells}
    return Found("; ".join(f"{cell} {shown(values, 2)}" for cell, values in found.items()),
                 f"base {shown(base, 2)} nats",
                 [within([abs(values[seed] / base[seed] - 1) for seed in base], 0.2, cell)
                  for cell, values in found.items()], "under the limit of 0.2", digits=2)


def more_tries_gain_more() -> Found:
    """The order of populations by the loss that they come to."""
    few, base, many = (progress(cell) for cell in ("population /5", "base", "population x2"))
    return Found(f"{', '.join(shown(values, 2) for values in (few, base, many))} nats by 4, 20 and 40 tries", "",
                 [Contrast(paired(base, few), name="20 against 4"), Contrast(paired(many, base), name="40 against 20")],
                 "nats more", digits=2)
