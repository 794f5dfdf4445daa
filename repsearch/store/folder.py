"""A folder of targets as a whole: one search at a time, checked, and cleared of what is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from repsearch import checks
from repsearch.checks import InputError
from repsearch.store.files import damage
from repsearch.store.manifest import COMMAND, read_manifest, write_manifest

SEARCH_LOCK, MANIFEST_LOCK = ".search.lock", ".manifest.lock"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Within the context no other search may write to the folder.

    Raises:
        InputError: the folder cannot be written, or another process is writing there.
    """
    checks.writable_folder("store", folder)
    lock = FileLock(folder / SEARCH_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another process is searching there; wait for it, or name another store") from None
    try:
        yield
    finally:
        for name in (MANIFEST_LOCK, SEARCH_LOCK):
            (folder / name).unlink(missing_ok=True)
        lock.release()


def is_own(path: Path) -> bool:
    """Whether a file is one that a search or the command line puts beside the shards."""
    return path.name in (COMMAND, SEARCH_LOCK, MANIFEST_LOCK) or path.suffix == ".tmp"


def verify(folder: Path) -> dict[str, str]:
    """What is wrong with each damaged shard of a folder; every byte of every shard is read.

    Raises:
        InputError: the manifest itself is missing or damaged.
    """
    found = read_manifest(folder)["shards"]
    reasons = {name: damage(folder / name, expected) for name, expected in found.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def discard(folder: Path, names: Sequence[str]) -> None:
    """Take shards out of a folder and its manifest, so that the next search makes just these again."""
    with sole_writer(folder):
        manifest = read_manifest(folder)
        for name in names:
            del manifest["shards"][name]
        write_manifest(folder, manifest)
        for name in names:
            (folder / name).unlink(missing_ok=True)
