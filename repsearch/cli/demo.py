"""demo: the whole method, once and in turns, with its rivals and figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from repsearch import checks
from repsearch.checks import InputError
from repsearch.cli.common import Commands, check_files, common_options, data_and_preset
from repsearch.reproduce.demo import demo
from repsearch.reproduce.records import Record, write_record


def add_commands(commands: Commands) -> None:
    """Add `demo`."""
    sub = commands.add_parser("demo", parents=[common_options()],
                              help="the whole method: search and learn, once and in turn, rivals, figures")
    sub.add_argument("--out", type=Path, help="folder of the three figures (default: demo/DATA)")
    sub.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> None:
    from repsearch.reproduce import figures  # matplotlib only where figures are drawn

    if args.device != "cpu":
        raise InputError(f"device={args.device!r}: demo runs on the cpu; use search and learn for other devices")
    data, preset = data_and_preset(args)
    folder = checks.writable_folder("out", args.out or Path("demo") / data.name)
    check_files(args, "json")
    print(f"{data.name}: {len(data.train)} training images, preset {preset.name}")
    result = demo(data, preset, args.seed, progress=not args.quiet)
    print(_table(result))
    if args.json:
        write_record(args.json, result)
    figures.search_curves([result]).savefig(folder / "search.png", dpi=120)
    figures.learning_curves([result]).savefig(folder / "learning.png", dpi=120)
    figures.accuracies([result]).savefig(folder / "accuracy.png", dpi=120)
    print(f"figures: {', '.join(str(folder / name) for name in ('search.png', 'learning.png', 'accuracy.png'))}")


def _table(result: Record) -> str:
    """The result of the demo, as a table for the terminal."""
    curves, scores = result["cross_entropy"], result["accuracy"]
    lines = ["", "search: mean cross-entropy of the best candidate", f"  {'layer':<14}{'before':>8}{'after':>8}"]
    lines += [f"  {layer:<14}{curve[0]:8.3f}{curve[-1]:8.3f}" for layer, curve in curves.items()]
    lines += ["", "learning: accuracy on the test images"]
    lines += [f"  {name:<14}{100 * score:7.1f}%" for name, score in scores.items()]
    return "\n".join([*lines, "  (SGD in as many epochs, with the same weight decay; not tuned)", ""])
