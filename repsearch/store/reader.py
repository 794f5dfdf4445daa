"""The cache of searched activations: a folder of safetensors shards with a manifest, or the same in memory.

- ``manifest.json``: what the targets are of, the shape of each layer, each finished shard's SHA-256, and its own
- ``statistics.safetensors``: the running statistics of the network's normalisation layers, if it has any
- ``shard-00000.safetensors``, ...: images 0 to shard-1, as block0, block1, ..., logits (float16, images first), or
  those of them that were searched, and cross_entropy.block0, ... (float32, images x generations+1); its metadata say
  which search it belongs to
- ``command.json``, if the command line made the folder: what it takes to make it again
- ``.search.lock``, ``.manifest.lock``: empty; a search holds them, and leaves them there

Every file is written under a temporary name and renamed when it is whole; a shard enters the manifest after that. The
lock keeps a second search out of the folder; its hold goes when its process does, however that ends. A folder may come
from a stranger: see ``SECURITY.md`` for what it can and cannot do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from repsearch import checks
from repsearch.checks import InputError
from repsearch.store.files import folder_path, printable, repair_hint
from repsearch.store.manifest import Manifest, read_manifest, shard_count, shard_name, shard_size
from repsearch.store.shards import damage

if TYPE_CHECKING:
    from repsearch.data import Split


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

    def __init__(self, manifest: Manifest, shards: list[dict[str, Tensor]] | None, folder: Path | None) -> None:
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
        path = folder_path("folder", folder)
        manifest = read_manifest(path)
        done, shards = len(manifest["shards"]), shard_count(manifest)
        if done < shards:
            raise InputError(f"{path}: has {done} of {shards} shards; run its search again, which goes on there")
        return cls(manifest, None, path)

    def __repr__(self) -> str:
        layers = ", ".join(f"{name} {'x'.join(map(str, self.shape(name)))}" for name in self.layers)
        return f"<Targets of {len(self)} images: {layers}; in {self.folder or 'memory'}>"

    def __len__(self) -> int:
        return int(self.manifest["images"])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that were searched, in order: all of them, unless the search was told otherwise."""
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
        """For every image the final probability of its label at the last layer searched, (images,)."""
        return (-self.cross_entropy(self.layers[-1])[:, -1]).exp()

    def changed(self, change: Callable[[str, Tensor], Tensor]) -> Targets:
        """The same targets, in memory, with those of the blocks changed; logits stay.

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
        size, whole = shard_size(self.manifest), {}
        for layer in self.layers:
            H = self.read(layer)
            whole[layer] = (H if layer == "logits" else change(layer, H)).half()
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
        size, parts = shard_size(self.manifest), []
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
            reason = damage(path, self.manifest)
            if reason:
                raise InputError(f"{path}: {reason}; {repair_hint(self.folder)}")
            self._verified.add(shard)
        try:
            with safe_open(path, "pt") as tensors:
                part: Tensor = tensors.get_slice(name)[first:last]
                return part
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: missing or damaged ({printable(error)}); {repair_hint(self.folder)}") from None
