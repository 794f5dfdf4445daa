"""The command line: python -m repsearch COMMAND.

Commands are demo, search, targets, learn, alternate, fit, reproduce, claims and bench.
"""

from __future__ import annotations

import argparse
import sys

from repsearch.checks import InputError
from repsearch.cli import alternating, demo, fitting, learning, reproducing, searching, targets
from repsearch.cli.common import Parser, by_option
from repsearch.version import __version__

KEPT = {"search": "the same command goes on from its folder",
        "alternate": "the same command goes on from its folder", "targets": "the folder keeps its whole shards",
        "reproduce": "the records that were finished are kept, and the same command goes on with the others"}
"""What a command that is interrupted leaves behind; the others leave nothing, but for the checkpoint of a training."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 if targets are damaged, or 2 after one line about bad input."""
    parser = Parser(prog="python -m repsearch", description=__doc__)
    parser.add_argument("--version", action="version", version=f"repsearch {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    for room in (demo, searching, targets, learning, alternating, fitting, reproducing):
        room.add_commands(commands)
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except InputError as error:
        print(f"repsearch: {by_option(error, args)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"repsearch: interrupted; {_kept(args)}", file=sys.stderr)
        return 130


def _kept(args: argparse.Namespace) -> str:
    if not hasattr(args, "checkpoint"):
        return KEPT.get(args.command, "nothing was kept")
    if args.checkpoint is None:
        return "nothing was kept, for want of --checkpoint"
    return f"the same command goes on from {args.checkpoint}" if args.checkpoint.exists() else "no epoch was finished"
