"""Activity perturbation: noise on a layer's activations, weighed by what it does to the loss, stands for its gradient.

    g_l = 1/n sum_k u_k (L(h_l + std u_k) - L(h_l - std u_k)) / (2 std)      antithetic
    g_l = 1/n sum_k u_k (L(h_l + std u_k) - L(h_l)) / std                    one-sided
    loss = 1/B sum_b sum_l <g_l, h_l>,  u_k ~ N(0, I),  L an image's own cross-entropy

Source: Widrow, Lehr 1990 (Madaline rule III); Werfel, Xie, Seung 2005 (node perturbation, and its variance); Ren et al.
2023 (of activities, with local losses). This is what the loop of search and learning becomes in the limit: in every
step one generation of mutants of the network's own activations, each judged by the rest of the network; their mean,
weighed by fitness, is a target T = h - eta g, and regression to it, 1/2 sum (h - T)^2, has eta times the gradient of
<g, h>.

Cost an image, in F: 3 for a forward pass and the blocks' backward passes; for each draw and each layer a pass through
the stages behind it (antithetic two), by their share of the multiply-adds. Needs a network with stem, blocks and head,
or a perceptron.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.cost import multiply_adds
from repsearch.method import Batch, Method, Step, backward
from repsearch.methods._cut import Noise, in_blocks, refuse_chance, severed
from repsearch.networks import batch_statistics, device_of, rest

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset


class ActivityPerturbation(Method):
    """Training by gradients that are estimated at each block's output, or before each hidden activation of a
    perceptron, one layer at a time, and go back within a block alone. The head, the last, has its own exact gradient.

    An image's noise is weighed by that image's loss alone. Where BatchNorm ties a batch's images together, what an
    image does to the others is left out, which is what a gradient through fixed statistics leaves out.

    Args:
        std: of the noise.
        draws: of noise a batch and layer, over which the estimate is averaged.
        antithetic: each draw is tried with both signs; or with one, against the loss of the pass without noise.

    Raises:
        InputError: arguments out of range; in `start`, another kind of network, dropout, and other precisions than
            float32.

    Example:
        >>> from repsearch import FitConfig, fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, ActivityPerturbation(), FitConfig(epochs=1, batch=50),
        ...               progress=False)
        >>> 300 < history.spent[0] < 500
        True
    """

    def __init__(self, std: float = 0.01, draws: int = 1, antithetic: bool = True) -> None:
        self.std, self.draws = checks.positive_float("std", std), checks.positive_int("draws", draws)
        self.antithetic = checks.switch("antithetic", antithetic)

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network that it does not fit, and for precisions other than float32."""
        refuse_chance(model, config)
        self.network = in_blocks(model, "linear")
        self.noise = Noise(device_of(model), seed)
        counts = multiply_adds(self.network, data.train.images[:1].to(device_of(model)))
        behind = sum(number * count for number, count in enumerate(counts))  # stage l is behind l layers
        self.cost = 3 + (2 if self.antithetic else 1) * self.draws * behind / sum(counts)

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """The head's gradient, and an estimate of each block's."""
        layers = severed(self.network, batch.images)
        logits = layers[-1]
        loss = F.cross_entropy(logits, batch.labels)
        backward(loss + local_loss(layers[:-1], self.estimates(layers, batch.labels)))
        return Step(loss, cost=self.cost, parts={"cross_entropy": loss}, logits=logits)

    @torch.no_grad()
    def estimates(self, layers: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """Of each image's own dL/dh, for all layers but the last, the logits.

        Args:
            layers: the search layers and the logits, (B, ...).
            labels: (B,).
        """
        clean = F.cross_entropy(layers[-1], labels, reduction="none")
        with batch_statistics(self.network):
            return [estimate(partial(self._losses, number, labels=labels), H, None if self.antithetic else clean,
                             self.std, self.draws, self.noise) for number, H in enumerate(layers[:-1])]

    def _losses(self, number: int, H: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropies (B,) of the activations H of a layer."""
        return F.cross_entropy(rest(self.network, number, H), labels, reduction="none")

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {"method": type(self).__name__, "std": self.std, "draws": self.draws, "antithetic": self.antithetic}

    def state_dict(self) -> dict[str, Any]:
        """Where its noise is."""
        return self.noise.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on there."""
        self.noise.load_state_dict(state)


def estimate(
    losses: Callable[[Tensor], Tensor], H: Tensor, clean: Tensor | None, std: float, draws: int, noise: Noise
) -> Tensor:
    """An estimate of each image's d loss / dH, (B, ...), without a gradient.

    Of a loss that is linear in H with gradient g, the variance of entry i is (|g|^2 + g_i^2) / draws.

    Args:
        losses: activations (B, ...) to losses (B,), each of its own image.
        H: (B, ...).
        clean: losses(H), which a draw is compared with; None compares it with its mirror image.
        std: of the noise, of which there are so many draws.
        noise: draws it.
    """
    total = torch.zeros_like(H)
    for _ in range(draws):
        u = noise.like(H)
        above = losses(H + std * u)
        slope = (above - losses(H - std * u)) / (2 * std) if clean is None else (above - clean) / std
        total += slope.view(-1, *[1] * (H.ndim - 1)) * u
    return total / draws


def local_loss(layers: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """1/B sum_b sum_l <g_l, h_l>, whose gradient in h_l is g_l of a loss averaged over the batch."""
    return torch.stack([(g * H).sum() / len(H) for H, g in zip(layers, gradients, strict=True)]).sum()
