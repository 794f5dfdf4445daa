"""Learning: regression to the searched activations (sections 4.1 and 4.2), and the SGD baseline, in one loop."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import LearnConfig, as_dict
from repsearch.data import Dataset, Split, augment
from repsearch.networks import activations, check_network, fingerprint, layer_names
from repsearch.operators import normalise
from repsearch.targets import Targets, write_whole


@dataclass
class History:
    """What training went through; one entry an epoch unless it says otherwise.

    Args:
        loss: mean training loss that was minimised.
        parts: its parts: "block0", ... (squared errors) and "head" (the KL term), or "cross_entropy".
        train_accuracy: on the training images as they were seen, in 0..1.
        validation_accuracy: in 0..1.
        best_epoch: the epoch, counted from 0, of the highest validation accuracy, whose weights the model has.
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = 0


def learn(
    model: nn.Module,
    data: Dataset,
    targets: Targets | None,
    config: LearnConfig,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    watch: Callable[[int, nn.Module], None] | None = None,
) -> History:
    """Train `model` by regression to `targets`, or with cross-entropy where `targets` is None (the SGD baseline).

    The batches are consecutive training images, the same in every epoch (A.3). The model ends with the weights of the
    epoch that did best on the validation images; the test images are never looked at.

    Args:
        model: offers stem, blocks and head; trained in place, on the device it is on.
        data: training and validation images.
        targets: searched activations of `data.train`, whose layers have the shapes of the model's.
        config: see `LearnConfig`.
        seed: of the augmentation; nothing else is random.
        checkpoint: file to save the state of training in after each epoch, and to resume from if it exists.
        progress: show a bar.
        watch: called as watch(epochs done, model) before the first epoch and after each, to measure the model; it must
            leave the model as it was.

    Returns:
        The `History` of losses and accuracies.

    Raises:
        InputError: targets of other images or shapes, an unknown layer in `config.skip`, a checkpoint of another
            training.

    Example:
        >>> from repsearch import learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = learn(learn_network(data, preset), data, None, preset.baseline, progress=False)
        >>> len(history.loss) == preset.baseline.epochs
        True
    """
    device = next(model.parameters()).device
    batches = _batches(len(data.train), config.batch)
    _check_fit(model, data, targets, config)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=config.learning_rate, momentum=config.momentum,
        nesterov=config.momentum > 0,
    )
    state = _Training(model, optimizer, torch.Generator(device).manual_seed(seed))
    path = None if checkpoint is None else Path(checkpoint)
    identity = _identity(model, data, targets, config, seed)
    if path is not None:
        checks.writable_folder("checkpoint", path.parent)
        state.resume(path, identity)

    if watch and state.epoch == 0:
        watch(0, model)
    epochs = range(state.epoch, config.epochs)
    for epoch in tqdm(epochs, initial=state.epoch, total=config.epochs, unit="epoch", disable=not progress):
        model.train()
        sums: dict[str, float] = {}
        correct = 0
        for step, (start, stop) in enumerate(batches):
            images = data.train.images[start:stop].to(device).to(memory_format=torch.channels_last)
            labels = data.train.labels[start:stop].to(device)
            if config.augment:
                images = augment(images, state.generator)
            wanted = None if targets is None else _read(targets, start, stop, config, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                layers = activations(model, images, sever_head=targets is not None)
            layers = [H.float() for H in layers]
            if wanted is None:
                parts = {"cross_entropy": F.cross_entropy(layers[-1], labels)}
                loss = parts["cross_entropy"]
            else:
                parts = objective_parts(layers, wanted, config)
                loss = objective(parts, config)
            for group in optimizer.param_groups:
                share = (epoch * len(batches) + step) / (config.epochs * len(batches))
                group["lr"] = config.learning_rate * learning_rate_share(share)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

            for name, part in {"loss": loss, **parts}.items():
                sums[name] = sums.get(name, 0.0) + part.item() * (stop - start)
            correct += int((layers[-1].argmax(1) == labels).sum())
        if not torch.isfinite(torch.tensor(sums["loss"])):
            raise InputError(
                f"learning_rate={config.learning_rate}: the loss became {sums['loss']} in epoch {epoch}; lower it"
            )
        state.finish_epoch({k: v / len(data.train) for k, v in sums.items()}, correct / len(data.train),
                           accuracy(model, data.validation))
        if watch:
            watch(state.epoch, model)
        if path is not None:
            state.save(path, identity)
    model.load_state_dict(state.best)
    return state.history


def objective_parts(
    layers: Sequence[Tensor], targets: Sequence[Tensor | None], config: LearnConfig
) -> dict[str, Tensor]:
    """The terms of the loss of section 4.2, before they are weighted.

    Block l: ``1/B sum_b || H(l)(x_b) - Hhat(l)(x_b) ||^2``, divided by the elements of the layer for "mean".
    Head: ``1/B sum_b KL( softmax(Hhat(L-1)(x_b)) || softmax(logits(x_b)) )``.

    Args:
        layers: the model's H(0), ..., H(L-2) and logits, each (B, ...).
        targets: the searched ones; None where a layer is skipped.
        config: gives `squares` and `normalise_output`.
    """
    parts = {}
    for index, (H, wanted) in enumerate(zip(layers[:-1], targets[:-1], strict=True)):
        if wanted is not None:
            error = ((normalise(H) if config.normalise_output else H) - wanted).square()
            parts[f"block{index}"] = error.mean() if config.squares == "mean" else error.sum() / len(error)
    assert targets[-1] is not None
    log_p, p_hat = F.log_softmax(layers[-1], dim=1), F.softmax(targets[-1], dim=1)
    parts["head"] = F.kl_div(log_p, p_hat, reduction="batchmean")
    return parts


def objective(parts: dict[str, Tensor], config: LearnConfig) -> Tensor:
    """The loss of section 4.2: the mean of the blocks' squared errors, plus `config.head_weight` times the KL term."""
    blocks = [part for name, part in parts.items() if name != "head"]
    return torch.stack(blocks).mean() + config.head_weight * parts["head"]


def learning_rate_share(progress: float, warm_up: float = 0.2, end: float = 0.05) -> float:
    """Share of the peak learning rate after `progress` of the training: a linear rise, then a linear fall (airbench).

    Example:
        >>> [round(learning_rate_share(p), 3) for p in (0, 0.2, 1)]
        [0.2, 1.0, 0.05]
    """
    if progress < warm_up:
        return 0.2 + 0.8 * progress / warm_up
    return 1 - (1 - end) * (progress - warm_up) / (1 - warm_up)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch: int = 2000) -> Tensor:
    """Logits (N, classes) of images (N, C, H, W), in fixed batches of nearly equal size.

    A model whose BatchNorm uses batch statistics sees the same batches every time (A.3).
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    parts = images.tensor_split(-(-len(images) // batch))
    logits = torch.cat([model(part.to(device).to(memory_format=torch.channels_last)).cpu() for part in parts])
    model.train(training)
    return logits


def accuracy(model: nn.Module, split: Split, batch: int = 2000) -> float:
    """Share of a split's images that the model labels correctly, in 0..1; batches as in `predict`."""
    return float((predict(model, split.images, batch).argmax(1) == split.labels).float().mean())


@dataclass
class _Training:
    """The state of a training: all that a checkpoint must hold to go on as if nothing had happened."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    epoch: int = 0
    history: History = field(default_factory=History)
    best: dict[str, Tensor] = field(default_factory=dict)

    def finish_epoch(self, losses: dict[str, float], train_accuracy: float, validation_accuracy: float) -> None:
        history = self.history
        history.loss.append(losses.pop("loss"))
        for name, value in losses.items():
            history.parts.setdefault(name, []).append(value)
        history.train_accuracy.append(train_accuracy)
        if not self.best or validation_accuracy > max(history.validation_accuracy):
            history.best_epoch = self.epoch
            self.best = copy.deepcopy(self.model.state_dict())
        history.validation_accuracy.append(validation_accuracy)
        self.epoch += 1

    def save(self, path: Path, identity: str) -> None:
        buffer = BytesIO()
        torch.save({
            "identity": identity, "epoch": self.epoch, "history": asdict(self.history), "best": self.best,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }, buffer)
        write_whole(path, buffer.getvalue())

    def resume(self, path: Path, identity: str) -> None:
        if not path.exists():
            return
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            found = saved["identity"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(
                f"checkpoint={str(path)!r}: damaged ({str(error).splitlines()[0]}); delete it and train again"
            ) from None
        if found != identity:
            raise InputError(f"checkpoint={str(path)!r}: of another training; delete it or name another file")
        self.epoch, self.history, self.best = saved["epoch"], History(**saved["history"]), saved["best"]
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])


def _batches(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of nearly equal batches of at most `size` images; none of a single image."""
    number = -(-count // size)
    edges = [round(i * count / number) for i in range(number + 1)]
    return list(pairwise(edges))


def _read(
    targets: Targets, start: int, stop: int, config: LearnConfig, device: torch.device
) -> list[Tensor | None]:
    return [
        None if layer in config.skip else targets.read(layer, start, stop).to(device) for layer in targets.layers
    ]


def _check_fit(model: nn.Module, data: Dataset, targets: Targets | None, config: LearnConfig) -> None:
    """Raise `InputError` unless model, data and targets fit each other."""
    check_network(model)
    names = layer_names(model)
    for name in config.skip:
        checks.one_of("skip", name, names[:-1])
    if set(config.skip) >= set(names[:-1]):
        raise InputError(f"skip={config.skip!r}: nothing is left to regress to; keep at least one block")
    device, state = next(model.parameters()).device, copy.deepcopy(model.state_dict())
    try:
        with torch.no_grad():
            layers = activations(model, data.train.images[:2].to(device))
    except RuntimeError as error:
        shape, cause = tuple(data.train.images.shape[1:]), str(error).splitlines()[0]
        raise InputError(f"model: cannot take images of shape {shape} ({cause}); build it for these images") from None
    model.load_state_dict(state)
    shapes = {name: tuple(H.shape[1:]) for name, H in zip(names, layers, strict=True)}
    if shapes["logits"] != (data.train.classes,):
        raise InputError(f"model: its head gives {shapes['logits']} an image; expected ({data.train.classes},)")
    if targets is not None:
        targets.check(data.train, shapes)


def _identity(model: nn.Module, data: Dataset, targets: Targets | None, config: LearnConfig, seed: int) -> str:
    """What a checkpoint belongs to: initial weights, data, targets, configuration and seed."""
    of_targets = None if targets is None else targets.manifest
    images = [data.train.fingerprint(), data.validation.fingerprint()]
    what = [fingerprint(model), images, of_targets, as_dict(config), seed]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
