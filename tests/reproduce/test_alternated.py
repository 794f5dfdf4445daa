"""Search and learning in turn, and its controls, small: each does what it says, and a record has all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import measure, presets
from repsearch.networks import rest
from repsearch.operators import normalise
from repsearch.presets import Preset
from repsearch.reproduce import controls
from repsearch.reproduce.alternated import run
from repsearch.reproduce.loops import LOOPS
from repsearch.reproduce.records import as_written
from repsearch.rounds import AlternateConfig


@pytest.fixture(scope="module")
def config(preset: Preset) -> AlternateConfig:
    return replace(preset.alternate, rounds=2, generations=(2, 1, 1, 1), epochs=1, learn=replace(preset.learn, epochs=2))


def learned_from(data: rs.Dataset, preset: Preset, config: AlternateConfig, change: controls.Change) -> rs.Rounds:
    return rs.alternate(rs.search_network(data, preset), rs.learn_network(data, preset), data, config, progress=False,
                        change=change)


def test_the_first_targets_again(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    rounds = learned_from(data, preset, config, controls.first_targets())
    assert rounds[1].targets is rounds[0].targets and set(rounds[1].from_first.values()) == {0}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_targets_drawn_to_their_class_mean(data: rs.Dataset, targets: rs.Targets, share: float) -> None:
    made = controls.shrunk(data, share)(0, nn.Identity(), targets)
    H, nearer = targets.read("block1"), made.read("block1")
    for label in range(10):
        here = data.train.labels == label
        assert torch.allclose(nearer[here], H[here].mean(0) + share * (H[here] - H[here].mean(0)), atol=2e-3)
    assert (measure.between_class_share(nearer, data.train.labels) > 0.99) == (share == 0)
    assert torch.equal(made.read("logits"), targets.read("logits"))


def test_a_search_for_other_images_labels(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    """What is found makes the network say others' labels, and it is only the later rounds that do so."""
    change, seen = controls.wrong_labels(data, config, 0), list[tuple[int, nn.Module]]()

    def watched(number: int, network: nn.Module, targets: rs.Targets) -> rs.Targets:
        seen.append((number, network))
        return change(number, network, targets)

    rounds = learned_from(data, preset, config, watched)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    loss = F.cross_entropy(rest(seen[1][1], 2, rounds[1].targets.read("block2")), data.train.labels[order])
    assert float(loss) == pytest.approx(rounds[1].after["block2"], abs=5e-3) and rounds[0].after != rounds[1].after
    assert float(rounds[1].targets.probability.mean()) > 0.3  # the head learns its own image's label


def test_its_own_activations_and_others_moves(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    """Block by block: T = H, and T = H plus another image's T - H; the head's targets stay."""
    seen = list[tuple[nn.Module, rs.Targets]]()
    still, others = controls.still(data, config), controls.others_moves(data, config, 0)
    learned_from(data, preset, config, lambda number, network, targets: (
        seen.append((network, targets)), targets if number == 0 else still(number, network, targets))[1])
    network, targets = seen[1]
    with torch.no_grad():
        H = normalise(network.blocks[0](network.stem(data.train.images)))
    assert torch.allclose(still(1, network, targets).read("block0"), H, atol=1e-2)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    moved = others(1, network, targets)
    assert torch.allclose(moved.read("block0"), H + (targets.read("block0") - H)[order], atol=2e-2)
    for made in (still(1, network, targets), moved):
        assert torch.equal(made.read("logits"), targets.read("logits"))
    assert others(0, network, targets) is targets


def test_a_step_down_the_gradient_as_long_as_the_search(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    plain = rs.alternate(rs.search_network(data, preset), rs.learn_network(data, preset), data, config, progress=False)
    rounds = learned_from(data, preset, config, controls.downhill(data, config))
    for block, move in rounds[1].moves.items():
        assert move.downhill == pytest.approx(1, abs=0.01)
        assert move.length == pytest.approx(plain[1].moves[block].length, rel=0.02)
    assert rounds[0].moves == plain[0].moves


def test_a_teachers_activations(data: rs.Dataset, preset: Preset, config: AlternateConfig, network: rs.Network) -> None:
    rounds = learned_from(data, preset, replace(config, rounds=1), controls.taught(network, data.train, config))
    with torch.no_grad():
        H = normalise(network.blocks[0](network.stem(data.train.images)))
        last = normalise(rs.activations(network, data.train.images)[2])
    assert torch.allclose(rounds[0].targets.read("block0"), H, atol=1e-2)
    assert torch.allclose(rounds[0].targets.read("block2"), last, atol=1e-2)  # by itself, and not through its normalised


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_a_record_of_each_kind(name: str, tmp_path: Path) -> None:
    setup = LOOPS[name].setup(replace(presets.smoke(), width=8, train=20, validation=20, test=30))
    quick = replace(setup.alternate, rounds=min(2, setup.alternate.rounds), epochs=1,
                    generations=tuple(min(1, n) for n in setup.alternate.generations),
                    learn=replace(setup.alternate.learn, epochs=1, batch=10),
                    search=replace(setup.alternate.search, schedule=tuple(
                        replace(row, generations=2) for row in setup.alternate.search.schedule)))
    small = replace(setup, alternate=quick, teacher=replace(setup.teacher, epochs=1, batch=10))
    found, again = run(small, 0), run(small, 0, store=tmp_path)
    assert as_written(found) == as_written(again) and not list(tmp_path.iterdir())
    assert len(found["test"]) == len(found["rounds"]) == quick.rounds and json.dumps(found)
    assert {"before", "after", "between_class", "moves", "from_first", "spent", "validation_accuracy", "best_epoch",
            "train_accuracy", "errors"} == set(found["rounds"][-1])
    assert found["spent"] > 0 and found["engines"][0] == "kernel"


@pytest.mark.parametrize("preset", [presets.smoke(), presets.book("cifar10"), presets.book("mnist")], ids=str)
def test_all_ways_have_as_many_generations_and_epochs_as_they_say(preset: Preset) -> None:
    def totals(config: AlternateConfig) -> list[int]:
        later = config.rounds - 1
        return [config.learn.epochs + later * config.epochs, *(
            row.generations + later * n for row, n in zip(config.search.schedule, config.generations, strict=True))]

    wanted = totals(LOOPS["loop"].setup(preset).alternate)
    for name in ("rounds2", "rounds5", "rounds9", "once-long"):
        assert totals(LOOPS[name].setup(preset).alternate) == wanted, name
