"""targets: look at a folder that `search` has written, check it, repair it."""

from __future__ import annotations

import argparse
from pathlib import Path

from repsearch.checks import InputError
from repsearch.cli.common import ROOT, Commands, file_name
from repsearch.cli.kept import read_command, trusted_root
from repsearch.cli.searching import fill
from repsearch.store.folder import verify
from repsearch.store.manifest import COMMAND, Manifest, generations, read_manifest, shard_count
from repsearch.store.shards import MISSING
from repsearch.store.statistics import STATISTICS


def add_commands(commands: Commands) -> None:
    """Add `targets`."""
    targets = commands.add_parser("targets", help="look at, check or repair a folder that search has written")
    actions = targets.add_subparsers(title="actions", required=True, metavar="info | verify")
    sub = actions.add_parser("info", help="what a folder's targets are of, and how far the search is")
    sub.add_argument("folder", type=file_name)
    sub.set_defaults(run=_info)
    sub = actions.add_parser("verify", help="read every byte; name every damaged file; exit status 1 if there is one, "
                                            "or if the search has not finished")
    sub.add_argument("folder", type=file_name)
    sub.add_argument("--repair", action="store_true", help="search what is damaged or missing, and only that, again")
    sub.add_argument("--root", help=f"with --repair: {ROOT}")
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=_verify)


def _info(args: argparse.Namespace) -> None:
    manifest = read_manifest(args.folder)
    config, count = manifest["configuration"], shard_count(manifest)
    files = [args.folder / name for name in manifest["shards"]]
    size = sum(path.stat().st_size for path in files if path.is_file())
    population = config["parents"] + config["explorers"] + config["refiners"]
    done = f"{len(files)} of {count} done, {size / 1e6:.1f} MB"
    print(f"{manifest['images']} images in shards of {config['shard']}, {done}")
    print(f"population {population}, seed {manifest['seed']}, engine {manifest['engine']}, "
          f"repsearch {manifest['library']}")
    print(", ".join(_made_of(args.folder, manifest)))
    rows = dict(zip(generations(manifest), config["schedule"], strict=True))
    for layer, shape in manifest["layers"].items():
        row = rows[layer]
        print(f"  {layer:<8} {'x'.join(map(str, shape)):<12} {row['generations']:>4} generations, strength "
              f"{row['strength']}, boost {row['boost']}, blur {row['blur']}")


def _made_of(folder: Path, manifest: Manifest) -> list[str]:
    """Data, preset and network, by name if the folder says it, and the beginnings of their hashes."""
    try:
        command = read_command(folder) or {}
    except InputError:
        command = {}
    named = {name: f"{name} {command[name]}" for name in ("data", "preset") if command.get(name)}
    data = f"{named.get('data', 'data')} {manifest['data'][:8]}"
    return [data, *([named["preset"]] if "preset" in named else []), f"network {manifest['network'][:8]}"]


def _verify(args: argparse.Namespace) -> int:
    manifest, damaged = read_manifest(args.folder), verify(args.folder)
    for name, reason in damaged.items():
        print(f"{args.folder / name}: {reason}")
    shards = [reason for name, reason in damaged.items() if name != STATISTICS]
    count, whole = shard_count(manifest), len(manifest["shards"]) - len(shards)
    broken = len([reason for reason in shards if reason != MISSING])
    print(f"{whole} of {count} shards are whole, {broken} damaged, {count - whole - broken} missing")
    if whole == count and not damaged:
        return 0
    return _repair(args, frozenset(damaged)) if args.repair else 1


def _repair(args: argparse.Namespace, damaged: frozenset[str]) -> int:
    command = read_command(args.folder)
    if command is None:
        print(f"{args.folder} has no {COMMAND} that says how: delete what is damaged, and run your search again with "
              "this folder; it makes that, and only that, again")
        return 1
    command["root"] = trusted_root(args.folder, command, args.root)
    fill(argparse.Namespace(**command, out=args.folder, json=None, quiet=args.quiet), damaged)
    return 0
