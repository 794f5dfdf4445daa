"""search: fill a folder with targets."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from repsearch import checks
from repsearch.airbench import search_network
from repsearch.checks import InputError, own_path
from repsearch.cli.common import Commands, check_files, common_options, data_and_preset, file_name, settings_of
from repsearch.cli.kept import command_of
from repsearch.reproduce.records import record, write_record
from repsearch.reproduce.searches import found_by
from repsearch.searching import search
from repsearch.store.folder import Store


def add_commands(commands: Commands) -> None:
    """Add `search`."""
    sub = commands.add_parser("search", parents=[common_options()],
                              help="search targets and cache them; resumes if interrupted")
    sub.add_argument("--out", type=file_name, help="folder of the targets (default: targets/<data>-<preset>)")
    sub.add_argument("--images", type=int, help="search only the first so many training images (default: all)")
    sub.add_argument("--engine", default="auto", help="kernel, conv, torch, reference (default: the fastest that can)")
    sub.add_argument("--layers", nargs="+", metavar="LAYER", help="search only these, such as block1 (default: all)")
    sub.set_defaults(run=fill)


def fill(args: argparse.Namespace, again: frozenset[str] = frozenset()) -> None:
    """Search, or go on; files called `again` are damaged and may be written over."""
    with joined_ranks(args.device) as (first, device):
        data, preset = data_and_preset(args)
        folder = args.out or Path("targets") / f"{data.name}-{preset.name}"
        if args.images is not None:
            checks.positive_int("images", args.images)
        check_files(args, "json")
        images = data.train[: args.images]
        start = time.perf_counter()
        network = search_network(data, preset, args.seed).to(device)
        store: Any = Store(folder, command_of(args, data, preset), again)
        with called_out(folder, "--out"):
            targets = search(
                network, images, preset.search, args.seed, store, not args.quiet, args.engine, args.layers
            )
        if not first:
            return
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        print(f"{layer:<8} cross-entropy {loss[0]:.3f} before, {loss[-1]:.3f} after")
    print(f"mean probability of the label {targets.probability.mean():.3f}; targets of {len(targets)} images: {folder}")
    if args.json:
        settings = settings_of(data, preset, images=len(targets), search=preset.search, layers=args.layers)
        write_record(args.json, record("search", args.seed, time.perf_counter() - start, settings,
                                       **found_by(targets)))


@contextmanager
def called_out(folder: Path, option: str) -> Iterator[None]:
    """Within the context errors call the store as the command line does, and name it as it was given."""
    try:
        yield
    except InputError as error:
        said = str(error).replace("store=", f"{option}=").replace(str(own_path(folder)), str(folder))
        raise InputError(said) from None


@contextmanager
def joined_ranks(device: str) -> Iterator[tuple[bool, str]]:
    """Join the other processes that torchrun has started, if it has; whether this one is the first, and its device."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        yield True, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if checks.device(device).type == "cuda":
        torch.cuda.set_device(device)
    _check_world(size)
    try:
        dist.init_process_group("gloo")
    except (ValueError, RuntimeError) as error:
        cause = str(error).splitlines()[0]
        raise InputError(f"WORLD_SIZE={size}: the other processes were not found ({cause}); start all of them with "
                         "torchrun") from None
    try:
        yield dist.get_rank() == 0, device
    finally:
        dist.destroy_process_group()


def _check_world(size: str) -> None:
    """Raise `InputError` unless the environment is one that torchrun makes."""
    rank = os.environ.get("RANK", "")
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    remedy = "start the processes with torchrun, or unset WORLD_SIZE"
    if not size.isdecimal() or int(size) < 1:
        raise InputError(f"WORLD_SIZE={size!r}: expected a whole number of at least 1; {remedy}")
    if missing:
        raise InputError(f"WORLD_SIZE={size}: {', '.join(missing)} not in the environment; {remedy}")
    if not rank.isdecimal() or int(rank) >= int(size):
        raise InputError(f"RANK={rank!r}: expected a whole number below WORLD_SIZE={size}; {remedy}")
