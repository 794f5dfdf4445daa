"""Which networks are trained for the figures on flatness and transfer, on which images, and at which rates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repsearch import checks
from repsearch.reproduce.goea.flatness import Net, Setup, Training
from repsearch.reproduce.goea.transfer import Setup as Transfer
from repsearch.reproduce.samples import Sample

if TYPE_CHECKING:
    from repsearch.presets import Preset

TRAIN = 8000
"""Training images, a fifth of whose labels are hidden: enough for batches of 128 to come near those of 4."""
ARCHETYPES = (
    Net("Robust Wide", 16, 48, Training(0.1, 0.25, batch=4, rate=0.01)),
    Net("Brittle Narrow", 4, 12, Training(0, 0, batch=128, rate=0.2)),
    Net("Brittle Wide", 16, 48, Training(0, 0, batch=128, rate=0.2)),
)
BASE = Net("base", 8, 24, Training())
"""Its defaults are the source's, but for the rate, and 8 epochs in place of 10: one of Figure 12's numbers."""
FACTORS = {"dropout": (0, 0.1, 0.25, 0.5), "size": (0.5, 1, 2, 4), "batch": (4, 32, 128), "epochs": (2, 8, 32)}
"""Of which one at a time is changed: Figures 9 to 12. Dropout is that of pixels and of features."""
BATCH_RATES = {4: 0.01, 32: 0.1, 128: 0.2}
"""The rate of each size of a batch."""


def varied(factor: str, value: float) -> Net:
    """The base network with one factor at this value.

    Example:
        >>> varied("size", 2).hidden, varied("dropout", 0.25).name, varied("batch", 32).name
        (48, 'dropout 0.25', 'base')
    """
    how, size = BASE.training, 1.0
    if factor == "size":
        size = value
    elif factor == "dropout":
        how = replace(how, drop_in=value, drop=value)
    elif factor == "batch":
        how = replace(how, batch=int(value), rate=BATCH_RATES[int(value)])
    else:
        how = replace(how, epochs=int(value))
    net = Net(BASE.name, round(BASE.maps * size), round(BASE.hidden * size), how)
    return net if net == BASE else replace(net, name=f"{factor} {value:g}")


SERIES = tuple(dict.fromkeys(varied(factor, value) for factor, values in FACTORS.items() for value in values))
"""Each network once."""

TRIED = {
    "Robust Wide": (0.003, 0.01, 0.03), "Brittle Narrow": (0.1, 0.2, 0.3, 0.5), "Brittle Wide": (0.1, 0.2, 0.3, 0.5),
    "base": (0.03, 0.1, 0.3), "batch 4": (0.003, 0.01, 0.03), "batch 128": (0.1, 0.2, 0.3, 0.5),
}
"""Rates that were tried, on validation images. Those above are the best, or label at most two images fewer."""


def _trials() -> tuple[Net, ...]:
    nets = {net.name: net for net in (*ARCHETYPES, *SERIES)}
    return tuple(replace(nets[name], name=f"{name}, {rate:g}", training=replace(nets[name].training, rate=rate))
                 for name, rates in TRIED.items() for rate in rates)


def flatness_setup(preset: Preset, variant: str, train: int | None) -> Setup:
    """By variant: the networks of Figures 9 to 12, "series"; or "rates", the trials of rates, on validation images."""
    checks.one_of("variant", variant, ("series", "rates"))
    if variant == "series":
        return _sized(preset, SERIES, train)
    return replace(_sized(preset, _trials(), train), diameters=(), drops=(), tested=False)


def transfer_setup(preset: Preset, variant: str, train: int | None) -> Transfer:
    """The variant "archetypes": networks of Figures 3, 8, 14 and 15, and three epochs of transfer."""
    checks.one_of("variant", variant, ("archetypes",))
    return Transfer(_sized(preset, ARCHETYPES, train), replace(BASE.training, epochs=3), ("Brittle Wide",))


def _sized(preset: Preset, nets: tuple[Net, ...], train: int | None) -> Setup:
    """All images and epochs; or at "smoke" a few."""
    if preset.name != "smoke":
        # A part of the test images for each seed, so that ten seeds share none.
        return Setup(Sample(preset.data, train or TRAIN, 1000, None, test_parts=10), nets)
    short = [replace(net, training=replace(net.training, epochs=max(1, net.training.epochs // 8))) for net in nets]
    return Setup(Sample(preset.data, train or 200, 100, 100), tuple(short), (0.001, 0.8, 1.5), 2)
