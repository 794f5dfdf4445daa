"""The manifest of a folder of targets: what they are of, and which shards are done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repsearch.checks import InputError
from repsearch.config import LayerSearch, SearchConfig, as_dict
from repsearch.store.files import printable, read_small, write_whole

Manifest = dict[str, Any]


class UnreadableError(InputError):
    """A manifest is there, and may be whole, but cannot be read."""


FORMAT = 4
# Raised whenever the same search would find something else: a finished store of another number is of another search.
ALGORITHM = 1
MANIFEST, COMMAND = "manifest.json", "command.json"
LARGEST = 2**26
"""Bytes of a manifest: room for half a million shards."""
WHAT = {"data": "other images or labels", "images": "other images or labels", "network": "another network",
        "configuration": "another search configuration", "seed": "another seed", "engine": "another engine",
        "layers": "another choice of layers", "start": "another start", "algorithm": "another version of the search"}
"""What a search is of: the keys of a manifest that must be equal for a search to go on in its folder. The network's
statistics need not be equal to the last bit; see `repsearch.store.statistics`."""


def search_id(manifest: Manifest) -> str:
    """A SHA-256 of what a manifest's search is of: that of two releases is the same, if what they find is."""
    return hashlib.sha256(_json({key: manifest[key] for key in (*WHAT, "statistics")})).hexdigest()


def search_id_of_0_2(manifest: Manifest, weights: str) -> str:
    """The `search_id` up to format 3, whose "network" is `repsearch.identity.weights_of_0_2`."""
    return hashlib.sha256(_json({key: manifest[key] for key in WHAT} | {"network": weights})).hexdigest()


def shard_size(manifest: Manifest) -> int:
    """Images in a shard."""
    return int(manifest["configuration"]["shard"])


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.safetensors"


def shard_count(manifest: Manifest) -> int:
    """How many shards there are, done or not."""
    return int(-(-manifest["images"] // shard_size(manifest)))


def generations(manifest: Manifest) -> dict[str, int]:
    """Generations of every layer of the network, searched or not, in order."""
    rows = manifest["configuration"]["schedule"]
    names = [*(f"block{i}" for i in range(len(rows) - 1)), "logits"]
    return {name: row["generations"] for name, row in zip(names, rows, strict=True)}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest, with a SHA-256 of itself."""
    write_whole(folder / MANIFEST, _signed(manifest))


def read_manifest(folder: Path) -> Manifest:
    """A folder's manifest, of this format or an earlier one.

    Whoever wrote it, its entries are of the kinds they must be: a shard in it has one of the names that its number of
    images allows, and a layer one that its schedule allows.

    Raises:
        UnreadableError: it may be whole, but cannot be read.
        InputError: it is missing, damaged, or of a format that this version does not read.
    """
    path = folder / MANIFEST
    remedy = "run its search again: it keeps the finished shards"
    try:
        content = read_small(path, LARGEST)
        manifest: Manifest = json.loads(content)
        whole = manifest.pop("sha256") is not None and content == _signed(manifest)
        version = manifest.get("format")
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST} there; name a folder that repsearch.search has written") from None
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}); allow it, or name another folder") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = printable(f"{type(error).__name__}: {error}")
        raise InputError(f"{path}: damaged ({why}); {remedy}") from None
    if not whole:
        raise InputError(f"{path}: damaged (its SHA-256 does not fit its content); {remedy}")
    if version not in (2, 3, FORMAT):
        found = f"format {printable(version)}, this version reads {FORMAT}"
        raise InputError(f"{path}: {found}; search again in another folder")
    manifest = _completed(manifest)
    wrong = _wrong_entry(manifest)
    if wrong is not None:
        raise InputError(f"{path}: damaged (its entry {printable(wrong)!r} is not what a search writes); {remedy}")
    layers = manifest["layers"]  # in JSON by their names, which are out of order from eleven blocks on
    return {**manifest, "layers": {name: layers[name] for name in generations(manifest) if name in layers}}


def _completed(manifest: Manifest) -> Manifest:
    """A manifest with the entries that it lacks in an earlier format.

    Searches of format 2, release 0.1, were of all layers, from noisy copies, by algorithm 1; what they cost is not
    known. Up to format 3 the network's statistics are part of its identity.
    """
    if manifest["format"] == 2:
        manifest = {"algorithm": 1, "start": None, "multiply_adds": None, **manifest}
    if manifest["format"] < 4:
        manifest = {"statistics": None, **manifest}
    return manifest


# --- kinds of entries -------------------------------------------------------------------------------------------------


def _is_number(value: Any, least: int = 0, below: int = 2**63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


SIZES = ("parents", "explorers", "refiners", "shard")
"""What a configuration must say, whatever fields it had when it was written."""


def _is_configuration(value: Any) -> bool:
    try:
        schedule = [LayerSearch(**row) for row in value["schedule"]]
        found = as_dict(SearchConfig(**{**value, "schedule": schedule}))
        return bool({key: found[key] for key in value} == value) and set(SIZES) <= set(value)
    except (InputError, TypeError, KeyError, AttributeError):
        return False


def _is_shard(name: str, count: int) -> bool:
    number = re.fullmatch(r"shard-([0-9]{5,18})\.safetensors", name)
    return number is not None and name == shard_name(int(number[1])) and int(number[1]) < count


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= 4 and all(_is_number(side, least=1) for side in value)


KINDS: dict[str, Callable[[Any], bool]] = {
    "format": _is_number,
    "algorithm": _is_number,
    "library": lambda value: isinstance(value, str) and re.fullmatch(r"[\w.+-]{1,40}", value, re.ASCII) is not None,
    "engine": lambda value: value in ("kernel", "conv", "torch", "reference"),
    "data": _is_hash,
    "network": _is_hash,
    "statistics": lambda value: value is None or _is_hash(value),
    "configuration": _is_configuration,
    "seed": lambda value: _is_number(value, below=2**64),
    "images": lambda value: _is_number(value, least=1, below=2**40),
    "layers": lambda value: isinstance(value, dict) and len(value) > 0 and all(map(_is_shape, value.values())),
    "start": lambda value: value is None or _is_hash(value),
    "multiply_adds": lambda value: value is None or _is_number(value),
    "shards": lambda value: isinstance(value, dict) and all(map(_is_hash, value.values())),
}
"""Of every entry of a manifest whether it is of the kind that a search writes."""


def _wrong_entry(manifest: Manifest) -> str | None:
    """The first entry that is missing, unknown, or not what a search writes; None if all are."""
    for key, is_right in KINDS.items():
        if key not in manifest or not is_right(manifest[key]):
            return key
    if set(manifest["layers"]) - set(generations(manifest)):
        return "layers"
    if not all(_is_shard(name, shard_count(manifest)) for name in manifest["shards"]):
        return "shards"
    return next(iter(set(manifest) - set(KINDS)), None)


def _signed(manifest: Manifest) -> bytes:
    """A manifest as it is written: with a SHA-256 of itself."""
    return _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()})


def _json(content: Manifest) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
