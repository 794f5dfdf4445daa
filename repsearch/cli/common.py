"""What several commands share: options, and the data and preset they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from repsearch import checks, presets
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
    common.add_argument("--json", type=Path, metavar="PATH", help="write the record there")
    common.add_argument("--quiet", action="store_true", help="no progress bars")
    return common


def data_and_preset(args: argparse.Namespace) -> Loaded:
    """What the common options name."""
    preset = presets.named(args.preset, args.data)
    checks.device(args.device)
    given = {
        part: getattr(args, part) if getattr(args, part) is not None else getattr(preset, part)
        for part in ("train", "validation", "test")
    }
    return load(preset.data, args.root, seed=args.seed, **given), preset


def settings_of(data: Dataset, preset: Preset, **more: Any) -> dict[str, Any]:
    """What a record says of the data and sizes a command used."""
    return {"data": data.name, "train": len(data.train), "validation": len(data.validation), "test": len(data.test),
            "preset": preset.name, "width": preset.width, **more}
