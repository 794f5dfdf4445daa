"""What the records of trainings say about the claims of section 4.5: what the trained networks are like inside."""

from __future__ import annotations

from statistics import mean

from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast, within
from repsearch.reproduce.seeds import BLOCKS, Numbers, followed, paired, shown

NEAR = 0.1  # of 1
FALLS = 0.02  # of a cosine distance
NATS = 0.05


def _each(data: str, variant: str, key: str, at: float = 1.0) -> list[Numbers]:
    return [followed(data, variant, key, block, at) for block in BLOCKS]


def _text(blocks: list[Numbers], digits: int = 2) -> str:
    return ", ".join(shown(block, digits) for block in blocks)


def distance_falls(data: str) -> Found:
    """From untrained to trained, at every block; the control is the distance to other images' targets."""
    start, end = (_each(data, "search-based", "distance", at) for at in (0, 1))
    others = _each(data, "search-based", "distance_others")
    parts = [Contrast(paired({s: min(a[s], c[s]) for s in a}, b), FALLS, f"block {block}")
             for block, a, b, c in zip(BLOCKS, start, end, others, strict=True)]
    return Found(f"{_text(start)} to {_text(end)} at blocks 0, 1, 2", f"to others' targets {_text(others)}", parts,
                 digits=2)


def distance_falls_throughout(data: str) -> Found:
    """In the first half of the training and in the second, mean over the blocks."""
    start, half, end = ({s: mean(block[s] for block in blocks) for s in blocks[0]}
                        for blocks in (_each(data, "search-based", "distance", at) for at in (0, 0.5, 1)))
    return Found(f"{shown(start, 2)}, {shown(half, 2)}, {shown(end, 2)} before, halfway, after", "",
                 [Contrast(paired(start, half), 0, "first half"), Contrast(paired(half, end), 0, "second half")], "", 3)


def sgd_stays_far(data: str) -> Found:
    """SGD's distance at the end, near 1 or not. The untrained network is the searched one's twin, so starts nearer."""
    start, end = (_each(data, "sgd2", "distance", at) for at in (0, 1))
    others = _each(data, "sgd2", "distance_others")
    parts = [within([abs(value - 1) for value in block.values()], NEAR, f"block {number}")
             for number, block in zip(BLOCKS, end, strict=True)]
    return Found(f"{_text(end)} at blocks 0, 1, 2", f"untrained {_text(start)}; to others' targets {_text(others)}",
                 parts, f"under the limit of {NEAR:g}", 2)


def _differ(ours: list[Numbers], theirs: list[Numbers]) -> list[Contrast]:
    """Whether two trainings differ at each block, whichever is higher."""
    parts = []
    for block, a, b in zip(BLOCKS, ours, theirs, strict=True):
        apart = paired(a, b)
        sign = 1 if mean(apart) >= 0 else -1
        parts.append(Contrast([sign * value for value in apart], NATS, f"block {block}"))
    return parts


def entropies_differ(data: str, kind: str) -> Found:
    """Search-based against SGD at the end, at each block; either may be higher."""
    ours, theirs = (_each(data, variant, kind) for variant in ("search-based", "sgd2"))
    start = _each(data, "search-based", kind, 0)
    return Found(f"{_text(ours)} against SGD's {_text(theirs)} nats at blocks 0, 1, 2", f"untrained {_text(start)}",
                 _differ(ours, theirs), "nats apart", 2, sides=2)


def order(data: str, variant: str, at: float = 1.0) -> list[Numbers]:
    """Within-class entropy below that of shuffled classes: the part of it that is about the class."""
    own, shuffled = _each(data, variant, "within", at), _each(data, variant, "within_shuffled", at)
    return [{s: b[s] - a[s] for s in a} for a, b in zip(own, shuffled, strict=True)]


def order_differs(data: str) -> Found:
    """Whether the two trainings order by class differently."""
    ours, theirs, start = (order(data, *which) for which in (("search-based",), ("sgd2",), ("search-based", 0.0)))
    return Found(f"{_text(ours)} against SGD's {_text(theirs)} nats at blocks 0, 1, 2", f"untrained {_text(start)}",
                 _differ(ours, theirs), "nats apart", 2, sides=2)


def both_organise(data: str) -> Found:
    """Order by class after training, above that before, in either training, mean over the blocks."""
    parts, texts = [], []
    for variant, title in (("search-based", "search-based"), ("sgd2", "SGD")):
        start, end = ({s: mean(block[s] for block in blocks) for s in blocks[0]}
                      for blocks in (order(data, variant, at) for at in (0.0, 1.0)))
        parts.append(Contrast(paired(end, start), NATS, title))
        texts.append(f"{title} {shown(start, 2)} to {shown(end, 2)}")
    return Found("; ".join(texts) + " nats", "0 is the order of shuffled classes", parts, "nats", 2)


def separates_at_block0(data: str) -> Found:
    """Between-class less within-class entropy at block 0, search-based against SGD."""

    def separation(variant: str, at: float = 1.0) -> Numbers:
        between, within_class = (followed(data, variant, key, 0, at) for key in ("between", "within"))
        return {s: between[s] - within_class[s] for s in between}

    ours, theirs = separation("search-based"), separation("sgd2")
    return Found(f"{shown(ours, 2)} against SGD's {shown(theirs, 2)} nats",
                 f"untrained {shown(separation('search-based', 0), 2)}", [Contrast(paired(ours, theirs), NATS)], "nats",
                 2)
