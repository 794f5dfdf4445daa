"""The command line: python -m repsearch demo | search | learn."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import safetensors.torch

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.config import as_dict
from repsearch.data import Dataset, load
from repsearch.experiments import demo, record, write_record
from repsearch.learn import accuracy, learn
from repsearch.networks import learn_network, search_network
from repsearch.presets import Preset
from repsearch.search import search
from repsearch.targets import Targets, write_whole


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"repsearch: {message}; see {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 0, or 2 after one line about bad input."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except InputError as error:
        print(f"repsearch: {error}", file=sys.stderr)
        return 2
    return 0


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
    commands = parser.add_subparsers(title="commands", required=True, metavar="demo | search | learn")
    sub = commands.add_parser("demo", parents=[common], help="the whole method once: search, learn, rivals, figures")
    sub.add_argument("--out", type=Path, default=Path("demo"), help="folder of the three figures (default: demo)")
    sub.set_defaults(run=_demo)
    sub = commands.add_parser("search", parents=[common], help="search targets and cache them; resumes if interrupted")
    sub.add_argument("--out", type=Path, help="folder of the targets (default: targets/<data>)")
    sub.set_defaults(run=_search)
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
    data, preset = _data(args)
    start = time.perf_counter()
    network = search_network(data, preset, args.seed).to(args.device)
    store = args.out or Path("targets") / data.name
    targets = search(network, data.train, preset.search, args.seed, store, progress=not args.quiet)
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        print(f"{layer:<8} cross-entropy {loss[0]:.3f} before, {loss[-1]:.3f} after")
    print(f"mean probability of the label {targets.probability.mean():.3f}; targets of {len(targets)} images: {store}")
    if args.json:
        curves = {layer: targets.cross_entropy(layer).mean(0).tolist() for layer in targets.layers}
        write_record(args.json, record(
            "search", args.seed, time.perf_counter() - start, data=data.name, train=len(data.train), preset=preset.name,
            search=as_dict(preset.search), cross_entropy=curves, probability=float(targets.probability.mean()),
        ))


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
