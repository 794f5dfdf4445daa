"""How well a network predicts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.data import Split
from repsearch.networks import undisturbed


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


def check_model(model: nn.Module, data: Split) -> None:
    """Raise `InputError` unless a model takes these images and gives one logit a class; its state stays as it was."""
    device = next(model.parameters()).device
    try:
        with undisturbed(model):
            logits = model(data.images[:2].to(device))
    except RuntimeError as error:
        shape, cause = tuple(data.images.shape[1:]), str(error).splitlines()[0]
        raise InputError(f"model: cannot take images of shape {shape} ({cause}); build it for these images") from None
    if tuple(logits.shape[1:]) != (data.classes,):
        raise InputError(f"model: its head gives {tuple(logits.shape[1:])} an image; expected ({data.classes},)")
