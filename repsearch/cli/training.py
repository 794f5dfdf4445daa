"""What the commands that train have in common: options, and a training of one model."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from torch import nn

from repsearch import checks
from repsearch.airbench import learn_network
from repsearch.cli.common import Loaded, check_files, file_name, settings_of
from repsearch.evaluation import accuracy
from repsearch.fitting import fit
from repsearch.reproduce.records import record, write_record
from repsearch.store.files import write_whole

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.method import Method


def add_training_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    sub.add_argument("--groups", type=int, help="ConvGroups a block, two convolutions each (default: the preset's)")
    sub.add_argument("--augment", action="store_true", help="flip and crop the training images")
    sub.add_argument("--epochs", type=int, help="(default: the preset's)")
    sub.add_argument("--learning-rate", type=float, help="(default: the preset's)")
    sub.add_argument("--checkpoint", type=file_name, help="file to save the training in, and to resume from")
    sub.add_argument("--out", type=file_name, help="write the trained weights there (safetensors)")


def train(args: argparse.Namespace, loaded: Loaded, method: Method, config: FitConfig, **settings: Any) -> None:
    """Train, and say in a line how it went; the record's settings are these and all else that decides it."""
    data, preset = loaded
    asked = {key: getattr(args, key) for key in ("epochs", "learning_rate") if getattr(args, key) is not None}
    config = replace(config, augment=args.augment, **asked)
    if args.groups is not None:
        checks.positive_int("groups", args.groups)
    check_files(args, "out", "json")
    start, name = time.perf_counter(), type(method).__name__
    model = learn_network(data, preset, args.seed, args.groups).to(args.device)
    history = fit(model, data, method, config, args.seed, args.checkpoint, progress=not args.quiet)
    test = accuracy(model, data.test)
    best = history.validation_accuracy[history.best_epoch]
    epoch, cost = f"epoch {history.best_epoch + 1} of {config.epochs}", f"{history.spent[-1]:,.0f} F"
    print(f"{name}: {epoch}: validation accuracy {best:.1%}, test {test:.1%}, cost {cost}")
    if args.out:
        write_weights(model, args.out)
    if args.json:
        groups = args.groups or preset.groups
        settings = settings_of(data, preset, groups=groups, statistics=preset.statistics, method=name,
                               fit=config, **settings)
        write_record(args.json, record(
            "fit", args.seed, time.perf_counter() - start, settings, test_accuracy=test, best_epoch=history.best_epoch,
            validation_accuracy=history.validation_accuracy, losses=history.parts, spent=history.spent,
        ))


def write_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as safetensors, whole or not at all."""
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    write_whole(path, safetensors.torch.save(weights))
