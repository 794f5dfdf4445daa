"""What the records say about the claims of sections 2 and 3.2: our value, the control, the verdict."""

from __future__ import annotations

from repsearch.reproduce import verdicts
from repsearch.reproduce.records import read_records
from repsearch.reproduce.tables import by_block, differences, mean_std
from repsearch.reproduce.verdicts import always, overall

Found = tuple[str, str, str]
"""Ours, the control, the verdict."""
BLOCKS = (0, 1, 2)
READING_NAMES = {"child": "whole child smoothed", "noise": "noise alone smoothed", "map": "noise a map, smoothed alone"}


def gains(space: str, shared: bool = False) -> list[float]:
    """Best gain of random perturbations in percent, at the largest width: for one image, or for the most at once."""
    records = read_records("perturbation-cifar10-book-*")
    widest = max(point["width"] for point in records[0]["points"])
    images = max(point["images"] for point in records[0]["points"]) if shared else 1
    return [100 * point["gain"] for record in records for point in record["points"]
            if (point["space"], point["images"], point["width"]) == (space, images, widest)]


def parameters_gain_little() -> Found:
    """A step of the parameters, for many images."""
    shared, own = gains("parameters", shared=True), gains("activations")
    return (f"the best of 32 steps gains {mean_std(shared)} %", f"in activations {mean_std(own)} %",
            verdicts.gains_little(shared, own))


def activations_gain() -> Found:
    """A step of each image's own activations."""
    own, shared = gains("activations"), gains("parameters", shared=True)
    return (f"the best of 32 steps gains {mean_std(own)} %", f"in parameters {mean_std(shared)} %",
            verdicts.makes_progress(own))


def dimension_is_the_reason() -> Found:
    """Parameters that serve one image only: the same dimension without the sharing."""
    one, shared, own = gains("parameters"), gains("parameters", shared=True), gains("activations")
    return (f"parameters that serve one image gain {mean_std(one)} %",
            f"that serve many {mean_std(shared)} %; activations {mean_std(own)} %", always(differences(own, one)))


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
    """From the smallest to the largest population, beside the best of as many noisy copies, without evolution."""
    few, *_, many = populations()
    start, end = ({reading: lead(generation, reading) for reading in READING_NAMES} for generation in (0, -1))
    parts = [part for reading in READING_NAMES for part in verdicts.falls_beyond_luck(start[reading], end[reading])]
    ours = [f"{READING_NAMES[reading]} {by_block(blocks)}" for reading, blocks in end.items()]
    chance, evolved = (by_block(lead(generation, "child", "paper")) for generation in (0, -1))
    return (f"{few} to {many} candidates, nats at blocks 0, 1, 2: {'; '.join(ours)}",
            f"the best of as many noisy copies, without evolution: {by_block(start['child'])}; paper's sizes, child "
            f"smoothed: {evolved}, without evolution {chance}", overall(parts))


def removed(reading: str, preset: str = "book") -> list[list[float]]:
    """The share of cross-entropy that evolution removes from the first generation's best, in percent; by block."""
    first, last = (best_at(generation, reading, populations(preset)[-1], preset) for generation in (0, -1))
    return [[100 * (1 - b / a) for a, b in zip(*block, strict=True)] for block in zip(first, last, strict=True)]


def falls_with_generations() -> Found:
    """Selection keeps parents, so that it cannot rise."""
    found = {reading: removed(reading) for reading in READING_NAMES}
    ours = [f"{READING_NAMES[reading]} {by_block(blocks, 0)}" for reading, blocks in found.items()]
    return (f"removed at blocks 0, 1, 2, %: {'; '.join(ours)}",
            f"paper's sizes, child smoothed: {by_block(removed('child', 'paper'), 0)}",
            overall([part for blocks in found.values() for part in verdicts.falls_by_a_tenth(blocks)]))


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
    """N_eff of 16 runs and of 2, whatever images had solutions to compare."""
    few, many = solutions(2), solutions(16)
    values = [[block["solutions"] for block in found] for found in (few, many)]
    return (f"2 to 16 runs: {by_block(values[0], 1)} to {by_block(values[1], 1)} at blocks 0, 1, 2",
            f"as many unrelated images: {by_block([block['unrelated'] for block in many], 1)}",
            verdicts.grows(*values))


def solutions_grow_fastest_at_block0() -> Found:
    """The increase of N_eff from 2 to 16 runs. Runs that are not kept cannot add to it."""
    few, many = solutions(2), solutions(16)
    growth = [differences(b["solutions"], a["solutions"]) for a, b in zip(few, many, strict=True)]
    kept = by_block([block["kept"] for block in many], 1)
    return (f"by {by_block(growth, 1)} from 2 to 16 runs at blocks 0, 1, 2", f"kept of 16 runs: {kept}",
            always([first - max(others) for first, *others in zip(*growth, strict=True)]))
