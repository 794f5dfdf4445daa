"""The state of a training: its history, the best weights so far, and the checkpoint that holds them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.method import Method
from repsearch.store.files import write_whole

FORMAT = 3
ENTRIES = {"format", "identity", "epoch", "history", "best", "model", "momentum", "device", "generators", "method"}


@dataclass(repr=False)
class History:
    """What training went through; one entry an epoch unless it says otherwise.

    Args:
        loss: mean training loss that was minimised.
        parts: its parts: "block0", ... (squared errors) and "head" (the KL term), or whatever the method names.
        train_accuracy: on the training images as they were seen, in 0..1; empty if the method computes no logits.
        validation_accuracy: in 0..1.
        spent: cost so far in F, forward passes of one image through the network, a search before it included if its
            cost is known.
        best_epoch: the epoch, counted from 0, whose weights the model has: that of the highest validation accuracy,
            or the last if `FitConfig.keep` says so.

    Example:
        >>> History(loss=[2.0, 1.0], validation_accuracy=[0.4, 0.6], spent=[300.0, 600.0], best_epoch=1)
        History(2 epochs, 600 F, best validation accuracy 60.0% with best_epoch=1)
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    best_epoch: int = 0

    def __repr__(self) -> str:
        if not self.validation_accuracy:
            return "History(0 epochs)"
        best, spent = self.validation_accuracy[self.best_epoch], f"{self.spent[-1]:,.0f} F, " if self.spent else ""
        return (f"History({len(self.validation_accuracy)} epochs, {spent}best validation accuracy {best:.1%} with "
                f"best_epoch={self.best_epoch})")


@dataclass
class Training:
    """All that a checkpoint must hold to go on as if nothing had happened.

    Args:
        model, method, optimizer: as they are after `epoch` epochs.
        generators: all that is drawn from: that of the augmentation, then torch's own.
        identity: what the training is of, as JSON holds it.
        epoch: epochs done.
        history: of these.
        best: the weights of the best of them.
    """

    model: nn.Module
    method: Method
    optimizer: torch.optim.Optimizer
    generators: list[torch.Generator]
    identity: dict[str, Any]
    epoch: int = 0
    history: History = field(default_factory=History)
    best: dict[str, Tensor] = field(default_factory=dict)

    def finish_epoch(
        self, loss: float, parts: dict[str, float], train_accuracy: float | None, validation_accuracy: float,
        spent: float, keep: str = "best",
    ) -> None:
        """Add an epoch to the history, and keep its weights if they are the best so far, or to be the "last"."""
        history = self.history
        history.loss.append(loss)
        for name, value in parts.items():
            history.parts.setdefault(name, []).append(value)
        if train_accuracy is not None:
            history.train_accuracy.append(train_accuracy)
        history.spent.append(spent)
        if keep == "last" or not self.best or validation_accuracy > max(history.validation_accuracy):
            history.best_epoch = self.epoch
            self.best = copy.deepcopy(self.model.state_dict())
        history.validation_accuracy.append(validation_accuracy)
        self.epoch += 1

    def save(self, path: Path) -> None:
        """Write everything to a file, whole or not at all.

        Raises:
            InputError: the file cannot be written, or the method's state not be read again.
        """
        buffer, momentum = BytesIO(), momentum_of(self.optimizer)
        torch.save({
            "format": FORMAT, "identity": self.identity, "epoch": self.epoch, "history": asdict(self.history),
            "best": _unwrapped(self.best), "model": _unwrapped(self.model.state_dict()), "momentum": momentum,
            "device": self.generators[0].device.type, "generators": [g.get_state() for g in self.generators],
            "method": _readable(self.method),
        }, buffer)
        write_whole(path, buffer.getvalue())

    def take_over(self, saved: dict[str, Any]) -> None:
        """Go on from the entries of a checkpoint, once `check_entries` has looked at them.

        On another kind of device, whose generators have other states, all draws begin anew.
        """
        self.epoch, self.history = saved["epoch"], History(**saved["history"])
        _load(self.model, saved["model"])
        self.best = {name: saved["best"][plain_name(name)] for name in self.model.state_dict()}
        for parameter, momentum in zip(self.trained, saved["momentum"], strict=True):
            if momentum is not None:
                self.optimizer.state[parameter]["momentum_buffer"] = momentum.to(parameter.device)
        if saved["device"] == self.generators[0].device.type:
            for generator, state in zip(self.generators, saved["generators"], strict=True):
                generator.set_state(state)

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that steps are taken of."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def momentum_of(optimizer: torch.optim.Optimizer) -> list[Tensor | None]:
    """The momentum of every parameter, in their order; None before the first step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [optimizer.state.get(parameter, {}).get("momentum_buffer") for parameter in parameters]


def plain_name(name: str) -> str:
    """A tensor's name as it is without `torch.compile` around its model or a part of it."""
    return name.replace("_orig_mod.", "")


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {plain_name(name): value for name, value in state.items()}


def _load(model: nn.Module, saved: dict[str, Tensor]) -> None:
    model.load_state_dict({name: saved[plain_name(name)] for name in model.state_dict()})


def _readable(method: Method) -> dict[str, Any]:
    """A method's state, once it is sure that it can be read again."""
    state, buffer = method.state_dict(), BytesIO()
    try:
        torch.save(state, buffer)
        torch.load(BytesIO(buffer.getvalue()), weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError):
        raise InputError(f"method: the state_dict of {type(method).__name__} holds what a checkpoint cannot; give "
                         "tensors, numbers, texts, and lists and dicts of them") from None
    return state
