"""What `repsearch.fit` asks of a method: a step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset


@dataclass(frozen=True)
class Batch:
    """The training images of one step.

    Args:
        images: (B, C, H, W), augmented if the configuration says so, on the model's device; the step's own to change.
        labels: (B,), on the model's device.
        start, stop: they are the training images start .. stop-1.
    """

    images: Tensor
    labels: Tensor
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Step:
    """What a step found out.

    Args:
        loss: what it minimises, a mean over the batch: a tensor of one number.
        cost: in F an image: forward passes through the whole network. A backward pass is 2, a part of the network its
            share of the multiply-adds.
        parts: of the loss, by name.
        logits: (B, classes) of the batch, if the step computed them; training accuracy is theirs.
    """

    loss: Tensor
    cost: float
    parts: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


class Method:
    """A way to train. A subclass gives `step`; the rest has defaults.

    `repsearch.fit` owns everything else: batches, rate, momentum, weight decay, checkpoint, history, the choice of the
    epoch, the budget. A step leaves gradients in `parameter.grad`, of which `fit` takes a step of SGD; or moves the
    weights itself, and leaves no gradient.
    """

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """Called once before training, for what a method keeps. `InputError` if model, data or config don't fit it."""

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """Gradients, or new weights, from one batch; the model is in train mode and has no gradients yet.

        What torch's own generators draw here, as for dropout, is seeded and in the checkpoint.
        """
        raise NotImplementedError

    def spent(self, model: nn.Module, data: Dataset) -> float | None:
        """F spent before the first step, such as by a search; None if nobody knows."""
        return 0.0

    def identity(self) -> Any:
        """What a checkpoint of this method belongs to, beside model, data, configuration and seed; as JSON holds it.

        Where two are dicts, the line about a checkpoint of another training names the keys that differ.
        """
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of the method itself: tensors, numbers, lists and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the `state_dict` of a checkpoint."""


def autocast(batch: Batch, config: FitConfig) -> torch.autocast:
    """The context for a step's forward pass in the precision that the configuration asks for."""
    return torch.autocast(batch.images.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def backward(loss: Tensor) -> None:
    """The gradient of a loss; `InputError` if nothing that can be trained leads to it."""
    if not loss.requires_grad:
        raise InputError("model: nothing that can be trained leads to its loss; look for frozen parts, detach() and "
                         "no_grad() on the way")
    loss.backward()  # type: ignore[no-untyped-call]


def check_step(step: Any, batch: Batch, method: Method) -> None:
    """Raise `InputError` unless a method's step gave a `Step` that can be added up."""
    name = f"method: {type(method).__name__}.step"
    if not isinstance(step, Step):
        raise InputError(f"{name} gave a {type(step).__name__}; expected a repsearch.method.Step")
    for part, value in {"loss": step.loss, **step.parts}.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise InputError(f"{name} gave {found} for {part}; expected a tensor of one number, the mean of the batch")
    if not isinstance(step.cost, Real) or not math.isfinite(step.cost) or step.cost < 0:
        raise InputError(f"{name} gave cost={step.cost!r}; expected the F it took an image, such as 3")
    if step.logits is not None and (not isinstance(step.logits, Tensor) or step.logits.ndim != 2
                                    or len(step.logits) != len(batch)):
        raise InputError(f"{name} gave logits of another shape than ({len(batch)}, classes), one row an image")
