"""Ways to let search and learning take turns, by the names of their records; the first is compared with the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repsearch.reproduce.alternated import Control, Setup
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.trials import CHOSEN
from repsearch.reproduce.variant import TEST_PARTS, rates, setting, validation_of
from repsearch.rounds import AlternateConfig

if TYPE_CHECKING:
    from repsearch.presets import Preset

Reading = Callable[[AlternateConfig], AlternateConfig]


@dataclass(frozen=True)
class Loop:
    """One way.

    Args:
        what: in a few words, for tables.
        reading: changes the preset's `alternate`.
        control: see `repsearch.reproduce.alternated.Setup`.
        groups, width: of the trained network, if not the preset's.
        tested: whether the test images are used; ways among which a setting is chosen don't use them.
    """

    what: str
    reading: Reading | None = None
    control: Control | None = None
    groups: int | None = None
    width: int | None = None
    tested: bool = True

    def setup(self, preset: Preset, train: int | None = None) -> Setup:
        """All that this way does at a preset, with `train` training images if not the preset's number."""
        sample = sample_of(preset, train, self.tested)
        teacher = CHOSEN["sgd"].variant("sgd", "teacher").setup(preset).fit
        config = self.reading(preset.alternate) if self.reading else preset.alternate
        return Setup(sample, self.width or preset.width, self.groups or preset.groups, config, teacher, self.control,
                     self.tested, preset.statistics)


def sample_of(preset: Preset, train: int | None, tested: bool) -> Sample:
    """Images: what is tested has its own part of the test images, what isn't more to choose on."""
    return Sample(preset.data, train or preset.train, validation_of(preset, tested), preset.test,
                  TEST_PARTS[preset.name])


def rounds(count: int) -> Reading:
    """So many rounds, 2, 3, 5 or 9; all later ones have together the generations and epochs that two have."""
    def shared(config: AlternateConfig) -> AlternateConfig:
        each = tuple(2 * n // (count - 1) for n in config.generations)
        return replace(config, rounds=count, generations=each, epochs=2 * config.epochs // (count - 1))

    return shared


def one_shot(config: AlternateConfig) -> AlternateConfig:
    """One round with all generations and epochs that three have."""
    later = config.rounds - 1
    schedule = tuple(replace(row, generations=row.generations + later * n)
                     for row, n in zip(config.search.schedule, config.generations, strict=True))
    learn = replace(config.learn, epochs=config.learn.epochs + later * config.epochs)
    return replace(config, rounds=1, search=replace(config.search, schedule=schedule), learn=learn)


def shared_draws(config: AlternateConfig) -> AlternateConfig:
    """All images draw the same noise and pairs of parents."""
    return replace(config, search=replace(config.search, draws="shared"))


def augmented(config: AlternateConfig) -> AlternateConfig:
    """Nine rounds of half the generations, the later ones on images flipped and cropped anew each; smaller batches."""
    learn = rates(0.5, 0.5)(replace(config.learn, batch=50))
    return replace(config, rounds=9, generations=tuple(n // 2 for n in config.generations), learn=learn, augment=True)


def last_weights(config: AlternateConfig) -> AlternateConfig:
    """The weights of the last epoch go on."""
    return replace(config, learn=replace(config.learn, keep="last"))


def longer(count: int) -> Reading:
    """So many rounds, each with twice the generations, the first one, too."""
    def twice(config: AlternateConfig) -> AlternateConfig:
        return replace(config, rounds=count, search=config.search.prolonged(2),
                       generations=tuple(2 * n for n in config.generations))

    return twice


LOOPS = {
    "loop": Loop("three rounds"),
    "once": Loop("one round, as in the paper", setting(rounds=1)),
    "once-long": Loop("one round with the generations and epochs of three", one_shot),
    "rounds2": Loop("two rounds, as many generations and epochs in all", rounds(2)),
    "rounds5": Loop("five rounds, as many in all", rounds(5)),
    "rounds9": Loop("nine rounds, as many in all", rounds(9)),
    "first-targets": Loop("as many epochs on round 0's targets", setting(generations=(0, 0, 0, 0)), "first targets"),
    "still": Loop("later rounds: its own activations as targets", control="still"),
    "others-moves": Loop("later rounds: moved as the search moved another image", control="others' moves"),
    "means": Loop("class means of each round's targets", control="class means"),
    "half-shrunk": Loop("targets half way to their class mean", control="half shrunk"),
    "wrong-labels": Loop("later rounds: blocks searched for other images' labels", control="wrong labels"),
    "downhill": Loop("a step down the gradient in place of later searches", control="downhill"),
    "taught": Loop("activations of an SGD-trained network as targets", setting(rounds=1), "taught"),
    "untrained-judges": Loop("the untrained network's later blocks judge", setting(judges="untrained")),
    "shared-draws": Loop("draws shared by all images", shared_draws),
    **{f"pull{mu:g}": Loop(f"pulled to its own activations, mu {mu:g}", setting(pull=mu)) for mu in (0.1, 1, 10)},
    "augmented": Loop("nine rounds, the later ones on augmented images", augmented),
    "warm": Loop("the optimizer keeps its momentum", setting(optimizer="warm")),
    "last": Loop("the last epoch's weights go on", last_weights),
    "crossed": Loop("searched by networks not trained on the image", setting(crossed=True)),
    "longer-5": Loop("five rounds of twice the generations", longer(5)),
}

CONTROLS = ("loop", "once", "once-long", "first-targets", "still", "others-moves", "means")
"""What tells what the loop owes to what; the rest of `LOOPS` are other ways to take turns."""
