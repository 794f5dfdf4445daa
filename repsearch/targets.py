"""The cache of searched activations: a folder of safetensors shards with a manifest, or the same in memory.

- ``manifest.json``: what the targets are of, the shape of each layer, each finished shard's SHA-256, and its own
- ``shard-00000.safetensors``, ...: images 0 to shard-1, as block0, block1, ..., logits (float16, images first) and
  cross_entropy.block0, ... (float32, images x generations+1); its metadata say which search it belongs to
- ``command.json``, if the command line made the folder: what it takes to make it again

Every file is written under a temporary name and renamed when it is whole; a shard enters the manifest after that. A
lock keeps a second search out of the folder; it goes when its process does, however that ends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError

if TYPE_CHECKING:
    from repsearch.data import Split

FORMAT = 2
MANIFEST, COMMAND = "manifest.json", "command.json"
WHAT = {"data": "images or labels", "network": "network", "configuration": "search configuration", "seed": "seed",
        "engine": "engine", "library": "version of repsearch", "format": "format"}


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

    def changed(self, change: Callable[[str, Tensor], Tensor]) -> Targets:
        """The same targets, in memory, with those of the blocks changed; the logits stay.

        Args:
            change: maps the name of a block and all its targets (images, ...) to others of that shape. A checkpoint of
                learning from the result is not one of learning from these.

        Raises:
            InputError: `change` gave another shape.

        Example: the targets of other images, as a control.
            >>> from repsearch import load, presets, search, search_network
            >>> data, preset = load("digits", train=10, validation=10, test=10), presets.smoke("digits")
            >>> targets = search(search_network(data, preset), data.train[:3], preset.search, progress=False)
            >>> others = targets.changed(lambda block, H: H.roll(1, dims=0))
            >>> torch.equal(others.read("block0")[1], targets.read("block0")[0])
            True
        """
        size, whole = self.manifest["configuration"]["shard"], {}
        for layer in self.layers:
            H = self.read(layer)
            whole[layer] = (H if layer == self.layers[-1] else change(layer, H)).half()
            whole[f"cross_entropy.{layer}"] = self.cross_entropy(layer)
            if whole[layer].shape != H.shape:
                raise InputError(f"change: gave {tuple(whole[layer].shape)} for {layer}, expected {tuple(H.shape)}")
        shards = [{name: H[i : i + size] for name, H in whole.items()} for i in range(0, len(self), size)]
        digest = hashlib.sha256()
        for H in whole.values():
            digest.update(np.ascontiguousarray(H.numpy()).data)
        return Targets({**self.manifest, "changed": digest.hexdigest()}, shards, None)

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
        if shard not in self._verified:
            reason = damage(path, self.manifest["shards"][path.name])
            if reason:
                raise InputError(f"{path}: {reason}; {REPAIR.format(self.folder)}")
            self._verified.add(shard)
        try:
            with safe_open(path, "pt") as tensors:
                part: Tensor = tensors.get_slice(name)[first:last]
                return part
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: missing or damaged ({error}); {REPAIR.format(self.folder)}") from None


REPAIR = "repair it with: python -m repsearch targets verify {} --repair"


def damage(path: Path, expected: str) -> str | None:
    """What is wrong with a shard that should have this SHA-256; None if nothing is."""
    try:
        return None if checksum(path) == expected else "damaged (its SHA-256 is not the manifest's)"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def search_id(manifest: dict[str, Any]) -> str:
    """A SHA-256 of all that a manifest says but the shards done."""
    return hashlib.sha256(_json({**manifest, "shards": None})).hexdigest()


def content_hash(tensors: dict[str, Tensor]) -> str:
    """A SHA-256 of named tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.safetensors"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a folder's manifest, with a SHA-256 of itself."""
    write_whole(folder / MANIFEST, _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest; `InputError` if it is missing or damaged."""
    path = folder / MANIFEST
    remedy = "run the search again with this store: it keeps the finished shards"
    try:
        content = path.read_bytes()
        manifest: dict[str, Any] = json.loads(content)
        version = manifest.get("format")
        whole = manifest.pop("sha256") == hashlib.sha256(_json(manifest)).hexdigest()
        missing = {*WHAT, "images", "layers", "shards"} - set(manifest)
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST} there; name a folder that repsearch.search has written") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error}); {remedy}") from None
    if whole and version != FORMAT:
        raise InputError(f"{path}: format {version}, this version reads {FORMAT}; search again in another folder")
    if not whole or missing or content != _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()}):
        raise InputError(f"{path}: damaged (its SHA-256 does not fit its content); {remedy}")
    return manifest


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
