"""One folder, several searches: other networks, other ranks, other machines, other places, no right to write."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import CONFIG, SMALL, damage, two_blocks
from torch import nn

import repsearch as rs
from repsearch import ranks
from repsearch.cli.main import main
from repsearch.presets import Preset
from repsearch.store.folder import sole_writer, verify
from repsearch.store.manifest import read_manifest, write_manifest


@pytest.fixture
def second_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process takes itself for the second of two, the first of which has just written the manifest."""
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    monkeypatch.setattr(ranks, "wait_for_all", lambda: None)


@pytest.mark.parametrize("other", ["network", "labels", "seed", "configuration"])
@pytest.mark.usefixtures("second_rank")
def test_a_rank_that_searches_something_else_is_refused(stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset, other: str) -> None:
    train, config, seed = data.train, preset.search, 0
    if other == "network":
        network = rs.search_network(data, preset, seed=1)
    elif other == "labels":
        train = rs.Split(train.images, train.labels.roll(1), train.classes, train.indices)
    elif other == "configuration":
        config = config.prolonged(2)
    else:
        seed = 1
    with pytest.raises(rs.InputError, match="another"):
        rs.search(network, train, config, seed, store=stored, progress=False)


@pytest.fixture
def another_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration gives statistics that differ in their last bits, as on a CPU with other instructions."""
    def calibrate(network: rs.Network, *arguments: Any) -> rs.Network:
        rs.calibrate(network, *arguments)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.mul_(1 + 2e-7)  # type: ignore[union-attr, operator]
        return network

    monkeypatch.setattr("repsearch.airbench.calibrate", calibrate)


@pytest.mark.usefixtures("another_cpu")
def test_a_folder_can_be_repaired_on_another_cpu(commanded: Path) -> None:
    damage(commanded / "shard-00000.safetensors")
    assert main(["targets", "verify", str(commanded), "--repair", "--quiet"]) == 0
    assert not verify(commanded) and len(rs.Targets.open(commanded)) == 4


@pytest.mark.usefixtures("another_cpu")
def test_a_search_can_be_finished_on_another_cpu(commanded: Path) -> None:
    (commanded / "shard-00000.safetensors").unlink()
    write_manifest(commanded, {**read_manifest(commanded), "shards": {}})
    assert main(["search", "--data", "digits", "--preset", "smoke", *SMALL, "--images", "4", "--out", str(commanded)]) == 0


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="plays a CPU with fewer instructions than this one")
def test_a_folder_can_be_repaired_without_avx512(commanded: Path) -> None:
    damage(commanded / "shard-00000.safetensors")
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, "-m", "repsearch", "targets", "verify", str(commanded), "--repair", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_repair_discards_no_shard_that_it_cannot_make_again(commanded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = commanded / "shard-00000.safetensors"
    damage(shard)
    before = shard.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise rs.InputError("data: are gone")

    monkeypatch.setattr("repsearch.cli.common.load", fail)
    assert main(["targets", "verify", str(commanded), "--repair", "--quiet"]) != 0
    assert shard.read_bytes() == before


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.LeakyReLU(0.3), nn.Sequential(nn.ReLU(), nn.ReLU6())], ids=["tanh", "slope", "more"])
def test_a_network_of_equal_weights_and_other_layers_is_another(tmp_path: Path, data: rs.Dataset, layer: nn.Module) -> None:
    rs.search(two_blocks(nn.LeakyReLU(0.1)), data.train[:4], CONFIG, store=tmp_path / "t", progress=False)
    with pytest.raises(rs.InputError, match="another network"):
        rs.search(two_blocks(nn.Sequential(layer)[0]), data.train[:4], CONFIG, store=tmp_path / "t", progress=False)


def test_a_network_of_equal_weights_and_another_dilation_is_another(tmp_path: Path, data: rs.Dataset) -> None:
    rs.search(two_blocks(), data.train[:4], CONFIG, store=tmp_path / "t", progress=False)
    other = two_blocks()
    other.blocks[0].dilation, other.blocks[0].padding = (2, 2), (2, 2)  # type: ignore[union-attr]
    with pytest.raises(rs.InputError, match="another network"):
        rs.search(other, data.train[:4], CONFIG, store=tmp_path / "t", progress=False)


def test_a_compiled_network_is_the_same_to_its_store(tmp_path: Path, data: rs.Dataset) -> None:
    network = two_blocks()
    targets = rs.search(network, data.train[:4], CONFIG, store=tmp_path / "t", progress=False)
    again = rs.search(torch.compile(network), data.train[:4], CONFIG, store=tmp_path / "t", progress=False)
    assert torch.equal(again.read("block1"), targets.read("block1"))


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch, stored: Path) -> Path:
    """The folder `stored` on a share that may only be read, played by what the operating system answers."""
    def within(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(stored)

    def refuse(name: str) -> None:
        real = getattr(os, name)

        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            writes = name != "open" or (arguments[0] if arguments else named["flags"]) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if within(path) and writes and not (name == "mkdir" and Path(path).exists()):
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return real(path, *arguments, **named)

        monkeypatch.setattr(os, name, call)

    for name in ("open", "mkdir", "replace", "rename", "unlink"):
        refuse(name)
    return stored


def test_finished_targets_on_a_read_only_share_are_given(read_only: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    targets = rs.search(network, data.train, preset.search, store=read_only, progress=False)
    assert torch.equal(targets.read("logits"), rs.Targets.open(read_only).read("logits"))


def test_targets_of_a_relative_store_outlive_a_change_of_directory(tmp_path: Path, data: rs.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    searched = rs.search(two_blocks(), data.train[:4], CONFIG, store="t", progress=False)
    opened = rs.Targets.open("t")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert torch.equal(searched.read("logits"), opened.read("logits"))


def test_a_store_may_begin_with_the_home_folder(tmp_path: Path, data: rs.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    rs.search(two_blocks(), data.train[:4], CONFIG, store="~/t", progress=False)
    assert (tmp_path / "home" / "t" / "manifest.json").exists() and not (tmp_path / "~").exists()
    assert len(rs.Targets.open("~/t")) == 4


def test_a_checkpoint_may_begin_with_the_home_folder(tmp_path: Path, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    rs.fit(two_blocks(), data, rs.methods.Backprop(), preset.baseline, checkpoint="~/c", progress=False)
    assert (tmp_path / "c").exists()


def test_a_checkpoint_stays_where_it_was_when_training_began(tmp_path: Path, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    rs.fit(two_blocks(), data, rs.methods.Backprop(), preset.baseline, checkpoint="c", progress=False,
           watch=lambda *_: os.chdir(tmp_path / "elsewhere"))
    assert (tmp_path / "c").exists() and not (tmp_path / "elsewhere" / "c").exists()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_searched_by_one_at_a_time(tmp_path: Path, data: rs.Dataset, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = tmp_path / "t"
    folder.mkdir()
    with sole_writer(folder), pytest.raises(rs.InputError, match="another process is searching there"):
        rs.search(two_blocks(), data.train[:4], CONFIG, store=folder, progress=False)
    assert len(rs.search(two_blocks(), data.train[:4], CONFIG, store=folder, progress=False)) == 4


@pytest.mark.parametrize("name", [".DS_Store", "._.DS_Store", "Thumbs.db"])
def test_a_store_may_hold_what_a_file_browser_leaves(tmp_path: Path, data: rs.Dataset, name: str) -> None:
    (tmp_path / name).touch()
    assert len(rs.search(two_blocks(), data.train[:4], CONFIG, store=tmp_path, progress=False)) == 4


def test_the_hint_how_to_repair_can_be_pasted(stored: Path) -> None:
    folder = stored.rename(stored.with_name("my targets"))
    damage(folder / "shard-00000.safetensors")
    with pytest.raises(rs.InputError) as error:
        rs.Targets.open(folder).read("block0")
    assert f"verify '{folder}' --repair" in str(error.value) or f'verify "{folder}" --repair' in str(error.value)
