"""The command line: python -m repsearch demo | search | learn | fit | targets | reproduce | claims | bench."""

from __future__ import annotations

import sys

from repsearch.checks import InputError
from repsearch.cli import demo, fitting, learning, reproducing, searching
from repsearch.cli.common import Parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 if targets are damaged, or 2 after one line about bad input."""
    parser = Parser(prog="python -m repsearch", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for room in (demo, searching, learning, fitting, reproducing):
        room.add_commands(commands)
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except InputError as error:
        print(f"repsearch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("repsearch: interrupted; the same command goes on from its folder or checkpoint", file=sys.stderr)
        return 130
