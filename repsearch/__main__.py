"""The command line: python -m repsearch demo | search | learn | targets | reproduce | claims | bench."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import safetensors.torch
import torch
import torch.distributed as dist

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.claims import page
from repsearch.config import as_dict
from repsearch.data import Dataset, load
from repsearch.experiments import demo, search_record
from repsearch.learn import accuracy, learn
from repsearch.networks import learn_network, search_network
from repsearch.presets import Preset
from repsearch.records import record, record_folder, write_record
from repsearch.reproduce import check_listed, listing, points, reproduce
from repsearch.run import search
from repsearch.targets import COMMAND, Targets, read_manifest, write_whole
from repsearch.writer import discard, verify


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"repsearch: {message}; see {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 if targets are damaged, or 2 after one line about bad input."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except InputError as error:
        print(f"repsearch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("repsearch: interrupted; the same command goes on from its folder or checkpoint", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--data", help="digits, mnist, cifar10, cifar100 or your own (default: the preset's)")
    common.add_argument("--root", help="folder of the data files (default: REPSEARCH_DATA, else ~/.cache/repsearch)")
    common.add_argument("--preset", help="smoke, book or paper (default: REPSEARCH_PRESET, else smoke)")
    common.add_argument("--seed", type=int, default=0, help="of images taken, networks, search and training")
    common.add_argument("--train", type=int, help="training images (default: the preset's)")
    common.add_argument("--validation", type=int, help="validation images (default: the preset's)")
    common.add_argument("--test", type=int, help="test images (default: the preset's)")
    common.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    common.add_argument("--json", type=Path, metavar="PATH", help="write the record there")
    common.add_argument("--quiet", action="store_true", help="no progress bars")

    parser = _Parser(prog="python -m repsearch", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    sub = commands.add_parser("demo", parents=[common], help="the whole method once: search, learn, rivals, figures")
    sub.add_argument("--out", type=Path, default=Path("demo"), help="folder of the three figures (default: demo)")
    sub.set_defaults(run=_demo)
    sub = commands.add_parser("search", parents=[common], help="search targets and cache them; resumes if interrupted")
    sub.add_argument("--out", type=Path, help="folder of the targets (default: targets/<data>)")
    sub.add_argument("--images", type=int, help="search only the first so many training images (default: all)")
    sub.add_argument("--engine", default="auto", help="kernel, torch or reference (default: the fastest that can)")
    sub.set_defaults(run=_search)
    targets = commands.add_parser("targets", help="look at, check or repair a folder that search has written")
    actions = targets.add_subparsers(title="actions", required=True, metavar="info | verify")
    sub = actions.add_parser("info", help="what a folder's targets are of, and how far the search is")
    sub.add_argument("folder", type=Path)
    sub.set_defaults(run=_targets_info)
    sub = actions.add_parser("verify", help="read every byte; name every damaged file; exit status 1 if there is one")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--repair", action="store_true", help="search the damaged shards, and only these, again")
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=_targets_verify)
    sub = commands.add_parser("reproduce", help="the paper's figures and tables: runs what is missing or stale")
    sub.add_argument("experiments", nargs="*", metavar="ID", help="such as fig2, or all")
    sub.add_argument("--list", action="store_true", help="what is done and missing, and what it cost; runs nothing")
    sub.add_argument("--preset", default="book", help="smoke, book or paper (default: book)")
    sub.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    sub.add_argument("--data", nargs="+", default=[], metavar="NAME", help="only these data sets (default: all)")
    sub.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="only these variants (default: all)")
    sub.add_argument("--root", help="folder of the data files (default: REPSEARCH_DATA, else ~/.cache/repsearch)")
    sub.add_argument("--out", type=Path, help="folder of the records (default: the book's)")
    sub.add_argument("--jobs", type=int, default=1, help="processes at a time, of one thread each (default: 1)")
    sub.add_argument("--store", type=Path, default=Path("targets"), metavar="FOLDER",
                     help="keeps searches that several experiments need; may be deleted (default: targets)")
    sub.set_defaults(run=_reproduce)
    sub = commands.add_parser("claims", help="every claim of the paper with a verdict, from the records")
    sub.add_argument("--out", type=Path, help="write the page there, such as book/claims.md (default: print it)")
    sub.set_defaults(run=_claims)
    sub = commands.add_parser("bench", help="measure candidates a second: reference, engine, evolution libraries")
    sub.add_argument("--root", help="folder of the data files (default: REPSEARCH_DATA, else ~/.cache/repsearch)")
    sub.add_argument("--sizes", nargs="+", default=["laptop", "paper"], metavar="SIZE", help="(default: laptop paper)")
    sub.add_argument("--json", type=Path, metavar="PATH", help="write the record there")
    sub.set_defaults(run=_bench)
    sub = commands.add_parser("learn", parents=[common], help="train a network on cached targets, or the SGD baseline")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--targets", type=Path, help="folder that search has written, for the same data and seed")
    source.add_argument("--sgd", action="store_true", help="the SGD baseline: cross-entropy instead of targets")
    sub.add_argument("--groups", type=int, help="ConvGroups a block, two convolutions each (default: the preset's)")
    sub.add_argument("--skip", nargs="*", default=[], metavar="LAYER", help="layers not regressed to, such as block0")
    sub.add_argument("--augment", action="store_true", help="flip and crop the training images")
    sub.add_argument("--epochs", type=int, help="(default: the preset's)")
    sub.add_argument("--checkpoint", type=Path, help="file to save the training in, and to resume from")
    sub.add_argument("--out", type=Path, help="write the trained weights there (safetensors)")
    sub.set_defaults(run=_learn)
    return parser


def _data(args: argparse.Namespace) -> tuple[Dataset, Preset]:
    preset = presets.named(args.preset, args.data)
    checks.device(args.device)
    given = {
        part: getattr(args, part) if getattr(args, part) is not None else getattr(preset, part)
        for part in ("train", "validation", "test")
    }
    return load(preset.data, args.root, seed=args.seed, **given), preset


def _demo(args: argparse.Namespace) -> None:
    from repsearch import plots  # matplotlib only where figures are drawn

    if args.device != "cpu":
        raise InputError(f"device={args.device!r}: demo runs on the cpu; use search and learn for other devices")
    data, preset = _data(args)
    folder = checks.writable_folder("out", args.out)
    print(f"{data.name}: {len(data.train)} training images, preset {preset.name}")
    result = demo(data, preset, args.seed, progress=not args.quiet)
    print(_table(result))
    if args.json:
        write_record(args.json, result)
    plots.search_curves([result]).savefig(folder / "search.png", dpi=120)
    plots.learning_curves([result]).savefig(folder / "learning.png", dpi=120)
    plots.accuracies([result]).savefig(folder / "accuracy.png", dpi=120)
    print(f"figures: {', '.join(str(folder / name) for name in ('search.png', 'learning.png', 'accuracy.png'))}")


def _table(result: dict[str, object]) -> str:
    """The result of the demo, as a table for the terminal."""
    curves, scores = result["cross_entropy"], result["accuracy"]
    assert isinstance(curves, dict) and isinstance(scores, dict)
    lines = ["", "search: mean cross-entropy of the best candidate", f"  {'layer':<14}{'before':>8}{'after':>8}"]
    lines += [f"  {layer:<14}{curve[0]:8.3f}{curve[-1]:8.3f}" for layer, curve in curves.items()]
    lines += ["", "learning: accuracy on the test images"]
    lines += [f"  {name:<14}{100 * scores[name]:7.1f}%" for name in ("search-based", "SGD", "untrained")]
    return "\n".join([*lines, ""])


def _search(args: argparse.Namespace) -> None:
    with _ranks(args) as first:
        data, preset = _data(args)
        store = args.out or Path("targets") / data.name
        if args.images is not None:
            checks.positive_int("images", args.images)
        images = data.train[: args.images]
        start = time.perf_counter()
        network = search_network(data, preset, args.seed).to(args.device)
        targets = search(network, images, preset.search, args.seed, store, not args.quiet, args.engine)
        if not first:
            return
    kept = ("data", "root", "preset", "seed", "train", "validation", "test", "images", "device", "engine")
    write_whole(store / COMMAND, (json.dumps({key: getattr(args, key) for key in kept}, indent=1) + "\n").encode())
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        print(f"{layer:<8} cross-entropy {loss[0]:.3f} before, {loss[-1]:.3f} after")
    print(f"mean probability of the label {targets.probability.mean():.3f}; targets of {len(targets)} images: {store}")
    if args.json:
        seconds = time.perf_counter() - start
        write_record(args.json, search_record(data, preset, args.seed, targets, seconds))


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


def _targets_info(args: argparse.Namespace) -> None:
    manifest = read_manifest(args.folder)
    config, images = manifest["configuration"], manifest["images"]
    shards, size = -(-images // config["shard"]), sum(path.stat().st_size for path in args.folder.glob("shard-*"))
    population = config["parents"] + config["explorers"] + config["refiners"]
    done, made_by = len(manifest["shards"]), f"engine {manifest['engine']}, repsearch {manifest['library']}"
    print(f"{images} images in shards of {config['shard']}, {done} of {shards} done, {size / 1e6:.1f} MB")
    print(f"population {population}, seed {manifest['seed']}, {made_by}")
    for (layer, shape), row in zip(manifest["layers"].items(), config["schedule"], strict=True):
        print(f"  {layer:<8} {'x'.join(map(str, shape)):<12} {row['generations']:>4} generations, strength "
              f"{row['strength']}, boost {row['boost']}, blur {row['blur']}")


def _targets_verify(args: argparse.Namespace) -> int:
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
    _search(argparse.Namespace(**command, out=args.folder, json=None, quiet=args.quiet))
    return 0


def _reproduce(args: argparse.Namespace) -> None:
    folder = args.out or record_folder()
    if args.list:
        checks.one_of("preset", args.preset, presets.PRESETS)
        print(listing(args.preset, args.seeds, folder))
        return
    todo = points(check_listed(args.experiments), args.preset, args.seeds, args.data, args.variants)
    checks.writable_folder("out", folder)
    reproduce(todo, folder, args.root, args.store, args.jobs)


def _claims(args: argparse.Namespace) -> None:
    content = page()
    if args.out:
        write_whole(args.out, content.encode())
    else:
        print(content)


def _bench(args: argparse.Namespace) -> None:
    from repsearch.bench import bench, table  # needs packages that only this command does

    result = bench(args.sizes, args.root)
    print(table(result))
    if args.json:
        write_record(args.json, result)


def _learn(args: argparse.Namespace) -> None:
    data, preset = _data(args)
    targets = None if args.sgd else Targets.open(args.targets)
    config = replace(preset.baseline if args.sgd else preset.learn, augment=args.augment, skip=tuple(args.skip))
    if args.epochs is not None:
        config = replace(config, epochs=args.epochs)
    if args.groups is not None:
        checks.positive_int("groups", args.groups)
    start = time.perf_counter()
    model = learn_network(data, preset, args.seed, args.groups).to(args.device)
    history = learn(model, data, targets, config, args.seed, args.checkpoint, progress=not args.quiet)
    test = accuracy(model, data.test)
    best = history.validation_accuracy[history.best_epoch]
    print(f"epoch {history.best_epoch + 1} of {config.epochs}: validation accuracy {best:.1%}, test {test:.1%}")
    if args.out:
        weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
        write_whole(args.out, safetensors.torch.save(weights))
    if args.json:
        write_record(args.json, record(
            "learn", args.seed, time.perf_counter() - start, data=data.name, train=len(data.train), preset=preset.name,
            objective="SGD" if args.sgd else "search-based", learn=as_dict(config), test_accuracy=test,
            validation_accuracy=history.validation_accuracy, losses=history.parts, best_epoch=history.best_epoch,
        ))


if __name__ == "__main__":
    raise SystemExit(main())
