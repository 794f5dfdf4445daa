"""Writing searched activations to disk: shard by shard, resumed, by one search at a time; checked and repaired."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig, as_dict
from repsearch.networks import fingerprint
from repsearch.targets import (
    COMMAND,
    FORMAT,
    MANIFEST,
    REPAIR,
    WHAT,
    Found,
    Targets,
    checksum,
    content_hash,
    damage,
    read_manifest,
    search_id,
    shard_name,
    write_manifest,
    write_whole,
)
from repsearch.version import __version__

if TYPE_CHECKING:
    from repsearch.data import Split

SEARCH_LOCK, MANIFEST_LOCK = ".search.lock", ".manifest.lock"


class TargetsWriter:
    """Collects the shards of one search, in a folder or in memory, and knows which are missing.

    Args:
        network, data, config, seed: what is searched.
        engine: name of the engine that searches.
        shapes: of the search layers.
        store: the folder; None keeps everything in memory.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Split,
        config: SearchConfig,
        seed: int,
        engine: str,
        shapes: dict[str, tuple[int, ...]],
        store: str | Path | None,
    ) -> None:
        self.shard = config.shard
        self.manifest: dict[str, Any] = {
            "format": FORMAT, "library": __version__, "engine": engine, "data": data.fingerprint(),
            "network": fingerprint(network), "configuration": as_dict(config), "seed": seed, "images": len(data),
            "layers": {name: list(shape) for name, shape in shapes.items()}, "shards": {},
        }
        self.memory: dict[int, dict[str, Tensor]] = {}
        self.folder = None if store is None else Path(store)

    def resume(self) -> None:
        """Take over the shards already finished in the folder, after checking that they belong to this search.

        A shard that was written but is not in the manifest, because the manifest was lost or its writer stopped
        between the two, is taken over if it is whole.
        """
        if self.folder is None:
            return
        folder = self.folder
        try:
            found = read_manifest(folder) if (folder / MANIFEST).exists() else None
        except InputError as error:
            # All it says is known from this search and the shards themselves.
            warnings.warn(f"{error}; making it again", stacklevel=4)
            found = None
        if found is not None:
            for key, what in WHAT.items():
                if found[key] != self.manifest[key]:
                    raise InputError(f"{folder / MANIFEST}: targets of another {what}; name another store or delete it")
            for name, expected in list(found["shards"].items()):
                reason = damage(folder / name, expected)
                if reason:
                    raise InputError(f"{folder / name}: {reason}; {REPAIR.format(folder)}")
            self.manifest = found
        elif not any(folder.glob("shard-*")) and any(not is_own(path) for path in folder.iterdir()):
            raise InputError(f"store={str(folder)!r}: holds other files and no {MANIFEST}; name an empty or new folder")
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        self._adopt(folder)
        write_manifest(folder, self.manifest)

    def join(self) -> None:
        """Take over the manifest that another process of the same search has just written."""
        if self.folder is not None:
            self.manifest = read_manifest(self.folder)

    def missing(self) -> list[tuple[int, int]]:
        """(start, stop) of the shards still to be searched."""
        count = self.manifest["images"]
        starts = range(0, count, self.shard)
        return [
            (start, min(start + self.shard, count)) for start in starts
            if start // self.shard not in self.memory and shard_name(start // self.shard) not in self.manifest["shards"]
        ]

    def write(self, start: int, stop: int, found: Found) -> None:
        """Keep one finished shard: the images start .. stop-1."""
        assert all(len(H) == stop - start for H in found.activations)
        tensors: dict[str, Tensor] = {}
        for name, H, loss in zip(self.manifest["layers"], found.activations, found.cross_entropy, strict=True):
            tensors[name] = H.half().contiguous()
            tensors[f"cross_entropy.{name}"] = loss.contiguous()
            if not bool(torch.isfinite(tensors[name]).all()):
                raise InputError(f"network: {name} exceeds the range of float16; use smaller activations")
        index = start // self.shard
        if self.folder is None:
            self.memory[index] = tensors
            return
        path = self.folder / shard_name(index)
        belongs = {"search": search_id(self.manifest), "shard": path.name, "content": content_hash(tensors)}
        # A single entry: safetensors writes several in random order, and files must be the same byte for byte.
        write_whole(path, safetensors.torch.save(tensors, {"repsearch": json.dumps(belongs, sort_keys=True)}))
        with FileLock(self.folder / MANIFEST_LOCK):  # other ranks add theirs
            self.join()
            self.manifest["shards"][path.name] = checksum(path)
            write_manifest(self.folder, self.manifest)

    def finish(self) -> Targets:
        """The finished targets."""
        if self.folder is not None:
            return Targets.open(self.folder)
        return Targets(self.manifest, [self.memory[index] for index in sorted(self.memory)], None)

    def _adopt(self, folder: Path) -> None:
        for start, _ in self.missing():
            path = folder / shard_name(start // self.shard)
            if not path.exists():
                continue
            belongs, whole = _inspect(path)
            if whole and belongs != {"search": search_id(self.manifest), "shard": path.name}:
                raise InputError(f"{path}: a shard of another search; name another store or delete it")
            if whole:
                self.manifest["shards"][path.name] = checksum(path)
            else:
                path.unlink()


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


def _inspect(path: Path) -> tuple[dict[str, str], bool]:
    """Which search and place a shard says it belongs to, and whether its content is whole."""
    try:
        with safe_open(path, "pt") as file:
            belongs: dict[str, str] = json.loads((file.metadata() or {}).get("repsearch", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError):
        return {}, False
    return belongs, belongs.pop("content", None) == content_hash(tensors)
