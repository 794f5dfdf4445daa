"""One variant of a training: what it does to a preset; and the changes that variants are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from repsearch.config import FitConfig, LearnConfig, SearchConfig
from repsearch.reproduce.samples import Sample, Seeded
from repsearch.reproduce.targets import Searched
from repsearch.reproduce.trainings import Setup

if TYPE_CHECKING:
    from repsearch.presets import Preset

MEASURED = 300
"""Validation images whose distance to their targets, and whose entropies, are followed through a training."""
CHOOSING = 4000
"""Validation images on which settings are chosen."""
TEST_PARTS = {"smoke": 3, "book": 10, "paper": 1}
"""Parts of the test images, one a seed."""


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
        tested: whether the test images are used. Variants that choose a setting don't use them, and are judged on
            more validation images.
        seeded: see `trainings.Setup`.
    """

    what: str
    targets: Literal["own", "other", "class means"] | None = "own"
    search: Callable[[SearchConfig], SearchConfig] | None = None
    fit: Callable[[Any], Any] | None = None
    groups: int | None = None
    runs: int = 1
    head_init: Literal["kaiming", "torch"] = "kaiming"
    body: Literal["trained", "untrained"] = "trained"
    statistics: Literal["batch", "running"] = "running"
    measured: bool = False
    tested: bool = True
    seeded: Seeded = "all"

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
        fit = preset.learn if self.targets else preset.baseline
        validation = validation_of(preset, self.tested)
        sample = Sample(preset.data, train or preset.train, validation, preset.test, TEST_PARTS[preset.name])
        return Setup(
            sample, preset.width, groups, self.fit(fit) if self.fit else fit, searched, self.targets, self.body,
            self.statistics, MEASURED if self.measured else 0, self.tested, self.seeded,
        )


def validation_of(preset: Preset, tested: bool) -> int | None:
    """Validation images: to choose settings on there are more, but at smoke, which has few."""
    return preset.validation if tested or preset.name == "smoke" else CHOOSING


def setting(**fields: Any) -> Callable[[Any], Any]:
    """These fields of a configuration."""
    return lambda config: replace(config, **fields)


def rates(rate: float = 1, head: float = 1) -> Callable[[Any], Any]:
    """Learning rate of the body times `rate`, of the head times `head`; of SGD, of all."""

    def change(config: FitConfig) -> FitConfig:
        changed = replace(config, learning_rate=rate * config.learning_rate)
        if isinstance(changed, LearnConfig):
            return replace(changed, head_weight=head / rate * changed.head_weight)
        return changed

    return change


def both(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One change, then another."""
    return lambda config: second(first(config))


def summed(config: LearnConfig) -> LearnConfig:
    """Sums instead of means, with the body's rate divided by 3000, about the elements of a block: else they diverge."""
    slower: LearnConfig = rates(1 / 3000, 1)(config)
    return replace(slower, squares="sum")


def without_blur(config: SearchConfig) -> SearchConfig:
    """No smoothing."""
    return replace(config, schedule=tuple(replace(row, blur=0) for row in config.schedule))


def without_explorers(config: SearchConfig) -> SearchConfig:
    """Refiners in place of explorers."""
    return replace(config, explorers=0, refiners=config.explorers + config.refiners)


def population(times: float) -> Callable[[SearchConfig], SearchConfig]:
    """A population of another size."""
    return lambda config: config.resized(round(times * config.population))


def generations(times: float) -> Callable[[SearchConfig], SearchConfig]:
    """Another number of generations."""
    return lambda config: config.prolonged(times)
