"""The command line: what it keeps, what it promises, and what it answers in surroundings it did not expect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import SMALL, damage, write_npz

from repsearch.cli.main import main
from repsearch.store.folder import verify
from repsearch.store.manifest import read_manifest, write_manifest
from repsearch.store.writer import TargetsWriter


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_repair_remembers_the_preset_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSEARCH_PRESET", "book")
    assert main(["search", "--data", "digits", *SMALL, "--images", "1", "--out", "t"]) == 0
    monkeypatch.setenv("REPSEARCH_PRESET", "smoke")
    shard = Path("t/shard-00000.safetensors")
    whole = shard.read_bytes()
    damage(shard)
    assert main(["targets", "verify", "t", "--repair", "--quiet"]) == 0
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("by", ["option", "environment"])
def test_repair_from_another_folder_makes_the_shard_again_or_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: str) -> None:
    write_npz(tmp_path / "data" / "mine.npz", [20, 20])
    if by == "environment":
        monkeypatch.setenv("REPSEARCH_DATA", "data")
    root = ["--root", "data"] if by == "option" else []
    sizes = ["--train", "8", "--validation", "8", "--test", "2"]
    assert main(["search", "--data", "mine", *root, *sizes, "--images", "2", "--out", "t", "--quiet"]) == 0
    shard = tmp_path / "t" / "shard-00000.safetensors"
    damage(shard)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    monkeypatch.delenv("REPSEARCH_DATA", raising=False)
    capsys.readouterr()
    status = main(["targets", "verify", str(tmp_path / "t"), "--repair", "--quiet"])
    assert shard.exists()
    assert (status == 0 and not verify(tmp_path / "t")) or "root" in "".join(capsys.readouterr())


TRAIN = ["--data", "digits", "--preset", "smoke", *SMALL, "--epochs", "1"]


@pytest.mark.parametrize("command", ["fit", "learn"])
def test_weights_go_into_a_new_folder(commanded: Path, command: str) -> None:
    if command == "learn":
        assert main(["search", "--data", "digits", "--preset", "smoke", *SMALL, "--out", "all"]) == 0
    targets = ["--targets", "all"] if command == "learn" else []
    assert main([command, *TRAIN, *targets, "--out", "new/folder/weights.safetensors"]) == 0
    assert Path("new/folder/weights.safetensors").exists() and commanded.exists()


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_file_that_cannot_be_written_is_refused_before_training(capsys: pytest.CaptureFixture[str], option: str) -> None:
    Path("file").touch()
    assert main(["fit", *TRAIN, option, "file/weights"]) == 2
    said = capsys.readouterr()
    assert "validation accuracy" not in said.out and "file/weights" in said.err


def test_learn_takes_targets_of_the_first_images(commanded: Path) -> None:
    assert main(["learn", *TRAIN, "--targets", str(commanded)]) == 0


def test_the_record_of_learning_tells_targets_apart() -> None:
    settings = []
    for block in ("block0", "block1"):
        assert main(["search", "--data", "digits", "--preset", "smoke", *SMALL, "--layers", block, "logits", "--out", block]) == 0
        assert main(["learn", *TRAIN, "--targets", block, "--json", f"{block}.json"]) == 0
        settings.append(json.loads(Path(f"{block}.json").read_text(encoding="utf-8"))["settings"])
    assert settings[0] != settings[1]


def test_an_interrupted_training_without_a_checkpoint_promises_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("repsearch.fitting._epoch", interrupt)
    assert main(["fit", *TRAIN]) == 130
    assert "goes on" not in capsys.readouterr().err


def test_an_interrupted_search_leaves_what_repair_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TargetsWriter, "write", interrupt)
    assert main(["search", "--data", "digits", "--preset", "smoke", *SMALL, "--images", "2", "--out", "t"]) == 130
    assert Path("t/command.json").exists()


def test_verify_of_an_unfinished_search_says_so(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = read_manifest(stored)
    for i in (1, 2, 4):
        name = f"shard-{i:05d}.safetensors"
        del manifest["shards"][name]
        (stored / name).unlink()
    write_manifest(stored, manifest)
    assert main(["targets", "verify", str(stored)]) == 1
    said = capsys.readouterr().out
    assert "2 of 5" in said or "3 " in said


def test_a_message_of_the_command_line_calls_options_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert main(["search", *TRAIN[:-2], "--out", "file/t"]) == 2
    said = capsys.readouterr().err
    assert "out" in said and "store=" not in said


@pytest.mark.parametrize("size", ["2", "two", "0"])
def test_a_world_without_a_rank_is_answered_in_a_line(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert main(["search", *TRAIN[:-2], "--images", "2", "--out", "t"]) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_under_torchrun_where_there_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert main(["search", *TRAIN[:-2], "--device", "cuda", "--out", "t"]) == 2
    assert "device=" in capsys.readouterr().err


def test_a_seed_beyond_64_bits_is_taken_or_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["search", *TRAIN[:-2], "--images", "2", "--seed", str(2**64), "--out", "t"])
    assert status == 0 or "seed=" in capsys.readouterr().err


def test_a_training_can_be_prolonged_or_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *TRAIN, "--checkpoint", "c"]) == 0
    capsys.readouterr()
    status = main(["fit", *TRAIN[:-1], "2", "--checkpoint", "c"])
    assert status == 0 or "epochs" in capsys.readouterr().err


WITHOUT_A_CACHE = """
import sys, tempfile
import numba, numpy as np
from numba.core import caching
def refuse(self):
    raise OSError("Read-only file system")
for locator in list(caching.CacheImpl._locator_classes):
    if "InTree" in locator.__name__ or "UserWide" in locator.__name__:
        locator.ensure_cache_path = refuse
tempfile.tempdir, chosen = sys.argv[1], numba.config.CACHE_DIR
from repsearch.engine import kernel
assert numba.config.CACHE_DIR == chosen
tiles = np.ones((1, 16), np.float32)
smoothed = np.empty_like(tiles)
kernel.smooth_rows(tiles, np.ones((1, 1), np.float32), tiles, smoothed)
assert (smoothed == tiles).all()
print(kernel.smooth_loop.stats.cache_path, len(kernel.smooth_loop.stats.cache_hits))
"""


def import_without_a_cache(temporary: Path) -> list[str]:
    """Numba's folders beside the code and in HOME answer as read-only ones do, and temporary files belong into
    `temporary`: where the kernel's cache is then, and whether the code was there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    done = subprocess.run([sys.executable, "-c", WITHOUT_A_CACHE, str(temporary)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_library_is_imported_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert import_without_a_cache(tmp_path / "missing") == ["None", "0"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_the_cache_of_the_kernel_may_be_a_private_temporary_folder(tmp_path: Path) -> None:
    folder = tmp_path / f"repsearch-{os.getuid()}"
    for hits in "01":
        place, found = import_without_a_cache(tmp_path)
        assert Path(place).parent == folder and found == hits
    assert folder.stat().st_mode & 0o777 == 0o700 and list(folder.rglob("*.nbc"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
@pytest.mark.parametrize("found", ["open to all", "link", "file"])
def test_the_cache_of_the_kernel_is_never_where_others_may_write(tmp_path: Path, found: str) -> None:
    """What is in a cache is run."""
    folder = tmp_path / f"repsearch-{os.getuid()}"
    if found == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif found == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    else:
        folder.touch()
    assert import_without_a_cache(tmp_path) == ["None", "0"]
    assert not list(tmp_path.rglob("*.nb*"))


SHORT_TIMEOUT = """
import os, sys, time
from datetime import timedelta
import torch.distributed as dist
import repsearch as rs
rank, folder = int(sys.argv[1]), sys.argv[2]
open(f"{folder}/{rank}", "w").close()
while not os.path.exists(f"{folder}/{1 - rank}"):
    time.sleep(0.01)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=3))
from repsearch.store.writer import TargetsWriter
write = TargetsWriter.write
def slow(self, start, *rest):
    if start:
        time.sleep(5)
    write(self, start, *rest)
TargetsWriter.write = slow
data, preset = rs.load("digits", train=20, validation=10, test=10), rs.presets.smoke("digits")
config = preset.search.prolonged(0.1).resized(10)
import dataclasses
rs.search(rs.search_network(data, preset), data.train[:2], dataclasses.replace(config, shard=1), store=f"{folder}/t", progress=False)
dist.barrier()
os._exit(0)
"""


@pytest.mark.slow
def test_a_rank_may_be_busy_for_longer_than_the_users_group_waits(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    jobs = [subprocess.Popen([sys.executable, "-c", SHORT_TIMEOUT, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True)
            for rank in range(2)]
    errors = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors
