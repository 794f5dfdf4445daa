"""The command line, run as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.__main__ import main

SMALL = ("--train", "20", "--validation", "20", "--test", "40", "--quiet")


def run(*arguments: str | Path, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("REPSEARCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "repsearch", *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    done = run("search", *SMALL, "--json", "search.json", cwd=folder)
    assert json.loads((folder / "search.json").read_text())["seconds"] > 0
    assert "targets of 20 images: targets/digits" in done.stdout
    return folder


def test_demo_prints_the_table_and_leaves_three_figures_and_a_record(tmp_path: Path) -> None:
    done = run("demo", *SMALL, "--out", "here", "--json", "record.json", cwd=tmp_path)
    result = json.loads((tmp_path / "record.json").read_text())
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["accuracy.png", "learning.png", "search.png"]
    for layer, curve in result["cross_entropy"].items():
        assert curve[-1] < curve[0]
        assert f"{layer:<14}{curve[0]:8.3f}{curve[-1]:8.3f}" in done.stdout
    for name in ("search-based", "SGD", "untrained"):
        assert f"{name:<14}{100 * result['accuracy'][name]:7.1f}%" in done.stdout


@pytest.mark.parametrize(("name", "count"), [("mnist", 40), ("cifar10", 40)])
def test_demo_on_real_images_lowers_the_cross_entropy_at_every_layer(
    tmp_path: Path, real_data: Path, name: str, count: int
) -> None:
    run("demo", "--data", name, "--root", real_data, "--train", count, "--validation", 50, "--test", 50, "--quiet",
        "--json", "record.json", cwd=tmp_path)
    curves = json.loads((tmp_path / "record.json").read_text())["cross_entropy"]
    assert all(curve[-1] < curve[0] for curve in curves.values())


def test_search_resumes_and_says_the_same(searched: Path) -> None:
    before = {path.name: path.read_bytes() for path in (searched / "targets" / "digits").iterdir()}
    done = run("search", *SMALL, cwd=searched)
    assert "cross-entropy" in done.stdout
    assert {path.name: path.read_bytes() for path in (searched / "targets" / "digits").iterdir()} == before
    assert len(rs.Targets.open(searched / "targets" / "digits")) == 20


def test_learn_from_targets_and_the_baseline(searched: Path) -> None:
    done = run("learn", *SMALL, "--targets", "targets/digits", "--epochs", 3, "--skip", "block0", "--out", "model.safetensors",
               "--json", "learn.json", cwd=searched)
    assert "epoch" in done.stdout and ", test " in done.stdout
    assert "block0" not in json.loads((searched / "learn.json").read_text())["losses"]
    assert (searched / "model.safetensors").stat().st_size > 100_000
    done = run("learn", *SMALL, "--sgd", "--groups", 1, "--epochs", 2, "--augment", "--json", "sgd.json", cwd=searched)
    assert list(json.loads((searched / "sgd.json").read_text())["losses"]) == ["cross_entropy"]


def test_info_says_what_a_folder_holds(searched: Path) -> None:
    said = run("targets", "info", "targets/digits", cwd=searched).stdout
    assert "20 images in shards of 64, 1 of 1 done" in said
    assert "population 48, seed 0, engine kernel" in said
    assert "block0   16x15x15       20 generations, strength 0.3, boost 5.0, blur 5" in said


def test_verify_names_the_damage_and_repairs_it(searched: Path) -> None:
    folder = searched / "targets" / "digits"
    shard = folder / "shard-00000.safetensors"
    whole = shard.read_bytes()
    assert run("targets", "verify", folder, cwd=searched).stdout == "1 shards are whole, 0 damaged\n"
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
    assert "run your search again with this store" in done.stdout
    run("search", *SMALL, cwd=searched)
    assert shard.read_bytes() == whole


def test_searching_only_the_first_images(searched: Path) -> None:
    run("search", *SMALL, "--images", 3, "--out", "few", cwd=searched)
    few, all_of_them = rs.Targets.open(searched / "few"), rs.Targets.open(searched / "targets" / "digits")
    assert len(few) == 3 and torch.equal(few.read("block1"), all_of_them.read("block1", 0, 3))


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


@pytest.mark.parametrize(("arguments", "message"), [
    (("demo", "--data", "imagenet"), "data='imagenet': unknown; choose one of digits, mnist"),
    (("demo", "--preset", "huge"), "preset='huge': unknown; choose one of book, paper, smoke"),
    (("demo", "--train", "0"), "train=0: expected a whole number of at least 1"),
    (("demo", "--train", "99999"), "train=99999: needs 10000 images of class 0"),
    (("demo", "--seed", "-1"), "seed=-1: expected a whole number of at least 0"),
    (("search", "--device", "gpu"), "device='gpu': unknown; choose cpu, cuda, cuda:N or mps"),
    (("search", "--out", "/proc/nowhere"), "store='/proc/nowhere': cannot be written"),
    (("demo", "--out", "/proc/nowhere"), "out='/proc/nowhere': cannot be written"),
    (("learn", "--targets", "nowhere"), "nowhere: no manifest.json there"),
    (("learn", "--sgd", "--skip", "block9"), "skip='block9': unknown; choose one of block0, block1, block2"),
    (("learn", "--sgd", "--epochs", "0"), "epochs=0"),
    (("learn", "--sgd", "--groups", "0"), "groups=0"),
    (("learn",), "one of the arguments --targets --sgd is required"),
    (("fly",), "invalid choice"),
    (("search", "--engine", "warp"), "engine='warp': unknown; choose one of auto, kernel, reference, torch"),
    (("search", "--images", "0"), "images=0: expected a whole number of at least 1"),
    (("targets", "info", "nowhere"), "nowhere: no manifest.json there"),
    (("targets", "verify", "nowhere"), "nowhere: no manifest.json there"),
    (("bench", "--sizes", "huge"), "sizes='huge': unknown; choose one of laptop, paper"),
    (("demo", "--train", "many"), "argument --train: invalid int value: 'many'"),
])
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.chdir(tmp_path):
        try:
            status = main(list(arguments))
        except SystemExit as error:  # argparse's own
            status = int(str(error))
    assert status == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not any(tmp_path.iterdir()), "something half-written stayed behind"


def test_an_error_is_one_line_in_a_real_process_too(tmp_path: Path) -> None:
    done = run("demo", "--preset", "huge", cwd=tmp_path, expect=2)
    assert done.stderr == "repsearch: preset='huge': unknown; choose one of book, paper, smoke\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none(tmp_path: Path) -> None:
    done = run("search", "--device", "cuda", cwd=tmp_path, expect=2)
    assert "device='cuda': this machine offers torch 0 CUDA devices; use device='cpu'" in done.stderr


def test_targets_of_another_seed(searched: Path) -> None:
    done = run("search", *SMALL, "--seed", 1, cwd=searched, expect=2)
    assert "manifest.json: targets of another" in done.stderr
    done = run("learn", *SMALL, "--seed", 1, "--targets", "targets/digits", cwd=searched, expect=2)
    assert "targets: of other images or labels than the data given" in done.stderr
