"""What several commands share: options, the data and preset they name, the files they will write."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.config import as_dict
from repsearch.data import Dataset, load
from repsearch.presets import Preset

Loaded = tuple[Dataset, Preset]
Commands = Any
"""What argparse's `add_subparsers` gives."""
ROOT = "folder of the data files (default: REPSEARCH_DATA, else ~/.cache/repsearch)"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"repsearch: {message}; see {self.prog} --help\n")


def file_name(text: str) -> Path:
    """A path that an option names; shells leave the "~" of --out=~/here to the program."""
    return Path(text).expanduser()


def common_options() -> Parser:
    """The options of every command that searches or trains."""
    common = Parser(add_help=False)
    common.add_argument("--data", help="digits, mnist, cifar10, cifar100 or your own (default: the preset's)")
    common.add_argument("--root", help=ROOT)
    common.add_argument("--preset", help="smoke, book or paper (default: REPSEARCH_PRESET, else smoke)")
    common.add_argument("--seed", type=int, default=0, help="of images taken, networks, search and training")
    common.add_argument("--train", type=int, help="training images (default: the preset's)")
    common.add_argument("--validation", type=int, help="validation images (default: the preset's)")
    common.add_argument("--test", type=int, help="test images (default: the preset's)")
    common.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    common.add_argument("--json", type=file_name, metavar="PATH", help="write the record there")
    common.add_argument("--quiet", action="store_true", help="no progress bars")
    return common


def data_and_preset(args: argparse.Namespace) -> Loaded:
    """What the common options name.

    A data set that has fewer images than the preset asks for gives those it has, and a line on stderr says so; what an
    option asks for has to be there.
    """
    preset = presets.named(args.preset, args.data)
    checks.device(args.device)
    asked = {part: getattr(args, part) for part in ("train", "validation", "test")}
    ours = {part: getattr(preset, part) for part, count in asked.items() if count is None}
    data, fewer = _load(preset.data, args, {**asked, **ours}, list(ours))
    if fewer:
        found = ", ".join(f"{len(getattr(data, part))} {part}" for part in asked)
        print(f"repsearch: {data.name} has fewer images than the preset {preset.name} asks for; taken: {found}",
              file=sys.stderr)
    return data, preset


def _load(name: str, args: argparse.Namespace, sizes: dict[str, int | None], free: list[str]) -> tuple[Dataset, bool]:
    """The data set, and whether a size that is free to be smaller had to be: then it is `repsearch.load`'s own."""
    try:
        return load(name, args.root, seed=args.seed, **sizes), False
    except InputError as error:
        for part in free:
            if sizes[part] is not None and str(error).startswith(f"{part}={sizes[part]}:"):
                return _load(name, args, {**sizes, part: None}, free)[0], True
        raise


def check_files(args: argparse.Namespace, *options: str) -> None:
    """Make the folders of the files that a command will write, while nothing is lost if one cannot be written.

    Raises:
        InputError: a file of these options cannot be written, or two of the command's options name the same one.
    """
    for option in options:
        path = getattr(args, option)
        if path is None:
            continue
        if os.path.isdir(path):  # noqa: PTH112 - pathlib raises PermissionError of a folder that cannot be entered
            raise InputError(f"{option}={str(path)!r}: is a folder; name a file in it")
        try:
            checks.writable_folder(option, path.parent)
        except InputError as error:
            reason = str(error).rpartition(": ")[2]
            raise InputError(f"{option}={str(path)!r}: {reason}") from None
    named = [path.resolve() for option in (*options, "checkpoint") if (path := getattr(args, option, None)) is not None]
    if len(set(named)) < len(named):
        raise InputError(f"{options[0]}={str(getattr(args, options[0]))!r}: two options name this file; name two files")


def by_option(error: InputError, args: argparse.Namespace) -> str:
    """A message about an argument, which is called as the option that it comes from.

    Example:
        >>> by_option(InputError("learning_rate=-1: expected more"), argparse.Namespace(learning_rate=-1))
        '--learning-rate=-1: expected more'
    """
    name, sign, rest = str(error).partition("=")
    return f"--{name.replace('_', '-')}={rest}" if sign and getattr(args, name, None) is not None else str(error)


def settings_of(data: Dataset, preset: Preset, **more: Any) -> dict[str, Any]:
    """What a record says of the data and sizes a command used, and `more`: configurations as JSON holds them."""
    return {"data": data.name, "train": len(data.train), "validation": len(data.validation), "test": len(data.test),
            "preset": preset.name, "width": preset.width,
            **{name: as_dict(value) if is_dataclass(value) else value for name, value in more.items()}}
