"""learn: train a network on cached targets."""

from __future__ import annotations

import argparse
from dataclasses import replace

from repsearch.checks import InputError
from repsearch.cli.common import Commands, common_options, data_and_preset, file_name
from repsearch.cli.training import add_training_options, train
from repsearch.learning import Regression
from repsearch.store.manifest import search_id
from repsearch.store.reader import Targets


def add_commands(commands: Commands) -> None:
    """Add `learn`."""
    sub = commands.add_parser("learn", parents=[common_options()], help="train a network on cached targets")
    sub.add_argument("--targets", type=file_name, help="folder that search has written, for the same data and seed")
    sub.add_argument("--sgd", action="store_true", help="since 0.2: fit --method Backprop")
    sub.add_argument("--skip", nargs="*", default=[], metavar="LAYER", help="layers not regressed to, such as block0")
    add_training_options(sub)
    sub.set_defaults(run=_learn)


def _learn(args: argparse.Namespace) -> None:
    if args.sgd:
        raise InputError("--sgd: since 0.2 the SGD baseline is python -m repsearch fit --method Backprop")
    if args.targets is None:
        raise InputError("--targets: name the folder that python -m repsearch search has written")
    targets = Targets.open(args.targets)
    data, preset = data_and_preset(args)
    if len(targets) < len(data.train):
        print(f"learning from the first {len(targets)} of {len(data.train)} training images: others have no targets")
        data = replace(data, train=data.train[: len(targets)])
    manifest = targets.manifest
    train(
        args, (data, preset), Regression(targets), replace(preset.learn, skip=tuple(args.skip)),
        targets={"search": search_id(manifest), "engine": manifest["engine"], "images": len(targets),
                 "layers": list(targets.layers)},
    )
