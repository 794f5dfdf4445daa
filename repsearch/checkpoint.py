"""Checkpoints of trainings, read: what a file has to be before a training goes on from it, whoever wrote it."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.training import ENTRIES, FORMAT, History, plain_name


def read_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What a file holds of the training with this identity; None if there is no such file.

    Raises:
        InputError: the file is no checkpoint, damaged, of another training, or of another release.
    """
    where = f"checkpoint={str(path)!r}"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror}); name another file") from None
    if not content:
        raise InputError(f"{where}: empty; delete it or name another file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of files that another program wrote
            saved = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch meets in bytes that it did not write
        raise InputError(f"{where}: {_what_it_is(content, error)}") from None
    reason = _of_another_kind(saved)
    if reason:
        raise InputError(f"{where}: {reason}")
    return _of_this_training(saved, identity, where)


def check_entries(
    saved: dict[str, Any], path: Path, model: nn.Module, generators: list[torch.Generator], epochs: int
) -> None:
    """Raise `InputError` unless all that `Training.take_over` takes is of the type and shape that it has to be.

    Args:
        saved: from `read_checkpoint`.
        path: of the file.
        model: the one to be trained.
        generators: to be set; they stay as they are.
        epochs: of the training.
    """
    own = {plain_name(name): value for name, value in model.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    momentum, states, best = saved["momentum"], saved["generators"], saved["best"]
    right = {
        "epoch": type(saved["epoch"]) is int and 1 <= saved["epoch"] <= epochs,
        "history": _is_history(saved["history"], saved["epoch"]),
        "best": _are_like(best, own), "model": _are_like(saved["model"], own),
        "momentum": isinstance(momentum, list) and len(momentum) == len(trained)
        and all(one is None or _is_like(one, p) for one, p in zip(momentum, trained, strict=True)),
        "generators": saved["device"] != generators[0].device.type or _are_states(states, generators),
        "method": isinstance(saved["method"], dict),
    }
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        raise InputError(f"checkpoint={str(path)!r}: damaged (its {wrong[0]}); delete it or name another file")


def _what_it_is(content: bytes, error: Exception) -> str:
    """What to say of a file that `torch.load` refuses."""
    if content[8:9] == b"{":
        return "holds weights (safetensors), no checkpoint of a training; name another file"
    if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(BytesIO(content)):
        return "holds other objects than a checkpoint of a training does; name another file"
    return "damaged, or not a checkpoint; delete it or name another file"


def _of_another_kind(saved: Any) -> str | None:
    """What to say of a file that holds no checkpoint of this format."""
    if not isinstance(saved, dict) or not {"identity", "epoch"} <= set(saved):
        weights = isinstance(saved, dict) and saved and all(isinstance(value, Tensor) for value in saved.values())
        return f"holds {'weights' if weights else 'something else'}, no checkpoint of a training; name another file"
    found = saved.get("format", 1)
    if type(found) is not int:
        return "damaged (its format); delete it or name another file"
    if found != FORMAT:
        release = {1: "repsearch 0.1", 2: "repsearch 0.2"}.get(found, "a later repsearch")
        return f"written by {release}; finish that training with it, or delete the file and train again"
    if set(saved) != ENTRIES:
        return "damaged (it has other entries than a checkpoint); delete it or name another file"
    return None


def _of_this_training(saved: dict[str, Any], identity: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        same = json.dumps(saved["identity"], sort_keys=True) == json.dumps(identity, sort_keys=True)
    except (TypeError, ValueError):
        raise InputError(f"{where}: damaged (its identity); delete it or name another file") from None
    if not same:
        what = ", ".join(differences(saved["identity"], identity)) or "its identity has more to it"
        raise InputError(f"{where}: of another training ({what}); name another file, or delete this one")
    return saved


def differences(there: Any, here: Any, name: str = "all of it") -> list[str]:
    """Where two identities differ, and how: "learning_rate 0.1 there, 0.2 here".

    Example:
        >>> differences({"seed": 0, "configuration": {"epochs": 5}}, {"seed": 0, "configuration": {"epochs": 9}})
        ['epochs 5 there, 9 here']
    """
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*here, *(key for key in there if key not in here)]
        return [line for key in keys for line in differences(there.get(key), here.get(key), _short(key).strip('"'))]
    return [] if there == here else [f"{name} {_short(there)} there, {_short(here)} here"]


def _short(value: Any) -> str:
    is_hash = isinstance(value, str) and len(value) == 64
    text = value[:8] if is_hash else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- what entries have to be ------------------------------------------------------------------------------------------


def _is_history(saved: Any, epochs: Any) -> bool:
    if not isinstance(saved, dict) or set(saved) != {one.name for one in fields(History)}:
        return False
    parts, best = saved["parts"], saved["best_epoch"]
    return (
        all(_are_numbers(saved[one]) and len(saved[one]) == epochs for one in ("loss", "validation_accuracy", "spent"))
        and _are_numbers(saved["train_accuracy"]) and isinstance(parts, dict)
        and all(isinstance(name, str) and _are_numbers(values) for name, values in parts.items())
        and type(best) is int and 0 <= best < len(saved["loss"])
    )


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)


def _are_like(saved: Any, own: dict[str, Any]) -> bool:
    return isinstance(saved, dict) and set(saved) == set(own) and all(_is_like(saved[name], own[name]) for name in own)


def _is_like(saved: Any, own: Any) -> bool:
    """Whether a tensor can be loaded into another; what is no tensor is a module's own affair."""
    if not isinstance(own, Tensor):
        return not isinstance(saved, Tensor)
    return isinstance(saved, Tensor) and (saved.shape, saved.dtype) == (own.shape, own.dtype)


def _are_states(saved: Any, generators: list[torch.Generator]) -> bool:
    if not isinstance(saved, list) or len(saved) != len(generators):
        return False
    try:
        for state, generator in zip(saved, generators, strict=True):
            torch.Generator(generator.device).set_state(state)
    except (RuntimeError, TypeError, AttributeError):
        return False
    return True
