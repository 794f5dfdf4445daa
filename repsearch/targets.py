"""The cache of searched activations: a folder of safetensors shards with a manifest, or the same in memory.

- ``manifest.json``: what the targets are of, the shape of each layer, and each finished shard's SHA-256
- ``shard-00000.safetensors``, ...: images 0 to shard-1, as block0, block1, ..., logits (float16, images first) and
  cross_entropy.block0, ... (float32, images x generations+1)

Every file is written under a temporary name and renamed when it is whole; a shard enters the manifest after that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig, as_dict
from repsearch.networks import fingerprint
from repsearch.version import __version__

if TYPE_CHECKING:
    from repsearch.data import Split

FORMAT = 1
MANIFEST = "manifest.json"
WHAT = {"data": "images or labels", "network": "network", "configuration": "search configuration", "seed": "seed",
        "library": "version of repsearch", "format": "format"}


@dataclass
class Found:
    """What a search found for B images: each layer's best activations (B, ...), cross-entropies (B, generations+1)."""

    activations: list[Tensor]
    cross_entropy: list[Tensor]

    @staticmethod
    def concatenate(parts: Sequence[Found]) -> Found:
        """One `Found` for the images of all parts, in order."""
        return Found(
            [torch.cat(layer) for layer in zip(*(part.activations for part in parts), strict=True)],
            [torch.cat(layer) for layer in zip(*(part.cross_entropy for part in parts), strict=True)],
        )


class Targets:
    """Searched activations, read as they are needed.

    `len(targets)` images; `targets.layers` names the search layers. Returned by `repsearch.search`; a folder written
    by it is opened with `Targets.open(folder)`.

    Example:
        >>> from repsearch import load, presets, search, search_network
        >>> data, preset = load("digits", train=10, validation=10, test=10), presets.smoke("digits")
        >>> targets = search(search_network(data, preset), data.train[:3], preset.search, progress=False)
        >>> targets.layers, targets.read("logits", 1, 3).shape
        (('block0', 'block1', 'block2', 'logits'), torch.Size([2, 10]))
    """

    def __init__(self, manifest: dict[str, Any], shards: list[dict[str, Tensor]] | None, folder: Path | None) -> None:
        self.manifest = manifest
        self.folder = folder
        self._memory = shards
        self._verified: set[int] = set()

    @classmethod
    def open(cls, folder: str | Path) -> Targets:
        """The finished targets in `folder`.

        Raises:
            InputError: no manifest there, a damaged one, or a search that has not finished.
        """
        path = Path(folder)
        manifest = read_manifest(path)
        shards = -(-manifest["images"] // manifest["configuration"]["shard"])
        if len(manifest["shards"]) < shards:
            raise InputError(
                f"{path}: has {len(manifest['shards'])} of {shards} shards; run the search again with this store"
            )
        return cls(manifest, None, path)

    def __len__(self) -> int:
        return int(self.manifest["images"])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the search layers, in order; the last one is "logits"."""
        return tuple(self.manifest["layers"])

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of one image's target in a layer."""
        checks.one_of("layer", layer, self.layers)
        return tuple(self.manifest["layers"][layer])

    def read(self, layer: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Targets of images start .. stop-1 of a layer, float32 (stop - start, ...); only these are read."""
        checks.one_of("layer", layer, self.layers)
        return self._read(layer, start, len(self) if stop is None else stop).float()

    def cross_entropy(self, layer: str) -> Tensor:
        """Cross-entropy of the best candidate, float32 (images, generations + 1); column 0 is the start."""
        checks.one_of("layer", layer, self.layers)
        return self._read(f"cross_entropy.{layer}", 0, len(self))

    @property
    def probability(self) -> Tensor:
        """For every image the final probability of its label, (images,)."""
        return (-self.cross_entropy(self.layers[-1])[:, -1]).exp()

    def check(self, data: Split, shapes: dict[str, tuple[int, ...]]) -> None:
        """Raise `InputError` unless these are targets of `data`, for a network with layers of these shapes."""
        if len(self) != len(data):
            raise InputError(f"targets: of {len(self)} images, the data has {len(data)}; search these images")
        if self.manifest["data"] != data.fingerprint():
            raise InputError("targets: of other images or labels than the data given; load what was searched")
        for layer in self.layers:
            if shapes.get(layer) != self.shape(layer):
                raise InputError(
                    f"targets: {layer} is {self.shape(layer)}, the network's {shapes.get(layer)}; use a network of the "
                    "same width and input size as the one searched"
                )

    def _read(self, name: str, start: int, stop: int) -> Tensor:
        if not 0 <= start < stop <= len(self):
            raise InputError(f"start={start}, stop={stop}: expected 0 <= start < stop <= {len(self)}")
        size, parts = self.manifest["configuration"]["shard"], []
        for shard in range(start // size, (stop - 1) // size + 1):
            first, last = max(start - shard * size, 0), min(stop - shard * size, size)
            if self._memory is not None:
                parts.append(self._memory[shard][name][first:last])
            else:
                parts.append(self._read_file(shard, name, first, last))
        return torch.cat(parts)

    def _read_file(self, shard: int, name: str, first: int, last: int) -> Tensor:
        assert self.folder is not None
        path = self.folder / shard_name(shard)
        try:
            if shard not in self._verified:
                if checksum(path) != self.manifest["shards"][path.name]:
                    raise InputError(f"{path}: damaged (its SHA-256 is not the manifest's); delete it and search again")
                self._verified.add(shard)
            with safe_open(path, "pt") as tensors:
                part: Tensor = tensors.get_slice(name)[first:last]
                return part
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: missing or damaged ({error}); delete it and search again") from None


class TargetsWriter:
    """Collects the shards of one search, in a folder or in memory, and knows which are missing."""

    def __init__(
        self,
        network: nn.Module,
        data: Split,
        config: SearchConfig,
        seed: int,
        shapes: dict[str, tuple[int, ...]],
        store: str | Path | None,
    ) -> None:
        self.shard = config.shard
        self.manifest: dict[str, Any] = {
            "format": FORMAT, "library": __version__, "data": data.fingerprint(), "network": fingerprint(network),
            "configuration": as_dict(config), "seed": seed, "images": len(data),
            "layers": {name: list(shape) for name, shape in shapes.items()}, "shards": {},
        }
        self.memory: dict[int, dict[str, Tensor]] = {}
        self.folder = None if store is None else Path(store)
        if self.folder is not None:
            self._resume(self.folder)

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
        write_whole(path, safetensors.torch.save(tensors))
        self.manifest["shards"][path.name] = checksum(path)
        write_manifest(self.folder, self.manifest)

    def finish(self) -> Targets:
        """The finished targets."""
        if self.folder is not None:
            return Targets.open(self.folder)
        return Targets(self.manifest, [self.memory[index] for index in sorted(self.memory)], None)

    def _resume(self, folder: Path) -> None:
        """Take over the shards already finished in `folder`, after checking that they belong to this search."""
        if (folder / MANIFEST).exists():
            found = read_manifest(folder)
            for key, what in WHAT.items():
                if found[key] != self.manifest[key]:
                    raise InputError(f"{folder / MANIFEST}: targets of another {what}; name another store or delete it")
            checks.writable_folder("store", folder)
            for name, expected in list(found["shards"].items()):
                if not (folder / name).is_file() or checksum(folder / name) != expected:
                    raise InputError(f"{folder / name}: missing or damaged; delete {folder} and search again")
            self.manifest = found
            return
        checks.writable_folder("store", folder)
        if any(folder.iterdir()):
            raise InputError(f"store={str(folder)!r}: holds other files and no {MANIFEST}; name an empty or new folder")
        write_manifest(folder, self.manifest)


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.safetensors"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror}); free space or choose another folder") from None


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a folder's manifest."""
    write_whole(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest; `InputError` if it is missing or damaged."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        missing = {*WHAT, "images", "layers", "shards"} - set(manifest)
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST} there; name a folder that repsearch.search has written") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete the folder and search again") from None
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; delete the folder and search again")
    if manifest["format"] != FORMAT:
        raise InputError(f"{path}: format {manifest['format']}, this version reads {FORMAT}; search again")
    return manifest
