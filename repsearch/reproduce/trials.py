"""Settings that are chosen on validation images (`reproduce tuning`): the trials, and what did best.

Search-based training and SGD have as many trials: at each depth rates without and with weight decay, then the best
one's neighbours in decay. The untrained body has every rate of the head that search-based training has, and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from repsearch.reproduce.variant import Variant, both, rates, setting

KINDS: dict[str, dict[str, Any]] = {"sgd": {"targets": None}, "search": {}, "untrained": {"body": "untrained"}}
TITLES = {"sgd": "SGD", "search": "search-based", "untrained": "untrained body"}


@dataclass(frozen=True)
class Setting:
    """What is chosen.

    Args:
        groups: ConvGroups a block.
        rate, head: learning rates of body and head, as shares of the preset's; SGD has one for both.
        decay: weight decay.
    """

    groups: int = 1
    rate: float = 1
    head: float = 1
    decay: float = 0

    def named(self, kind: str) -> str:
        """Of the trial of a kind of training with this setting."""
        head = "" if kind == "sgd" else f"-head-x{self.head:g}"
        return f"{kind}{2 * self.groups}-x{self.rate:g}{head}-decay-{self.decay:g}"

    def said(self, kind: str) -> str:
        """The setting in words."""
        head = "" if kind == "sgd" else f"head x {self.head:g}, "
        return f"{2 * self.groups} convolutions, rate x {self.rate:g}, {head}decay {self.decay:g}"

    def variant(self, kind: str, what: str, tested: bool = True, augment: bool = False, **more: Any) -> Variant:
        """A training of that kind with this setting.

        Args:
            kind: of `KINDS`.
            what: in a few words.
            tested: whether on the test images: only once the setting is chosen.
            augment: whether with augmentation.
            more: fields of the variant that differ from the kind's.
        """
        change = both(rates(self.rate, self.head), setting(weight_decay=self.decay, augment=augment))
        return Variant(what, fit=change, groups=self.groups, tested=tested, **{**KINDS[kind], **more})


# Rates are tried at the two depths that did best, one at the third; then the best one's neighbours in weight decay.
SGD_RATES = {1: (1, 3, 10), 2: (0.3, 1, 3), 3: (0.3,)}
SEARCH_RATES = {1: ((1, 1), (1, 0.3), (0.3, 0.3)), 2: ((1, 1), (1, 0.3), (0.3, 0.3)), 3: ((1, 0.3),)}
SGD_TRIALS = [*(Setting(groups, rate, 1, decay) for groups, rates in SGD_RATES.items() for rate in rates
                for decay in (0, 5e-3)), *(Setting(1, 3, 1, decay) for decay in (1.5e-3, 1.5e-2))]
SEARCH_TRIALS = [*(Setting(groups, rate, head, decay) for groups, rates in SEARCH_RATES.items() for rate, head in rates
                   for decay in (0, 5e-3)), *(Setting(1, 1, 1, decay) for decay in (1.5e-3, 1.5e-2))]
UNTRAINED_TRIALS = [*(Setting(1, 1, head, decay) for head in (0.03, 0.1, 0.3, 1, 3) for decay in (0, 5e-3)),
                    *(Setting(1, 1, 0.1, decay) for decay in (1.5e-3, 1.5e-2))]
TRIALS = {"sgd": SGD_TRIALS, "search": SEARCH_TRIALS, "untrained": UNTRAINED_TRIALS}
CHOSEN = {"sgd": Setting(1, 3, 1, 5e-3), "search": Setting(1, 1, 1, 5e-3), "untrained": Setting(1, 1, 0.1, 5e-3)}
"""The best of each on validation images of CIFAR-10."""
PLAIN = {"sgd": {1: Setting(1, 3), 2: Setting(2, 1), 3: Setting(3, 0.3)},
         "search": {1: Setting(1), 2: Setting(2), 3: Setting(3)}}
"""The best of each depth without weight decay, which the paper does not name."""
TUNING = {trial.named(kind): trial.variant(kind, f"{TITLES[kind]}, {trial.said(kind)}", tested=False)
          for kind, trials in TRIALS.items() for trial in trials}
