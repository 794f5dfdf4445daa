"""The variants of a training, by the table or figure that they are of, said once: a run and the check of its record
read them here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repsearch.reproduce.trials import CHOSEN, PLAIN, TUNING
from repsearch.reproduce.variant import (
    Variant,
    both,
    generations,
    population,
    rates,
    setting,
    summed,
    without_blur,
    without_explorers,
)

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Seeded

SHARES = (0.25, 2)
STEPS = setting(epochs=80)
"""At 500 images as many steps as 20 epochs are at 2,000."""
PARTS: tuple[Seeded, ...] = ("data", "network", "search")
TABLE1 = {
    "search-based": Variant("search-based", measured=True),
    "slow-head": Variant("search-based, slower head", fit=rates(head=0.3)),
    "search4": PLAIN["search"][2].variant("search", "search-based, 4 convolutions a block"),
    "search6": PLAIN["search"][3].variant("search", "search-based, 6 convolutions a block"),
    **{f"sgd{2 * groups}": PLAIN["sgd"][groups].variant(
        "sgd", f"SGD, {2 * groups} convolutions a block", measured=groups == 1) for groups in (1, 2, 3)},
    "untrained-body": Variant("untrained body, trained head", body="untrained"),
    "untrained-slow-head": Variant("untrained body, slower head", body="untrained", fit=rates(head=0.3)),
    "other": Variant("targets of other images", "other", measured=True),
    "class-means": Variant("class means as targets", "class means"),
    "search-tuned": CHOSEN["search"].variant("search", "search-based, tuned with weight decay"),
    "sgd-tuned": CHOSEN["sgd"].variant("sgd", "SGD, tuned with weight decay"),
    "untrained-tuned": CHOSEN["untrained"].variant("untrained", "untrained body, tuned head"),
    "class-means-tuned": CHOSEN["search"].variant("search", "class means as targets, tuned", targets="class means"),
}
TABLE2 = {
    "sgd-augmented": PLAIN["sgd"][1].variant("sgd", "SGD", augment=True),
    "all-augmented": Variant("search-based, all layers", fit=setting(augment=True)),
    "skip0-augmented": Variant("search-based, skip block 0", fit=setting(augment=True, skip=("block0",))),
    "skip0-kept-augmented": Variant("search-based, skip block 0, averaged over kept blocks",
                                    fit=setting(augment=True, skip=("block0",), averaged="kept blocks")),
    "sgd-tuned-augmented": CHOSEN["sgd"].variant("sgd", "SGD, tuned with weight decay", augment=True),
    "all-tuned-augmented": CHOSEN["search"].variant("search", "search-based, all layers, tuned", augment=True),
}
FIGURE4 = {
    **{f"population-x{share:g}": Variant(f"population x {share:g}", search=population(share)) for share in SHARES},
    **{f"generations-x{share:g}": Variant(f"generations x {share:g}", search=generations(share)) for share in SHARES},
}
TIED = {  # Readings in which images depend on each other: only the reference searches them.
    "batch-selection": Variant("selection for the whole batch", search=setting(selection="batch")),
    "candidate-statistics": Variant("BatchNorm of the candidates", search=setting(statistics="candidates")),
}
ABLATIONS = {
    "literal-reading": Variant("noise a pixel, and smoothing of the whole child",
                               search=setting(noise="pixel", blurred="child")),
    "noise-pixel": Variant("noise a pixel instead of a map", search=setting(noise="pixel")),
    "blurred-child": Variant("smoothing of the whole child", search=setting(blurred="child")),
    "no-smoothing": Variant("no smoothing", search=without_blur),
    "noise-pixel-no-smoothing": Variant(
        "noise a pixel, and no smoothing", search=lambda config: replace(without_blur(config), noise="pixel")),
    **{"no-normalisation" + (f"-x{rate:g}" if rate < 1 else ""): Variant(
        "children not normalised" + (f", rates x {rate:g}" if rate < 1 else ""), search=setting(normalise=False),
        fit=rates(rate, rate)) for rate in (1, 0.1, 0.01, 0.001)},
    "no-explorers": Variant("no explorers", search=without_explorers),
    "noise-pixel-border-inside": Variant(
        "noise a pixel, and borders not counted", search=setting(noise="pixel", border="inside")),
    "head-torch": Variant("torch's own initialisation of the head", head_init="torch"),
    "averaged": Variant("targets averaged over 4 searches", runs=4),
    "normalised-output": Variant("network's output normalised in the loss", fit=setting(normalise_output=True)),
    "sum": Variant("sum of squares, as literally written", fit=summed),
    "lambda-x0.1": Variant("lambda x 0.1", fit=rates(head=0.1)),
    "lambda-x10": Variant("lambda x 10", fit=rates(head=10)),
    "groups2": Variant("4 convolutions a block", groups=2),
    "groups3": Variant("6 convolutions a block", groups=3),
    "batch-statistics": Variant("BatchNorm of the batch at test time", statistics="batch"),
    "search-based-steps": Variant("as many steps as with 2,000 images", fit=STEPS),
    "sgd2-steps": Variant("SGD, as many steps as with 2,000 images", None, fit=both(rates(3), STEPS)),
    **{f"{part}-alone": Variant(f"the seed decides the {part} alone", seeded=part)
       for part in PARTS},
}
VARIANTS: dict[str, Variant] = {**TABLE1, **TABLE2, **FIGURE4, **TIED, **ABLATIONS, **TUNING}
