"""Who is asked where activations should go, beside search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repsearch import checks
from repsearch.config import FitConfig
from repsearch.reproduce.bridge import Ask, Setup
from repsearch.reproduce.loops import sample_of

if TYPE_CHECKING:
    from repsearch.presets import Preset

EPOCHS = 5
"""Of SGD between the two moments: some images are still wrong, so that there is something to ask for."""
ASKS = (
    Ask("evolution", "evolution"),
    Ask("gradient ascent", "LatentSearch", {"searcher": "gradient", "steps": 20}),
    Ask("random search", "LatentSearch", {"searcher": "random", "samples": 250}),
    Ask("local losses", "LocalLosses", learns=True),
    Ask("feedback alignment", "FeedbackAlignment", {"kind": "random"}),
    Ask("direct feedback alignment", "FeedbackAlignment", {"kind": "direct"}),
    Ask("sign-symmetric feedback", "FeedbackAlignment", {"kind": "sign-symmetric"}),
    Ask("target propagation", "TargetPropagation", learns=True),
    Ask("difference target propagation", "DifferenceTargetPropagation", learns=True),
    Ask("the same, feedback fixed", "DifferenceTargetPropagation", {"feedback": "fixed"}),
    Ask("perturbed activities", "ActivityPerturbation", {"draws": 16}),
)


def bridge_setup(preset: Preset, variant: str, _: int | None) -> Setup:
    """All of them, on one network."""
    checks.one_of("variant", variant, ("all",))
    fit = FitConfig(EPOCHS, preset.baseline.batch, preset.baseline.learning_rate, weight_decay=5e-3, keep="last")
    small = preset.name == "smoke"
    return Setup(sample_of(preset, None, tested=True), preset.width, preset.groups, fit,
                 replace(preset.search, normalise=False, input_noise=0.1),  # where rules ask, too
                 tuple(replace(ask, arguments={**ask.arguments, "samples": 25}) if small and "samples" in ask.arguments
                       else ask for ask in ASKS), 64 if small else 256, 20 if small else 60, preset.statistics)
