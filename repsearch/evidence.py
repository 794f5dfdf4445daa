"""What the committed records say about each claim of the paper: our value, the control, and a verdict by rule."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from repsearch.records import Record, read_records

Found = tuple[str, str, str]
"""Ours, the control, the verdict."""
SGD, SEARCH_BASED = ("sgd2", "sgd4", "sgd6"), ("search", "slow-head")
BLOCKS = (0, 1, 2)
READING_NAMES = {"child": "whole child smoothed", "noise": "noise alone smoothed", "map": "noise a map, smoothed alone"}
REPRODUCED, IN_PART, NOT, UNTRIED = "reproduced", "in part", "not reproduced", "not tried"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of seeds; the value alone, if there is only one, and "none" for none.

    Example:
        >>> spread([1.0, 2.0, 3.0]), spread([4.0]), spread([])
        ('2.0 ± 1.0', '4.0 (1 seed)', 'none')
    """
    if len(values) < 2:
        return f"{values[0]:.{digits}f} (1 seed)" if values else "none"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def by_block(values: Sequence[Sequence[float]], digits: int = 2) -> str:
    """Mean and standard deviation of each block, in order."""
    return ", ".join(spread(block, digits) for block in values)


def differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """first - second, seed by seed."""
    return [a - b for a, b in zip(first, second, strict=True)]


def always(values: Sequence[float]) -> str:
    """The verdict on a claim that these differences, one a seed, are positive.

    In part: not all are, but their mean is larger than its standard error.

    Example:
        >>> always([1, 2, 3]), always([-1, 2, 3]), always([1, -2, 3])
        ('reproduced', 'in part', 'not reproduced')
    """
    if min(values) > 0:
        return REPRODUCED
    return IN_PART if mean(values) > stdev(values) / len(values) ** 0.5 else NOT


def overall(verdicts: Sequence[str]) -> str:
    """One verdict for several parts of a claim: in part, unless all or none of them hold.

    Example:
        >>> overall(["reproduced", "reproduced"]), overall(["reproduced", "not reproduced"])
        ('reproduced', 'in part')
    """
    return verdicts[0] if len(set(verdicts)) == 1 else IN_PART


# --- section 2: framework ---------------------------------------------------------------------------------------------


def gains(space: str, shared: bool = False) -> list[float]:
    """Best gain of random perturbations in percent, at the largest width: for one image, or for the most at once."""
    records = read_records("framework-cifar10-book-*")
    widest = max(point["width"] for point in records[0]["points"])
    images = max(point["images"] for point in records[0]["points"]) if shared else 1
    return [100 * point["gain"] for record in records for point in record["points"]
            if (point["space"], point["images"], point["width"]) == (space, images, widest)]


def parameters_gain_little() -> Found:
    """Little: less than a quarter of what activations gain, in every seed."""
    shared, own = gains("parameters", shared=True), gains("activations")
    return f"the best of 32 steps gains {spread(shared)} %", f"in activations {spread(own)} %", always(
        [a / 4 - b for a, b in zip(own, shared, strict=True)])


def activations_gain() -> Found:
    """Progress: at least a tenth, in every seed."""
    own, shared = gains("activations"), gains("parameters", shared=True)
    return f"the best of 32 steps gains {spread(own)} %", f"in parameters {spread(shared)} %", always(
        [gain - 10 for gain in own])


def dimension_is_the_reason() -> Found:
    """Parameters that serve one image only: the same dimension without the sharing."""
    one, shared, own = gains("parameters"), gains("parameters", shared=True), gains("activations")
    return (f"parameters that serve one image gain {spread(one)} %",
            f"that serve many {spread(shared)} %; activations {spread(own)} %", always(differences(own, one)))


# --- section 3.2: scaling of search -----------------------------------------------------------------------------------


def curves(reading: str, block: int, population: int, preset: str = "book") -> list[list[float]]:
    """Best cross-entropy against generation in Figure 2's records, one curve a seed."""
    return [point["curve"] for record in read_records(f"fig2-cifar100-{preset}-{reading}-*")
            for point in record["points"] if (point["block"], point["population"]) == (block, population)]


def populations(preset: str = "book") -> list[int]:
    """The populations of Figure 2's records, the smallest first."""
    return sorted({point["population"] for point in read_records(f"fig2-cifar100-{preset}-child-*")[0]["points"]})


def best_at(generation: int, reading: str, population: int, preset: str = "book") -> list[list[float]]:
    """Best cross-entropy of that generation, -1 being the last; by block, one a seed."""
    return [[curve[generation] for curve in curves(reading, block, population, preset)] for block in BLOCKS]


def lead(generation: int, reading: str, preset: str = "book") -> list[list[float]]:
    """By how much the largest population is lower than the smallest in that generation; by block, one a seed."""
    few, *_, many = populations(preset)
    of_few, of_many = (best_at(generation, reading, population, preset) for population in (few, many))
    return [differences(a, b) for a, b in zip(of_few, of_many, strict=True)]


def falls_with_population() -> Found:
    """In part, where the best of as many noisy copies, without evolution, falls as much."""
    few, *_, many = populations()
    start, end = ({reading: lead(generation, reading) for reading in READING_NAMES} for generation in (0, -1))
    verdicts = [IN_PART if always(b) == REPRODUCED and mean(b) <= mean(a) else always(b)
                for reading in READING_NAMES for a, b in zip(start[reading], end[reading], strict=True)]
    ours = [f"{READING_NAMES[reading]} {by_block(blocks)}" for reading, blocks in end.items()]
    chance, evolved = (by_block(lead(generation, "child", "paper")) for generation in (0, -1))
    return (f"{few} to {many} candidates, nats at blocks 0, 1, 2: {'; '.join(ours)}",
            f"the best of as many noisy copies, without evolution: {by_block(start['child'])}; paper's sizes, child "
            f"smoothed: {evolved}, without evolution {chance}", overall(verdicts))


def removed(reading: str, preset: str = "book") -> list[list[float]]:
    """The share of cross-entropy that evolution removes from the first generation's best, in percent; by block."""
    first, last = (best_at(generation, reading, populations(preset)[-1], preset) for generation in (0, -1))
    return [[100 * (1 - b / a) for a, b in zip(*block, strict=True)] for block in zip(first, last, strict=True)]


def falls_with_generations() -> Found:
    """Selection keeps parents, so that it cannot rise: a tenth has to be removed, in every seed."""
    found = {reading: removed(reading) for reading in READING_NAMES}
    ours = [f"{READING_NAMES[reading]} {by_block(blocks, 0)}" for reading, blocks in found.items()]
    return (f"removed at blocks 0, 1, 2, %: {'; '.join(ours)}",
            f"paper's sizes, child smoothed: {by_block(removed('child', 'paper'), 0)}",
            overall([REPRODUCED if min(block) >= 10 else NOT for blocks in found.values() for block in blocks]))


def block2_is_easiest() -> Found:
    """The lowest end of the three blocks."""
    found = {reading: best_at(-1, reading, populations()[-1]) for reading in READING_NAMES}
    ours = [f"{READING_NAMES[reading]} {by_block(blocks)}" for reading, blocks in found.items()]
    return (f"nats at blocks 0, 1, 2: {'; '.join(ours)}",
            f"paper's sizes, child smoothed: {by_block(best_at(-1, 'child', populations('paper')[-1], 'paper'))}",
            overall([always([min(a, b) - c for a, b, c in zip(*blocks, strict=True)]) for blocks in found.values()]))


def solutions(runs: int) -> list[dict[str, list[float]]]:
    """For each block the numbers of Figure 3's records: kept, solutions, unrelated; an entry a seed that has them."""
    found = []
    for block in BLOCKS:
        points = [point for record in read_records("fig3-cifar100-book-noise-*") for point in record["points"]
                  if (point["block"], point["runs"]) == (block, runs) and point["solutions"] is not None]
        found.append({key: [point[key] for point in points] for key in ("kept", "solutions", "unrelated")})
    return found


def solutions_grow() -> Found:
    """N_eff of 16 runs above that of 2 in every seed, whatever images had solutions to compare."""
    few, many = solutions(2), solutions(16)
    values = [[block["solutions"] for block in found] for found in (few, many)]
    return (f"2 to 16 runs: {by_block(values[0], 1)} to {by_block(values[1], 1)} at blocks 0, 1, 2",
            f"as many unrelated images: {by_block([block['unrelated'] for block in many], 1)}",
            overall([REPRODUCED if min(b) > max(a) else NOT for a, b in zip(*values, strict=True)]))


def solutions_grow_fastest_at_block0() -> Found:
    """The increase of N_eff from 2 to 16 runs. Runs that are not kept cannot add to it."""
    few, many = solutions(2), solutions(16)
    growth = [differences(b["solutions"], a["solutions"]) for a, b in zip(few, many, strict=True)]
    kept = by_block([block["kept"] for block in many], 1)
    return (f"by {by_block(growth, 1)} from 2 to 16 runs at blocks 0, 1, 2", f"kept of 16 runs: {kept}",
            always([first - max(others) for first, *others in zip(*growth, strict=True)]))


# --- sections 3.1 and 4: trainings ------------------------------------------------------------------------------------


def trainings(data: str, variant: str, kind: str = "training") -> list[Record]:
    """The committed book records of a variant, one a seed."""
    return read_records(f"{kind}-{data}-book-{variant}-[0-9]")


def tested(data: str, variant: str, kind: str = "training") -> list[float]:
    """Test accuracy in percent, one a seed."""
    return [100 * record["test_accuracy"] for record in trainings(data, variant, kind)]


def validated(data: str, variant: str, kind: str = "training") -> list[float]:
    """Validation accuracy at the best epoch in percent, one a seed."""
    return [100 * max(record["validation_accuracy"]) for record in trainings(data, variant, kind)]


def best(data: str, variants: Sequence[str]) -> str:
    """The variant that did best on validation images, mean over seeds."""
    return max(variants, key=lambda variant: mean(validated(data, variant)))


def searched(variant: str, data: str = "cifar10", kind: str = "study") -> list[float]:
    """Cross-entropy of the best at block 0 after search, one a seed."""
    return [record["found"]["cross_entropy"]["block0"][1] for record in trainings(data, variant, kind)]


def search_labels(data: str) -> Found:
    """Share of training images above one half at block 2, the last layer that is a representation."""
    records = trainings(data, "search")
    images, logits = ([100 * record["found"]["above_half"][layer] for record in records]
                      for layer in ("block2", "logits"))
    start, end = ([record["found"]["cross_entropy"][layer][i] for record in records]
                  for layer, i in (("block0", 0), ("block2", 1)))
    return (f"{spread(images)} % of images, {spread(end, 2)} nats; with the logits searched {spread(logits)} %",
            f"best noisy copy at block 0: {spread(start, 2)} nats",
            REPRODUCED if min(images) > 90 else IN_PART if min(images) > 50 else NOT)


def learns(data: str) -> Found:
    """Search-based training, against an untrained body and against a body trained on other images' targets."""
    ours, untrained, other = (tested(data, variant) for variant in ("search", "untrained-body", "other"))
    return (f"{spread(ours)} %", f"untrained body {spread(untrained)} %, targets of other images {spread(other)} %",
            always([a - max(b, c) for a, b, c in zip(ours, untrained, other, strict=True)]))


def beyond_the_label(data: str) -> Found:
    """Each image's own targets, against the mean of its class: does the search carry more than the label?"""
    own, means = tested(data, "search"), tested(data, "class-means")
    return f"own targets {spread(own)} %", f"class means {spread(means)} %", always(differences(own, means))


def close_to_sgd(data: str) -> Found:
    """The best of the search-based within one point of the best SGD on MNIST, within three on the others."""
    ours, theirs = (tested(data, best(data, variants)) for variants in (SEARCH_BASED, SGD))
    behind = differences(theirs, ours)
    return (f"{spread(ours)} % against {spread(theirs)} %: {spread(behind)} points behind",
            f"untrained body {spread(tested(data, 'untrained-body'))} %",
            REPRODUCED if mean(behind) <= (1 if data == "mnist" else 3) else NOT)


def trails_sgd() -> Found:
    """Behind SGD in every seed of every data set, augmented or not."""
    behind = {name: differences(tested(name, best(name, SGD)), tested(name, best(name, SEARCH_BASED)))
              for name in ("mnist", "cifar10", "cifar100")}
    augmented = {name: differences(tested(name, "sgd-augmented"), tested(name, best_augmented(name)))
                 for name in ("cifar10", "cifar100")}
    return (f"by {', '.join(map(spread, behind.values()))} points on MNIST, CIFAR-10, CIFAR-100",
            f"augmented, CIFAR-10 and CIFAR-100: by {', '.join(map(spread, augmented.values()))}",
            overall([always(values) for values in (*behind.values(), *augmented.values())]))


def best_augmented(data: str) -> str:
    """Table 2's better variant on validation images."""
    return best(data, ("skip0-augmented", "all-augmented"))


def skipping_block0_helps(data: str) -> Found:
    """Table 2's order of the two variants."""
    skip, every = tested(data, "skip0-augmented"), tested(data, "all-augmented")
    return f"{spread(skip)} against {spread(every)} %", f"SGD {spread(tested(data, 'sgd-augmented'))} %", always(
        differences(skip, every))


def augmented_close_to_sgd(data: str) -> Found:
    """The better of the two variants on validation images, against SGD."""
    rival = tested(data, "sgd-augmented")
    behind, every = (differences(rival, tested(data, variant)) for variant in (best_augmented(data), "all-augmented"))
    return (f"{spread(behind)} points behind", f"SGD {spread(rival)} %; all layers {spread(every)} points behind",
            REPRODUCED if mean(behind) <= 3 else NOT)


def augmentation_helps(data: str) -> Found:
    """Augmented against plain, all layers; the control is what it does for SGD."""
    gained = differences(tested(data, "all-augmented"), tested(data, "search"))
    of_sgd = differences(tested(data, "sgd-augmented"), tested(data, "sgd2"))
    return f"{spread(gained)} points", f"for SGD {spread(of_sgd)} points", always(gained)


def pays_off(data: str, axis: str) -> Found:
    """Figure 4: a quarter, once and twice the population or the generations."""
    least, base, most = (validated(data, name, "study") for name in (f"{axis}-x0.25", "search", f"{axis}-x2"))
    losses = [spread(searched(name, data, "study"), 2) for name in (f"{axis}-x0.25", "search", f"{axis}-x2")]
    return (f"{spread(least)}, {spread(base)}, {spread(most)} % at a quarter, once, twice",
            f"cross-entropy of block 0 {', '.join(losses)}", always(differences(most, least)))


def saturates(data: str, axis: str) -> Found:
    """Figure 4: the last doubling adds less than each of the two before it."""
    least, base, most = (validated(data, name, "study") for name in (f"{axis}-x0.25", "search", f"{axis}-x2"))
    before, last = [value / 2 for value in differences(base, least)], differences(most, base)
    return (f"a doubling adds {spread(before)} points up to the base, then {spread(last)}", "",
            always(differences(before, last)))


def with_and_without(variant: str, base: str = "search") -> Found:
    """An ablation: test accuracy with and without, and what the search reached."""
    ours, other = tested("cifar10", base, "study"), tested("cifar10", variant, "study")
    return (f"{spread(ours)} %, without {spread(other)} %",
            f"cross-entropy of block 0 {spread(searched(base), 2)}, without {spread(searched(variant), 2)}",
            always(differences(ours, other)))


def crucial(variant: str, base: str = "search") -> Found:
    """Crucial: without it a quarter of what training adds to the untrained body is lost, in every seed.

    Nothing is lost without it, where training adds nothing with it.
    """
    ours, other = tested("cifar10", base, "study"), tested("cifar10", variant, "study")
    untrained = tested("cifar10", "untrained-body", "study")
    lost = [(a - b) - max(a - c, 0) / 4 for a, b, c in zip(ours, other, untrained, strict=True)]
    value, control, helps = with_and_without(variant, base)
    verdict = REPRODUCED if min(lost) > 0 else IN_PART
    if helps == NOT or mean(ours) <= mean(untrained):
        verdict = NOT
    return value, f"untrained body {spread(untrained)} %; {control}", verdict


def converges() -> Found:
    """What search reaches with and without normalisation, from the frozen statistics of normalised activations."""
    start, end = ([[record["found"]["cross_entropy"]["block0"][i] for record in trainings("cifar10", name, "study")]
                   for name in ("search", "no-normalisation")] for i in (0, 1))
    accuracy = [spread(tested("cifar10", name, "study")) for name in ("search", "no-normalisation")]
    return (f"block 0 from {spread(start[0], 2)} to {spread(end[0], 2)} nats, without from {spread(start[1], 2)} to "
            f"{spread(end[1], 2)}", f"accuracy {accuracy[0]} %, without {accuracy[1]} %",
            always(differences(end[1], end[0])))


# --- section 4.5: what the two kinds of models are like ---------------------------------------------------------------


def followed(data: str, variant: str, key: str, epoch: int = -1) -> list[list[float]]:
    """What was measured after an epoch, by default the last: for each block one a seed."""
    return [[[row for row in record["measured"] if row["block"] == block][epoch][key]
             for record in trainings(data, variant)] for block in BLOCKS]


def distance_falls(data: str) -> Found:
    """From untrained to trained, at every block; the control is the distance to other images' targets."""
    start, end, others = (followed(data, "search", key, epoch)
                          for key, epoch in (("distance", 0), ("distance", -1), ("distance_others", -1)))
    return (f"{by_block(start)} to {by_block(end)} at blocks 0, 1, 2", f"to others' targets {by_block(others)}",
            overall([always([min(a - b, c - b) for a, b, c in zip(*block, strict=True)])
                     for block in zip(start, end, others, strict=True)]))


def sgd_stays_far(data: str) -> Found:
    """SGD's distance at the end, near 1 or not. The untrained network is the searched one's twin, so starts nearer."""
    start, end, others = (followed(data, "sgd2", key, epoch)
                          for key, epoch in (("distance", 0), ("distance", -1), ("distance_others", -1)))
    return (f"{by_block(end)} at blocks 0, 1, 2", f"untrained {by_block(start)}; to others' targets {by_block(others)}",
            overall([REPRODUCED if abs(mean(block) - 1) < 0.1 else NOT for block in end]))


def entropies_differ(data: str, kind: str) -> Found:
    """Search-based against SGD at the end, at each block: a difference of more than twice its deviation over seeds."""
    ours, theirs, start = (followed(data, variant, kind, epoch)
                           for variant, epoch in (("search", -1), ("sgd2", -1), ("search", 0)))
    return (f"{by_block(ours)} against SGD's {by_block(theirs)} nats at blocks 0, 1, 2", f"untrained {by_block(start)}",
            _differ(ours, theirs))


def order_differs(data: str) -> Found:
    """Within-class entropy below that of shuffled classes: the part of it that is about the class."""
    ours, theirs, start = (
        [differences(*block) for block in zip(followed(data, variant, "within_shuffled", epoch),
                                              followed(data, variant, "within", epoch), strict=True)]
        for variant, epoch in (("search", -1), ("sgd2", -1), ("search", 0)))
    return (f"{by_block(ours)} against SGD's {by_block(theirs)} nats at blocks 0, 1, 2", f"untrained {by_block(start)}",
            _differ(ours, theirs))


def _differ(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> str:
    apart = [differences(a, b) for a, b in zip(ours, theirs, strict=True)]
    return overall([REPRODUCED if abs(mean(d)) > 2 * stdev(d) else NOT for d in apart])
