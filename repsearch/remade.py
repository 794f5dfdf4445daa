"""Targets in memory, made of others: of some of their images, of several searches, or with other activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repsearch.store.files import content_hash
from repsearch.store.manifest import shard_size
from repsearch.store.reader import Targets

if TYPE_CHECKING:
    from repsearch.data import Split


def remade(targets: Targets, tensors: dict[str, Tensor], split: Split) -> Targets:
    """Targets of the images of `split`.

    Args:
        targets: what they are made of.
        tensors: of every layer the targets (images, ...), and "cross_entropy.<layer>" (images, generations + 1).
        split: the images.
    """
    size = shard_size(targets.manifest)
    tensors = {name: H if name.startswith("cross_entropy.") else H.half() for name, H in tensors.items()}
    shards = [{name: H[i : i + size] for name, H in tensors.items()} for i in range(0, len(split), size)]
    layers = {name: list(H.shape[1:]) for name, H in tensors.items() if not name.startswith("cross_entropy.")}
    said = {"images": len(split), "data": split.fingerprint(), "shards": {}, "layers": layers}
    return Targets({**targets.manifest, **said, "changed": content_hash(tensors)}, shards, None)


def tensors_of(targets: Targets) -> dict[str, Tensor]:
    """All that targets hold, as `remade` takes it."""
    return ({layer: targets.read(layer) for layer in targets.layers}
            | {f"cross_entropy.{layer}": targets.cross_entropy(layer) for layer in targets.layers})


def of_some_images(targets: Targets, rows: Tensor, split: Split) -> Targets:
    """The targets of some images, `split`, which are the others' `rows` (images,)."""
    return remade(targets, {name: H[rows] for name, H in tensors_of(targets).items()}, split)


def of_all_images(parts: Sequence[Targets], rows: Sequence[Tensor], split: Split) -> Targets:
    """The targets of all images, `split`, from parts of them, of which each has the images `rows`."""
    order, found = torch.cat(list(rows)).argsort(), [tensors_of(part) for part in parts]
    return remade(parts[0], {name: torch.cat([part[name] for part in found])[order] for name in found[0]}, split)


def of_all_layers(parts: Sequence[Targets], split: Split) -> Targets:
    """The targets of all layers, from searches of one layer each, which together cost what they cost."""
    made = remade(parts[-1], {name: H for part in parts for name, H in tensors_of(part).items()}, split)
    made.manifest["multiply_adds"] = sum(part.manifest["multiply_adds"] for part in parts)
    return made
