"""targets verify --repair: it does what search did, from what search kept, and never takes away what it cannot make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import SMALL

from repsearch.cli.main import main
from repsearch.store.folder import verify
from repsearch.store.manifest import read_manifest, write_manifest
from repsearch.store.writer import TargetsWriter

SEARCH = ["search", *SMALL, "--images", "2", "--quiet"]
REPAIR = ["targets", "verify", "t", "--repair", "--quiet"]


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "t"
    assert main([*SEARCH, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Targets of two digits, in one shard, in the folder t of the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(_made, "t")
    return Path("t")


def command(folder: Path, **changes: Any) -> None:
    kept = json.loads((folder / "command.json").read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in kept.items() if value is not ...}
    (folder / "command.json").write_text(json.dumps(kept), encoding="utf-8")


def damage(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return content


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "statistics.safetensors"])
def test_a_damaged_file_is_made_again(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = damage(folder / name)
    assert main(REPAIR[:-2]) == 1
    assert capsys.readouterr().out.startswith(f"t/{name}: ")
    assert main(REPAIR) == 0
    assert (folder / name).read_bytes() == whole and not verify(folder)


def test_what_was_never_searched_is_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = folder / "shard-00000.safetensors"
    whole = shard.read_bytes()
    shard.unlink()
    write_manifest(folder, {**read_manifest(folder), "shards": {}})
    assert main(REPAIR[:-2]) == 1
    assert capsys.readouterr().out == "0 of 1 shards are whole, 0 damaged, 1 missing\n"
    assert main(REPAIR) == 0
    assert shard.read_bytes() == whole


def test_a_search_that_was_interrupted_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TargetsWriter, "write", interrupt)
        assert main([*SEARCH, "--out", "t2"]) == 130
    assert main(["targets", "verify", "t2", "--repair", "--quiet"]) == 0
    assert Path("t2/shard-00000.safetensors").read_bytes() == (folder / "shard-00000.safetensors").read_bytes()


def test_a_refused_search_leaves_what_is_kept_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([*SEARCH, "--seed", "1", "--out", "t"]) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert capsys.readouterr().err == (
        "repsearch: t/manifest.json: targets of other images or labels; name another folder or delete it\n")
    assert main([*SEARCH, "--out", "thesis"]) == 0
    Path("thesis.tex").touch()
    assert main([*SEARCH, "--out", "."]) == 2 and not Path("command.json").exists() and not Path(".search.lock").exists()
    assert "--out='" in capsys.readouterr().err


def test_what_release_0_1_kept_is_enough(folder: Path) -> None:
    """Neither images nor layers, no name of the data, a preset only if it was given."""
    assert main(["search", *SMALL, "--quiet", "--out", "all"]) == 0
    whole = damage(Path("all/shard-00000.safetensors"))
    command(Path("all"), images=..., layers=..., data=None, preset=None, root=None)
    assert main(["targets", "verify", "all", "--repair", "--quiet"]) == 0
    assert Path("all/shard-00000.safetensors").read_bytes() == whole and folder.exists()


def test_a_command_that_makes_something_else_takes_nothing_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / "shard-00000.safetensors")
    command(folder, seed=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(REPAIR) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "targets of other images or labels" in capsys.readouterr().err


def test_data_that_moved_are_found_by_root(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("REPSEARCH_DATA", raising=False)
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    pixels = rng.integers(0, 256, (40, 9, 9), dtype=np.uint8)
    Path("data").mkdir()
    np.savez("data/mine.npz", train_images=pixels, train_labels=labels, test_images=pixels[:2], test_labels=labels[:2],
             classes=np.array(["a", "b"]))
    sizes = ["--train", "8", "--validation", "8", "--test", "2"]
    assert main(["search", "--data", "mine", "--root", "data", *sizes, "--images", "2", "--out", "m", "--quiet"]) == 0
    whole = damage(Path("m/shard-00000.safetensors"))
    repair = ["targets", "verify", "m", "--repair", "--quiet"]
    capsys.readouterr()
    assert main(repair) == 2
    said = capsys.readouterr().err
    assert f"m/command.json: its data are in {Path('data').absolute()}" in said and "--root" in said and folder.exists()
    Path("data").rename("moved")
    assert main([*repair, "--root", "moved"]) == 0
    assert Path("m/shard-00000.safetensors").read_bytes() == whole


@pytest.mark.parametrize("changes", [
    {"seed": True}, {"seed": -1}, {"seed": "0"}, {"train": 0}, {"train": 20.0}, {"images": "2"}, {"device": "cuda:0;rm"}, {"device": None},
    {"engine": "warp"}, {"engine": ["kernel"]}, {"layers": []}, {"layers": "block0"}, {"layers": ["../x"]}, {"preset": "/etc/passwd"}, {"preset": 3},
    {"data": "a/b"}, {"data": "a\\b"}, {"data": ".."}, {"data": "C:x"}, {"data": "a\x1b[31m"}, {"root": ["x"]}, {"seed": ...}, {"out\x1b[31m": 1},
], ids=str)
def test_a_command_of_other_entries_is_refused_in_a_line(folder: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / "shard-00000.safetensors")
    command(folder, **changes)
    assert main(REPAIR) == 2
    said = capsys.readouterr()
    assert said.err.startswith("repsearch: t/command.json: its entry ") and len(said.err.splitlines()) == 1
    assert main(["targets", "info", "t"]) == 0  # which can do without
    assert "\x1b" not in said.err + said.out + "".join(capsys.readouterr())


@pytest.mark.parametrize(("size", "rank", "message"), [
    ("2", "2", "RANK='2': expected a whole number below WORLD_SIZE=2"), ("2", "first", "RANK='first': expected a whole number"),
    ("-1", "0", "WORLD_SIZE='-1': expected a whole number of at least 1"),
])
def test_an_environment_that_is_not_torchruns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                              size: str, rank: str, message: str) -> None:
    for name, value in (("WORLD_SIZE", size), ("RANK", rank), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    assert main([*SEARCH, "--out", str(tmp_path / "t")]) == 2
    assert message in capsys.readouterr().err


def test_a_record_that_cannot_be_written_is_refused_before_the_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SEARCH, "--out", "new", "--json", "t/command.json/x.json"]) == 2
    assert "json=" in capsys.readouterr().err and not Path("new").exists() and folder.exists()
