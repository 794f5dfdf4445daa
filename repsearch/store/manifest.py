"""The manifest of a folder of targets: what they are of, and which shards are done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from repsearch.checks import InputError
from repsearch.store.files import write_whole

Manifest = dict[str, Any]

FORMAT = 3
# Raised whenever the same search would find something else: a finished store of another number is of another search.
ALGORITHM = 1
MANIFEST, COMMAND = "manifest.json", "command.json"
WHAT = {"data": "images or labels", "network": "network", "configuration": "search configuration", "seed": "seed",
        "engine": "engine", "layers": "choice of layers", "start": "start", "algorithm": "version of the search"}
"""What a search is of: the keys of a manifest that must be equal for a search to go on in its folder."""


def search_id(manifest: Manifest) -> str:
    """A SHA-256 of what a manifest's search is of: that of two releases is the same, if what they find is."""
    return hashlib.sha256(_json({key: manifest[key] for key in (*WHAT, "images")})).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest, with a SHA-256 of itself."""
    write_whole(folder / MANIFEST, _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()}))


def read_manifest(folder: Path) -> Manifest:
    """A folder's manifest; `InputError` if it is missing or damaged."""
    path = folder / MANIFEST
    remedy = "run the search again with this store: it keeps the finished shards"
    try:
        content = path.read_bytes()
        manifest: Manifest = json.loads(content)
        version = manifest.get("format")
        whole = manifest.pop("sha256") == hashlib.sha256(_json(manifest)).hexdigest()
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST} there; name a folder that repsearch.search has written") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error}); {remedy}") from None
    if not whole or content != _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()}):
        raise InputError(f"{path}: damaged (its SHA-256 does not fit its content); {remedy}")
    if version == 2:
        manifest = _of_release_0_1(manifest)
    elif version != FORMAT:
        raise InputError(f"{path}: format {version}, this version reads {FORMAT}; search again in another folder")
    if {*WHAT, "images", "shards", "library"} - set(manifest):
        raise InputError(f"{path}: damaged (it lacks entries); {remedy}")
    return manifest


def _of_release_0_1(manifest: Manifest) -> Manifest:
    """A manifest of format 2 in today's: its searches were of all layers, from noisy copies, by algorithm 1."""
    return {**manifest, "format": FORMAT, "algorithm": 1, "start": None, "multiply_adds": None}


def _json(content: Manifest) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
