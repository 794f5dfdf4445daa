"""Writing searched activations to disk, shard by shard, resumed where an earlier search stopped."""

from __future__ import annotations

import hashlib
import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from repsearch import ranks
from repsearch.checks import InputError
from repsearch.reference import Found
from repsearch.store.description import Description
from repsearch.store.files import checksum, folder_path, repair_hint, write_whole
from repsearch.store.folder import MANIFEST_LOCK, Store, is_own, is_part, locked, sole_writer
from repsearch.store.manifest import (
    COMMAND,
    FORMAT,
    MANIFEST,
    WHAT,
    Manifest,
    UnreadableError,
    read_manifest,
    search_id,
    search_id_of_0_2,
    shard_count,
    shard_name,
    shard_size,
    write_manifest,
)
from repsearch.store.reader import Targets
from repsearch.store.shards import MISSING, belongs_to, damage, misfit, pack
from repsearch.store.statistics import (
    agreed,
    damaged_statistics,
    read_statistics,
    statistics_hash,
    write_statistics,
)

PATIENCE = 3.0
"""Seconds for which a finished shard may be without an entry in the manifest: a search that ends meanwhile, however
that happens, is resumed from the shards themselves."""


class TargetsWriter:
    """Collects the shards of one search, in a folder or in memory, and knows which are missing.

    Args:
        description: says what is searched.
        store: the folder, a path or a `repsearch.store.folder.Store`; None keeps everything in memory.
    """

    def __init__(self, description: Description, store: str | os.PathLike[str] | None) -> None:
        self.description = description
        self.manifest, self.statistics = description.manifest, description.statistics
        self.shard = shard_size(self.manifest)
        self.memory: dict[int, dict[str, Tensor]] = {}
        self.folder = None if store is None else folder_path("store", store)
        self.command, self.again = (store.command, store.again) if isinstance(store, Store) else (None, frozenset())
        self._unlisted: dict[str, str] = {}
        self._listed_at = -math.inf

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Within the context the writer has what its folder has, and `statistics` are those to search with.

        Of several ranks the first looks after the folder. A finished one is only read.

        Raises:
            InputError: the folder holds other targets, cannot be written or is being written; or there is none, and
                several ranks would need one; or another rank has raised this.
        """
        if self.folder is None:
            if ranks.world_size() > 1:
                raise InputError("store=None: several processes need a folder that all of them can reach")
            yield
            return
        with ExitStack() as stack:
            with ranks.all_or_none():
                if ranks.rank() == 0 and not self._is_finished(self.folder):
                    stack.enter_context(sole_writer(self.folder))
                    self._resume(self.folder)
            with ranks.all_or_none():
                if ranks.rank() > 0:
                    self._take(self.folder, read_manifest(self.folder))
            try:
                yield
            finally:
                self._list(self.folder)
            ranks.wait_for_all()

    def missing(self) -> list[tuple[int, int]]:
        """(start, stop) of the shards still to be searched."""
        count = self.manifest["images"]
        return [
            (start, min(start + self.shard, count)) for start in range(0, count, self.shard)
            if start // self.shard not in self.memory and shard_name(start // self.shard) not in self.manifest["shards"]
        ]

    def write(self, start: int, stop: int, found: Found) -> None:
        """Keep one finished shard: the images start .. stop-1."""
        assert all(len(H) == stop - start for H in found.activations)
        tensors: dict[str, Tensor] = {}
        for name, H, loss in zip(self.manifest["layers"], found.activations, found.cross_entropy, strict=True):
            tensors[name] = H.half().contiguous()
            tensors[f"cross_entropy.{name}"] = loss.float().contiguous()
            if not bool(torch.isfinite(tensors[name]).all()):
                what = "is NaN" if bool(tensors[name].isnan().any()) else "exceeds the range of float16"
                raise InputError(f"network: {name} {what} in images {start} to {stop - 1}; look at its weights")
        index = start // self.shard
        if self.folder is None:
            self.memory[index] = tensors
            return
        path = self.folder / shard_name(index)
        content = pack(tensors, search_id(self.manifest), path.name)
        write_whole(path, content)
        self._unlisted[path.name] = hashlib.sha256(content).hexdigest()
        self._list(self.folder, PATIENCE)

    def finish(self) -> Targets:
        """The finished targets."""
        if self.folder is not None:
            return Targets.open(self.folder)
        return Targets(self.manifest, [self.memory[index] for index in sorted(self.memory)], None)

    def _is_finished(self, folder: Path) -> bool:
        """Whether the folder has this search's targets, all of them and whole: then nothing is written there."""
        if not _has_manifest(folder):
            _check_is_free(folder)
            return False
        try:
            found = read_manifest(folder)
        except UnreadableError:
            raise
        except InputError:
            return False
        if self.again or len(found["shards"]) < shard_count(found):
            return False
        self._take(folder, found)
        return not any(damage(folder / name, self.manifest) for name in found["shards"])

    def _resume(self, folder: Path) -> None:
        """Take over the shards already finished in the folder, after checking that they belong to this search.

        A shard that was written but is not in the manifest, because the manifest was lost or its writer stopped
        between the two, is taken over if it is whole.
        """
        try:
            found = read_manifest(folder) if _has_manifest(folder) else None
        except UnreadableError:
            raise
        except InputError as error:
            # All it says is known from this search and the shards themselves.
            warnings.warn(f"{error}; making it again", stacklevel=5)
            found = None
        if found is None:
            self._take_statistics(folder)
        else:
            self._take(folder, found)
            self._leave_out_damaged(folder)
        for leftover in filter(is_part, folder.iterdir()):
            leftover.unlink()
        self._adopt(folder)
        if damaged_statistics(folder, self.manifest["statistics"]):
            write_statistics(folder, self.statistics)
        if self.command is not None:
            write_whole(folder / COMMAND, self.command)
        write_manifest(folder, self.manifest)

    def _take(self, folder: Path, found: Manifest) -> None:
        """Go on with the shards of a manifest, after checking that they are of this search."""
        own, earlier = self.description.manifest, found["format"] < FORMAT
        for key, what in WHAT.items():
            expected = self.description.weights if earlier and key == "network" else own[key]
            if found[key] != expected:
                raise InputError(f"{folder / MANIFEST}: targets of {what}; name another folder or delete it")
        self.manifest = {**own, "library": found["library"], "shards": dict(found["shards"])}
        if not earlier:
            self.statistics = agreed(folder, found["statistics"], self.description.statistics)
            self.manifest["statistics"] = found["statistics"]

    def _take_statistics(self, folder: Path) -> None:
        """Go on with the statistics of a folder that has lost its manifest."""
        kept = read_statistics(folder)
        if kept is not None:
            self.statistics = agreed(folder, statistics_hash(kept), self.description.statistics)
            self.manifest = {**self.description.manifest, "statistics": statistics_hash(kept)}

    def _leave_out_damaged(self, folder: Path) -> None:
        """Leave vanished shards out of the manifest, and damaged ones if they may be made again."""
        for name in list(self.manifest["shards"]):
            reason = damage(folder / name, self.manifest)
            if reason is None:
                continue
            if name not in self.again:
                if reason != MISSING:
                    raise InputError(f"{folder / name}: {reason}; {repair_hint(folder)}")
                warnings.warn(f"{folder / name}: missing; making it again", stacklevel=6)
            del self.manifest["shards"][name]

    def _adopt(self, folder: Path) -> None:
        """Enter whole shards into the manifest that it does not list; what is not whole will be written over."""
        ours = (search_id(self.manifest), search_id_of_0_2(self.manifest, self.description.weights))
        for start, _ in self.missing():
            path = folder / shard_name(start // self.shard)
            if path.is_dir():
                raise InputError(f"{path}: a folder in the place of a shard; move it away")
            said = belongs_to(path) if path.is_file() and path.name not in self.again else None
            if said is None:
                continue
            if said[0] not in ours or said[1] != path.name:
                raise InputError(f"{path}: a shard of another search; name another folder or delete it")
            if misfit(path, self.manifest) is None:
                self.manifest["shards"][path.name] = checksum(path)

    def _list(self, folder: Path, patience: float = 0.0) -> None:
        """Enter finished shards into the manifest, unless that was done within the last `patience` seconds."""
        if not self._unlisted or time.monotonic() < self._listed_at + patience:
            return
        with locked(folder / MANIFEST_LOCK):  # other ranks add theirs
            self.manifest["shards"] = read_manifest(folder)["shards"] | self._unlisted
            write_manifest(folder, self.manifest)
        self._unlisted.clear()
        self._listed_at = time.monotonic()


def _has_manifest(folder: Path) -> bool:
    """Whether there is one; `InputError` if the folder does not let that be known."""
    try:
        return (folder / MANIFEST).exists()
    except OSError as error:
        raise InputError(f"{folder}: cannot be entered ({error.strerror}); allow it, or name another folder") from None


def _check_is_free(folder: Path) -> None:
    """Raise `InputError` if a folder without a manifest holds anything but what a search has left there."""
    try:
        files = list(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); allow it, or name another folder") from None
    if not any(path.name.startswith("shard-") for path in files) and not all(is_own(path) for path in files):
        raise InputError(f"store={str(folder)!r}: holds other files and no {MANIFEST}; name an empty or new folder")
