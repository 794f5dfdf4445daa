"""alternate: search and learning take turns."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repsearch.airbench import learn_network, search_network
from repsearch.alternating import alternate
from repsearch.cli.common import Commands, check_files, common_options, data_and_preset, file_name, settings_of
from repsearch.cli.searching import called_out, joined_ranks
from repsearch.cli.training import write_weights
from repsearch.evaluation import accuracy
from repsearch.reproduce.records import record, write_record

if TYPE_CHECKING:
    from repsearch.rounds import Rounds


def add_commands(commands: Commands) -> None:
    """Add `alternate`."""
    sub = commands.add_parser("alternate", parents=[common_options()],
                              help="search and learning take turns; resumes if interrupted")
    sub.add_argument("--rounds", type=int, default=3, help="the paper's method, and this many less one (default: 3)")
    sub.add_argument("--augment", action="store_true",
                     help="later rounds search and train on the images flipped and cropped, anew each round")
    sub.add_argument("--store", type=file_name, help="folder of every round's targets and training (default: "
                                                     "rounds/<data>-<preset>)")
    sub.add_argument("--out", type=file_name, help="write the best round's weights there (safetensors)")
    sub.set_defaults(run=_alternate)


def _alternate(args: argparse.Namespace) -> None:
    with joined_ranks(args.device) as (first, device):
        data, preset = data_and_preset(args)
        folder = args.store or Path("rounds") / f"{data.name}-{preset.name}"
        check_files(args, "out", "json")
        config, start = replace(preset.alternate, rounds=args.rounds, augment=args.augment), time.perf_counter()
        model = learn_network(data, preset, args.seed).to(device)
        network = search_network(data, preset, args.seed).to(device)
        with called_out(folder, "--store"):
            rounds = alternate(network, model, data, config, args.seed, folder, not args.quiet)
        if not first:
            return
    test = accuracy(model, data.test)
    print(_table(rounds))
    print(f"round {rounds.best} did best on the validation images: test {test:.1%}, cost "
          f"{sum(one.spent for one in rounds):,.0f} F; all rounds: {folder}")
    if args.out:
        write_weights(model, args.out)
    if args.json:
        settings = settings_of(data, preset, groups=preset.groups, statistics=preset.statistics,
                               alternate=config)
        write_record(args.json, record(
            "alternate", args.seed, time.perf_counter() - start, settings, test_accuracy=test, best=rounds.best,
            rounds=[one.summary() for one in rounds],
        ))


def _table(rounds: Rounds) -> str:
    """What each round did, a row each."""
    first = next(iter(rounds[0].before))
    lines = [f"  {'round':<7}{'cross-entropy of ' + first:>30}{'between classes':>18}{'accuracy':>11}"]
    for number, one in enumerate(rounds):
        curve = f"{one.before[first]:.3f} before, {one.after[first]:.3f} after"
        share = sum(one.between_class.values()) / len(one.between_class)
        lines.append(f"  {number:<7}{curve:>30}{share:>17.0%} {one.accuracy:>10.1%}")
    return "\n".join(lines)
