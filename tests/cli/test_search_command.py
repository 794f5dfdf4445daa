"""search, and targets."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command import SMALL, run

import repsearch as rs
from repsearch.store.manifest import read_manifest


def test_search_resumes_and_says_the_same(searched: Path) -> None:
    before = {path.name: path.read_bytes() for path in (searched / "targets" / "digits-smoke").iterdir()}
    done = run("search", *SMALL, cwd=searched)
    assert "cross-entropy" in done.stdout
    assert {path.name: path.read_bytes() for path in (searched / "targets" / "digits-smoke").iterdir()} == before
    assert len(rs.Targets.open(searched / "targets" / "digits-smoke")) == 20


def test_searching_only_the_first_images(searched: Path) -> None:
    run("search", *SMALL, "--images", 3, "--out", "few", cwd=searched)
    few, all_of_them = rs.Targets.open(searched / "few"), rs.Targets.open(searched / "targets" / "digits-smoke")
    assert len(few) == 3 and torch.equal(few.read("block1"), all_of_them.read("block1", 0, 3))


def test_info_says_what_a_folder_holds(searched: Path) -> None:
    said = run("targets", "info", "targets/digits-smoke", cwd=searched).stdout
    assert "20 images in shards of 64, 1 of 1 done" in said
    assert "population 48, seed 0, engine kernel" in said
    manifest = read_manifest(searched / "targets" / "digits-smoke")
    assert f"data digits {manifest['data'][:8]}, preset smoke, network {manifest['network'][:8]}\n" in said
    assert "block0   16x15x15       20 generations, strength 0.3, boost 5.0, blur 5" in said


def test_verify_names_the_damage_and_repairs_it(searched: Path) -> None:
    folder = searched / "targets" / "digits-smoke"
    shard = folder / "shard-00000.safetensors"
    whole = shard.read_bytes()
    assert run("targets", "verify", folder, cwd=searched).stdout == "1 of 1 shards are whole, 0 damaged, 0 missing\n"
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = run("targets", "verify", folder, cwd=searched, expect=1)
    assert done.stdout.startswith(f"{shard}: damaged")
    done = run("learn", *SMALL, "--targets", folder, "--epochs", 1, cwd=searched, expect=2)
    assert f"repair it with: python -m repsearch targets verify {folder} --repair" in done.stderr
    run("targets", "verify", folder, "--repair", "--quiet", cwd=searched)
    assert shard.read_bytes() == whole
    run("targets", "verify", folder, cwd=searched)

    shard.unlink()
    (folder / "command.json").unlink()
    done = run("targets", "verify", folder, "--repair", cwd=searched, expect=1)
    assert "run your search again with this folder" in done.stdout
    done = run("search", *SMALL, cwd=searched)
    assert shard.read_bytes() == whole and "shard-00000.safetensors: missing; making it again" in done.stderr
    assert (folder / "command.json").exists()


def test_an_interrupted_command_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "repsearch", "search", "--train", "1000", "--out", str(tmp_path / "t"), "--quiet"]

    def heed_interrupts() -> None:  # which a job in the background of a shell is started without
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as job:
        while job.poll() is None and not list(tmp_path.glob("t/shard-*")):
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        assert job.communicate()[1].startswith("repsearch: interrupted; the same command goes on")
    assert job.returncode == 130


def test_targets_of_another_seed(searched: Path) -> None:
    done = run("search", *SMALL, "--seed", 1, cwd=searched, expect=2)
    said = "targets/digits-smoke/manifest.json: targets of other images or labels; name another folder or delete it"
    assert done.stderr == f"repsearch: {said}\n"
    done = run("learn", *SMALL, "--seed", 1, "--targets", "targets/digits-smoke", cwd=searched, expect=2)
    assert "targets: of other images or labels than the data given" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none(tmp_path: Path) -> None:
    done = run("search", "--device", "cuda", cwd=tmp_path, expect=2)
    assert "device='cuda': this machine offers torch 0 CUDA devices; use device='cpu'" in done.stderr
