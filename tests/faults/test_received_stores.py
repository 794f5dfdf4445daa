"""Folders of targets from a stranger: links, pipes, devices and claims in them reach nothing outside, and never hang."""

from __future__ import annotations

import json
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from faulty import damage

import repsearch as rs
from repsearch.cli.main import main
from repsearch.presets import Preset
from repsearch.store.files import checksum, write_whole
from repsearch.store.folder import verify
from repsearch.store.manifest import read_manifest, write_manifest
from repsearch.store.shards import pack
from repsearch.store.statistics import read_statistics, statistics_hash

SHARD = "shard-00001.safetensors"
VERIFY, REPAIR, INFO = ("verify",), ("verify", "--repair", "--quiet"), ("info",)


def one_line(capsys: pytest.CaptureFixture[str], *command: str | Path) -> str:
    """What a command answers that cannot do what it was asked to: one line of error, or lines of damage."""
    capsys.readouterr()
    assert main(["targets", *map(str, command)]) in (1, 2)
    said = capsys.readouterr()
    assert len(said.err.splitlines()) <= 1 and all(c.isprintable() for c in (said.err + said.out).replace("\n", ""))
    return said.err + said.out


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", [SHARD, "manifest.json", "statistics.safetensors", "command.json"])
def test_what_is_written_in_the_place_of_a_link_replaces_the_link(
    stored: Path, victim: Path, network: rs.Network, data: rs.Dataset, preset: Preset, name: str
) -> None:
    (stored / "shard-00004.safetensors").unlink()
    (stored / name).unlink(missing_ok=True)
    (stored / name).symlink_to(victim)
    manifest_lost = name == "manifest.json"
    if not manifest_lost:
        manifest = read_manifest(stored)
        del manifest["shards"]["shard-00004.safetensors"]
        manifest["shards"].pop(name, None)
        write_manifest(stored, manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rs.search(network, data.train, preset.search, store=stored, progress=False)
    assert victim.read_text() == "precious" and len(rs.Targets.open(stored)) == 20
    assert name == "command.json" or not (stored / name).is_symlink()


def test_an_unfinished_file_is_never_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / f".manifest.json.{os.getpid()}.tmp").symlink_to(victim)
    write_whole(tmp_path / "manifest.json", b"{}")
    assert victim.read_text() == "precious" and (tmp_path / "manifest.json").read_bytes() == b"{}"


def test_only_a_searchs_own_unfinished_files_are_cleared_away(
    stored: Path, victim: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    manifest = read_manifest(stored)
    del manifest["shards"][SHARD]
    write_manifest(stored, manifest)
    kept, gone = stored / ".notes.1.tmp", [stored / ".manifest.json.1.tmp", stored / f".{SHARD}.1.tmp"]
    kept.touch()
    gone[0].symlink_to(victim)
    gone[1].touch()
    rs.search(network, data.train, preset.search, store=stored, progress=False)
    assert kept.exists() and not any(path.is_symlink() or path.exists() for path in gone) and victim.read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", [SHARD, "manifest.json", "statistics.safetensors", "command.json", ".search.lock"])
def test_what_is_no_file_is_answered_in_a_line_and_never_read(
    commanded: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = name.replace("1", "0")  # this folder has one shard
    damage(commanded / "shard-00000.safetensors")
    (commanded / name).unlink()
    if kind == "pipe":
        os.mkfifo(commanded / name)
    elif kind == "device":
        (commanded / name).symlink_to("/dev/zero")
    else:
        (commanded / name).mkdir()
    assert one_line(capsys, *VERIFY, commanded)
    if name.startswith("shard") and kind != "folder":
        assert main(["targets", *REPAIR, str(commanded)]) == 0 and not verify(commanded)  # it took the other's place
    elif not (name.startswith("statistics") and kind != "folder"):
        assert one_line(capsys, *REPAIR, commanded)


@pytest.mark.parametrize(("key", "value"), [
    ("images", 2**62), ("images", 10**400), ("seed", True), ("seed", 2**64), ("engine", "warp"), ("engine", ["kernel"]), ("start", 3), ("data", "x" * 64),
    ("multiply_adds", 10**400), ("multiply_adds", 1.5), ("statistics", "no"), ("network", None), ("algorithm", "1"), ("library", ""),
    ("layers", {}), ("layers", {"block9": [8, 15, 15]}), ("layers", {"block0": [0, 15, 15]}), ("layers", {"block0": [1] * 9}), ("more", 1),
    ("shards", {"shard-00000.safetensors": "0" * 63}), ("shards", {"shard-000000.safetensors": "0" * 64}), ("shards", {"shard-٠٠٠٠٠.safetensors": "0" * 64}),
], ids=str)
def test_other_entries_of_a_manifest_are_refused_by_every_command(
    stored: Path, key: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(stored, {**read_manifest(stored), key: value})
    for command in (INFO, VERIFY, REPAIR):
        assert "manifest.json" in one_line(capsys, *command, stored)
    with pytest.raises(rs.InputError):
        rs.Targets.open(stored)


@pytest.mark.parametrize("change", [
    {"schedule": 3}, {"schedule": []}, {"schedule": [{}]}, {"schedule": ["row"]}, {"parents": 0}, {"normalise": "yes"}, {"noise": "\x1b[31m"},
    {"more": 1}, {"shard": 2.5}, {"shard": ...}, {"parents": ...}, {"schedule": ...},
], ids=str)
def test_a_configuration_that_is_none_is_refused(stored: Path, change: dict[str, Any]) -> None:
    manifest = read_manifest(stored)
    configuration = {key: value for key, value in (manifest["configuration"] | change).items() if value is not ...}
    write_manifest(stored, {**manifest, "configuration": configuration})
    with pytest.raises(rs.InputError, match=r"manifest\.json: damaged \(its entry 'configuration'"):
        rs.Targets.open(stored)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'"text"', b"null", b'{"format": 4}', b'{"sha256": 3}', b"\xff\xfe", b'{"a":' * 900 + b"1" + b"}" * 900,
                                     b'{"images": ' + b"9" * 5000 + b"}"], ids=range(10))
def test_a_manifest_that_is_none_is_refused_in_a_line(stored: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (stored / "manifest.json").write_bytes(content)
    assert "manifest.json: damaged" in one_line(capsys, *VERIFY, stored)


def test_a_manifest_of_another_format_is_named(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(stored, {**read_manifest(stored), "format": "\x1b[31m" + "9" * 1000})
    assert "this version reads 4" in one_line(capsys, *INFO, stored)


def test_a_file_larger_than_it_can_be_is_not_read(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("statistics.safetensors", "missing or damaged"), ("manifest.json", "File too large")):
        os.truncate(stored / name, 2**29)  # of which nothing is on the disk
        assert message in one_line(capsys, *VERIFY, stored)


def test_a_search_that_claims_to_be_huge_is_answered_at_once(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(stored, {**read_manifest(stored), "images": 2**39})
    assert "5 of 137438953472 shards are whole" in one_line(capsys, *VERIFY, stored)
    with pytest.raises(rs.InputError, match="has 5 of 137438953472 shards"):
        rs.Targets.open(stored)


@pytest.mark.parametrize("header", [
    {"block0": {"dtype": "F16", "shape": [2**40, 8, 15, 15], "data_offsets": [0, 8]}},
    {"block0": {"dtype": "\x1b[31m", "shape": [1], "data_offsets": [0, 8]}}, {"\x1b[31m": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}},
    {"block0": {"dtype": "F8_E5M2", "shape": [8], "data_offsets": [0, 8]}}, [],
], ids=["huge", "type", "name", "bytes", "list"])
def test_a_shard_that_claims_what_it_has_not_is_refused_in_a_line(stored: Path, header: Any, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.dumps(header).encode()
    (stored / SHARD).write_bytes(struct.pack("<Q", len(content)) + content + bytes(8))
    manifest = read_manifest(stored)
    manifest["shards"][SHARD] = checksum(stored / SHARD)
    write_manifest(stored, manifest)
    assert f"{SHARD}: damaged" in one_line(capsys, *VERIFY, stored)
    with pytest.raises(rs.InputError, match=SHARD):
        rs.Targets.open(stored).read("block0")


def test_an_unlisted_shard_that_says_it_belongs_here_is_looked_at(stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """Its identity can be copied; what it holds is compared with what it should hold."""
    whole, manifest = (stored / SHARD).read_bytes(), read_manifest(stored)
    said = json.loads(json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])["__metadata__"]["repsearch"])
    tensors = {"block0": torch.zeros(1)}
    (stored / SHARD).write_bytes(pack(tensors, said["search"], SHARD))
    del manifest["shards"][SHARD]
    write_manifest(stored, manifest)
    rs.search(network, data.train, preset.search, store=stored, progress=False)
    assert (stored / SHARD).read_bytes() == whole


@pytest.mark.parametrize("change", [
    lambda _: {}, lambda kept: {**kept, "more": torch.zeros(1)}, lambda kept: {name: value + 1 for name, value in kept.items()},
    lambda kept: {name: value * float("nan") for name, value in kept.items()}, lambda kept: {name: value[:1] for name, value in kept.items()},
], ids=["none", "more", "other", "nan", "shape"])
def test_statistics_of_a_stranger_change_no_network(
    stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset, change: Any
) -> None:
    kept = read_statistics(stored)
    assert kept is not None
    theirs = {name: value.contiguous() for name, value in change(kept).items()}
    (stored / "statistics.safetensors").write_bytes(safetensors.torch.save(theirs))
    manifest = {**read_manifest(stored), "statistics": statistics_hash(theirs)}
    del manifest["shards"][SHARD]
    write_manifest(stored, manifest)
    with pytest.raises(rs.InputError, match="another network's statistics"):
        rs.search(network, data.train, preset.search, store=stored, progress=False)


def test_a_command_in_the_place_of_a_secret_is_not_printed(commanded: Path, victim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim.write_text("password: precious")
    damage(commanded / "shard-00000.safetensors")
    (commanded / "command.json").unlink()
    (commanded / "command.json").symlink_to(victim)
    assert "precious" not in one_line(capsys, *REPAIR, commanded)


def test_a_signed_manifest_is_one_way_to_write_it(stored: Path) -> None:
    """Twice the same key, or other spaces, are another manifest."""
    content = (stored / "manifest.json").read_bytes()
    for other in (content.replace(b'"seed"', b'"images": 3,\n "seed"'), content + b" ", content.replace(b": ", b":  ")):
        (stored / "manifest.json").write_bytes(other)
        with pytest.raises(rs.InputError, match="damaged"):
            rs.Targets.open(stored)
