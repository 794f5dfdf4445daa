"""`repsearch.fit`, the one training loop: it trains a network by whatever method gives its steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset, Split, augment
from repsearch.evaluation import logits, share_correct, too_few
from repsearch.identity import fingerprint
from repsearch.method import Batch, Method, Step, check_step
from repsearch.networks import device_of
from repsearch.starting import apart, begin, check_kinds, set_states
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
    optimizer: torch.optim.SGD | None = None,
) -> History:
    """Train `model` by `method`.

    The batches are consecutive training images, the same in every epoch (A.3). The model ends with the weights of the
    epoch that did best on the validation images, or of the last if `config.keep` says so; the test images are never
    looked at. Its modules are trained in train mode, and are afterwards in the mode they came in. Whatever is around
    it, an autocast, torch's default dtype or own generators, has no say in the training, and is left as it was.

    Args:
        model: images (B, C, H, W) to logits (B, classes); trained in place, on the device it is on.
        data: training and validation images.
        method: gives the steps; one of `repsearch.methods`, or your own `repsearch.methods.Method`.
        config: see `FitConfig`.
        seed: of the augmentation, of what the method draws, and of dropout and the like on CPU and CUDA.
        checkpoint: file to save the state of training in after each epoch, and to resume from if it exists. On another
            kind of device than it was written on, all draws begin anew.
        progress: show a bar.
        watch: called as watch(epochs done, model) before the first epoch of this call and after each, to measure the
            model; it must leave the model as it was.
        optimizer: takes the steps, with the rates of `config`, and goes on with the momentum that it has; by default a
            fresh one.

    Returns:
        The `History` of losses, accuracies and cost.

    Raises:
        InputError: a model that does not fit data or method, a budget already spent, a loss that is not finite,
            a checkpoint of another training. Before the first step all of them leave the model as it was.

    Example:
        >>> from repsearch import learn_network, load, methods, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, methods.Backprop(), preset.baseline, progress=False)
        >>> len(history.loss) == preset.baseline.epochs
        True
    """
    check_kinds(model, data, method, config)
    path = None if checkpoint is None else checks.own_path(checkpoint)
    with apart(model, checks.seed(seed)):
        state, spent = begin(model, data, method, config, checks.seed(seed), path, optimizer)
        _look(watch, state)
        with tqdm(initial=state.epoch, total=config.epochs, unit="epoch", disable=not progress) as bar:
            while state.epoch < config.epochs and (config.budget is None or spent < config.budget):
                spent = _epoch(state, data, config, spent)
                if path is not None:
                    state.save(path)
                bar.update()
                _look(watch, state)
        model.load_state_dict(state.best)
    return state.history


def learning_rate_share(progress: float, warm_up: float = 0.2, end: float = 0.05) -> float:
    """Share of the peak learning rate after `progress` of the training: a linear rise, then a linear fall.

    The shape is that of airbench, the numbers are ours: airbench's own files rise over 23 % of the training and fall to
    7 %, or rise over 10 %.

    Example:
        >>> [round(learning_rate_share(p), 3) for p in (0, 0.2, 1)]
        [0.2, 1.0, 0.05]
    """
    if progress < warm_up:
        return 0.2 + 0.8 * progress / warm_up
    return 1 - (1 - end) * (progress - warm_up) / (1 - warm_up)


# --- an epoch ---------------------------------------------------------------------------------------------------------


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
    sums, batches, led = _Sums(), _batches(len(data.train), config.batch), False
    state.model.train()
    for number, (start, stop) in enumerate(batches):
        if config.budget is not None and spent >= config.budget:
            break
        done = (state.epoch * len(batches) + number) / (config.epochs * len(batches))
        share = done if config.budget is None else max(done, spent / config.budget)
        for group in state.optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_share(share)
        batch = _batch(state, data.train, config, start, stop)
        step = _step(state, batch, config)
        led = led or any(parameter.grad is not None for parameter in state.trained)
        _descend(state, config)
        sums.add(step, batch)
        if not math.isfinite(sums.loss):
            raise _diverged(state, config, f"the loss became {sums.loss}", first=number == 0)
        spent += float(step.cost) * len(batch)
    found = logits(state.model, data.validation.images)
    if bool((found.isnan() | found.isposinf()).any()):  # a logit of -inf may be meant
        raise _diverged(state, config, "the logits became infinite or NaN")
    parts = {name: value / sums.images for name, value in sums.parts.items()}
    train_accuracy = sums.correct / sums.labelled if sums.labelled else None
    correct = share_correct(found, data.validation.labels)
    state.finish_epoch(sums.loss / sums.images, parts, train_accuracy, correct, spent, config.keep)
    if state.epoch == 1 and not led:
        _say_if_unmoved(state)
    return spent


def _batch(state: Training, split: Split, config: FitConfig, start: int, stop: int) -> Batch:
    device = device_of(state.model)
    images = split.images[start:stop].to(device).to(memory_format=torch.channels_last)
    # A copy, for the model may change its input in place.
    images = augment(images, state.generators[0]) if config.augment else images.clone()
    return Batch(images, split.labels[start:stop].to(device), start, stop)


def _step(state: Training, batch: Batch, config: FitConfig) -> Step:
    """What the method's step found out."""
    state.optimizer.zero_grad(set_to_none=True)
    try:
        step = state.method.step(state.model, batch, config)
    except ValueError as error:
        raise too_few(error) from None
    check_step(step, batch, state.method)
    return step


def _descend(state: Training, config: FitConfig) -> None:
    """A step of SGD along the gradients there are."""
    try:
        state.optimizer.step()
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        name = max("learning_rate", "weight_decay", key=lambda name: float(getattr(config, name)))
        raise InputError(f"{name}={getattr(config, name)}: a step leaves the range of float32; lower it") from None


def _diverged(state: Training, config: FitConfig, what: str, first: bool = False) -> InputError:
    if first and state.epoch == 0:
        return InputError(f"model: {what} in the first step; look at its weights and the images it is given")
    return InputError(f"learning_rate={config.learning_rate}: {what} in epoch {state.epoch}; lower it")


def _say_if_unmoved(state: Training) -> None:
    if fingerprint(state.model) == state.identity["network"]:
        warnings.warn(
            f"method: {type(state.method).__name__} left no gradient and moved no weight in the first epoch",
            stacklevel=4,
        )


def _look(watch: Watch | None, state: Training) -> None:
    """Let `watch` measure; what it draws is not drawn from the training's generators."""
    if watch:
        states = [generator.get_state() for generator in state.generators]
        watch(state.epoch, state.model)
        set_states(state.generators, states)


def _batches(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of nearly equal batches of at most `size` images; none of a single image, so that an odd number in
    batches of two has batches of three."""
    number = -(-count // size)
    if count // number < 2:
        number = max(1, count // 2)
    edges = [round(i * count / number) for i in range(number + 1)]
    return list(pairwise(edges))
