"""Ways to let search and learning take turns, by the names of their records; the first is compared with the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from repsearch.reproduce import rivals
from repsearch.reproduce.alternated import Control, Setup
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.trials import CHOSEN
from repsearch.reproduce.variant import CHOOSING, TEST_PARTS, setting
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
        sample = _sample(preset, train, self.tested)
        teacher = CHOSEN["sgd"].variant("sgd", "teacher").setup(preset).fit
        config = self.reading(preset.alternate) if self.reading else preset.alternate
        return Setup(sample, self.width or preset.width, self.groups or preset.groups, config, teacher, self.control,
                     self.tested, preset.statistics)


@dataclass(frozen=True)
class Rival:
    """SGD with what a practitioner adds.

    Args:
        what: in a few words, for tables.
        groups: ConvGroups a block.
        rate: learning rate as a share of the preset's.
        decay: weight decay.
        smoothing, dropout: see `repsearch.reproduce.rivals.Regularised`.
        epochs: if not as many as the loop has in all.
        batch: images a step, if not the preset's.
        tested: as in `Loop`.
    """

    what: str
    groups: int = 1
    rate: float = 3
    decay: float = 5e-3
    smoothing: float = 0.0
    dropout: float = 0.0
    epochs: int | None = None
    batch: int | None = None
    tested: bool = True

    def setup(self, preset: Preset, train: int | None = None) -> rivals.Setup:
        """All that it does at a preset, with `train` training images if not the preset's number."""
        loop = preset.alternate
        epochs = self.epochs or loop.learn.epochs + (loop.rounds - 1) * loop.epochs
        fit = replace(preset.baseline, learning_rate=self.rate * preset.baseline.learning_rate,
                      weight_decay=self.decay, epochs=epochs,
                      batch=self.batch or preset.baseline.batch)
        return rivals.Setup(_sample(preset, train, self.tested), preset.width, self.groups, fit, self.smoothing,
                            self.dropout, self.tested, preset.statistics)


def _sample(preset: Preset, train: int | None, tested: bool) -> Sample:
    """Images: what is tested has its own part of the test images, what isn't more to choose on."""
    validation = preset.validation if tested else CHOOSING
    return Sample(preset.data, train or preset.train, validation, preset.test, TEST_PARTS[preset.name])


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


def last_weights(config: AlternateConfig) -> AlternateConfig:
    """The weights of the last epoch go on."""
    return replace(config, learn=replace(config.learn, keep="last"))


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
    "warm": Loop("the optimizer keeps its momentum", setting(optimizer="warm")),
    "last": Loop("the last epoch's weights go on", last_weights),
    "crossed": Loop("searched by networks not trained on the image", setting(crossed=True)),
}

CONTROLS = ("loop", "once", "once-long", "first-targets", "still", "others-moves", "means")
"""What tells what the loop owes to what; the rest of `LOOPS` are other ways to take turns."""
RIVALS = {"sgd-tuned": Rival("SGD, tuned, as many epochs", rate=1, smoothing=0.1, batch=25)}
"""The best of the trials on validation images."""


def _rival(**setting: Any) -> Rival:
    """One that is tried."""
    return Rival("SGD with what a practitioner adds", epochs=36, tested=False, **setting)


RIVAL_TRIALS = {
    f"trial-{2 * trial.groups}-x{trial.rate:g}-decay-{trial.decay:g}-smoothing-{trial.smoothing:g}"
    f"-dropout-{trial.dropout:g}-epochs-{trial.epochs}" + (f"-batch-{trial.batch}" if trial.batch else ""): trial
    for trial in (
        *(_rival(smoothing=share) for share in (0, 0.1, 0.2)),
        *(_rival(decay=decay, smoothing=share) for decay in (2e-3, 1e-2) for share in (0.1, 0.2)),
        _rival(rate=1, decay=1e-2, smoothing=0.2), _rival(rate=10, decay=2e-3, smoothing=0.2),
        *(_rival(smoothing=0.2, dropout=share) for share in (0.1, 0.3)),
        _rival(groups=2, rate=1, decay=1e-2, smoothing=0.2), _rival(batch=50, smoothing=0.1),
        _rival(batch=50, rate=1, decay=1e-2), _rival(batch=25, rate=1, decay=1e-2),
        _rival(batch=25, rate=1, decay=5e-3, smoothing=0.1), _rival(batch=50, smoothing=0.1, dropout=0.3),
        _rival(batch=50, smoothing=0.1, dropout=0.5), _rival(batch=25, rate=1, decay=5e-3, smoothing=0.1, dropout=0.3),
    )
}
