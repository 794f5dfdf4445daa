"""Writing searched activations to disk, shard by shard, resumed where an earlier search stopped."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from repsearch import ranks
from repsearch.checks import InputError
from repsearch.reference import Found
from repsearch.store.files import REPAIR, checksum, content_hash, damage, shard_name, write_whole
from repsearch.store.folder import MANIFEST_LOCK, is_own, sole_writer
from repsearch.store.manifest import MANIFEST, WHAT, Manifest, read_manifest, search_id, write_manifest
from repsearch.store.reader import Targets


class TargetsWriter:
    """Collects the shards of one search, in a folder or in memory, and knows which are missing.

    Args:
        manifest: says what is searched, without any shard done.
        store: the folder; None keeps everything in memory.
    """

    def __init__(self, manifest: Manifest, store: str | Path | None) -> None:
        self.shard = int(manifest["configuration"]["shard"])
        self.manifest = manifest
        self.memory: dict[int, dict[str, Tensor]] = {}
        self.folder = None if store is None else Path(store)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Within the context the writer has what its folder has; of several ranks the first looks after the folder.

        Raises:
            InputError: the folder holds other targets, cannot be written or is being written; or there is none, and
                several ranks would need one.
        """
        if self.folder is None:
            if ranks.world_size() > 1:
                raise InputError("store=None: several processes need a folder that all of them can reach")
            yield
        elif ranks.rank() == 0:
            with sole_writer(self.folder):
                self.resume()
                ranks.wait_for_all()
                yield
        else:
            ranks.wait_for_all()
            self.join()
            yield

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
            self._take_over(folder, found)
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

    def _take_over(self, folder: Path, found: Manifest) -> None:
        for key, what in WHAT.items():
            if found[key] != self.manifest[key]:
                raise InputError(f"{folder / MANIFEST}: targets of another {what}; name another store or delete it")
        for name, expected in found["shards"].items():
            reason = damage(folder / name, expected)
            if reason:
                raise InputError(f"{folder / name}: {reason}; {REPAIR.format(folder)}")
        self.manifest = found

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


def _inspect(path: Path) -> tuple[dict[str, str], bool]:
    """Which search and place a shard says it belongs to, and whether its content is whole."""
    try:
        with safe_open(path, "pt") as file:
            belongs: dict[str, str] = json.loads((file.metadata() or {}).get("repsearch", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError):
        return {}, False
    return belongs, belongs.pop("content", None) == content_hash(tensors)
