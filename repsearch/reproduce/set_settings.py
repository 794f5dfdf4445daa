"""Which sets of models are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repsearch import checks
from repsearch.reproduce.loops import sample_of
from repsearch.reproduce.rival_settings import rival_of
from repsearch.reproduce.sets import Arm, Setup

if TYPE_CHECKING:
    from repsearch.presets import Preset

SHORT = 4
"""Epochs in which SGD is about as accurate, on validation images of seeds 0 and 1, as one shot."""
NOISE = 0.4
"""About 0.1 of the range of brightness, severity 5 of the benchmark's noise."""
ARMS = {
    "untrained": Arm("untrained, each its own initial weights", "untrained", "network"),
    "searches": Arm("one shot, each its own search", "once", "search"),
    "inits": Arm("one shot, each its own initial weights", "once", "network"),
    "sgd-inits": Arm("SGD, each its own initial weights", "sgd", "network"),
    "sgd-orders": Arm("SGD, each its own order of images", "sgd", "order"),
    "sgd-matched": Arm("SGD stopped at the one shot's accuracy", "matched", "network"),
    "sgd-short": Arm("SGD in a few epochs, about as accurate", "sgd", "network", epochs=SHORT),
    "class-means": Arm("class means as targets, own initial weights", "once", "network", "class means"),
    "others": Arm("targets of other images, each its own exchange", "once", "images"),
    "loop-searches": Arm("loop, each its own searches", "loop", "search"),
    "loop-inits": Arm("loop, each its own initial weights", "loop", "network"),
    "sgd-noise": Arm("SGD on images with noise", "sgd", "network", noise=NOISE),
}
SHIFTED = ("inits", "sgd-inits", "sgd-matched", "sgd-short", "class-means", "loop-inits", "sgd-noise")
"""Tried on corrupted images, too."""


def sets_setup(preset: Preset, variant: str, train: int | None) -> Setup:
    """A set, by the name of its arm."""
    checks.one_of("variant", variant, ARMS)
    rival, small = rival_of("sgd-tuned", preset, train).setup(preset, train), preset.name == "smoke"
    return Setup(sample_of(preset, train, tested=True), preset.width, preset.groups,
                 ARMS[variant], preset.alternate, rival.fit, rival.smoothing, rival.dropout, 2 if small else 3,
                 (20 if small else 200) if variant in SHIFTED else 0, (1, 5) if small else (1, 2, 3, 4, 5),
                 preset.statistics)
