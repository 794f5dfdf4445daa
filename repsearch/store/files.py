"""Files that are there whole or not at all, and what may be read of files that somebody else has written."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from pathlib import Path

import torch
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; a link in its place is replaced, never followed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if part.is_file() or part.is_symlink():
            part.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror}); free space or choose another folder") from None


def folder_path(name: str, value: object) -> Path:
    """A folder that stays the same whatever directory the process is in: "~" expanded, absolute.

    Args:
        name: of the argument, for the error.
        value: its path, as text or a path.
    """
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise InputError(f"{name}={value!r}: expected the path of a folder")
    try:
        return checks.own_path(os.fspath(value))
    except RuntimeError:
        raise InputError(f"{name}={str(value)!r}: nobody of that name has a home folder; name the whole path") from None


def read_small(path: Path, limit: int) -> bytes:
    """The content of a file; OSError also if it is a device, a pipe or a folder, or holds more than `limit` bytes."""
    _check_is_file(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def checksum(path: Path) -> str:
    """SHA-256 of a file; OSError if it is a device, a pipe or a folder."""
    _check_is_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(tensors: dict[str, Tensor]) -> str:
    """A SHA-256 of named tensors, whatever the file they are in looks like."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def printable(text: object) -> str:
    """A text of somebody else's in one short line, without characters that could command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[:200])


def repair_hint(folder: Path) -> str:
    """How to repair a folder, to be pasted into a shell."""
    return f"repair it with: python -m repsearch targets verify {shlex.quote(str(folder))} --repair"


def _check_is_file(path: Path) -> None:
    if not path.is_file() and path.exists():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
