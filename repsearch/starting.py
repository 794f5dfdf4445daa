"""Before the first step of a training: everything fits, or the model stays as it was; nothing around has a say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checkpoint import check_entries, read_checkpoint
from repsearch.checks import InputError
from repsearch.config import FitConfig, as_dict
from repsearch.data import Dataset, augment
from repsearch.evaluation import check_model
from repsearch.identity import fingerprint
from repsearch.method import Method
from repsearch.networks import device_of, modes_kept, own_settings
from repsearch.store.files import content_hash
from repsearch.training import Training, momentum_of


def check_kinds(model: nn.Module, data: Dataset, method: Method, config: FitConfig) -> None:
    """`InputError` for one argument given in the place of another."""
    checks.instance("model", model, nn.Module, "give the network to train")
    checks.instance("data", data, Dataset, "give what repsearch.load returns, not one of its splits")
    if not isinstance(method, Method):
        found = repr(method) if isinstance(method, type | str) else f"a {type(method).__name__}"
        raise InputError(f"method: expected an instance such as repsearch.methods.Backprop(), found {found}")
    checks.instance("config", config, FitConfig, "give a preset's .baseline or .learn, or one of your own")


@contextmanager
def apart(model: nn.Module, seed: int) -> Iterator[None]:
    """Within the context nothing that is around a training has a say in it; afterwards all of it is as it was, and
    so is the memory layout of the model's weights."""
    generators = _torchs_own(device_of(model))
    states = [generator.get_state() for generator in generators]
    plain = [tensor for tensor in (*model.parameters(), *model.buffers())
             if nn.parameter.is_lazy(tensor) or tensor.is_contiguous()]
    try:
        with own_settings(), torch.inference_mode(False), modes_kept(model):
            for generator in generators:
                generator.manual_seed(seed)
            yield
    finally:
        set_states(generators, states)
        for tensor in plain:
            if not nn.parameter.is_lazy(tensor):
                tensor.data = tensor.data.contiguous()


def _torchs_own(device: torch.device) -> list[torch.Generator]:
    """The generators that layers such as dropout draw from."""
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]


def set_states(generators: list[torch.Generator], states: list[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def begin(
    model: nn.Module, data: Dataset, method: Method, config: FitConfig, seed: int, path: Path | None,
    optimizer: torch.optim.SGD | None,
) -> tuple[Training, float]:
    """The state before the first step, or that of the checkpoint, and F spent; the model changes once all is right."""
    _check_trainable(model)
    check_model(model, data.train)
    check_model(model, data.validation)
    if config.augment:
        augment(data.train.images[:1].cpu(), torch.Generator())
    method.start(model, data, config, seed)
    optimizer = _optimizer(model, config, optimizer)
    identity, device = _identity(model, data, method, config, seed, optimizer), device_of(model)
    generators = [torch.Generator(device).manual_seed(seed), *_torchs_own(device)]
    saved = None if path is None else read_checkpoint(path, identity)
    if path is not None and saved is not None:
        check_entries(saved, path, model, generators, config.epochs)
        _resume_method(method, saved["method"], path)
    spent = _spent_before(model, data, method, config) if saved is None else saved["history"]["spent"][-1]
    if path is not None and (saved is None or saved["epoch"] < config.epochs):
        checks.writable_folder("checkpoint", path.parent)

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = Training(model, method, optimizer, generators, identity)
    if saved is not None:
        state.take_over(saved)
    return state, spent


def _check_trainable(model: nn.Module) -> None:
    parameters = list(model.parameters())
    if not parameters:
        raise InputError(f"model: {type(model).__name__} has no parameters; there is nothing to train")
    if not any(parameter.requires_grad for parameter in parameters):
        raise InputError("model: every parameter is frozen, as repsearch.calibrate leaves it; train another network, "
                         "such as repsearch.learn_network, or call model.requires_grad_(True)")


def _optimizer(model: nn.Module, config: FitConfig, given: torch.optim.SGD | None) -> torch.optim.SGD:
    """The optimizer that takes the steps: a fresh one, or the one given, with its momentum, as `config` says."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained) if given is None else given
    checks.instance("optimizer", optimizer, torch.optim.SGD, "give torch.optim.SGD of the model's parameters")
    if [id(p) for group in optimizer.param_groups for p in group["params"]] != list(map(id, trained)):
        raise InputError("optimizer: is of other parameters than the model's; give torch.optim.SGD(p for p in "
                         "model.parameters() if p.requires_grad)")
    for group in optimizer.param_groups:
        group.update(lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0,
                     weight_decay=config.weight_decay)
    return optimizer


def _identity(
    model: nn.Module, data: Dataset, method: Method, config: FitConfig, seed: int, optimizer: torch.optim.SGD
) -> dict[str, Any]:
    """What a checkpoint belongs to: initial weights, data, method, configuration and seed, as JSON holds them."""
    momentum = {str(i): value for i, value in enumerate(momentum_of(optimizer)) if value is not None}
    what = {
        "network": fingerprint(model), "training images": data.train.fingerprint(),
        "validation images": data.validation.fingerprint(), "method": method.identity(),
        "configuration": as_dict(config), "seed": seed,
    }
    if momentum:
        what["momentum"] = content_hash(momentum)
    try:
        as_read: dict[str, Any] = json.loads(json.dumps(what))
    except (TypeError, ValueError):
        raise InputError(f"method: the identity of {type(method).__name__} is not what JSON holds; give texts, "
                         "numbers, lists and dicts") from None
    return as_read


def _resume_method(method: Method, saved: dict[str, Any], path: Path) -> None:
    try:
        method.load_state_dict(saved)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"checkpoint={str(path)!r}: damaged (its method: {type(error).__name__}); delete it or name another file"
        ) from None


def _spent_before(model: nn.Module, data: Dataset, method: Method, config: FitConfig) -> float:
    """F spent before the first step; an error where that leaves nothing of the budget."""
    before = method.spent(model, data)
    if config.budget is not None:
        if before is None:
            raise InputError(f"budget={config.budget}: nobody knows what the search before cost; search again")
        if before >= config.budget:
            raise InputError(f"budget={config.budget}: {before:.0f} F were spent before the first step; raise it")
    return float(before or 0.0)
