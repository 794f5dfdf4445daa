"""How well a network predicts."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.data import Split
from repsearch.networks import cannot_take, device_of, initialised, modes_kept, own_settings, undisturbed

BATCH = 2000
"""Images predicted at a time, as in A.3."""


def predict(model: nn.Module, images: Tensor, batch: int = BATCH) -> Tensor:
    """Logits (N, classes) of images (N, C, H, W), in fixed batches of nearly equal size.

    A model whose BatchNorm uses batch statistics sees the same batches every time (A.3); since its predictions then
    depend on `batch`, a warning says so.

    Raises:
        InputError: no images, or images that the model does not take.

    Example:
        >>> from repsearch import learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> predict(learn_network(data, preset), data.test.images[:3]).shape
        torch.Size([3, 10])
    """
    checks.instance("model", model, nn.Module, "give the network")
    checks.images("images", images)
    _warn_of_batches(model)
    return logits(model, images, checks.positive_int("batch", batch))


def accuracy(model: nn.Module, split: Split, batch: int = BATCH) -> float:
    """Share of a split's images that the model labels correctly, in 0..1; batches and warning as in `predict`.

    Raises:
        InputError: images that the model does not take.
    """
    checks.instance("model", model, nn.Module, "give the network")
    checks.instance("split", split, Split, "give data.test, data.validation or data.train")
    _warn_of_batches(model)
    return share_correct(logits(model, split.images, checks.positive_int("batch", batch)), split.labels)


def logits(model: nn.Module, images: Tensor, batch: int = BATCH) -> Tensor:
    """What `predict` gives, without a check or a warning."""
    device = device_of(model)
    with own_settings(), torch.no_grad(), modes_kept(model):
        model.eval()
        parts = images.tensor_split(-(-len(images) // batch))
        return torch.cat([_forward(model, part.to(device).to(memory_format=torch.channels_last)).cpu()
                          for part in parts])


def share_correct(logits: Tensor, labels: Tensor) -> float:
    """Share of images (N,) whose label has the largest of their logits (N, classes), in 0..1."""
    return float((logits.argmax(1) == labels.cpu()).float().mean())


def check_model(model: nn.Module, data: Split) -> None:
    """Raise `InputError` unless a model takes these images and gives one logit a class; its state stays as it was.

    Lazy parameters get their shapes.
    """
    images = data.images[:2].to(device_of(model))
    try:
        initialised(model, images)
    except (RuntimeError, ValueError) as error:
        raise _refusal(model, images, error) from None
    with undisturbed(model):
        model.eval()
        found = _forward(model, images)
    if tuple(found.shape) != (len(images), data.classes):
        raise InputError(f"model: its head gives {tuple(found.shape[1:])} an image; expected ({data.classes},)")


def _forward(model: nn.Module, images: Tensor) -> Tensor:
    """Logits of images, which stay as they are even if a layer changes its input in place."""
    try:
        found = model(images.clone())
    except (RuntimeError, ValueError) as error:
        raise _refusal(model, images, error) from None
    if not isinstance(found, Tensor) or found.ndim < 1:
        raise InputError(f"model: gives a {type(found).__name__}; expected one tensor of logits (images, classes)")
    return found


def _refusal(model: nn.Module, images: Tensor, error: RuntimeError | ValueError) -> Exception:
    return cannot_take(model, images, error) if isinstance(error, RuntimeError) else too_few(error)


def too_few(error: ValueError) -> ValueError:
    """What to say where BatchNorm finds a single value a channel: one image, whose maps are one pixel."""
    if "more than 1 value per channel" not in str(error):
        return error
    return InputError("model: BatchNorm of 1x1 maps has no statistics of a single image; give it two or more")


def _warn_of_batches(model: nn.Module) -> None:
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if any(norm.running_mean is None for norm in norms):
        warnings.warn(
            "model: its BatchNorm uses the statistics of each batch, so predictions depend on the batch; build it with "
            'statistics="running", as learn_network does by default', stacklevel=3,
        )
