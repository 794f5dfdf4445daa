"""What tests do to a folder of targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from repsearch.identity import weights_of_0_2
from repsearch.store.manifest import _json, read_manifest, write_manifest


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file but the locks, which are empty and stay."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def spoil(path: Path, damage: str, where: int) -> None:
    """Damage a file: cut it off, change a bit, empty or delete it; `where` is a byte."""
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
        return
    flipped = content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]
    path.write_bytes({"truncate": content[:where], "flip": flipped, "empty": b""}[damage])


def unfinish(folder: Path, shards: Iterable[int]) -> None:
    """Make a folder what it was before these shards were searched."""
    manifest = read_manifest(folder)
    for index in shards:
        del manifest["shards"][f"shard-{index:05d}.safetensors"]
        (folder / f"shard-{index:05d}.safetensors").unlink()
    write_manifest(folder, manifest)


def age(folder: Path, network: nn.Module, version: int) -> None:
    """Put a folder into an earlier format."""
    manifest = {**read_manifest(folder), "format": version, "network": weights_of_0_2(network)}
    for key in ("statistics", *(("algorithm", "start", "multiply_adds") if version == 2 else ())):
        del manifest[key]
    (folder / "statistics.safetensors").unlink()
    (folder / "manifest.json").write_bytes(_json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()}))


def rounded(network: nn.Module, by: float) -> nn.Module:
    """A network whose running means differ by so much of their size: 2e-7, as on another processor."""
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.mul_(1 + by)
    return network
