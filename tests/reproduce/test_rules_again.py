"""Every number behind a verdict on rules without an end-to-end gradient a second time: from the records' JSON by numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from again import Again, Numbers, each, one, together
from again_checks import twice

from repsearch.reproduce.claims import claims

TITLES = {
    "local-losses": "local losses", "feedback-alignment": "feedback alignment",
    "direct-feedback": "direct feedback alignment", "sign-symmetric": "sign-symmetric feedback",
    "kolen-pollack": "Kolen-Pollack", "target-propagation": "target propagation",
    "difference-targets": "difference target propagation", "fixed-targets": "difference targets, feedback fixed",
    "forward-forward": "Forward-Forward", "perturbation": "perturbed activities",
}


def training(record: Any) -> Any:
    (cell,) = record["cells"].values()
    return cell


def reached(rule: str) -> Numbers:
    return each(f"rules-mnist-book-{rule}", lambda record: 100 * training(record)["test_accuracy"])


def beside(base: str, sign: int, least: float) -> Again:
    """Each rule against one, above it or, with sign -1, below."""
    pairs = {title: together(reached(rule), reached(base)) for rule, title in TITLES.items() if rule != base}
    return Again({title: (sign * (ours - theirs), least) for title, (ours, theirs) in pairs.items()},
                 [together(reached(base))[0]])


def contest(later: bool) -> Again:
    def of(record: Any) -> float:
        return 100 * float(record["test"][int(np.argmax(record["validation"])) if later else 0])

    best = max(map(reached, TITLES), key=lambda values: np.mean(list(values.values())))
    ours, theirs = together(each("es-turns-mnist-book-loop", of), best)
    return one(ours - theirs, 0.5, ours)


def cosine(rule: str, layer: int, first: int, last: int) -> Numbers:
    def of(record: Any) -> float:
        return float(np.mean([cosines[layer] for epoch, _, cosines in training(record)["cosines"] if first <= epoch <= last]))

    return each(f"rules-mnist-book-{rule}", of)


LAYERS = ("first layer", "second layer")


def aligns(rule: str) -> Again:
    ends = [together(cosine(rule, layer, 32, 32), cosine(rule, layer, 0, 0)) for layer in (0, 1)]
    return Again({name: (after - before, 0.3) for name, (after, before) in zip(LAYERS, ends, strict=True)}, [ends[0][0]])


def follows() -> Again:
    both = [together(*(cosine(rule, layer, 1, 32) for rule in ("difference-targets", "target-propagation"))) for layer in (0, 1)]
    return Again({name: (ours - theirs, 0.3) for name, (ours, theirs) in zip(LAYERS, both, strict=True)}, [both[0][0]])


def meets(name: str, key: str, null: str) -> Again:
    parts, shows = {}, []
    for place in ("before training", "after training"):
        for block in range(3):
            def of(record: Any, which: str, place: str = place, block: int = block) -> float:
                return float(record["places"][place][name][block][which])

            ours, theirs = together(*(each("bridge-cifar10-book-all", partial(of, which=which)) for which in (key, null)))
            parts[f"block {block} {place}"] = (ours - theirs, 0.05)
            shows.append(ours)
    return Again(parts, [shows[0], shows[-1]])


ROWS: dict[str, Callable[[], Again]] = {
    "Rules without an end-to-end gradient train a body better than it was drawn: MNIST": partial(beside, "untrained", 1, 0.5),
    "SGD trains better than each of these rules: MNIST": partial(beside, "backprop", -1, 0.5),
    "Local losses train better than each other rule: MNIST": partial(beside, "local-losses", -1, 0),
    "Random feedback makes weights turn until steps come near the gradient's: MNIST": partial(aligns, "feedback-alignment"),
    "Direct feedback makes weights turn until steps come near the gradient's: MNIST": partial(aligns, "direct-feedback"),
    "Kolen and Pollack's feedback makes weights turn until steps come near the gradient's: MNIST": partial(aligns, "kolen-pollack"),
    "Difference targets follow the gradient more closely than plain targets: MNIST": follows,
    "One shot in activations trains better than the strongest rule: MNIST": partial(contest, False),
    "Search and learning in turn train better than the strongest rule: MNIST": partial(contest, True),
    "Evolution moves activations where the gradient points: CIFAR-10": partial(meets, "evolution", "gradient", "others_gradient"),
    "Gradient ascent moves activations where evolution does: CIFAR-10": partial(meets, "gradient ascent", "found", "others"),
    "Difference targets ask for what evolution finds: CIFAR-10": partial(meets, "difference target propagation", "found", "others"),
}
CLAIMS = {claim.what: claim for claim in claims() if claim.section == "5"}

(test_every_claim_is_computed_twice, test_what_decides_is_the_same_by_a_second_computation,
 test_what_is_printed_first_is_the_same_by_a_second_computation) = twice(ROWS, CLAIMS)
