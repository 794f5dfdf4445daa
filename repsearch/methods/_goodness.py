"""The network of Forward-Forward: layers that read images with a label written in, and predict by their goodness."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.airbench import kaiming_uniform_
from repsearch.checks import InputError
from repsearch.networks import own_settings

PREDICT = ("goodness", "head")
SHARE = 1 / 3
"""Length of a label as a share of that of an image whose numbers have a mean square of one."""


class Goodness(nn.Module):
    """A perceptron of rectified linear layers, each of which sees the direction of its input and not its length:

        h_l = relu(W_l u(h_{l-1}) + b_l),   u(x) = sqrt(n) x / |x| of n numbers,   goodness g_l = |h_l|^2

    Images are flattened, and a label takes the place of their first `classes` numbers: `strength` at its own, zero at
    the others; a neutral one is strength / classes at each. The strength is a third of the length that a normalised
    image has on average, sqrt(n) / 3. No gradient leads from a layer to the one before.

    Args:
        sizes: numbers of an image (channels x height x width), then units of two hidden layers or more.
        classes: number of classes.
        predict: "goodness", a label's logit is the goodness of layers 2 and later with that label, for `classes` passes
            of an image; "head", a linear head reads their directions with the neutral label, for one pass.
        seed: decides the initial weights: uniform, of variance 2/n, so that a layer's goodness is about its width.

    Raises:
        InputError: a number out of range, fewer than two hidden layers, images too small for the label.

    Example:
        >>> net = Goodness((1024, 64, 32), classes=10)
        >>> net(torch.rand(3, 1, 32, 32)).shape
        torch.Size([3, 10])
    """

    def __init__(self, sizes: Sequence[int], classes: int, predict: str = "goodness", seed: int = 0) -> None:
        super().__init__()
        self.sizes = tuple(checks.positive_int("sizes", size) for size in sizes)
        self.classes = checks.positive_int("classes", classes, minimum=2)
        checks.one_of("predict", predict, PREDICT)
        if len(self.sizes) < 3:
            raise InputError(f"sizes={self.sizes}: expected numbers of an image, then units of two hidden layers or "
                             "more; the first layer does not count in a prediction")
        if self.sizes[0] <= self.classes:
            raise InputError(f"sizes={self.sizes}: {self.sizes[0]} numbers of an image leave no room beside a label of "
                             f"{self.classes} classes; give larger images")
        self.strength = SHARE * self.sizes[0] ** 0.5
        with own_settings(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(checks.seed(seed))
            pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
            self.layers = nn.ModuleList(_linear(inputs, units) for inputs, units in pairs)
            self.head = _linear(sum(self.sizes[2:]), self.classes) if predict == "head" else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        if self.head is not None:
            logits: Tensor = self.head(self.read(self.neutral(images)))
            return logits
        labels = torch.arange(self.classes, device=images.device)
        return torch.stack([self.goodness(self.labelled(images, label.expand(len(images)))) for label in labels], dim=1)

    def labelled(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images (B, C, H, W) as inputs (B, n), with labels (B,) written in."""
        label = self.strength * F.one_hot(labels, self.classes).to(images.dtype)
        return torch.cat([label, images.flatten(1)[:, self.classes :]], dim=1)

    def neutral(self, images: Tensor) -> Tensor:
        """The same with the label that says nothing."""
        label = torch.full((len(images), self.classes), self.strength / self.classes).to(images)
        return torch.cat([label, images.flatten(1)[:, self.classes :]], dim=1)

    def activities(self, inputs: Tensor) -> list[Tensor]:
        """What each layer makes of inputs (B, n), (B, units); each learns alone, as it sees its input detached."""
        found, h = [], inputs
        for layer in self.layers:
            h = F.relu(layer(direction(h.detach())))
            found.append(h)
        return found

    def goodness(self, inputs: Tensor) -> Tensor:
        """Of layers 2 and later together, (B,), for inputs (B, n)."""
        return torch.stack([h.square().sum(1) for h in self.activities(inputs)[1:]]).sum(0)

    def read(self, inputs: Tensor) -> Tensor:
        """What a head sees of inputs (B, n): the directions of layers 2 and later, side by side, detached."""
        return torch.cat([direction(h.detach()) for h in self.activities(inputs)[1:]], dim=1)


def direction(x: Tensor) -> Tensor:
    """Vectors (B, n) brought to a mean square of one; zero stays zero.

    Example:
        >>> direction(torch.tensor([[3.0, 0.0, 0.0, 4.0], [0.0, 0.0, 0.0, 0.0]])).tolist()
        [[1.2000000476837158, 0.0, 0.0, 1.600000023841858], [0.0, 0.0, 0.0, 0.0]]
    """
    units: Tensor = F.normalize(x, dim=1) * x.shape[1] ** 0.5
    return units


def _linear(inputs: int, units: int) -> nn.Linear:
    layer = nn.Linear(inputs, units, device="meta").to_empty(device="cpu")
    kaiming_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
