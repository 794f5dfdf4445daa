"""Feedback alignment: the error goes back through other weights than the network's own, and training aligns the two.

    delta_l = (B_{l+1}^T delta_{l+1}) * phi'(a_l),  dW_l = delta_l h_{l-1}^T;  back-propagation has B = W

Kinds: "random", B is drawn once (Lillicrap et al. 2016); "direct", delta_l = (B_l^T e) * phi'(a_l) with the error e of
the logits (Nøkland 2016); "sign-symmetric", B = c sign(W) (Liao et al. 2016); "kolen-pollack", B gets what W gets, and
both decay: B - W shrinks by 1 - decay a step (Kolen, Pollack 1994; Akrout et al. 2019). B has the shape of W.

Cost: 3 F an image as back-propagation; "direct" 2 F, forward pass and gradients of the weights, and the multiply-adds
of B_l^T e as a share of the forward pass. Needs trained matrices in `nn.Linear` and `nn.Conv2d` alone. Their Jacobians
are replaced; BatchNorm, pooling, activations and frozen layers keep their own.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from repsearch import checks
from repsearch.checks import InputError
from repsearch.method import Batch, Method, Step, autocast, backward
from repsearch.methods._population import noise
from repsearch.methods._way_back import Fed, fed_layers, instead, own_forward, transposed, way_back
from repsearch.networks import device_of, undisturbed

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset

KINDS = ("random", "direct", "sign-symmetric", "kolen-pollack")


class FeedbackAlignment(Method):
    """Training with labels, and other weights on the way back. Logits, loss and the last layer's gradient are those of
    back-propagation.

    `feedback` holds B by the layer's name: of the shape of its weights; for "direct" classes x its input. It is that
    of the last step: what "kolen-pollack" adds to it, the change that `fit` made to the weights with whatever momentum,
    comes with the next one. "kolen-pollack" lets the layers' own weights decay as B does, before `fit`'s step.

    Args:
        kind: "random", "direct", "sign-symmetric", "kolen-pollack".
        scale: of B: its standard deviation, or its size c, in units of Xavier's sqrt(2 / (inputs + outputs)).
        decay: of "kolen-pollack", the share of W and B that is lost a step, below 1; by default 0.01.

    Raises:
        InputError: arguments that are none of these, and a decay for another kind.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, FeedbackAlignment(), preset.baseline, progress=False)
        >>> history.spent[0]
        300.0
    """

    def __init__(self, kind: str = "random", scale: float = 1.0, decay: float | None = None) -> None:
        checks.one_of("kind", kind, KINDS)
        if decay is not None and kind != "kolen-pollack":
            raise InputError(f"decay={decay!r}: kind={kind!r} has none; leave it out, or choose 'kolen-pollack'")
        self.kind, self.scale = kind, checks.positive_float("scale", scale)
        self.decay = checks.positive_float("decay", 0.01 if decay is None else decay)
        if self.decay >= 1:
            raise InputError(f"decay={decay!r}: expected a share above 0 and below 1")

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        decay = {"decay": self.decay} if self.kind == "kolen-pollack" else {}
        return {"method": type(self).__name__, "kind": self.kind, "scale": self.scale, **decay}

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """Draw the feedback; `InputError` for a network that it has no way through."""
        images = data.train.images[:2].to(device_of(model))
        found = fed_layers(model, images)
        self.layers = {name: fed.layer for name, fed in found.items()}
        shapes = {name: layer.weight.shape for name, layer in self.layers.items()}
        self.cost = 3.0
        if self.kind == "direct":
            shapes = {name: _direct(name, fed, len(images), data.train.classes) for name, fed in found.items()}
            self.cost = 2 + sum(map(prod, shapes.values())) / _multiply_adds(model, images)
        self.feedback: dict[str, Tensor] = {}
        self.seen: dict[str, Tensor] = {}
        if self.kind != "sign-symmetric":
            for number, (name, shape) in enumerate(shapes.items()):
                drawn = noise((seed, number), shape[0], prod(shape[1:]))
                size = self.scale * _xavier(drawn.shape if self.kind == "direct" else shape)
                self.feedback[name] = (size * drawn).view(shape).to(self.layers[name].weight)

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """Gradients of the batch's mean cross-entropy, but for the way back."""
        self._follow()
        self.gone: set[str] = set()
        with autocast(batch, config), instead(self.layers, self._forward):
            logits = model(batch.images)
        if missed := self.layers.keys() - self.gone:  # these would have passed on back-propagation's gradient
            raise InputError(f"model: its layer {min(missed)!r} wasn't called; expected the network that `start` was "
                             "given, not compiled, with the same layers in every forward pass")
        logits = logits.float()
        loss = F.cross_entropy(logits, batch.labels)
        if self.kind == "direct":
            (self.error,) = torch.autograd.grad(loss, logits, retain_graph=True)
        backward(loss)
        self._decay()
        return Step(loss.detach(), self.cost, {"cross_entropy": loss.detach()}, logits.detach())

    def state_dict(self) -> dict[str, Any]:
        """The feedback, and the weights that it last followed."""
        return {"feedback": self.feedback, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        device = next(iter(self.layers.values())).weight.device
        self.feedback = {name: state["feedback"][name].to(device) for name in self.feedback}
        self.seen = {name: seen.to(device) for name, seen in state["seen"].items()}

    def _forward(self, name: str, input: Tensor) -> Tensor:
        """The layer's own output, from which `input` gets its gradient through the feedback."""
        self.gone.add(name)
        layer = self.layers[name]
        output = own_forward(layer, input.detach())
        if self.kind == "direct":
            return way_back(output, input, partial(self._error_back, name))
        if self.kind == "sign-symmetric":
            weight = layer.weight.detach()
            feedback = self.scale * _xavier(weight.shape) * weight.sign()
        else:
            feedback = self.feedback[name]
        return way_back(output, *transposed(layer, feedback, input))

    def _error_back(self, name: str, gradient: Tensor) -> Tensor:
        """The error of the logits in the place of the gradient that got here."""
        feedback = self.feedback[name]
        found: Tensor = torch.tensordot(self.error.to(feedback.dtype), feedback, 1)
        return found.to(gradient.dtype)

    @torch.no_grad()
    def _follow(self) -> None:
        """Add to Kolen and Pollack's feedback what became of the weights since the last step."""
        for name, seen in self.seen.items():
            self.feedback[name] += self.layers[name].weight - seen

    @torch.no_grad()
    def _decay(self) -> None:
        """Let Kolen and Pollack's two weights decay."""
        if self.kind == "kolen-pollack":
            for name, layer in self.layers.items():
                self.feedback[name] *= 1 - self.decay
                layer.weight *= 1 - self.decay
                self.seen[name] = layer.weight.clone()


def _xavier(shape: torch.Size) -> float:
    """Glorot and Bengio's standard deviation for weights (outputs, inputs, ...)."""
    return float((2 / (prod(shape[1:]) + shape[0] * prod(shape[2:]))) ** 0.5)


def _direct(name: str, fed: Fed, images: int, classes: int) -> torch.Size:
    """Shape of the weights from the error to a layer's input."""
    if fed.inputs[0] != images:
        raise InputError(f"model: its layer {name!r} gets {fed.inputs[0]} rows of {images} images; expected one an "
                         "image, for an image's error to go to; use another kind")
    return torch.Size((classes, *fed.inputs[1:]))


def _multiply_adds(model: nn.Module, images: Tensor) -> float:
    """Of the forward pass of an image."""
    with undisturbed(model), FlopCounterMode(display=False) as counter:
        model.eval()
        model(images.clone())
    return float(counter.get_total_flops()) / 2 / len(images)
