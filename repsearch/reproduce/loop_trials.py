"""Settings of the loop and of its rival that were tried on validation images (`reproduce turns-tuning`): as many of
either. What did best is in the presets and in `repsearch.reproduce.loops`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from repsearch.reproduce.loops import Loop, Rival
from repsearch.reproduce.variant import rates

if TYPE_CHECKING:
    from repsearch.rounds import AlternateConfig


@dataclass(frozen=True)
class Trial:
    """What is chosen of the loop; round 0 trains as the preset does.

    Args:
        rounds, generations, epochs, noise, pull, normalise: see `repsearch.AlternateConfig`.
        draws: of all searches.
        rate, head: learning rates of body and head, as shares of the preset's, in all rounds.
        decay: weight decay, in all rounds.
        groups: ConvGroups a block.
    """

    rounds: int = 3
    generations: tuple[int, ...] = (12, 8, 8, 4)
    epochs: int = 8
    noise: float = 0.1
    pull: float = 0.0
    normalise: bool = True
    draws: Literal["own", "shared"] = "own"
    rate: float = 1
    head: float = 1
    decay: float = 5e-3
    groups: int = 1

    def reading(self, config: AlternateConfig) -> AlternateConfig:
        """A preset's `alternate` with this setting."""
        learn = rates(self.rate, self.head)(replace(config.learn, weight_decay=self.decay))
        return replace(
            config, search=replace(config.search, draws=self.draws), learn=learn, rounds=self.rounds,
            generations=self.generations, epochs=self.epochs, input_noise=self.noise, pull=self.pull,
            normalise=self.normalise)

    def loop(self, what: str) -> Loop:
        """The way that is tried."""
        return Loop(what, self.reading, groups=self.groups, tested=False)


def _rival(epochs: int = 36, **setting: Any) -> Rival:
    """One that is tried."""
    return Rival("SGD with what a practitioner adds", epochs=epochs, tested=False, **setting)


LOOP_TRIALS = {f"trial-{name}": trial.loop(what) for name, what, trial in (
    ("start", "where the trials start", Trial()),
    ("shared", "draws shared by all images", Trial(draws="shared")),
    ("noise-0.3", "input noise 0.3", Trial(noise=0.3)),
    ("noise-0.03", "input noise 0.03", Trial(noise=0.03)),
    ("pull-0.1", "pulled, mu 0.1", Trial(pull=0.1)),
    ("raw-pull-1", "not normalised, pulled, mu 1", Trial(normalise=False, pull=1)),
    ("half", "half the generations", Trial(generations=(6, 4, 4, 2))),
    ("double", "twice the generations", Trial(generations=(24, 16, 16, 8))),
    ("epochs-16", "16 epochs a later round", Trial(epochs=16)),
    ("rounds-5", "five rounds", Trial(rounds=5)),
    ("rate-x3", "rate x 3", Trial(rate=3, head=3)),
    ("rate-x0.3", "rate x 0.3", Trial(rate=0.3, head=0.3)),
    ("head-x0.3", "head x 0.3", Trial(head=0.3)),
    ("decay-0.002", "decay 0.002", Trial(decay=2e-3)),
    ("decay-0.01", "decay 0.01", Trial(decay=1e-2)),
    ("groups-2", "4 convolutions a block", Trial(groups=2)),
)}
RIVAL_TRIALS = {
    f"trial-{2 * trial.groups}-x{trial.rate:g}-decay-{trial.decay:g}-smoothing-{trial.smoothing:g}"
    f"-dropout-{trial.dropout:g}-epochs-{trial.epochs}": trial
    for trial in (
        *(_rival(smoothing=share) for share in (0, 0.1, 0.2)),
        *(_rival(decay=decay, smoothing=share) for decay in (2e-3, 1e-2) for share in (0.1, 0.2)),
        _rival(rate=1, decay=1e-2, smoothing=0.2), _rival(rate=10, decay=2e-3, smoothing=0.2),
        *(_rival(smoothing=0.2, dropout=share) for share in (0.1, 0.3)),
        _rival(groups=2, rate=1, decay=1e-2, smoothing=0.2), _rival(groups=2, rate=0.3, decay=2e-2, smoothing=0.1),
        _rival(epochs=72, smoothing=0.2), _rival(epochs=72, smoothing=0.2, dropout=0.1),
        _rival(epochs=18, smoothing=0.2),
    )
}
