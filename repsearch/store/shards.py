"""The shards of a folder of targets: their names, what each must hold, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from repsearch.store.files import checksum, content_hash, printable
from repsearch.store.manifest import Manifest, generations, shard_size

MISSING = "missing"


def pack(tensors: dict[str, Tensor], search: str, name: str) -> bytes:
    """The content of a shard's file.

    Args:
        tensors: what it holds.
        search: the identity of the search it belongs to.
        name: of the file.
    """
    belongs = {"search": search, "shard": name, "content": content_hash(tensors)}
    # A single entry: safetensors writes several in random order, and files must be the same byte for byte.
    return safetensors.torch.save(tensors, {"repsearch": json.dumps(belongs, sort_keys=True)})


def damage(path: Path, manifest: Manifest) -> str | None:
    """What is wrong with a shard that a manifest lists; None if nothing is. All of it is read."""
    try:
        if checksum(path) != manifest["shards"][path.name]:
            return "damaged (its SHA-256 is not the manifest's)"
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return misfit(path, manifest)


def belongs_to(path: Path) -> tuple[str, str] | None:
    """Of which search, and under which name, a file was written as a shard; None if it is no whole one.

    For shards that no manifest lists: their metadata have a checksum of their content.
    """
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})["repsearch"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return (str(said["search"]), str(said["shard"])) if said["content"] == content_hash(tensors) else None
    except Exception:  # safetensors and torch each raise their own on a file that is not theirs
        return None


def misfit(path: Path, manifest: Manifest) -> str | None:
    """How a shard differs from what a manifest says of its place; None if it does not. All of it is read."""
    wanted = _wanted(manifest, int(path.stem.removeprefix("shard-")))
    try:
        with safe_open(path, "pt") as file:
            if set(file.keys()) != set(wanted):
                return "damaged (it holds other layers than the manifest says)"
            for name, (dtype, shape) in wanted.items():
                H = file.get_tensor(name)
                if H.dtype != dtype or tuple(H.shape) != shape:
                    found = f"{H.dtype} {tuple(H.shape)}"
                    return f"damaged ({name} is {found}, by the manifest {dtype} {shape})"
                if dtype == torch.float16 and not bool(torch.isfinite(H).all()):
                    return f"damaged ({name} has NaN or infinite values)"
    except Exception as error:  # safetensors and torch each raise their own on a file that is not theirs
        return f"damaged ({printable(error)})"
    return None


def _wanted(manifest: Manifest, index: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of every tensor of a shard."""
    size = shard_size(manifest)
    images = min(size, manifest["images"] - index * size)
    wanted: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
    for layer, shape in manifest["layers"].items():
        wanted[layer] = torch.float16, (images, *shape)
        wanted[f"cross_entropy.{layer}"] = torch.float32, (images, generations(manifest)[layer] + 1)
    return wanted
