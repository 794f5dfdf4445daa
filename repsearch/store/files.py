"""Files that are there whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from torch import Tensor

from repsearch.checks import InputError

REPAIR = "repair it with: python -m repsearch targets verify {} --repair"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror}); free space or choose another folder") from None


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(tensors: dict[str, Tensor]) -> str:
    """A SHA-256 of named tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def damage(path: Path, expected: str) -> str | None:
    """What is wrong with a shard that should have this SHA-256; None if nothing is."""
    try:
        return None if checksum(path) == expected else "damaged (its SHA-256 is not the manifest's)"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.safetensors"
