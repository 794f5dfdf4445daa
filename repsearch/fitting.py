"""`repsearch.fit`, the one training loop: it trains a network by whatever method gives its steps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig, as_dict
from repsearch.data import Dataset, augment
from repsearch.evaluation import accuracy, check_model
from repsearch.method import Batch, Method, Step
from repsearch.networks import fingerprint
from repsearch.training import History, Training

Watch = Callable[[int, nn.Module], None]


def fit(
    model: nn.Module,
    data: Dataset,
    method: Method,
    config: FitConfig,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> History:
    """Train `model` by `method`.

    The batches are consecutive training images, the same in every epoch (A.3). The model ends with the weights of the
    epoch that did best on the validation images; the test images are never looked at.

    Args:
        model: images (B, C, H, W) to logits (B, classes); trained in place, on the device it is on.
        data: training and validation images.
        method: gives the steps; one of `repsearch.methods`, or your own `repsearch.methods.Method`.
        config: see `FitConfig`.
        seed: of the augmentation, and of what the method draws.
        checkpoint: file to save the state of training in after each epoch, and to resume from if it exists.
        progress: show a bar.
        watch: called as watch(epochs done, model) before the first epoch and after each, to measure the model; it must
            leave the model as it was.

    Returns:
        The `History` of losses, accuracies and cost.

    Raises:
        InputError: a model that does not fit data or method, a budget already spent, a loss that is not finite,
            a checkpoint of another training.

    Example:
        >>> from repsearch import learn_network, load, methods, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, methods.Backprop(), preset.baseline, progress=False)
        >>> len(history.loss) == preset.baseline.epochs
        True
    """
    state = _start(model, data, method, config, seed)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None:
        checks.writable_folder("checkpoint", path.parent)
        state.resume(path)
    spent = state.history.spent[-1] if state.epoch else _spent_before(model, data, method, config)

    if watch and state.epoch == 0:
        watch(0, model)
    epochs = range(state.epoch, config.epochs)
    for _ in tqdm(epochs, initial=state.epoch, total=config.epochs, unit="epoch", disable=not progress):
        if config.budget is not None and spent >= config.budget:
            break
        spent = _epoch(state, data, config, spent)
        if watch:
            watch(state.epoch, model)
        if path is not None:
            state.save(path)
    model.load_state_dict(state.best)
    return state.history


def learning_rate_share(progress: float, warm_up: float = 0.2, end: float = 0.05) -> float:
    """Share of the peak learning rate after `progress` of the training: a linear rise, then a linear fall (airbench).

    Example:
        >>> [round(learning_rate_share(p), 3) for p in (0, 0.2, 1)]
        [0.2, 1.0, 0.05]
    """
    if progress < warm_up:
        return 0.2 + 0.8 * progress / warm_up
    return 1 - (1 - end) * (progress - warm_up) / (1 - warm_up)


def _start(model: nn.Module, data: Dataset, method: Method, config: FitConfig, seed: int) -> Training:
    """The state before the first step, once everything fits."""
    if not isinstance(method, Method):
        raise InputError(f"method: expected an instance such as repsearch.methods.Backprop(), found {method!r}")
    check_model(model, data.train)
    method.start(model, data, config, seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=config.learning_rate, momentum=config.momentum,
        nesterov=config.momentum > 0, weight_decay=config.weight_decay,
    )
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    return Training(model, method, optimizer, generator, _identity(model, data, method, config, seed))


def _spent_before(model: nn.Module, data: Dataset, method: Method, config: FitConfig) -> float:
    """F spent before the first step; an error where that leaves nothing of the budget."""
    before = method.spent(model, data)
    if config.budget is not None:
        if before is None:
            raise InputError(f"budget={config.budget}: nobody knows what the search before cost; search again")
        if before >= config.budget:
            raise InputError(f"budget={config.budget}: {before:.0f} F were spent before the first step; raise it")
    return before or 0.0


@dataclass
class _Sums:
    """Sums over the images of an epoch."""

    images: int = 0
    loss: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    labelled: int = 0
    correct: int = 0

    def add(self, step: Step, batch: Batch) -> None:
        self.images += len(batch)
        self.loss += step.loss.item() * len(batch)
        for name, part in step.parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + part.item() * len(batch)
        if step.logits is not None:
            self.labelled += len(batch)
            self.correct += int((step.logits.argmax(1) == batch.labels).sum())


def _epoch(state: Training, data: Dataset, config: FitConfig, spent: float) -> float:
    """One pass over the training images, or as much of it as the budget allows; F spent after it."""
    model, sums = state.model, _Sums()
    device, batches = next(model.parameters()).device, _batches(len(data.train), config.batch)
    model.train()
    for number, (start, stop) in enumerate(batches):
        if config.budget is not None and spent >= config.budget:
            break
        images = data.train.images[start:stop].to(device).to(memory_format=torch.channels_last)
        if config.augment:
            images = augment(images, state.generator)
        batch = Batch(images, data.train.labels[start:stop].to(device), start, stop)
        done = (state.epoch * len(batches) + number) / (config.epochs * len(batches))
        for group in state.optimizer.param_groups:
            share = done if config.budget is None else max(done, spent / config.budget)
            group["lr"] = config.learning_rate * learning_rate_share(share)
        state.optimizer.zero_grad(set_to_none=True)
        step = state.method.step(model, batch, config)
        state.optimizer.step()
        sums.add(step, batch)
        spent += step.cost * len(batch)
    if not math.isfinite(sums.loss):
        raise InputError(
            f"learning_rate={config.learning_rate}: the loss became {sums.loss} in epoch {state.epoch}; lower it"
        )
    parts = {name: value / sums.images for name, value in sums.parts.items()}
    train_accuracy = sums.correct / sums.labelled if sums.labelled else None
    state.finish_epoch(sums.loss / sums.images, parts, train_accuracy, accuracy(model, data.validation), spent)
    return spent


def _batches(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of nearly equal batches of at most `size` images; none of a single image."""
    number = -(-count // size)
    edges = [round(i * count / number) for i in range(number + 1)]
    return list(pairwise(edges))


def _identity(model: nn.Module, data: Dataset, method: Method, config: FitConfig, seed: int) -> str:
    """What a checkpoint belongs to: initial weights, data, method, configuration and seed."""
    images = [data.train.fingerprint(), data.validation.fingerprint()]
    what = [fingerprint(model), images, method.identity(), as_dict(config), seed]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
