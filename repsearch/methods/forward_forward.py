"""Forward-Forward: each layer learns to be active for images with their own label and quiet for those with a wrong one.

    loss = sum_l 1/B sum_b softplus(theta_l - g_l(x_b, y_b)) + softplus(g_l(x_b, y'_b) - theta_l)

g_l, the goodness, is the sum of squares of layer l's activities, theta_l a threshold, y' one of the other labels, drawn
anew each step. Every layer sees its input divided by its length and cut off from gradients.

Source: Hinton 2022, "The forward-forward algorithm: some preliminary investigations", arXiv 2212.13345; thresholds and
the normalised image are those of the code by Loewe (loeweX/Forward-Forward), whose peer normalisation is not here.
Cost: F is one pass of an image with one label. Two passes and their backward passes are 6 F an image; the gradients of
inputs, which nobody needs, are not taken off. A head adds a pass with the neutral label through the layers and three
through itself. Validation is not counted: it takes a pass a label, or one with a head. Needs `ForwardForward.Net`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.method import Batch, Method, Step, backward
from repsearch.methods._goodness import Goodness

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset


class ForwardForward(Method):
    """Training by goodness, of networks that are made by `ForwardForward.Net(sizes, classes, predict, seed)`.

    `history.parts` has the loss of each layer, from "layer1", and that of the head. `fit` takes the steps of all.

    Args:
        theta: threshold for the goodness of a layer, as a multiple of its width.
        head_weight: factor of the head's cross-entropy, and so of its rate: ten times the layers' in Loewe's code.

    Raises:
        InputError: a number that is not above zero; in `start`, another network than a `Net`, and other precisions than
            float32.

    Example:
        >>> from repsearch import FitConfig, fit, load
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> net = ForwardForward.Net((32 * 32, 64, 64), classes=10, predict="head")
        >>> history = fit(net, data, ForwardForward(), FitConfig(2, 50, learning_rate=0.01), progress=False)
        >>> sorted(history.parts)
        ['head', 'layer1', 'layer2']
    """

    Net = Goodness

    def __init__(self, theta: float = 1.0, head_weight: float = 10.0) -> None:
        self.theta = checks.positive_float("theta", theta)
        self.head_weight = checks.positive_float("head_weight", head_weight)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for another network than a `Net`, and for precisions other than float32."""
        _check(model)
        if config.precision != "float32":
            raise InputError(f"precision={config.precision!r}: it can't tell goodness from a threshold near it; use "
                             "'float32'")
        self.generator = torch.Generator().manual_seed(seed)

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {"method": "ForwardForward", "theta": self.theta, "head_weight": self.head_weight}

    def state_dict(self) -> dict[str, Any]:
        """What decides the next wrong labels."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on drawing from there."""
        self.generator.set_state(state["generator"])

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """A gradient a layer, each of its own loss, and one of the head if there is any."""
        net = _check(model)
        wrong = wrong_labels(batch.labels, net.classes, self.generator)
        right = net.activities(net.labelled(batch.images, batch.labels))
        pairs = zip(right, net.activities(net.labelled(batch.images, wrong)), strict=True)
        parts = {f"layer{number}": contrast(own.square().sum(1), other.square().sum(1), self.theta * own.shape[1])
                 for number, (own, other) in enumerate(pairs, start=1)}
        loss, logits = torch.stack(list(parts.values())).sum(), None
        if net.head is not None:
            logits = net.head(net.read(net.neutral(batch.images)))
            parts["head"] = F.cross_entropy(logits, batch.labels)
            loss = loss + self.head_weight * parts["head"]
        backward(loss)
        return Step(loss, cost(net), parts, logits)


def contrast(right: Tensor, wrong: Tensor, theta: float) -> Tensor:
    """The loss of a layer with these goodnesses (B,), of images with their own labels and with wrong ones.

    Example:
        >>> contrast(torch.tensor([5.0]), torch.tensor([5.0]), theta=5.0)  # 2 ln 2
        tensor(1.3863)
    """
    return (F.softplus(theta - right) + F.softplus(wrong - theta)).mean()


def wrong_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """For each of labels (B,) one of the others, all equally likely."""
    shift = torch.randint(1, classes, labels.shape, generator=generator)
    return (labels + shift.to(labels.device)) % classes


def cost(net: Goodness) -> float:
    """F an image and step: three times two passes; with a head, another pass to it, and three times itself."""
    if net.head is None:
        return 6.0
    layers, head = (sum(one.weight.numel() for one in part if isinstance(one, nn.Linear))
                    for part in (net.layers, [net.head]))
    return (7 * layers + 3 * head) / (layers + head)


def _check(model: nn.Module) -> Goodness:
    if not isinstance(model, Goodness):
        raise InputError(f"model: {type(model).__name__} reads no labels and has no goodness; train "
                         "repsearch.methods.ForwardForward.Net(sizes, classes)")
    return model
