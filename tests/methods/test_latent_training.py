"""Training on what a gradient, or chance, has found: the paper's regression, resumed, told apart; what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import StopHereError, stop
from torch import nn

import repsearch as rs
from repsearch.learning import Regression
from repsearch.methods.latent_search import LatentSearch, latent_targets

PRESET = replace(rs.presets.smoke("digits"), width=8, groups=1)
LEARN = replace(PRESET.learn, epochs=4)
BOTH = ({"searcher": "gradient", "steps": 3}, {"searcher": "random", "samples": 7})


@pytest.fixture(scope="module")
def net(digits: rs.Dataset) -> rs.Network:
    return rs.search_network(digits, PRESET)


@pytest.fixture(scope="module")
def small(digits: rs.Dataset) -> rs.Dataset:
    return replace(digits, train=digits.train[:60], validation=digits.validation[:60])


def fresh(data: rs.Dataset) -> rs.Network:
    return rs.learn_network(data, PRESET)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("change", [{}, {"skip": ("block0",), "augment": True}, {"precision": "bfloat16"}])
def test_fit_is_the_regression_to_these_targets(how: dict[str, Any], change: dict[str, Any], net: rs.Network, small: rs.Dataset) -> None:
    one, other, config = fresh(small), fresh(small), replace(LEARN, epochs=2, **change)
    found = rs.fit(one, small, LatentSearch(net, **how), config, seed=3, progress=False)
    assert rs.learn(other, small, latent_targets(net, small.train, 3, **how), config, seed=3, progress=False) == found
    assert same(one, other)


@pytest.mark.parametrize("how", BOTH)
def test_a_resumed_training_ends_as_an_undisturbed_one(how: dict[str, Any], net: rs.Network, small: rs.Dataset, tmp_path: Path) -> None:
    whole, halves, path = fresh(small), fresh(small), tmp_path / "c"
    undisturbed = rs.fit(whole, small, LatentSearch(net, **how), LEARN, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(fresh(small), small, LatentSearch(net, **how), LEARN, checkpoint=path, progress=False, watch=stop)
    assert rs.fit(halves, small, LatentSearch(net, **how), LEARN, checkpoint=path, progress=False) == undisturbed
    assert same(whole, halves)
    for others, what in others_of(how, net):
        with pytest.raises(rs.InputError, match=f"of another training.*{what}"):
            rs.fit(fresh(small), small, others, LEARN, checkpoint=path, progress=False)
    with pytest.raises(rs.InputError, match=r"of another training \(method"):
        rs.learn(fresh(small), small, latent_targets(net, small.train, **how), LEARN, checkpoint=path, progress=False)


def others_of(how: dict[str, Any], net: rs.Network) -> Iterator[tuple[LatentSearch, str]]:
    """Other searches, and in what a checkpoint's identity says that they differ."""
    for name, value in {"gradient": {"steps": 2, "rate": 0.2, "clip": 0.5}, "random": {"samples": 8, "std": 0.4}}[how["searcher"]].items():
        yield LatentSearch(net, **{**how, name: value}), name + " "
    yield LatentSearch(net, searcher={"gradient": "random", "random": "gradient"}[how["searcher"]]), "searcher"
    yield LatentSearch(net, **how, like=replace(PRESET.search, normalise=False)), "normalise"
    other = deepcopy(net)
    other.head[1].weight.data *= 2
    yield LatentSearch(other, **how), "network"
    other = deepcopy(net)
    other.blocks[1][0][2].running_mean += 0.1
    yield LatentSearch(other, **how), "statistics"


def test_what_does_not_matter_tells_no_searches_apart(net: rs.Network) -> None:
    assert LatentSearch(net, steps=3, std=1.0, samples=5).identity()["method"] == "LatentSearch"
    assert LatentSearch(net, steps=3).identity() == LatentSearch(net, steps=(3, 3, 3, 3), samples=5).identity()
    assert LatentSearch(net, "random", samples=3).identity() == LatentSearch(net, "random", steps=5, samples=[3] * 4, rate=1).identity()


def test_targets_of_two_searches_are_told_apart(net: rs.Network, small: rs.Dataset) -> None:
    """As those of two evolutions are; and from the evolution's with as many generations."""
    few = small.train[:2]
    evolution = replace(PRESET.search, schedule=tuple(replace(row, generations=1) for row in PRESET.search.schedule))
    found = [latent_targets(net, few, seed, **how) for seed, how in (
        (0, {"steps": 1}), (0, {"steps": 2}), (1, {"steps": 1}), (0, {"steps": 1, "rate": 0.2}), (0, {"steps": 1, "clip": 0.2}),
        (0, {"searcher": "random", "samples": 1}), (0, {"searcher": "random", "samples": 1, "std": 0.3}),
    )] + [rs.search(net, few, evolution, engine="torch", progress=False)]
    identities = [Regression(targets).identity()["targets"] for targets in found]
    assert len(set(identities)) == len(identities) == 8
    assert identities[0] == Regression(latent_targets(net, few, steps=1)).identity()["targets"]


def test_the_same_network_may_be_searched_and_trained(small: rs.Dataset) -> None:
    """Before it is trained; so a resumed training finds the same targets, whatever its weights were when it stopped."""
    both = fresh(small)
    one = LatentSearch(both, steps=2)
    rs.fit(both, small, one, replace(LEARN, epochs=1), progress=False)
    other = latent_targets(fresh(small), small.train, steps=2)
    assert torch.equal(one.targets.read("block1"), other.read("block1"))


def test_a_gradients_targets_teach_and_the_networks_own_do_not(digits: rs.Dataset) -> None:
    accuracy = []
    for steps in (0, 20):
        model, config = fresh(digits), replace(PRESET.learn, epochs=5, batch=20)
        rs.fit(model, digits, LatentSearch(rs.search_network(digits, PRESET), steps=steps), config, progress=False)
        accuracy.append(rs.accuracy(model, digits.validation))
    assert accuracy[0] < 0.4 and accuracy[1] > 0.8


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"searcher": "evolution"}, "searcher='evolution': unknown; choose one of gradient, random"),
    ({"steps": -1}, "steps=-1: expected a whole number of at least 0"), ({"steps": 2.5}, "steps=2.5: expected a whole"),
    ({"steps": (1, 2)}, r"steps=\(1, 2\): has 2 numbers, the network 4 layers; give one for each, or one for all"),
    ({"samples": [1, 2, 3, -1]}, "samples=-1: expected"), ({"rate": 0}, "rate=0: expected a finite number above zero"),
    ({"clip": -1.0}, "clip=-1.0: expected"), ({"std": float("nan")}, "std=nan: expected"),
    ({"like": "paper"}, "like: expected a SearchConfig, found a str; give a preset's .search"),
    ({"like": rs.SearchConfig((rs.LayerSearch(1, 0.1),) * 2)}, "like: its schedule has 2 layers, the network 4"),
    ({"like": replace(PRESET.search, statistics="candidates")}, "like: has statistics='candidates'; these searchers know 'frozen' alone"),
    ({"like": replace(PRESET.search, selection="batch")}, "like: has selection='batch'"),
    ({"like": replace(PRESET.search, pull=0.5)}, "like: has pull=0.5"), ({"like": replace(PRESET.search, precision="bfloat16")}, "like: has precision"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str, net: rs.Network) -> None:
    with pytest.raises(rs.InputError, match=message):
        LatentSearch(net, **arguments)


def test_what_is_no_network() -> None:
    with pytest.raises(rs.InputError, match="network=None: expected the network to search, such as"):
        LatentSearch()
    with pytest.raises(rs.InputError, match="network: Linear has no stem; wrap it"):
        LatentSearch(nn.Linear(2, 2))
    with pytest.raises(rs.InputError, match="network: expected a Module, found a str"):
        LatentSearch("net")  # type: ignore[arg-type]


class Severed(nn.Module):
    def forward(self, H: torch.Tensor) -> torch.Tensor:
        return H.detach()


def network(block: nn.Module, head: nn.Module) -> rs.Network:
    return rs.Network(nn.AvgPool2d(8), [block], nn.Sequential(nn.Flatten(), head))


@pytest.mark.parametrize(("net", "message"), [
    (network(nn.BatchNorm2d(1, track_running_stats=False), nn.Linear(16, 10)), "network: blocks.0 has no statistics to freeze"),
    (network(nn.Conv2d(3, 2, 1), nn.Linear(16, 10)), r"network: cannot take images of shape \(1, 32, 32\)"),
    (network(nn.Identity(), nn.Linear(16, 9)), r"network: its head gives \(9,\) an image; expected \(10,\), one a class"),
    (network(nn.Flatten(), nn.Linear(16, 10)), r"network: block0 gives \(16,\) an image; expected \(channels, height, width\)"),
    (network(nn.Identity(), nn.Sequential(nn.Linear(16, 10), Severed())), "network: no gradient leads from its logits to its activations"),
    (network(nn.Identity(), nn.Linear(16, 10)).double(), r"network: cannot take|images: are torch.float32, the network torch.float64"),
])
def test_networks_that_cannot_be_searched(net: rs.Network, message: str, small: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match=message):
        latent_targets(net, small.train[:3], steps=2)


def test_weights_that_lead_to_nothing_finite(net: rs.Network, small: rs.Dataset) -> None:
    broken = deepcopy(net)
    broken.blocks[1][0][0].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(rs.InputError, match="network: block1 is NaN or exceeds the range of float16; look at its weights"):
        latent_targets(broken, small.train[:3], steps=2)


def test_what_does_not_fit_is_said_before_the_search(net: rs.Network, small: rs.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LatentSearch, "search", lambda *_: pytest.fail("searched"))
    wide = rs.learn_network(small, replace(PRESET, width=16))
    for model, config, message in (
        (fresh(small), rs.FitConfig(), "config: expected a LearnConfig, found a FitConfig; give a preset's .learn"),
        (fresh(small), replace(LEARN, skip=("block7",)), "skip='block7': unknown"),
        (wide, LEARN, r"targets: block0 is \(8, 15, 15\), the network's \(16, 15, 15\)"),
    ):
        with pytest.raises(rs.InputError, match=message):
            rs.fit(model, small, LatentSearch(net), config, progress=False)
    with pytest.raises(rs.InputError, match="data: expected a Split, found a Dataset"):
        LatentSearch(net)._described(small, 0)  # type: ignore[arg-type]
