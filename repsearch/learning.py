"""Learning: regression to the searched activations (sections 4.1 and 4.2), as a method of `repsearch.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig, LearnConfig
from repsearch.cost import multiply_adds
from repsearch.data import Dataset
from repsearch.fitting import Watch, fit
from repsearch.method import Batch, Method, Step, autocast, backward
from repsearch.networks import activations, device_of, layer_names, undisturbed
from repsearch.operators import normalise
from repsearch.store.manifest import search_id
from repsearch.store.reader import Targets

if TYPE_CHECKING:
    from repsearch.training import History


def learn(
    model: nn.Module,
    data: Dataset,
    targets: Targets,
    config: LearnConfig,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    watch: Watch | None = None,
    optimizer: torch.optim.SGD | None = None,
) -> History:
    """Train `model` by regression to `targets`, with no classification gradient in its body (section 4.2).

    Args:
        model: offers stem, blocks and head; trained in place, on the device it is on.
        data: training and validation images.
        targets: searched activations of `data.train`, whose layers have the shapes of the model's. A block without
            targets learns through the later blocks' losses; where no later block has targets, it stays as it is.
        config: see `LearnConfig`.
        seed, checkpoint, progress, watch, optimizer: see `repsearch.fit`.

    Returns:
        The `History` of losses, accuracies and cost.

    Raises:
        InputError: targets of other images or shapes, an unknown layer in `config.skip`, a checkpoint of another
            training.

    Example:
        >>> from repsearch import learn_network, load, presets, search, search_network
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> targets = search(search_network(data, preset), data.train, preset.search, progress=False)
        >>> history = learn(learn_network(data, preset), data, targets, preset.learn, progress=False)
        >>> sorted(history.parts)
        ['block0', 'block1', 'block2', 'head']
    """
    return fit(model, data, Regression(targets), config, seed, checkpoint, progress, watch, optimizer)


class Regression(Method):
    """The paper's objective: squared errors to targets in the body, KL to the searched logits in the head.

    Cost: 3 F an image, one forward and one backward pass; before it, the search.

    Args:
        targets: searched activations of the training images.
    """

    def __init__(self, targets: Targets) -> None:
        _check_targets(targets)
        self.targets = targets

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """Raise `InputError` unless model, data, targets and configuration fit each other."""
        names = layer_names(model)
        checks.instance("config", config, LearnConfig, "give a preset's .learn, or one of your own")
        assert isinstance(config, LearnConfig)
        for name in config.skip:
            checks.one_of("skip", name, names[:-1])
        if not set(names[:-1]) & set(self.targets.layers) - set(config.skip):
            raise InputError(f"skip={config.skip!r}: nothing is left to regress to; keep at least one block")
        if "logits" not in self.targets.layers:
            raise InputError(f"targets: of {', '.join(self.targets.layers)} only; the head needs searched logits, too")
        blocks, searched = len(names) - 1, len(self.targets.manifest["configuration"]["schedule"]) - 1
        if blocks != searched:
            raise InputError(f"model: has {blocks} blocks, the network that was searched {searched}; give it as many")
        with undisturbed(model):
            model.eval()
            layers = activations(model, data.train.images[:2].to(device_of(model)))
        self.targets.check(data.train, {name: tuple(H.shape[1:]) for name, H in zip(names, layers, strict=True)})

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """One gradient of the objective; see `objective`."""
        assert isinstance(config, LearnConfig)
        with autocast(batch, config):
            layers = activations(model, batch.images, sever_head=True)
        layers = [H.float() for H in layers]
        parts = objective_parts(layers, self._wanted(model, batch, config), config)
        loss = objective(parts, config, blocks=len(layers) - 1)
        backward(loss)
        return Step(loss, cost=3, parts=parts, logits=layers[-1])

    def spent(self, model: nn.Module, data: Dataset) -> float | None:
        """What the search cost, in F of the model."""
        searched = self.targets.manifest["multiply_adds"]
        if searched is None:
            return None
        image = data.train.images[:1].to(device_of(model))
        return float(len(self.targets) * searched / sum(multiply_adds(model, image)))

    def identity(self) -> Any:
        """The search that the targets are of, and what was changed in them since."""
        manifest = self.targets.manifest
        return {"method": "Regression", "targets": search_id(manifest), "targets changed": manifest.get("changed")}

    def _wanted(self, model: nn.Module, batch: Batch, config: LearnConfig) -> list[Tensor | None]:
        """The batch's target in each layer; None where there is none, or it is skipped."""
        wanted = set(self.targets.layers) - set(config.skip)
        return [self.targets.read(name, batch.start, batch.stop).to(batch.images.device) if name in wanted else None
                for name in layer_names(model)]


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


def objective(parts: dict[str, Tensor], config: LearnConfig, blocks: int) -> Tensor:
    """The loss of section 4.2: the mean of the blocks' squared errors, plus `config.head_weight` times the KL term.

    Args:
        parts: from `objective_parts`.
        config: gives `head_weight`, and what the errors are `averaged` over.
        blocks: of the model, L-1 in the formula, those without targets among them.
    """
    kept = [part for name, part in parts.items() if name != "head"]
    divisor = blocks if config.averaged == "all blocks" else len(kept)
    return torch.stack(kept).mean() * (len(kept) / divisor) + config.head_weight * parts["head"]


def _check_targets(targets: Targets) -> None:
    if isinstance(targets, str | Path):
        raise InputError(f"targets={str(targets)!r}: expected Targets, found the name of a folder; give "
                         f"Targets.open({str(targets)!r})")
    if not isinstance(targets, Targets):
        found = "targets=None" if targets is None else f"targets: found a {type(targets).__name__}"
        raise InputError(
            f"{found}: expected the Targets that repsearch.search gives; the SGD baseline is "
            "repsearch.fit(model, data, repsearch.methods.Backprop(), config)"
        )
