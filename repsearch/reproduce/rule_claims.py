"""What the records say about rules that train a network without its end-to-end gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import mean

from repsearch.reproduce.arena_claims import POINT, POINTS, in_activations
from repsearch.reproduce.arena_tables import cell_of
from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.rule_settings import RULES
from repsearch.reproduce.rule_tables import ruled
from repsearch.reproduce.seeds import BLOCKS, Numbers, numbers, paired, shown

OWN = tuple(name for name in RULES if name not in ("backprop", "untrained"))
"""The rules, without what they are compared with."""
EARLY = 32
"""Epochs over which steps are compared: in the beginning, where there is something left to learn."""
TURN, MEETS = 0.3, 0.05
"""By how much a cosine rises where feedback aligns, and by how much it differs from another image's, at least."""
PLACES = ("before training", "after training")


def accuracy(data: str, rule: str) -> Numbers:
    """Test accuracy in percent, by seed."""
    return {record["seed"]: 100 * cell_of(record)["test_accuracy"] for record in ruled(data, rule)}


def strongest(data: str) -> tuple[str, Numbers]:
    """The rule with the highest mean, as tables call it."""
    found = {name: accuracy(data, name) for name in OWN}
    name = max(found, key=lambda one: sum(found[one].values()))
    return RULES[name].title, found[name]


def beats_untrained(data: str) -> Found:
    """Each rule against a body that stays as it was drawn."""
    base = accuracy(data, "untrained")
    return _each(data, base, "untrained body", 1)


def gradient_is_ahead(data: str) -> Found:
    """SGD against each rule."""
    return _each(data, accuracy(data, "backprop"), "SGD", -1)


def local_losses_are_ahead(data: str) -> Found:
    """Local losses against each other rule."""
    return _each(data, accuracy(data, "local-losses"), RULES["local-losses"].title, -1, least=0)


def _each(data: str, base: Numbers, name: str, sign: int, least: float = POINT) -> Found:
    """Every other rule above the base, or with sign -1 below it."""
    title, best = strongest(data)
    found = {RULES[rule].title: accuracy(data, rule) for rule in OWN if RULES[rule].title != name}
    contrasts = [Contrast(paired(ours, base) if sign > 0 else paired(base, ours), least, rule)
                 for rule, ours in found.items()]
    return Found(f"{name} {shown(base)} %", f"the best, {title}, {shown(best)} %", contrasts, POINTS)


def activations_are_ahead(data: str, later: bool) -> Found:
    """Search of activations against the strongest rule."""
    (title, best), ours = strongest(data), in_activations(data, later)
    return Found(f"{shown(ours)} %", f"{title} {shown(best)} %", [Contrast(paired(ours, best), POINT)], POINTS)


def early(data: str, rule: str, stage: int, first: int = 1, last: int = EARLY) -> Numbers:
    """The mean cosine of its steps and back-propagation's over these epochs, by seed."""
    return {record["seed"]: mean(each[stage] for epoch, _, each in cell_of(record)["cosines"] if first <= epoch <= last)
            for record in ruled(data, rule)}


def feedback_aligns(data: str, rule: str) -> Found:
    """The cosine after some epochs against that before the first step, of either hidden layer."""
    contrasts, after = [], early(data, rule, 0, EARLY)
    for stage, layer in enumerate(("first layer", "second layer")):
        contrasts.append(Contrast(paired(early(data, rule, stage, EARLY), early(data, rule, stage, 0, 0)), TURN, layer))
    return Found(f"a cosine of {shown(after, 2)} after {EARLY} epochs (first layer)",
                 f"{shown(early(data, rule, 0, 0, 0), 2)} before the first", contrasts, digits=2)


def difference_follows(data: str) -> Found:
    """Difference targets with learned feedback against plain targets: whose steps are nearer to back-propagation's."""
    ours, theirs = ([early(data, rule, stage) for stage in (0, 1)]
                    for rule in ("difference-targets", "target-propagation"))
    contrasts = [Contrast(paired(one, other), TURN, layer)
                 for one, other, layer in zip(ours, theirs, ("first layer", "second layer"), strict=True)]
    return Found(f"a mean cosine of {shown(ours[0], 2)} over {EARLY} epochs (first layer)",
                 f"target propagation {shown(theirs[0], 2)}", contrasts, digits=2)


def meets(name: str, key: str, null: str) -> Found:
    """The cosine of what one asks of activations with something, against that with another image's."""
    parts, shows = [], []
    for place in PLACES:
        for block in BLOCKS:
            ours, theirs = (numbers("bridge-cifar10-book-all", f"places.{place}.{name}.{block}.{which}")
                            for which in (key, null))
            parts.append(Contrast(paired(ours, theirs), MEETS, f"block {block} {place}"))
            shows.append((ours, theirs))
    return Found(f"{shown(shows[0][0], 2)} (block 0 {PLACES[0]}) to {shown(shows[-1][0], 2)} (block 2 {PLACES[1]})",
                 f"another image's {shown(shows[0][1], 2)} and {shown(shows[-1][1], 2)}", parts, digits=2)


ASKED: dict[str, dict[str, Callable[[str], Found]]] = {
    "arena-rules": {
        "Rules without an end-to-end gradient train a body better than it was drawn": beats_untrained,
        "SGD trains better than each of these rules": gradient_is_ahead,
        "Local losses train better than each other rule": local_losses_are_ahead,
        **{f"{whose} feedback makes weights turn until steps come near the gradient's":
               partial(feedback_aligns, rule=rule)
           for rule, whose in (("feedback-alignment", "Random"), ("direct-feedback", "Direct"),
                               ("kolen-pollack", "Kolen and Pollack's"))},
        "Difference targets follow the gradient more closely than plain targets": difference_follows,
    },
    "arena-rules arena-turns": {
        "One shot in activations trains better than the strongest rule": partial(activations_are_ahead, later=False),
        "Search and learning in turn train better than the strongest rule": partial(activations_are_ahead, later=True),
    },
}
"""What is asked of them, by the experiments whose records decide."""
BRIDGE: dict[str, Callable[[], Found]] = {
    "Evolution moves activations where the gradient points": partial(meets, "evolution", "gradient", "others_gradient"),
    "Gradient ascent moves activations where evolution does": partial(meets, "gradient ascent", "found", "others"),
    "Difference targets ask for what evolution finds": partial(
        meets, "difference target propagation", "found", "others"),
}
"""Of activations on CIFAR-10: the cosine is above another image's."""
