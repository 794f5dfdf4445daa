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

FORMAT = 2


@dataclass
class History:
    """What training went through; one entry an epoch unless it says otherwise.

    Args:
        loss: mean training loss that was minimised.
        parts: its parts: "block0", ... (squared errors) and "head" (the KL term), or whatever the method names.
        train_accuracy: on the training images as they were seen, in 0..1; empty if the method computes no logits.
        validation_accuracy: in 0..1.
        spent: cost so far in F, forward passes of one image through the network, a search before it included if its
            cost is known.
        best_epoch: the epoch, counted from 0, of the highest validation accuracy, whose weights the model has.
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    best_epoch: int = 0


@dataclass
class Training:
    """All that a checkpoint must hold to go on as if nothing had happened."""

    model: nn.Module
    method: Method
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    identity: str
    epoch: int = 0
    history: History = field(default_factory=History)
    best: dict[str, Tensor] = field(default_factory=dict)

    def finish_epoch(
        self, loss: float, parts: dict[str, float], train_accuracy: float | None, validation_accuracy: float,
        spent: float,
    ) -> None:
        """Add an epoch to the history, and keep its weights if they are the best so far."""
        history = self.history
        history.loss.append(loss)
        for name, value in parts.items():
            history.parts.setdefault(name, []).append(value)
        if train_accuracy is not None:
            history.train_accuracy.append(train_accuracy)
        history.spent.append(spent)
        if not self.best or validation_accuracy > max(history.validation_accuracy):
            history.best_epoch = self.epoch
            self.best = copy.deepcopy(self.model.state_dict())
        history.validation_accuracy.append(validation_accuracy)
        self.epoch += 1

    def save(self, path: Path) -> None:
        """Write everything to a file, whole or not at all."""
        buffer = BytesIO()
        torch.save({
            "format": FORMAT, "identity": self.identity, "epoch": self.epoch, "history": asdict(self.history),
            "best": self.best, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(), "method": self.method.state_dict(),
        }, buffer)
        write_whole(path, buffer.getvalue())

    def resume(self, path: Path) -> None:
        """Take over what a file holds, if it exists.

        Raises:
            InputError: the file is damaged, of another training, or of an earlier release.
        """
        if not path.exists():
            return
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            found = saved["identity"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(
                f"checkpoint={str(path)!r}: damaged ({str(error).splitlines()[0]}); delete it and train again"
            ) from None
        if saved.get("format") != FORMAT:
            raise InputError(
                f"checkpoint={str(path)!r}: written by repsearch 0.1; finish that training with 0.1, or delete the "
                "file and train again"
            )
        if found != self.identity:
            raise InputError(f"checkpoint={str(path)!r}: of another training; delete it or name another file")
        self.epoch, self.history, self.best = saved["epoch"], History(**saved["history"]), saved["best"]
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        self.method.load_state_dict(saved["method"])
