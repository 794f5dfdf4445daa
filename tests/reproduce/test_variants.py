"""Variants: what each changes, in numbers written here by hand, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from repsearch import presets
from repsearch.config import as_dict
from repsearch.reproduce.records import FOLDER, read_record
from repsearch.reproduce.trials import CHOSEN, TRIALS, TUNING
from repsearch.reproduce.variants import TABLE1, VARIANTS

RATE, HEAD, SCHEDULE = "fit.learning_rate", "fit.head_weight", "searched.search.schedule"
SEARCH = "searched.search"
NO_BLUR = {f"{SCHEDULE}.{block}.blur": 0 for block in range(3)}


def sizes(parents: int, explorers: int, refiners: int) -> dict[str, Any]:
    return {f"{SEARCH}.parents": parents, f"{SEARCH}.explorers": explorers, f"{SEARCH}.refiners": refiners}


def generations(*counts: int) -> dict[str, Any]:
    return {f"{SCHEDULE}.{layer}.generations": count for layer, count in enumerate(counts)}


CHANGES: dict[str, dict[str, Any]] = {
    "slow-head": {HEAD: 0.09}, "untrained-body": {"body": "untrained"}, "other": {"targets": "other"},
    "class-means": {"targets": "class means"}, "all-augmented": {"fit.augment": True},
    "population-x0.25": sizes(2, 6, 7), "population-x2": sizes(20, 45, 55),
    "generations-x0.25": generations(8, 4, 4, 1), "generations-x2": generations(60, 30, 30, 10),
    "batch-selection": {f"{SEARCH}.selection": "batch"}, "candidate-statistics": {f"{SEARCH}.statistics": "candidates"},
    "literal-reading": {f"{SEARCH}.noise": "pixel", f"{SEARCH}.blurred": "child"},
    "noise-pixel": {f"{SEARCH}.noise": "pixel"}, "blurred-child": {f"{SEARCH}.blurred": "child"},
    "no-smoothing": NO_BLUR, "noise-pixel-no-smoothing": {f"{SEARCH}.noise": "pixel", **NO_BLUR},
    "no-normalisation": {f"{SEARCH}.normalise": False},
    "no-explorers": {f"{SEARCH}.explorers": 0, f"{SEARCH}.refiners": 50},
    "noise-pixel-border-inside": {f"{SEARCH}.noise": "pixel", f"{SEARCH}.border": "inside"},
    "head-torch": {"searched.head_init": "torch"}, "averaged": {"searched.runs": 4},
    "normalised-output": {"fit.normalise_output": True},
    "sum": {"fit.squares": "sum", RATE: 1 / 3000, HEAD: 900},  # the head's own rate, rate x weight, stays 0.3
    "lambda-x0.1": {HEAD: 0.03}, "lambda-x10": {HEAD: 3}, "groups2": {"groups": 2}, "groups3": {"groups": 3},
    "search4": {"groups": 2}, "search6": {"groups": 3}, "untrained-slow-head": {"body": "untrained", HEAD: 0.09},
    "batch-statistics": {"statistics": "batch"}, "search-based-steps": {"fit.epochs": 80},
    "data-alone": {"seeded": "data"}, "network-alone": {"seeded": "network"}, "search-alone": {"seeded": "search"},
    "no-normalisation-x0.1": {f"{SEARCH}.normalise": False, RATE: 0.1},
    "no-normalisation-x0.01": {f"{SEARCH}.normalise": False, RATE: 0.01},
    "no-normalisation-x0.001": {f"{SEARCH}.normalise": False, RATE: 0.001},
    "search2-x0.3-head-x0.3-decay-0": {RATE: 0.3}, "search2-x1-head-x0.3-decay-0": {HEAD: 0.09},
    "search6-x1-head-x0.3-decay-0.005": {"groups": 3, HEAD: 0.09, "fit.weight_decay": 0.005},
    "untrained2-x1-head-x3-decay-0": {"body": "untrained", HEAD: 0.9},
}
# Of SGD: the convolutions a block, halved; and the rate.
SGD = {
    "sgd2": (1, 0.9), "sgd4": (2, 0.3), "sgd6": (3, 0.09), "sgd-augmented": (1, 0.9), "sgd2-steps": (1, 0.9),
    "sgd2-x1-decay-0": (1, 0.3), "sgd2-x10-decay-0.005": (1, 3), "sgd4-x0.3-decay-0": (2, 0.09),
    "sgd6-x0.3-decay-0": (3, 0.09), "sgd6-x0.3-decay-0.005": (3, 0.09),
}
SKIPPING = {"skip0-augmented": "all blocks", "skip0-kept-augmented": "kept blocks"}
FOLLOWED = {"search-based", "sgd2", "other"}


def settings(name: str) -> dict[str, Any]:
    """All settings of a variant at the book preset, by their path."""
    return dict(_flat(as_dict(VARIANTS[name].setup(presets.book("cifar10"))), ""))


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) and value else []
    return [found for key, item in items for found in _flat(item, f"{path}.{key}".lstrip("."))] or [(path, value)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_variant_changes_what_it_names_and_nothing_else(name: str) -> None:
    base, changed = settings("search-based"), settings(name)
    assert set(base) == set(changed) and len(base) > 40
    of_the_test = {"measured": 300 if name in FOLLOWED else 0, "tested": name not in TUNING,
                   "sample.validation": 4000 if name in TUNING else 1000}
    expected = {**CHANGES[name], **{key: value for key, value in of_the_test.items() if value != base[key]}}
    differ = {key: value for key, value in changed.items() if value != base[key]}
    assert differ == {key: pytest.approx(value) if isinstance(value, float) else value for key, value in expected.items()}


@pytest.mark.parametrize("name", SGD)
def test_sgd_has_the_rate_of_its_depth(name: str) -> None:
    found = settings(name)
    assert (found["groups"], found[RATE]) == (SGD[name][0], pytest.approx(SGD[name][1]))
    assert found["targets"] is None and HEAD not in found
    assert found["fit.augment"] == (name == "sgd-augmented") and found["tested"] == (name not in TUNING)
    assert found["measured"] == (300 if name in FOLLOWED else 0)


@pytest.mark.parametrize("name", SKIPPING)
def test_skipping(name: str) -> None:
    every, skipping = settings("all-augmented"), settings(name)
    assert skipping.pop("fit.skip.0") == "block0" and every.pop("fit.skip") == []
    assert skipping == {**every, "fit.averaged": SKIPPING[name]}


def test_no_variant_is_left_out() -> None:
    tuned = {name for name in VARIANTS if "tuned" in name}
    assert set(VARIANTS) - set(CHANGES) - set(SGD) - set(TUNING) - tuned == {"search-based", *SKIPPING}
    assert {name for name in TABLE1 if settings(name)["measured"]} == FOLLOWED


def test_either_side_has_as_many_trials() -> None:
    """Each depth, rates and weight decay; and the untrained body every rate of the head that search-based training has."""
    assert len(TRIALS["sgd"]) == len(TRIALS["search"])
    for key in ("groups", "decay"):
        assert {getattr(s, key) for s in TRIALS["sgd"]} == {getattr(s, key) for s in TRIALS["search"]}
    assert {s.head for s in TRIALS["search"]} <= {s.head for s in TRIALS["untrained"]}


@pytest.mark.parametrize("kind", TRIALS)
def test_the_chosen_setting_did_best_on_validation_images(kind: str) -> None:
    """Of the committed trials; and the tuned variants have it."""
    found = {setting: max(read_record(FOLDER / f"training-cifar10-book-{setting.named(kind)}-0.json")["validation_accuracy"])
             for setting in TRIALS[kind]}
    assert CHOSEN[kind] == max(found, key=lambda setting: found[setting])
    chosen, tuned = (settings(name) for name in (CHOSEN[kind].named(kind), f"{kind}-tuned"))
    assert {key for key in chosen if chosen[key] != tuned[key]} == {"tested", "sample.validation"}
