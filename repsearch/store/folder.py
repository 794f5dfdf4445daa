"""A folder of targets as a whole: one search at a time, and what is wrong with it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from repsearch import checks
from repsearch.checks import InputError
from repsearch.store.manifest import COMMAND, MANIFEST, Manifest, read_manifest
from repsearch.store.shards import damage
from repsearch.store.statistics import STATISTICS, damaged_statistics

SEARCH_LOCK, MANIFEST_LOCK = ".search.lock", ".manifest.lock"
SOFT = ".soft"
"""Added to the name of a lock where the file system has none: then a file that is there is one that is held."""
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file browsers leave."""


@dataclass(frozen=True)
class Store(os.PathLike[str]):
    """A folder of targets, given to `repsearch.search` by whoever wants more than a search there.

    Args:
        folder: the folder.
        command: content of `command.json`, written as soon as the folder is known to be this search's, and unfinished.
        again: files that are damaged, and may be made again; without that, damage ends the search.
    """

    folder: Path
    command: bytes | None = None
    again: frozenset[str] = frozenset()

    def __fspath__(self) -> str:
        return str(self.folder)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Within the context no other search may write to the folder.

    Raises:
        InputError: the folder cannot be written, or another process is writing there.
    """
    checks.writable_folder("store", folder)
    with locked(folder / SEARCH_LOCK, timeout=0):
        yield


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Within the context this process alone holds the lock that a file stands for.

    The file stays: to take it away would leave another process, which waits, with a lock of its own.

    Args:
        path: of the file.
        timeout: seconds to wait for it; without end by default.

    Raises:
        InputError: it is held by another process, or the file cannot be a lock.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path}: expected a lock, found a link or a folder; delete it")
    lock: BaseFileLock = FileLock(path)
    try:
        try:
            lock.acquire(timeout)
        except (OSError, NotImplementedError) as error:  # older versions of filelock raise the second
            if isinstance(error, Timeout) or getattr(error, "errno", errno.ENOSYS) not in WITHOUT_LOCKS:
                raise
            lock = SoftFileLock(path.with_name(path.name + SOFT))
            lock.acquire(timeout)
    except Timeout:
        other = f"; if there is none, delete {lock.lock_file}" if isinstance(lock, SoftFileLock) else ""
        raise InputError(
            f"{path.parent}: another process is searching there; wait for it, or name another folder{other}"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be locked ({error.strerror}); name another folder") from None
    try:
        yield
    finally:
        lock.release()


def is_own(path: Path) -> bool:
    """Whether a file is one that a search or the command line puts beside the shards, or a file browser."""
    locks = (SEARCH_LOCK, MANIFEST_LOCK, SEARCH_LOCK + SOFT, MANIFEST_LOCK + SOFT)
    name = path.name
    return (name in (COMMAND, MANIFEST, STATISTICS, *locks, *LITTER) or name.startswith(("._", ".write-test-"))
            or is_part(path))


def is_part(path: Path) -> bool:
    """Whether a file is one of a search's that was never finished."""
    name = r"\.(manifest\.json|command\.json|statistics\.safetensors|shard-\d+\.safetensors)\.\d+\.tmp"
    return re.fullmatch(name, path.name) is not None and (path.is_symlink() or path.is_file())


def verify(folder: Path) -> dict[str, str]:
    """What is wrong with each damaged or vanished file of a folder, by its name; every byte of every file is read.

    Shards that were never searched are no damage.

    Raises:
        InputError: the manifest itself is missing or damaged.
    """
    manifest: Manifest = read_manifest(folder)
    reasons = {STATISTICS: damaged_statistics(folder, manifest["statistics"])}
    reasons |= {name: damage(folder / name, manifest) for name in manifest["shards"]}
    return {name: reason for name, reason in reasons.items() if reason}
