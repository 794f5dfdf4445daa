"""fit: train a network by any method of the library; several give a table, a row each."""

from __future__ import annotations

import argparse

from repsearch import checks
from repsearch.checks import InputError
from repsearch.cli.common import Commands, by_option, common_options, data_and_preset
from repsearch.cli.training import add_training_options, train
from repsearch.methods import registry


def add_commands(commands: Commands) -> None:
    """Add `fit`."""
    sub = commands.add_parser("fit", parents=[common_options()], help="train a network by one or more methods")
    sub.add_argument("--method", nargs="+", default=["Backprop"], metavar="NAME",
                     help=f"{', '.join(registry.names())} (default: Backprop, the SGD baseline)")
    add_training_options(sub)
    sub.set_defaults(run=_fit)


def _fit(args: argparse.Namespace) -> int:
    for name in args.method:
        checks.one_of("method", name, registry.names())
    if len(args.method) > 1 and (args.checkpoint or args.out or args.json):
        raise InputError("--method: give one method with --checkpoint, --out or --json")
    loaded = data_and_preset(args)
    config = loaded[1].baseline
    if len(args.method) == 1:
        train(args, loaded, registry.method(args.method[0])(), config)
        return 0
    failed = False
    for name in args.method:
        try:
            train(args, loaded, registry.method(name)(), config)
        except InputError as error:  # one that fails leaves the others their rows
            print(f"{name}: {by_option(error, args)}")
            failed = True
    return 2 if failed else 0
