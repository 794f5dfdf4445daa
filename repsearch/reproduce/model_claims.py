"""What the records of trainings say about the claims of section 4.5: our value, the control, the verdict."""

from __future__ import annotations

from repsearch.reproduce import verdicts
from repsearch.reproduce.tables import by_block, differences
from repsearch.reproduce.training_claims import Found, trainings
from repsearch.reproduce.verdicts import always, overall

BLOCKS = (0, 1, 2)


def followed(data: str, variant: str, key: str, epoch: int = -1) -> list[list[float]]:
    """What was measured after an epoch, by default the last: for each block one a seed."""
    return [[[row for row in record["measured"] if row["block"] == block][epoch][key]
             for record in trainings(data, variant)] for block in BLOCKS]


def distance_falls(data: str) -> Found:
    """From untrained to trained, at every block; the control is the distance to other images' targets."""
    start, end, others = (followed(data, "search-based", key, epoch)
                          for key, epoch in (("distance", 0), ("distance", -1), ("distance_others", -1)))
    return (f"{by_block(start)} to {by_block(end)} at blocks 0, 1, 2", f"to others' targets {by_block(others)}",
            overall([always([min(a - b, c - b) for a, b, c in zip(*block, strict=True)])
                     for block in zip(start, end, others, strict=True)]))


def sgd_stays_far(data: str) -> Found:
    """SGD's distance at the end, near 1 or not. The untrained network is the searched one's twin, so starts nearer."""
    start, end, others = (followed(data, "sgd2", key, epoch)
                          for key, epoch in (("distance", 0), ("distance", -1), ("distance_others", -1)))
    return (f"{by_block(end)} at blocks 0, 1, 2", f"untrained {by_block(start)}; to others' targets {by_block(others)}",
            verdicts.near_one(end))


def entropies_differ(data: str, kind: str) -> Found:
    """Search-based against SGD at the end, at each block."""
    ours, theirs, start = (followed(data, variant, kind, epoch)
                           for variant, epoch in (("search-based", -1), ("sgd2", -1), ("search-based", 0)))
    return (f"{by_block(ours)} against SGD's {by_block(theirs)} nats at blocks 0, 1, 2", f"untrained {by_block(start)}",
            verdicts.differ(ours, theirs))


def order_differs(data: str) -> Found:
    """Within-class entropy below that of shuffled classes: the part of it that is about the class."""
    ours, theirs, start = (
        [differences(*block) for block in zip(followed(data, variant, "within_shuffled", epoch),
                                              followed(data, variant, "within", epoch), strict=True)]
        for variant, epoch in (("search-based", -1), ("sgd2", -1), ("search-based", 0)))
    return (f"{by_block(ours)} against SGD's {by_block(theirs)} nats at blocks 0, 1, 2", f"untrained {by_block(start)}",
            verdicts.differ(ours, theirs))
