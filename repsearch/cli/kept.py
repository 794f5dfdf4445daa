"""command.json: what `search` keeps in its folder, so that `targets verify --repair` can do the same again.

The folder may come from a stranger, so what the file says is looked at before it is used, and chooses no path.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repsearch.checks import InputError, own_path
from repsearch.presets import PRESETS, Preset
from repsearch.sources import default_root
from repsearch.store.files import printable, read_small
from repsearch.store.manifest import COMMAND

if TYPE_CHECKING:
    from repsearch.data import Dataset

LARGEST = 2**16
"""Bytes of the file."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_count(value: Any) -> bool:
    return value is None or (_is_number(value) and value >= 1)


def _is_name(value: Any) -> bool:
    """Whether a data set may be called so: it is looked for under that name in the root."""
    return value is None or (isinstance(value, str) and value.isprintable() and not re.search(r"^\.|[/\\:]", value))


KINDS: dict[str, Callable[[Any], bool]] = {
    "data": _is_name,
    "root": lambda value: value is None or isinstance(value, str),
    "preset": lambda value: value is None or (isinstance(value, str) and value in PRESETS),
    "seed": _is_number,
    "train": _is_count,
    "validation": _is_count,
    "test": _is_count,
    "images": _is_count,
    "device": lambda value: isinstance(value, str) and re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", value) is not None,
    "engine": lambda value: value in ("auto", "kernel", "conv", "torch", "reference"),
    "layers": lambda value: value is None or (isinstance(value, list) and value != [] and all(map(_is_layer, value))),
}
"""Of every option that is kept, whether its value is one that the command line takes."""
SINCE_0_2 = {"images": None, "layers": None}
"""What release 0.1 did not keep."""


def _is_layer(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"block[0-9]{1,4}|logits", value) is not None


def command_of(args: argparse.Namespace, data: Dataset, preset: Preset) -> bytes:
    """The content of command.json: options of `search`, and what it took from the environment instead."""
    kept = {name: getattr(args, name) for name in KINDS}
    root = None if data.name == "digits" else str(own_path(default_root(args.root)))  # digits are in no file
    return (json.dumps({**kept, "data": data.name, "preset": preset.name, "root": root}, indent=1) + "\n").encode()


def read_command(folder: Path) -> dict[str, Any] | None:
    """The options in a folder's command.json; None if it has none.

    Raises:
        InputError: the file is damaged, or says something that `search` does not keep.
    """
    path, remedy = folder / COMMAND, "run your search again with this folder"
    try:
        command = json.loads(read_small(path, LARGEST))
        wrong = next(iter(set(command) - set(KINDS)), None)
        command = {**SINCE_0_2, **command}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({printable(error)}); {remedy}") from None
    for name, is_right in KINDS.items():
        if name not in command or not is_right(command[name]):
            wrong = name
    if wrong is not None:
        raise InputError(f"{path}: its entry {printable(wrong)!r} is missing, or not what search writes; {remedy}")
    return command


def trusted_root(folder: Path, command: dict[str, Any], given: str | None) -> str | None:
    """Where the data are: in the root given, or in the default one if the command names the same.

    Raises:
        InputError: it names another, which nobody here has named.
    """
    kept = command["root"]
    if given is None and kept is not None and kept != str(own_path(default_root())):
        raise InputError(
            f"{folder / COMMAND}: its data are in {shlex.quote(printable(kept))}, which is not the default root here; "
            "pass --root FOLDER, that one or where they are now"
        )
    return given
