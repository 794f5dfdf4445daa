"""search, and targets: fill a folder with targets, look at it, check and repair it."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from repsearch import checks
from repsearch.airbench import search_network
from repsearch.cli.common import Commands, common_options, data_and_preset, settings_of
from repsearch.config import as_dict
from repsearch.reproduce.records import record, write_record
from repsearch.reproduce.searches import found_by
from repsearch.searching import search
from repsearch.store.files import write_whole
from repsearch.store.folder import discard, verify
from repsearch.store.manifest import COMMAND, read_manifest


def add_commands(commands: Commands) -> None:
    """Add `search` and `targets`."""
    sub = commands.add_parser("search", parents=[common_options()],
                              help="search targets and cache them; resumes if interrupted")
    sub.add_argument("--out", type=Path, help="folder of the targets (default: targets/<data>)")
    sub.add_argument("--images", type=int, help="search only the first so many training images (default: all)")
    sub.add_argument("--engine", default="auto", help="kernel, torch or reference (default: the fastest that can)")
    sub.add_argument("--layers", nargs="+", metavar="LAYER", help="search only these, such as block1 (default: all)")
    sub.set_defaults(run=_search)
    targets = commands.add_parser("targets", help="look at, check or repair a folder that search has written")
    actions = targets.add_subparsers(title="actions", required=True, metavar="info | verify")
    sub = actions.add_parser("info", help="what a folder's targets are of, and how far the search is")
    sub.add_argument("folder", type=Path)
    sub.set_defaults(run=_info)
    sub = actions.add_parser("verify", help="read every byte; name every damaged file; exit status 1 if there is one")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--repair", action="store_true", help="search the damaged shards, and only these, again")
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=_verify)


def _search(args: argparse.Namespace) -> None:
    with _ranks(args) as first:
        data, preset = data_and_preset(args)
        store = args.out or Path("targets") / data.name
        if args.images is not None:
            checks.positive_int("images", args.images)
        images = data.train[: args.images]
        start = time.perf_counter()
        network = search_network(data, preset, args.seed).to(args.device)
        targets = search(
            network, images, preset.search, args.seed, store, not args.quiet, args.engine, args.layers
        )
        if not first:
            return
    kept = ("data", "root", "preset", "seed", "train", "validation", "test", "images", "device", "engine", "layers")
    write_whole(store / COMMAND, (json.dumps({key: getattr(args, key) for key in kept}, indent=1) + "\n").encode())
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        print(f"{layer:<8} cross-entropy {loss[0]:.3f} before, {loss[-1]:.3f} after")
    print(f"mean probability of the label {targets.probability.mean():.3f}; targets of {len(targets)} images: {store}")
    if args.json:
        settings = settings_of(data, preset, images=len(targets), search=as_dict(preset.search), layers=args.layers)
        write_record(args.json, record("search", args.seed, time.perf_counter() - start, settings,
                                       **found_by(targets)))


@contextmanager
def _ranks(args: argparse.Namespace) -> Iterator[bool]:
    """Join the other processes that torchrun has started, if it has; whether this one is the first."""
    world = os.environ.get("WORLD_SIZE", "1")
    if world == "1":
        yield True
        return
    if args.device == "cuda":
        args.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    on_gpu = args.device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(args.device)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(days=7))
    try:
        yield dist.get_rank() == 0
    finally:
        dist.destroy_process_group()


def _info(args: argparse.Namespace) -> None:
    manifest = read_manifest(args.folder)
    config, images = manifest["configuration"], manifest["images"]
    shards, size = -(-images // config["shard"]), sum(path.stat().st_size for path in args.folder.glob("shard-*"))
    population = config["parents"] + config["explorers"] + config["refiners"]
    done, made_by = len(manifest["shards"]), f"engine {manifest['engine']}, repsearch {manifest['library']}"
    print(f"{images} images in shards of {config['shard']}, {done} of {shards} done, {size / 1e6:.1f} MB")
    print(f"population {population}, seed {manifest['seed']}, {made_by}")
    rows = dict(zip([*(f"block{i}" for i in range(len(config["schedule"]) - 1)), "logits"], config["schedule"],
                    strict=True))
    for layer, shape in manifest["layers"].items():
        row = rows[layer]
        print(f"  {layer:<8} {'x'.join(map(str, shape)):<12} {row['generations']:>4} generations, strength "
              f"{row['strength']}, boost {row['boost']}, blur {row['blur']}")


def _verify(args: argparse.Namespace) -> int:
    damaged = verify(args.folder)
    for name, reason in damaged.items():
        print(f"{args.folder / name}: {reason}")
    whole = len(read_manifest(args.folder)["shards"]) - len(damaged)
    print(f"{whole} shards are whole, {len(damaged)} damaged")
    if not damaged or not args.repair:
        return 1 if damaged else 0
    try:
        command = json.loads((args.folder / COMMAND).read_text())
    except (OSError, ValueError):
        command = None
    discard(args.folder, list(damaged))
    if command is None:
        print(f"the damaged shards are out of {args.folder}; it has no whole {COMMAND}, so run your search again with "
              "this store: it makes them, and only them, again")
        return 1
    _search(argparse.Namespace(**{"layers": None, **command}, out=args.folder, json=None, quiet=args.quiet))
    return 0
