"""Settings of SGD, the rival of search and learning in turn: those tried on validation images, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from repsearch import checks
from repsearch.reproduce import rivals
from repsearch.reproduce.loops import sample_of

if TYPE_CHECKING:
    from repsearch.presets import Preset


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
        augment: see `repsearch.FitConfig`.
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
    augment: bool = False
    tested: bool = True

    def setup(self, preset: Preset, train: int | None = None) -> rivals.Setup:
        """All that it does at a preset, with `train` training images if not the preset's number."""
        loop = preset.alternate
        epochs = self.epochs or loop.learn.epochs + (loop.rounds - 1) * loop.epochs
        fit = replace(preset.baseline, learning_rate=self.rate * preset.baseline.learning_rate,
                      weight_decay=self.decay, epochs=epochs,
                      batch=self.batch or preset.baseline.batch, augment=self.augment)
        return rivals.Setup(sample_of(preset, train, self.tested), preset.width, self.groups, fit, self.smoothing,
                            self.dropout, self.tested, preset.statistics)


def _tuned(**setting: Any) -> Rival:
    return Rival("SGD, tuned, as many epochs", **setting)


TUNED = {
    ("cifar10", 500): _tuned(rate=1, smoothing=0.1, batch=25), ("cifar10", 2000): _tuned(smoothing=0.2, dropout=0.3),
    ("mnist", 2000): _tuned(rate=1, smoothing=0.1, batch=25),
    ("cifar100", 2000): _tuned(smoothing=0.1, epochs=52),
}
"""The best of the trials on validation images, by data set and number of training images."""


def _augmented(**setting: Any) -> Rival:
    """In as many epochs as `augmented` has in all."""
    return Rival("SGD, tuned, augmented, as many epochs", smoothing=0.1, epochs=84, augment=True, **setting)


AUGMENTED = {f"augmented-{name}": replace(rival, tested=False) for name, rival in (
    ("x1-batch-25", _augmented(rate=1, batch=25)), ("x3-batch-50", _augmented(batch=50)),
    ("x1-batch-25-dropout-0.3", _augmented(rate=1, batch=25, dropout=0.3)), ("x3-batch-25", _augmented(batch=25)))}
"""Tried on validation images, with augmentation."""
RIVALS = {"sgd-tuned": TUNED["cifar10", 500], "sgd-augmented": _augmented(rate=1, batch=25),
          "sgd-budget": replace(TUNED["cifar10", 500], what="SGD, tuned, in as many forward passes", epochs=316)}
"""316 epochs take as many forward passes of an image as the loop with its searches takes on CIFAR-10."""


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
LARGER = tuple(f"trial-2-{name}-epochs-36{batch}" for name, batch in (
    ("x3-decay-0.005-smoothing-0.1-dropout-0", ""), ("x3-decay-0.005-smoothing-0.1-dropout-0", "-batch-50"),
    ("x1-decay-0.005-smoothing-0.1-dropout-0", "-batch-25"), ("x3-decay-0.002-smoothing-0.1-dropout-0", ""),
    ("x3-decay-0.005-smoothing-0.2-dropout-0.3", ""), ("x3-decay-0.005-smoothing-0.1-dropout-0.3", "-batch-50")))
"""Those of the trials that are made with 2,000 images, too; the first four of data sets other than CIFAR-10."""


def rival_of(variant: str, preset: Preset, train: int | None = None) -> Rival:
    """The setting of a record: of "sgd-tuned", the one for these images, if it was chosen for them."""
    known, images = {**RIVALS, **RIVAL_TRIALS, **AUGMENTED}, (preset.data, train or preset.train or 0)
    checks.one_of("variant", variant, known)
    if variant in ("sgd-tuned", "sgd-budget") and images in TUNED:
        return replace(TUNED[images], what=known[variant].what, epochs=known[variant].epochs or TUNED[images].epochs)
    return known[variant]
