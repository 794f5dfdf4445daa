"""Folders, checkpoints and data files from a stranger: nothing they say reaches a file outside them (U19)."""

from __future__ import annotations

import contextlib
import json
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from faulty import damage, two_blocks, write_npz
from torch import nn

import repsearch as rs
from repsearch.cli.main import main
from repsearch.presets import Preset
from repsearch.store.files import checksum
from repsearch.store.manifest import read_manifest, write_manifest

OUTSIDE = ["../victim.txt", "{parent}/victim.txt", "../stored/../victim.txt"]
INSIDE = ["notes.txt", "command.json", "shard-99999.safetensors", "shard-00001.safetensors.bak", "shard-0.safetensors",
          "shard-00005.safetensors"]
SHARDS = [f"shard-{i:05d}.safetensors" for i in range(5)]


def listed(folder: Path, name: str) -> Path:
    """Write a file, and its name into the manifest, which stays whole but for a wrong checksum of that file."""
    name = name.format(parent=folder.parent)
    victim = folder / name
    victim.write_text("precious")
    manifest = read_manifest(folder)
    manifest["shards"][name] = "0" * 64
    write_manifest(folder, manifest)
    return victim


@pytest.mark.parametrize("name", [*OUTSIDE, *INSIDE])
def test_repair_deletes_only_shards_of_the_folder(stored: Path, name: str) -> None:
    victim = listed(stored, name)
    with contextlib.suppress(rs.InputError):
        main(["targets", "verify", str(stored), "--repair", "--quiet"])
    assert victim.exists() and victim.read_text() == "precious"


@pytest.mark.parametrize("name", [*OUTSIDE, *INSIDE])
def test_a_manifest_that_lists_another_name_than_its_shards_is_refused(stored: Path, name: str) -> None:
    listed(stored, name)
    with pytest.raises(rs.InputError, match=r"manifest\.json"):
        rs.Targets.open(stored)


def test_a_search_takes_over_only_shards_of_its_folder(stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    victim, manifest = stored.parent / "victim.txt", read_manifest(stored)
    victim.write_text("precious")
    manifest["shards"]["../victim.txt"] = checksum(victim)
    write_manifest(stored, manifest)
    with contextlib.suppress(rs.InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rs.search(network, data.train, preset.search, store=stored, progress=False)
        assert sorted(read_manifest(stored)["shards"]) == SHARDS
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(("key", "value"), [
    ("images", "20"), ("images", -1), ("shards", SHARDS), ("shards", dict.fromkeys(SHARDS, 3)), ("configuration", None),
    ("configuration", {"shard": 0}), ("configuration", {"shard": "4"}), ("layers", ["block0"]), ("layers", {"block0": 3}),
    ("layers", {"\x1b[31mblock0": [8, 15, 15]}),
])
def test_a_manifest_with_entries_of_another_kind_is_refused_in_a_line(stored: Path, key: str, value: Any) -> None:
    write_manifest(stored, {**read_manifest(stored), key: value})
    with pytest.raises(rs.InputError, match=r"manifest\.json"):
        rs.Targets.open(stored).read("block0")


def test_a_manifest_nested_without_end_is_refused_in_a_line(stored: Path) -> None:
    (stored / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(rs.InputError, match=r"manifest\.json"):
        rs.Targets.open(stored)


def test_info_prints_no_control_characters(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(stored, {**read_manifest(stored), "library": "0.2\x1b]0;owned\x07"})
    main(["targets", "info", str(stored)])
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("change", [lambda H: H[:1], lambda H: H[:, :1], lambda H: H * float("nan"), lambda H: H.int()],
                         ids=["images", "channels", "nan", "type"])
def test_a_shard_of_other_tensors_than_the_manifest_says_is_refused(stored: Path, change: Any) -> None:
    shard = stored / "shard-00001.safetensors"
    tensors = safetensors.torch.load(shard.read_bytes())
    tensors["block0"] = change(tensors["block0"]).contiguous()
    shard.write_bytes(safetensors.torch.save(tensors))
    manifest = read_manifest(stored)
    manifest["shards"][shard.name] = checksum(shard)
    write_manifest(stored, manifest)
    with pytest.raises(rs.InputError, match="shard-00001"):
        rs.Targets.open(stored).read("block0")


@pytest.mark.parametrize("asked", [
    {"data": "mine", "root": "{parent}/elsewhere"}, {"data": "mine", "root": "../elsewhere"},
    {"data": "../elsewhere/mine", "root": None}, {"data": "{parent}/elsewhere/mine", "root": None},
], ids=["absolute root", "relative root", "relative name", "absolute name"])
def test_a_received_command_chooses_no_paths(commanded: Path, asked: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(commanded.parent / "elsewhere" / "mine.npz", [20, 20])
    write_npz(commanded.parent / "root" / "other.npz", [20, 20])
    monkeypatch.setenv("REPSEARCH_DATA", str(commanded.parent / "root"))
    monkeypatch.chdir(commanded)
    asked = {key: value and value.format(parent=commanded.parent) for key, value in asked.items()}
    command = json.loads((commanded / "command.json").read_text())
    (commanded / "command.json").write_text(json.dumps({**command, **asked, "train": 4, "validation": 4, "test": 2}))
    damage(commanded / "shard-00000.safetensors")
    read, load = [], np.load
    monkeypatch.setattr(np, "load", lambda path, **how: (read.append(Path(path).resolve()), load(path, **how))[1])
    main(["targets", "verify", str(commanded), "--repair", "--quiet"])
    assert not [path for path in read if path.parent.name == "elsewhere"]


@pytest.mark.parametrize("content", ['[]', '"text"', '{}', '{"data": "digits"}', '{"data": 3}', "[" * 200_000, "extra"],
                         ids=["list", "text", "empty", "part", "number", "nested", "more options"])
def test_a_damaged_command_is_answered_in_a_line(commanded: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = json.loads((commanded / "command.json").read_text())
    (commanded / "command.json").write_text(json.dumps({**command, "out": "/"}) if content == "extra" else content)
    damage(commanded / "shard-00000.safetensors")
    assert main(["targets", "verify", str(commanded), "--repair", "--quiet"]) in (1, 2)
    assert "command.json" in "".join(capsys.readouterr())


def test_a_folder_in_the_place_of_a_shard_is_answered_in_a_line(stored: Path) -> None:
    (stored / "shard-00001.safetensors").unlink()
    (stored / "shard-00001.safetensors").mkdir()
    assert main(["targets", "verify", str(stored), "--repair", "--quiet"]) in (1, 2)


def test_a_folder_named_like_an_unfinished_file_is_answered_in_a_line_or_left(stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    (stored / ".part.tmp").mkdir()
    with contextlib.suppress(rs.InputError):
        rs.search(network, data.train, preset.search, store=stored, progress=False)


def test_a_link_in_the_place_of_the_lock_is_answered_in_a_line(stored: Path) -> None:
    victim = stored.parent / "victim.txt"
    victim.write_text("precious")
    (stored / ".search.lock").unlink()
    (stored / ".search.lock").symlink_to(victim)
    (stored / "shard-00001.safetensors").unlink()
    assert main(["targets", "verify", str(stored), "--repair", "--quiet"]) in (1, 2)
    assert victim.read_text() == "precious"


HISTORY = {"loss": [1.0], "parts": {}, "train_accuracy": [], "validation_accuracy": [0.5], "spent": [60.0], "best_epoch": 0}


@pytest.mark.parametrize(("key", "value"), [
    ("best", None), ("best", {}), ("model", {}), ("model", {"stem.weight": torch.zeros(2)}), ("epoch", "one"), ("epoch", 0), ("epoch", 2),
    ("epoch", 9), ("epoch", True), ("history", {"loss": [], "more": []}), ("history", {**HISTORY, "spent": []}), ("history", None),
    ("history", {**HISTORY, "best_epoch": 1}), ("history", {**HISTORY, "loss": [1.0, "two"]}), ("history", {**HISTORY, "parts": {"block0": 1}}),
    ("momentum", {}), ("momentum", []), ("momentum", [torch.zeros(2)] * 8), ("generators", torch.zeros(3)), ("generators", []),
    ("generators", [torch.zeros(3)] * 2), ("generators", [torch.zeros(5056, dtype=torch.uint8)] * 2), ("method", None),
    ("format", torch.zeros(2)), ("format", "3"), ("identity", None), ("identity", {"seed": torch.zeros(2)}), ("identity", {}), ("more", 1),
])
def test_a_checkpoint_with_other_entries_is_refused_in_a_line(tmp_path: Path, data: rs.Dataset, key: str, value: Any) -> None:
    """And the model that it is for stays as it was."""
    path, config, model = tmp_path / "checkpoint", rs.FitConfig(epochs=2, batch=20, learning_rate=0.01), two_blocks()

    def stop(epochs: int, _: nn.Module) -> None:
        if epochs == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rs.fit(two_blocks(), data, rs.methods.Backprop(), config, checkpoint=path, progress=False, watch=stop)
    torch.save({**torch.load(path, weights_only=True), key: value}, path)
    with pytest.raises(rs.InputError, match="checkpoint=") as error:
        rs.fit(model, data, rs.methods.Backprop(), config, checkpoint=path, progress=False)
    assert len(str(error.value).splitlines()) == 1
    for name, weight in two_blocks().state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)


def test_an_npz_that_claims_to_be_huge_is_refused_in_a_line(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "mine.npz", [20, 20])
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**55}, 9, 9), }}\n"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["train_images.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(rs.InputError, match=r"mine\.npz"):
        rs.load("mine", tmp_path)


def test_an_image_that_claims_to_be_huge_is_refused_in_a_line(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b""))
    for part in ("train", "test"):
        (tmp_path / "mine" / part / "cat").mkdir(parents=True)
        (tmp_path / "mine" / part / "cat" / "1.png").write_bytes(picture)
    with pytest.raises(rs.InputError, match=r"1\.png"):
        rs.load("mine", tmp_path)
