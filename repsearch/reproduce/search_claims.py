"""What the records say about the claims of sections 2 and 3: of perturbations and of searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.seeds import BLOCKS, FEW, Numbers, group, numbers, paired, searched, shown

READING_NAMES = {"map": "noise a map", "noise": "noise a pixel", "child": "noise a pixel, whole child smoothed"}
PRIMARY = "map"
"""The reading that judges; the others stand beside it."""
LITTLE = 4  # parameters gain less than this share of what activations gain
PROGRESS = 10  # percent of the cross-entropy that one step must remove
REMOVED = 10  # percent by which a cross-entropy must fall
LABELLED = 90  # percent of images that a search must label
ALIKE, COLLAPSED = 0.05, 2  # different parents: a difference, and what is called a collapse
NATS = 0.1
MORE = 0.5  # solutions
LATER = 5  # percent

# --- section 2 --------------------------------------------------------------------------------------------------------


def gains(space: str, shared: bool = False) -> Numbers:
    """Best gain of random perturbations in percent, at the largest width: for one image, or for the most at once."""

    def value(record: Record) -> float:
        widest, most = (max(point[key] for point in record["points"]) for key in ("width", "images"))
        wanted = (space, most if shared else 1, widest)
        return next(100 * float(point["gain"]) for point in record["points"]
                    if (point["space"], point["images"], point["width"]) == wanted)

    return numbers("perturbation-cifar10-book-all", value)


def parameters_gain_little() -> Found:
    """A step of the parameters, for 64 images, against a share of what activations gain; each the best of 32, at the
    best of four strengths."""
    shared, own = gains("parameters", shared=True), gains("activations")
    return Found(f"for 64 images at once the best of 32 steps gains {shown(shared)} %",
                 f"in activations {shown(own)} %; in parameters for one image {shown(gains('parameters'))} %",
                 [Contrast(paired({seed: gain / LITTLE for seed, gain in own.items()}, shared))],
                 f"% below 1/{LITTLE} of the gain in activations")


def activations_gain() -> Found:
    """A step of each image's own activations."""
    own, shared = gains("activations"), gains("parameters", shared=True)
    return Found(f"the best of 32 steps gains {shown(own)} %", f"in parameters {shown(shared)} %",
                 [Contrast(list(own.values()), PROGRESS)], "%")


def activation_space_is_smaller() -> Found:
    """Numbers in block 0's activations of an image, and in the weights that are trained, at the largest width."""

    def size(space: str) -> Numbers:
        return numbers("perturbation-cifar10-book-all", lambda record: max(
            point["dimension"] for point in record["points"] if point["space"] == space))

    own, weights = size("activations"), size("parameters")
    return Found(f"{own[0]:,.0f} activations an image", f"{weights[0]:,.0f} weights, for all images",
                 [Contrast(paired(weights, own))], "numbers", 0, exact=True)


def dimension_is_the_reason() -> Found:
    """Parameters that serve one image only: the same dimension without the sharing."""
    one, shared, own = gains("parameters"), gains("parameters", shared=True), gains("activations")
    return Found(f"parameters that serve one image gain {shown(one)} %",
                 f"that serve many {shown(shared)} %; activations {shown(own)} %", [Contrast(paired(own, one))],
                 "% less for one image than in activations")


# --- section 3.1 ------------------------------------------------------------------------------------------------------


def search_labels(data: str) -> Found:
    """Share of training images above one half at block 2, the last layer that is a representation."""

    def above(layer: str) -> Numbers:
        return numbers(group(data, "search-based"), f"found.above_half.{layer}", 100)

    images, logits = above("block2"), above("logits")
    start, end = searched(data, "search-based", None, at=0), searched(data, "search-based", None, "block2")
    return Found(f"{shown(images)} % of images, {shown(end, 2)} nats; with the logits searched {shown(logits)} %",
                 f"best noisy copy at block 0: {shown(start, 2)} nats",
                 [Contrast([value - LABELLED for value in images.values()])], f"points above {LABELLED} %")


def paper_size_labels() -> Found:
    """The same at the paper's sizes, for a hundred images."""
    of = {layer: numbers("search-cifar10-paper-first100", f"above_half.{layer}.1", 100)
          for layer in ("block0", "block1", "block2")}
    return Found(f"{', '.join(shown(values) for values in of.values())} % of images at blocks 0, 1, 2", "",
                 [Contrast([value - LABELLED for value in of["block2"].values()])], f"points above {LABELLED} %")


def never_worse() -> Found:
    """Images whose best candidate is ever worse than a generation before, of all searches of Table 1."""
    shares = [100 * max(record["found"]["rises"].values()) for data in ("mnist", "cifar10", "cifar100")
              for record in read_records(f"{group(data, 'search-based')}-[0-9]*")]
    return Found(f"{max(shares):.0f} % of images have a generation that is worse", f"{len(shares)} searches",
                 [Contrast([100 - share for share in shares], 100)], "% never", 0, exact=True)


def image_selection_is_faster() -> Found:
    """Percent of block 0's first cross-entropy that is gone halfway, with the fittest of each image kept as parents, or
    of all images of a shard."""

    def gone(variant: str) -> Numbers:
        def value(record: Record) -> float:
            losses = record["found"]["curve"]["block0"]
            return 100 * (1 - float(losses[len(losses) // 2]) / float(losses[0]))

        return numbers(f"training-digits-smoke-{variant}", value)

    own, shared = gone("search-based"), gone("batch-selection")
    return Found(f"{shown(own, 0)} % of block 0's cross-entropy is gone halfway",
                 f"selected for a whole batch {shown(shared, 0)} %", [Contrast(paired(own, shared), 5)], "%", 0)


def explorers_keep_diversity() -> Found:
    """The effective number of different parents in block 0's last generation: more than without explorers, and no
    collapse, two at least."""

    def parents(variant: str, at: int) -> Numbers:
        return numbers(f"diversity-cifar10-book-{variant}", f"points.0.parents.{at}")

    with_them, without = parents("explorers", -1), parents("no-explorers", -1)
    return Found(f"{shown(with_them, 2)} different parents of 10 in the end",
                 f"without explorers {shown(without, 2)}; among noisy copies {shown(parents('explorers', 0), 2)}",
                 [Contrast(paired(with_them, without), ALIKE, "more than without"),
                  Contrast([value - COLLAPSED for value in with_them.values()], 0, "two of ten")], "parents", 2)


def later_layers_benefit() -> Found:
    """What a block reaches after those before it were searched, in percent of what it reaches alone."""
    ours, parts = [], []
    for data, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
        for block in BLOCKS[1:]:
            layer, name = f"block{block}", f"search-{data}-book-chained"
            after = numbers(name, f"cross_entropy.{layer}.-1")
            alone = numbers(name, f"alone.{layer}.-1")
            gained = [100 * (1 - after[seed] / alone[seed]) for seed in after]
            ours.append(f"{title}, block {block}: {shown(after, 2)} nats, alone {shown(alone, 2)}")
            parts.append(Contrast(gained, LATER, f"{title} block {block}"))
    return Found("; ".join(ours), "", parts, "% lower", 0)


# --- section 3.2 ------------------------------------------------------------------------------------------------------


def curve(reading: str, block: int, population: int, preset: str = "book") -> dict[int, list[float]]:
    """Best cross-entropy against generation in Figure 2's records, by seed."""
    return {record["seed"]: point["curve"] for record in read_records(f"fig2-cifar100-{preset}-{reading}-[0-9]*")
            for point in record["points"] if (point["block"], point["population"]) == (block, population)}


def populations(preset: str = "book") -> list[int]:
    """The populations of Figure 2's records, the smallest first."""
    return sorted({p["population"] for p in read_records(f"fig2-cifar100-{preset}-{PRIMARY}-*")[0]["points"]})


def lead(at: int, reading: str, block: int, preset: str = "book") -> list[float]:
    """By how many percent the largest population's best is lower than the smallest's in that generation."""
    few, *_, many = (curve(reading, block, population, preset) for population in populations(preset))
    return [100 * (1 - many[seed][at] / few[seed][at]) for seed in few]


def removed(reading: str, block: int, preset: str = "book") -> list[float]:
    """Percent of the cross-entropy of the first generation's best that evolution removes."""
    return [100 * (1 - c[-1] / c[0]) for c in curve(reading, block, populations(preset)[-1], preset).values()]


def _others(value: str, readings: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{text}: {value_of}" for text, value_of in readings) + (f" {value}" if value else "")


def falls_with_population() -> Found:
    """From the smallest to the largest population, in percent: a lead in nats says nothing near zero."""
    few, *_, many = populations()
    parts = [Contrast(lead(-1, PRIMARY, block), REMOVED, f"block {block}") for block in BLOCKS]
    luck = ", ".join(shown(lead(0, PRIMARY, block), 0) for block in BLOCKS)
    beside = [(READING_NAMES[reading], ", ".join(shown(lead(-1, reading, block), 0) for block in BLOCKS))
              for reading in ("noise", "child")]
    beside.append(("paper's sizes", ", ".join(shown(lead(-1, PRIMARY, block, "paper"), 0) for block in BLOCKS)))
    return Found(f"{few} to {many} candidates: {', '.join(shown(part.values, 0) for part in parts)} % lower at blocks "
                 "0, 1, 2", f"the best of as many noisy copies: {luck} %; {_others('', beside)}", parts, "%", 0)


def beyond_luck() -> Found:
    """What a larger population gains by evolution, beyond the best of more first candidates."""
    parts = [Contrast([a - b for a, b in zip(lead(-1, PRIMARY, block), lead(0, PRIMARY, block), strict=True)], 0,
                      f"block {block}") for block in BLOCKS]
    return Found(f"{', '.join(shown(part.values, 0) for part in parts)} points more than without evolution", "", parts,
                 "points", 0)


def falls_with_generations() -> Found:
    """Selection keeps parents, so that it cannot rise."""
    parts = [Contrast(removed(PRIMARY, block), REMOVED, f"block {block}") for block in BLOCKS]
    beside = [(READING_NAMES[reading], ", ".join(shown(removed(reading, block), 0) for block in BLOCKS))
              for reading in ("noise", "child")]
    beside.append(("paper's sizes", ", ".join(shown(removed(PRIMARY, block, "paper"), 0) for block in BLOCKS)))
    return Found(f"{', '.join(shown(part.values, 0) for part in parts)} % removed at blocks 0, 1, 2",
                 _others("", beside), parts, "%", 0)


def ends(reading: str, preset: str = "book") -> list[Numbers]:
    """The largest population's last cross-entropy, by block."""
    return [{seed: c[-1] for seed, c in curve(reading, block, populations(preset)[-1], preset).items()}
            for block in BLOCKS]


def block2_is_easiest() -> Found:
    """Block 2's end against the other two."""
    found = {reading: ends(reading) for reading in READING_NAMES}
    end = found[PRIMARY]
    parts = [Contrast(paired(end[block], end[2]), 0, f"block 2 against block {block}") for block in (0, 1)]
    texts = {reading: ", ".join(shown(end, 2) for end in blocks) for reading, blocks in found.items()}
    beside = [(READING_NAMES[reading], texts[reading]) for reading in ("noise", "child")]
    beside.append(("paper's sizes", ", ".join(shown(end, 2) for end in ends(PRIMARY, "paper"))))
    return Found(f"{texts[PRIMARY]} nats at blocks 0, 1, 2", _others("", beside), parts, "nats", 2)


def solutions(block: int, runs: int, key: str = "solutions", variant: str = "noise") -> Numbers:
    """Of Figure 3's records: effective number of `solutions`, how many runs were `kept`, `unrelated` images'."""

    def value(record: Record) -> float:
        point = next(p for p in record["points"] if (p["block"], p["runs"]) == (block, runs))
        return math.nan if point[key] is None else float(point[key])

    found = numbers(f"fig3-cifar100-book-{variant}", value)
    return {seed: number for seed, number in found.items() if not math.isnan(number)}


def _each(runs: int, key: str = "solutions", digits: int = 1) -> str:
    return ", ".join(shown(solutions(block, runs, key), digits) for block in BLOCKS)


def solutions_grow() -> Found:
    """N_eff of 16 runs and of 2, whatever images had solutions to compare."""
    parts = [Contrast(paired(solutions(block, 16), solutions(block, 2)), MORE, f"block {block}") for block in BLOCKS]
    return Found(f"2 to 16 runs: {_each(2)} to {_each(16)} at blocks 0, 1, 2",
                 f"as many unrelated images: {_each(16, 'unrelated')}", parts, "solutions", 2)


def solutions_grow_steadily() -> Found:
    """Every doubling of the runs, up to all 32, adds at block 0."""
    counts = (2, 4, 8, 16, 32)
    parts = [Contrast(paired(solutions(0, b), solutions(0, a)), 0, f"{a} to {b} runs")
             for a, b in pairwise(counts)]
    return Found(", ".join(shown(solutions(0, count)) for count in counts) + f" of {', '.join(map(str, counts))} runs",
                 f"kept of 32 runs: {_each(32, 'kept', 0)} at blocks 0, 1, 2", parts, "solutions", 2)


def solutions_grow_fastest_at_block0() -> Found:
    """The increase of N_eff from 2 to 16 runs. Runs that are not kept cannot add to it."""
    growth = [{seed: many - solutions(block, 2)[seed] for seed, many in solutions(block, 16).items()
               if seed in solutions(block, 2)} for block in BLOCKS]
    parts = [Contrast(paired(growth[0], growth[block]), 0, f"block 0 against block {block}") for block in (1, 2)]
    return Found(f"by {', '.join(shown(block) for block in growth)} from 2 to 16 runs at blocks 0, 1, 2",
                 f"kept of 16 runs: {_each(16, 'kept')}", parts, "solutions", 2)


def solutions_grow_with(axis: str) -> Found:
    """N_eff of 16 runs with half the population or the generations and with all, at each block. More search keeps more
    of the runs, too, and that alone lets the number grow."""
    sizes = (f"{axis}-x0.5", "noise")
    less, more = ([solutions(block, 16, variant=size) for block in BLOCKS] for size in sizes)
    kept = [", ".join(shown(solutions(block, 16, "kept", size), 0) for block in BLOCKS) for size in sizes]
    parts = [Contrast(paired(b, a), 0, f"block {block}")
             for block, a, b in zip(BLOCKS, less, more, strict=True) if paired(b, a)]
    half, full = (", ".join(map(shown, blocks)) for blocks in (less, more))
    return Found(f"half: {half}; all: {full}, of 16 runs at blocks 0, 1, 2", f"kept {kept[0]}; {kept[1]}", parts,
                 "solutions", 2, open="" if parts else "no seed keeps two solutions of an image")


def converges() -> Found:
    """What search reaches with and without normalisation, in block 0."""
    with_it, without = (searched("cifar10", name, FEW) for name in ("search-based", "no-normalisation"))
    start = [mean(searched("cifar10", name, FEW, at=0).values()) for name in ("search-based", "no-normalisation")]
    return Found(f"block 0 from {start[0]:.2f} to {shown(with_it, 2)} nats",
                 f"without from {start[1]:.2f} to {shown(without, 2)}", [Contrast(paired(without, with_it), NATS)],
                 "nats", 2)
