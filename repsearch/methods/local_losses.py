"""Local losses: each block learns to make the classes linearly separable at its output, and hears of no other block.

    H_l = f_l(sg(H_{l-1})),   loss = sum_l CE(A_l pool(H_l) + a_l, y) + CE(head(sg(H_L)), y)

sg stops the gradient, A_l and a_l are a linear head of block l's own, and pool averages maps to at most 2 x 2
positions, as Belilovsky et al. do; vectors stay as they are.

Source: Belilovsky, Eickenberg, Oyallon 2019, "Greedy layerwise learning can scale to ImageNet", all blocks trained at
once; Nokland and Eidnes 2019, "Training neural networks with local error signals". Cost: 3 F an image as in
`Backprop`, plus 3 times the heads' multiply-adds as a share of the network's. What is spared, as no gradient is needed
of a block's input, is not taken off. Needs a network that offers stem, blocks and head, or a perceptron, an
`nn.Sequential` whose hidden linear layers, each with its activation, are the blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.cost import multiply_adds
from repsearch.method import Batch, Method, Step, autocast, backward
from repsearch.methods._cut import in_blocks, severed
from repsearch.networks import activations, device_of, undisturbed

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset

SIDE = 2
"""Positions along each side of a map that a head sees, at most."""


class LocalLosses(Method):
    """A linear head a block: the gradient of a block is that of its own head's cross-entropy, the gradient of the
    network's head that of its own on the last block's output. The first block's gradient reaches the stem, if that is
    trained. In `history.parts` each block and the head have their loss; the sum of these is the loss.

    The heads are the method's own and go when training ends. They start from uniform noise of width 2/sqrt(inputs), and
    take plain steps of SGD, without momentum or decay. `fit`'s rate, momentum and decay are for the network.

    Args:
        head_rate: the constant learning rate of the heads.

    Raises:
        InputError: a rate that is none; in `start`, a network that can't be cut into blocks, or one of whose blocks
            gives neither vectors nor maps.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, LocalLosses(), preset.baseline, progress=False)
        >>> sorted(history.parts), 300 < history.spent[0] < 301
        (['block0', 'block1', 'block2', 'head'], True)
    """

    def __init__(self, head_rate: float = 0.1) -> None:
        self.head_rate = checks.positive_float("head_rate", head_rate)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network that can't be cut, and for blocks that give neither vectors nor maps."""
        self.parts = in_blocks(model)
        images, generator = data.train.images[:2].to(device_of(model)), torch.Generator().manual_seed(seed)
        with undisturbed(model):
            model.eval()
            blocks = activations(self.parts, images)[:-1]
            network = sum(multiply_adds(self.parts, images)) / len(images)
        self.heads = nn.ModuleList(_head(number, H, data.train.classes, generator) for number, H in enumerate(blocks))
        self.heads.to(images.device)
        self.optimizer = torch.optim.SGD(self.heads.parameters(), lr=self.head_rate)
        self.cost = 3 + 3 * sum(weight.numel() for weight in self.heads.parameters() if weight.ndim == 2) / network

    def identity(self) -> dict[str, Any]:
        """Its argument."""
        return {"method": "LocalLosses", "head_rate": self.head_rate}

    def state_dict(self) -> dict[str, Any]:
        """The heads."""
        return {"heads": dict(self.heads.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these heads."""
        self.heads.load_state_dict(state["heads"])

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """A gradient a block, each of its own loss; and a step of the heads."""
        with autocast(batch, config):
            logits = self.logits(batch.images)
        losses = [F.cross_entropy(found.float(), batch.labels) for found in logits]
        loss = torch.stack(losses).sum()
        self.optimizer.zero_grad()
        backward(loss)
        self.optimizer.step()
        names = (*(f"block{number}" for number in range(len(self.heads))), "head")
        return Step(loss, self.cost, dict(zip(names, losses, strict=True)), logits[-1].float())

    def logits(self, images: Tensor) -> list[Tensor]:
        """What each block's head says, and last the network's own; no gradient leads from one block to another."""
        *blocks, own = severed(self.parts, images)
        return [*(head(H) for head, H in zip(self.heads, blocks, strict=True)), own]


def _head(number: int, H: Tensor, classes: int, generator: torch.Generator) -> nn.Sequential:
    """The head of a block that gives H (B, ...)."""
    if H.ndim not in (2, 4):
        raise InputError(f"model: block{number} gives {tuple(H.shape[1:])} an image; expected a vector or a map "
                         "(channels, height, width), which a linear head can be put on")
    sides = tuple(min(SIDE, side) for side in H.shape[2:])
    pool = [nn.AdaptiveAvgPool2d(sides)] if sides else []
    linear = nn.Linear(H.shape[1] * math.prod(sides), classes)
    with torch.no_grad():
        linear.weight.copy_((2 * torch.rand(linear.weight.shape, generator=generator) - 1) / linear.in_features**0.5)
        linear.bias.zero_()
    return nn.Sequential(*pool, nn.Flatten(), linear)
