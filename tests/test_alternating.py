"""Search and learning take turns: round 0 is the paper's method, later ones search the network that was trained."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch.engine.threads import one_thread
from repsearch.presets import Preset
from repsearch.rounds import AlternateConfig


@pytest.fixture(scope="module")
def config(preset: Preset) -> AlternateConfig:
    return replace(preset.alternate, generations=(2, 1, 1, 1), epochs=2)


def run(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, store: Path | None = None
) -> tuple[rs.Rounds, nn.Module]:
    model = rs.learn_network(data, preset)
    return rs.alternate(rs.search_network(data, preset), model, data, config, store=store, progress=False), model


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_one_round_is_the_papers_method(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    rounds, model = run(data, preset, replace(config, rounds=1))
    targets = rs.search(rs.search_network(data, preset), data.train, config.search, progress=False)
    alone = rs.learn_network(data, preset)
    history = rs.learn(alone, data, targets, config.learn, progress=False)
    assert rounds[0].history == history and same(model, alone)
    for layer in targets.layers:
        assert torch.equal(rounds[0].targets.read(layer), targets.read(layer))


def test_a_later_round_searches_the_network_as_trained(
    data: rs.Dataset, preset: Preset, config: AlternateConfig
) -> None:
    """By hand, from the parts."""
    rounds, _ = run(data, preset, replace(config, rounds=2))
    model = rs.learn_network(data, preset)
    rs.learn(model, data, rounds[0].targets, config.learn, progress=False)
    generators = rs.operators.image_generators(0, range(len(data.train)))
    copies = rs.operators.noisy(data.train.images, config.input_noise, generators)
    with one_thread():
        searched = rs.calibrate(copy.deepcopy(model), copies)  # type: ignore[arg-type]
    schedule = tuple(replace(row, generations=n) for row, n in zip(config.search.schedule, (2, 1, 1, 1), strict=True))
    again = replace(config.search, schedule=schedule, input_noise=config.input_noise)
    targets = rs.search(searched, data.train, again, progress=False)
    for layer in targets.layers:
        assert torch.equal(rounds[1].targets.read(layer), targets.read(layer))
    history = rs.learn(model, data, targets, replace(config.learn, epochs=2), progress=False)
    assert rounds[1].history == history


def test_the_model_has_the_weights_of_the_best_round(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """A last round at a rate that ruins the network is said to be worse, and is not what the user gets."""
    ruin = replace(config, rounds=2, learn=replace(config.learn, learning_rate=2.0))
    model = rs.learn_network(data, preset)
    rounds = rs.alternate(rs.search_network(data, preset), model, data, ruin, progress=True)
    accuracies = [one.accuracy for one in rounds]
    assert rounds.best == accuracies.index(max(accuracies))
    assert rs.accuracy(model, data.validation) == pytest.approx(max(accuracies))
    said = capsys.readouterr()
    assert "round 0: block0 cross-entropy" in said.out + said.err
    if rounds.best == 0:
        assert f"below {accuracies[0]:.1%} of round 0, whose weights are kept" in said.out + said.err


def test_rounds_say_what_they_did(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    rounds, _ = run(data, preset, replace(config, rounds=2))
    for one in rounds:
        assert set(one.before) == set(one.after) == set(one.targets.layers)
        assert all(one.after[layer] <= one.before[layer] for layer in one.before)
        assert set(one.between_class) == {"block0", "block1", "block2"}
        share = rs.measure.between_class_share(one.targets.read("block1"), data.train.labels)
        assert one.between_class["block1"] == pytest.approx(share)
    assert repr(rounds).startswith("Rounds(2, validation accuracy ")


PROGRAM = """
import sys
from dataclasses import replace
import torch
import repsearch as rs
from repsearch.config import split_population

torch.set_num_threads(1)
data, smoke = rs.load("digits", train=20, validation=20, test=40), rs.presets.smoke("digits")
schedule = tuple(replace(row, generations=n) for row, n in zip(smoke.search.schedule, (3, 2, 2, 2)))
preset = replace(smoke, width=8, search=replace(smoke.search, schedule=schedule, shard=4, **split_population(20, 4)),
                 learn=replace(smoke.learn, epochs=3, batch=10))
config = replace(preset.alternate, generations=(2, 1, 1, 1), epochs=2)
model = rs.learn_network(data, preset)
rs.alternate(rs.search_network(data, preset), model, data, config, store=sys.argv[1], progress=False)
torch.save(model.state_dict(), sys.argv[2])
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix == ".safetensors"}


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def begin(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path / name, tmp_path / f"{name}.pt"])

    assert begin("whole").wait() == 0
    written = len(files(tmp_path / "whole"))
    for wanted in sorted(random.Random(0).sample(range(written), 4)):
        process = begin("killed")
        while process.poll() is None and len(files(tmp_path / "killed")) < wanted:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert begin("killed").wait() == 0
    assert files(tmp_path / "whole") == files(tmp_path / "killed") and written == 3 * 6
    whole, killed = (torch.load(tmp_path / f"{name}.pt") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.slow
def test_ranks_share_each_rounds_search(tmp_path: Path) -> None:
    """As many bytes as one process writes, and the same; every rank ends with the same weights."""
    program = "import torch.distributed as dist; dist.init_process_group('gloo')\n" + PROGRAM.replace(
        "sys.argv[2])", "sys.argv[2] + str(dist.get_rank()))") + "dist.destroy_process_group()"
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, str(script), tmp_path / "shared", tmp_path / "weights"], check=True, env=environment)
    subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "alone", tmp_path / "alone.pt"], check=True)
    assert files(tmp_path / "shared") == files(tmp_path / "alone")
    weights: list[dict[str, Tensor]] = [torch.load(tmp_path / name) for name in ("weights0", "weights1", "alone.pt")]
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other)


@pytest.mark.parametrize(("change", "message"), [
    ({"rounds": 0}, "rounds=0: expected"),
    ({"generations": (1, 1)}, r"generations=\(1, 1\): expected one number for each of the 4 layers"),
    ({"generations": 3}, "generations=3: expected one number"),
    ({"generations": (1, 1, -1, 1)}, "generations=-1: expected"),
    ({"epochs": 0}, "epochs=0: expected"),
    ({"input_noise": 0}, "input_noise=0: expected"),
    ({"search": None}, "search: expected a SearchConfig"),
    ({"learn": "book"}, "learn: expected a LearnConfig"),
])
def test_values_out_of_range(config: AlternateConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        replace(config, **change)


def test_networks_that_do_not_fit(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    """Said before anything is searched."""
    network, wide = rs.search_network(data, preset), rs.learn_network(data, replace(preset, width=12))
    with pytest.raises(rs.InputError, match=r"model: its block0 is \(12, 15, 15\) an image, the network's \(8, 15, 15\)"):
        rs.alternate(network, wide, data, config, progress=False)
    literal = rs.learn_network(data, preset, statistics="batch")
    with pytest.raises(rs.InputError, match=r"model: .* has no statistics to freeze"):
        rs.alternate(network, literal, data, config, progress=False)
    with pytest.raises(rs.InputError, match="data: expected a Dataset"):
        rs.alternate(network, wide, data.train, config)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match="config: expected a AlternateConfig"):
        rs.alternate(network, wide, data, preset)  # type: ignore[arg-type]


def test_a_store_of_another_run(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, tmp_path: Path
) -> None:
    one = replace(config, rounds=1)
    run(data, preset, one, tmp_path)
    model = rs.learn_network(data, preset, seed=1)
    with pytest.raises(rs.InputError, match=r"checkpoint=.*of another training"):
        rs.alternate(rs.search_network(data, preset), model, data, one, store=tmp_path, progress=False)
    with pytest.raises(rs.InputError, match="targets of another seed"):
        rs.alternate(rs.search_network(data, preset), model, data, one, seed=1, store=tmp_path, progress=False)
