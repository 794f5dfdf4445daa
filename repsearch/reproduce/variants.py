"""The variants of a training: what each does to a preset, said once. A run and the check of its record read it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from repsearch.config import FitConfig, LearnConfig, SearchConfig
from repsearch.presets import Preset
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.targets import Searched
from repsearch.reproduce.trainings import Setup

MEASURED = 300
"""Validation images whose distance to their targets, and whose entropies, are followed through a training."""
# SGD's best rate on validation images depends on its depth: the preset's, times this (`reproduce tuning`).
SGD_RATES = {1: 3.0, 2: 1.0, 3: 0.3}


@dataclass(frozen=True)
class Variant:
    """One way to search and to train.

    Args:
        what: in a few words, for tables.
        targets: see `trainings.Setup`; None is the SGD baseline.
        search: changes the preset's search.
        fit: changes the preset's `learn`, or its `baseline` where `targets` is None.
        groups: ConvGroups a block, if not the preset's.
        runs, head_init: see `Searched`.
        body, statistics: see `trainings.Setup`.
        measured: whether representations of validation images are followed through the training (section 4.5).
        tested: whether the test images are used. Variants that choose a setting don't use them.
    """

    what: str
    targets: Literal["own", "other", "class means"] | None = "own"
    search: Callable[[SearchConfig], SearchConfig] | None = None
    fit: Callable[[Any], Any] | None = None
    groups: int | None = None
    runs: int = 1
    head_init: Literal["kaiming", "torch"] = "kaiming"
    body: Literal["trained", "untrained"] = "trained"
    statistics: Literal["batch", "running"] = "batch"
    measured: bool = False
    tested: bool = True

    def setup(self, preset: Preset, train: int | None = None) -> Setup:
        """All that this variant does at a preset.

        Args:
            preset: sizes and configurations, which the variant changes.
            train: training images, if not the preset's number.
        """
        groups, searched = self.groups or preset.groups, None
        if self.targets or self.measured:
            search = self.search(preset.search) if self.search else preset.search
            searched = Searched(preset.width, search, self.head_init, self.runs)
        fit = preset.learn if self.targets else self._baseline(preset, groups)
        return Setup(
            Sample(preset.data, train or preset.train, preset.validation, preset.test), preset.width, groups,
            self.fit(fit) if self.fit else fit, searched, self.targets, self.body, self.statistics,
            MEASURED if self.measured else 0, self.tested,
        )

    def _baseline(self, preset: Preset, groups: int) -> FitConfig:
        """SGD with the rate for its depth; variants that try out rates start from the preset's."""
        if preset.name != "book" or not self.tested:
            return preset.baseline
        return replace(preset.baseline, learning_rate=SGD_RATES[groups] * preset.baseline.learning_rate)


def _set(**fields: Any) -> Callable[[Any], Any]:
    return lambda config: replace(config, **fields)


def _rates(rate: float = 1, head: float = 1) -> Callable[[Any], Any]:
    """Learning rate of the body times `rate`, of the head times `head`; of SGD, of all."""

    def change(config: FitConfig) -> FitConfig:
        changed = replace(config, learning_rate=rate * config.learning_rate)
        if isinstance(changed, LearnConfig):
            return replace(changed, head_weight=head / rate * changed.head_weight)
        return changed

    return change


def _sum(config: LearnConfig) -> LearnConfig:
    """Sums instead of means, with the body's rate divided by 3000, about the elements of a block: else they diverge."""
    slower: LearnConfig = _rates(1 / 3000, 1)(config)
    return replace(slower, squares="sum")


def _without_blur(config: SearchConfig) -> SearchConfig:
    return replace(config, schedule=tuple(replace(row, blur=0) for row in config.schedule))


def _without_explorers(config: SearchConfig) -> SearchConfig:
    return replace(config, explorers=0, refiners=config.explorers + config.refiners)


def _population(times: float) -> Callable[[SearchConfig], SearchConfig]:
    return lambda config: config.resized(round(times * config.population))


def _generations(times: float) -> Callable[[SearchConfig], SearchConfig]:
    return lambda config: config.prolonged(times)


SHARES = (0.25, 2)
TABLE1 = {
    "search-based": Variant("search-based", measured=True),
    "slow-head": Variant("search-based, slower head", fit=_rates(head=0.3)),
    **{f"sgd{2 * groups}": Variant(f"SGD, {2 * groups} convolutions a block", None, groups=groups, measured=groups == 1)
       for groups in (1, 2, 3)},
    "untrained-body": Variant("untrained body, trained head", body="untrained"),
    "other": Variant("targets of other images", "other", measured=True),
    "class-means": Variant("class means as targets", "class means"),
}
TABLE2 = {
    "sgd-augmented": Variant("SGD", None, fit=_set(augment=True)),
    "all-augmented": Variant("search-based, all layers", fit=_set(augment=True)),
    "skip0-augmented": Variant("search-based, skip block 0",
                               fit=_set(augment=True, skip=("block0",), averaged="kept blocks")),
}
FIGURE4 = {
    **{f"population-x{share:g}": Variant(f"population x {share:g}", search=_population(share)) for share in SHARES},
    **{f"generations-x{share:g}": Variant(f"generations x {share:g}", search=_generations(share)) for share in SHARES},
}
TIED = {  # Readings in which images depend on each other: only the reference searches them.
    "batch-selection": Variant("selection for the whole batch", search=_set(selection="batch")),
    "candidate-statistics": Variant("BatchNorm of the candidates", search=_set(statistics="candidates")),
}
ABLATIONS = {
    "literal-reading": Variant("noise a pixel, and smoothing of the whole child",
                               search=_set(noise="pixel", blurred="child")),
    "noise-pixel": Variant("noise a pixel instead of a map", search=_set(noise="pixel")),
    "blurred-child": Variant("smoothing of the whole child", search=_set(blurred="child")),
    "no-smoothing": Variant("no smoothing", search=_without_blur),
    "noise-pixel-no-smoothing": Variant(
        "noise a pixel, and no smoothing", search=lambda config: replace(_without_blur(config), noise="pixel")),
    "no-normalisation": Variant("children not normalised", search=_set(normalise=False)),
    "no-explorers": Variant("no explorers", search=_without_explorers),
    "noise-pixel-border-inside": Variant(
        "noise a pixel, and borders not counted", search=_set(noise="pixel", border="inside")),
    "head-torch": Variant("torch's own initialisation of the head", head_init="torch"),
    "averaged": Variant("targets averaged over 4 searches", runs=4),
    "normalised-output": Variant("network's output normalised in the loss", fit=_set(normalise_output=True)),
    "sum": Variant("sum of squares, as literally written", fit=_sum),
    "lambda-x0.1": Variant("lambda x 0.1", fit=_rates(head=0.1)),
    "lambda-x10": Variant("lambda x 10", fit=_rates(head=10)),
    "groups2": Variant("4 convolutions a block", groups=2),
    "groups3": Variant("6 convolutions a block", groups=3),
    "running-statistics": Variant("running statistics at test time", statistics="running"),
}
# One rate at a time is moved from the preset's, until the best has a neighbour on either side; SGD's at each depth.
TUNING = {
    **{f"search-based-rate-x{rate:g}": Variant(f"search-based, body's rate x {rate:g}", fit=_rates(rate), tested=False)
       for rate in (0.3, 3)},
    **{f"search-based-head-x{rate:g}": Variant(f"search-based, head's rate x {rate:g}", fit=_rates(head=rate),
                                               tested=False)
       for rate in (0.1, 0.3, 3)},
    **{f"sgd{2 * groups}-rate-x{rate:g}": Variant(f"SGD, {2 * groups} convolutions, rate x {rate:g}", None,
                                                  fit=_rates(rate), groups=groups, tested=False)
       for groups, rates in ((1, (0.3, 1, 3, 10)), (2, (0.3, 1, 3)), (3, (0.1, 0.3, 1, 3))) for rate in rates},
}
VARIANTS: dict[str, Variant] = {**TABLE1, **TABLE2, **FIGURE4, **TIED, **ABLATIONS, **TUNING}
