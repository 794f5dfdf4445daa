"""One training and all that is measured of it: the unit of Tables 1 and 2, of Figures 4 to 7, and of the ablations."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from repsearch import checks, measure
from repsearch.config import LearnConfig, SearchConfig, as_dict, split_population
from repsearch.data import Dataset, Split
from repsearch.learn import accuracy, learn
from repsearch.networks import Network, activations, fingerprint, learn_network, search_network
from repsearch.presets import Preset
from repsearch.records import Record, library_hash, record
from repsearch.run import search
from repsearch.targets import Targets

Config = TypeVar("Config", SearchConfig, LearnConfig)
MEASURED = 300
"""Validation images whose distance to their targets, and whose entropies, are followed through a training."""


@dataclass(frozen=True)
class Variant:
    """One way to search and to train.

    Args:
        what: in a few words, for tables.
        targets: the body regresses to each image's "own" targets, to those of "other" images, or to its "class means";
            the head always to its own. None is the SGD baseline: cross-entropy with the labels, in the whole network.
        search: changes the preset's search.
        learn: changes the preset's `learn`, or its `baseline` where `targets` is None.
        runs: searches of every image, over which the body's targets are averaged.
        groups: ConvGroups a block, if not the preset's.
        body: "trained", or left "untrained", so that only the head learns.
        head_init: of the searched network.
        statistics: of the trained network at test time.
        measured: whether representations of validation images are followed through the training (section 4.5).
        test: whether the test images are used, once, at the end. Variants that choose a setting don't use them.
    """

    what: str
    targets: Literal["own", "other", "class means"] | None = "own"
    search: Callable[[SearchConfig], SearchConfig] | None = None
    learn: Callable[[LearnConfig], LearnConfig] | None = None
    runs: int = 1
    groups: int | None = None
    body: Literal["trained", "untrained"] = "trained"
    head_init: Literal["kaiming", "framework"] = "kaiming"
    statistics: Literal["batch", "running"] = "batch"
    measured: bool = False
    test: bool = True


def _set(**fields: Any) -> Callable[[Config], Config]:
    return lambda config: replace(config, **fields)


def _rates(rate: float = 1, head: float = 1) -> Callable[[LearnConfig], LearnConfig]:
    """Learning rate of the body times `rate`, of the head times `head`."""
    return lambda config: replace(
        config, learning_rate=rate * config.learning_rate, head_weight=head / rate * config.head_weight)


def _sum(config: LearnConfig) -> LearnConfig:
    """Sums instead of means, with the body's rate divided by 3000, about the elements of a block: else they diverge."""
    return replace(_rates(1 / 3000, 1)(config), squares="sum")


def _without_blur(config: SearchConfig) -> SearchConfig:
    return replace(config, schedule=tuple(replace(row, blur=0) for row in config.schedule))


def _without_explorers(config: SearchConfig) -> SearchConfig:
    return replace(config, explorers=0, refiners=config.explorers + config.refiners)


def _generations(share: float) -> Callable[[SearchConfig], SearchConfig]:
    """All generations times `share`, at least one."""
    return lambda config: replace(config, schedule=tuple(
        replace(row, generations=max(1, round(share * row.generations))) for row in config.schedule))


def _population(share: float) -> Callable[[SearchConfig], SearchConfig]:
    """Population and parents times `share`."""
    return lambda config: replace(
        config, **split_population(round(share * config.population), max(2, round(share * config.parents))))


SHARES = (0.25, 2)
TABLE1 = {
    "search": Variant("search-based", measured=True),
    "slow-head": Variant("search-based, slower head", learn=_rates(head=0.3)),
    **{f"sgd{2 * groups}": Variant(f"SGD, {2 * groups} convolutions a block", None, groups=groups, measured=groups == 1)
       for groups in (1, 2, 3)},
    "untrained-body": Variant("untrained body, trained head", body="untrained"),
    "other": Variant("targets of other images", "other", measured=True),
    "class-means": Variant("class means as targets", "class means"),
}
TABLE2 = {
    "sgd-augmented": Variant("SGD", None, learn=_set(augment=True)),
    "all-augmented": Variant("search-based, all layers", learn=_set(augment=True)),
    "skip0-augmented": Variant("search-based, skip block 0", learn=_set(augment=True, skip=("block0",))),
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
    "default-reading": Variant("noise a pixel, and smoothing of the whole child",
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
    "head-framework": Variant("the framework's head", head_init="framework"),
    "averaged": Variant("targets averaged over 4 searches", runs=4),
    "normalised-output": Variant("network's output normalised in the loss", learn=_set(normalise_output=True)),
    "sum": Variant("sum of squares, as literally written", learn=_sum),
    "lambda-x0.1": Variant("lambda x 0.1", learn=_rates(head=0.1)),
    "lambda-x10": Variant("lambda x 10", learn=_rates(head=10)),
    "groups2": Variant("4 convolutions a block", groups=2),
    "groups3": Variant("6 convolutions a block", groups=3),
    "running-statistics": Variant("running statistics at test time", statistics="running"),
}
# One rate at a time is moved from the preset's, until the best has a neighbour on either side; SGD's at each depth.
TUNING = {
    **{f"search-rate-x{rate:g}": Variant(f"search-based, body's rate x {rate:g}", learn=_rates(rate), test=False)
       for rate in (0.3, 3)},
    **{f"search-head-x{rate:g}": Variant(f"search-based, head's rate x {rate:g}", learn=_rates(head=rate), test=False)
       for rate in (0.1, 0.3, 3)},
    **{f"sgd{2 * groups}-rate-x{rate:g}": Variant(f"SGD, {2 * groups} convolutions, rate x {rate:g}", None,
                                                  learn=_rates(rate), groups=groups, test=False)
       for groups, rates in ((1, (0.3, 1, 3, 10)), (2, (0.3, 1, 3)), (3, (0.1, 0.3, 1, 3))) for rate in rates},
}
VARIANTS = {**TABLE1, **TABLE2, **FIGURE4, **TIED, **ABLATIONS, **TUNING}


def train(data: Dataset, preset: Preset, name: str, seed: int = 0, store: Path | None = None) -> Record:
    """Search and train one variant, and measure it.

    Args:
        data: training images to search and to learn from, validation images to choose the epoch and to measure on.
        preset: sizes and configurations, which the variant changes.
        name: of a variant, a key of `VARIANTS`.
        seed: of networks, search and training.
        store: folder in which searches are kept, to be shared by the variants that need the same; None keeps nothing.

    Returns:
        A record. `found`, of the search: mean cross-entropy of each layer before and after, in nats; the share of
        images above one half; the share of the targets' variance between classes (of each image's own targets, whatever
        is learned). Of the training: `validation_accuracy` of every epoch, and `errors`, `train_accuracy` and
        `test_accuracy` of the best, accuracies in 0..1. `measured`, if the variant is: a list with an entry for each
        block and each of some numbers of epochs done, the last one included: the mean cosine distance to an image's own
        targets and to another's, within- and between-class entropies in nats, the first also with shuffled labels.

    Raises:
        InputError: no variant has that name; and as `repsearch.search` and `repsearch.learn`.
    """
    checks.one_of("variant", name, VARIANTS)
    start, variant = time.perf_counter(), VARIANTS[name]
    config = variant.search(preset.search) if variant.search else preset.search
    learn_config = preset.baseline if variant.targets is None else preset.learn
    if variant.learn:
        learn_config = variant.learn(learn_config)

    targets = held_out = None
    found: dict[str, Any] = {}
    if variant.targets or variant.measured:
        network = search_network(data, replace(preset, search=config), seed, variant.head_init)
    if variant.targets:
        own = _searched(network, data.train, config, seed, store)
        found, targets = _found(own, data.train), _targets(own, data.train, variant, seed)
        if variant.runs > 1:
            again = [_searched(network, data.train, config, seed + 1000 * run, store) for run in range(1, variant.runs)]
            targets = own.changed(lambda block, H: (H + sum(run.read(block) for run in again)) / variant.runs)
    if variant.measured:
        held_out = _searched(network, data.validation[:MEASURED], config, seed, store)
    searched = time.perf_counter()

    model = learn_network(data, preset, seed, variant.groups, variant.statistics)
    if variant.body == "untrained":
        model.blocks.requires_grad_(False)
    measured: list[dict[str, float]] = []

    def watch(epoch: int, model: nn.Module) -> None:
        if held_out is not None and epoch % max(1, learn_config.epochs // 10) == 0:
            measured.extend({"epoch": epoch, **row} for row in _measured(model, data.validation, held_out, seed))

    history = learn(model, data, targets, learn_config, seed, progress=False, watch=watch)
    return record(
        "training", seed, time.perf_counter() - start, data=data.name, preset=preset.name, variant=name,
        what=variant.what, train=len(data.train), validation=len(data.validation), test=len(data.test),
        width=preset.width, groups=variant.groups or preset.groups, seconds_search=round(searched - start, 1),
        search=as_dict(config) if variant.targets else None, found=found, learn=as_dict(learn_config),
        errors={part: losses[history.best_epoch] for part, losses in history.parts.items()},
        validation_accuracy=history.validation_accuracy, best_epoch=history.best_epoch,
        train_accuracy=history.train_accuracy[history.best_epoch], measured=measured,
        test_accuracy=accuracy(model, data.test) if variant.test else None,
    )


def _searched(network: Network, images: Split, config: SearchConfig, seed: int, store: Path | None) -> Targets:
    """Targets of these images; from the store, if they were searched before with the same code."""
    engine: Literal["auto", "reference"] = "reference" if config.ties_images else "auto"
    if store is None:
        return search(network, images, config, seed, progress=False, engine=engine)
    what = [fingerprint(network), images.fingerprint(), as_dict(config), seed, library_hash("run")]
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return search(network, images, config, seed, store / name, progress=False, engine=engine)


def _targets(own: Targets, data: Split, variant: Variant, seed: int) -> Targets:
    if variant.targets == "class means":
        return own.changed(lambda _, H: measure.class_means(H, data.labels))
    if variant.targets == "other":
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        return own.changed(lambda _, H: H[order])
    return own


def _found(targets: Targets, data: Split) -> dict[str, Any]:
    """What a search found, in numbers."""
    curves = {layer: targets.cross_entropy(layer) for layer in targets.layers}
    return {
        "cross_entropy": {layer: curve.mean(0)[[0, -1]].tolist() for layer, curve in curves.items()},
        "above_half": {layer: float(((-curve[:, -1]).exp() > 0.5).float().mean()) for layer, curve in curves.items()},
        "between_class_share": {layer: measure.between_class_share(targets.read(layer), data.labels)
                                for layer in targets.layers},
    }


@torch.no_grad()
def _measured(model: nn.Module, split: Split, targets: Targets, seed: int) -> list[dict[str, float]]:
    """Distances and entropies of each block (section 4.5), with their controls."""
    training, generator = model.training, torch.Generator().manual_seed(seed)
    model.eval()
    labels = split.labels[: len(targets)]
    layers = activations(model, split.images[: len(targets)])[:-1]
    model.train(training)
    rows = []
    for block, (name, H) in enumerate(zip(targets.layers, layers, strict=False)):
        wanted = targets.read(name)
        within, between = measure.class_entropies(H, labels)
        rows.append({
            "block": block, "distance": _mean(measure.cosine_distance(H, wanted)),
            "distance_others": _mean(measure.cosine_distance_null(H, wanted, generator)), "within": within,
            "between": between, "within_shuffled": measure.class_entropies_null(H, labels, generator)[0],
        })
    return rows


def _mean(values: Tensor) -> float:
    return float(values.mean())
