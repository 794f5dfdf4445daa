"""Target propagation: each stage of a network regresses to a target that feedback networks carry down from the output.

    h_l = F_l(h_{l-1}),  t_L = h_L - beta dL/dh_L,  L the sum of the batch's cross-entropies
    TP:  t_{l-1} = G_l(t_l)
    DTP: t_{l-1} = h_{l-1} + G_l(t_l) - G_l(h_l)
    loss = 1/2 sum_l sum (h_l - t_l)^2, a mean over the batch; target and input of a stage are constants

Source: Bengio 2014; Lee, Zhang, Fischer, Bengio 2015 (the difference); Ernoult et al. 2022 ("l-drl"); Shibuya et al.
2023 ("fixed"). Cost an image, in F: 3 for a forward pass and the stages' backward passes; for targets a pass through
all G (DTP two); for each step of the feedback, a forward pass through all stages but the first, and 3 ("l-drl" 9)
passes through all G, for a backward pass counts as two. A pass through G counts by its multiply-adds, as a share of the
network's. Needs a perceptron, or a network with stem, blocks and head whose layers are images or vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.cost import multiply_adds
from repsearch.method import Batch, Method, Step, backward
from repsearch.methods._cut import example, in_blocks, refuse_chance, severed
from repsearch.methods._feedback import PASSES, Feedback
from repsearch.networks import device_of, layer_names

if TYPE_CHECKING:
    from repsearch.config import FitConfig
    from repsearch.data import Dataset


class TargetPropagation(Method):
    """Training by targets that approximate inverses of the stages, learned on the way, carry down.

    A stage regresses to G's errors of reconstruction, too. Only a large beta stands out against them, and the rate
    has to be small.

    Stages are stem and first block, the other blocks, and the head; or the layers of a perceptron, each a linear map
    and its activation. There is a G for each but the first, without an activation: a linear map from vectors; from
    images to images, which blocks pool and change in width, an interpolation to the input's size, then one 3x3
    convolution. In `history.parts`, each stage's loss by name, the cross-entropy, and the feedback's loss.

    Args:
        feedback: what G learns: "plain", sum (x + xi - G(F(x + xi)))^2, to invert; "l-drl", the local difference
            reconstruction loss -2 xi^T [G(F(x + xi)) - G(F(x))] + sum (G(y + eta) - G(y))^2, y = F(x), whose minimum
            has F's transposed Jacobian; "fixed", nothing: it stays as it was drawn.
        beta: how far the output's target is down the gradient; the head's gradient is so many times
            back-propagation's.
        noise: standard deviation of xi and eta.
        steps: of the feedback, a batch.
        feedback_rate: of these steps; by default 0.001 for "plain" and 0.02 for "l-drl".
        feedback_momentum: theirs.

    Raises:
        InputError: arguments out of range; in `start`, another kind of network, dropout, and other precisions than
            float32; in a step, feedback that diverges.

    Example:
        >>> from repsearch import FitConfig, fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, TargetPropagation(steps=1), FitConfig(epochs=1, batch=50),
        ...               progress=False)
        >>> sorted(history.parts)
        ['block0', 'block1', 'block2', 'cross_entropy', 'feedback', 'logits']
    """

    carried = 1
    """Passes through G that a target takes."""

    def __init__(
        self, feedback: str = "plain", beta: float = 10.0, noise: float = 0.3, steps: int = 5,
        feedback_rate: float | None = None, feedback_momentum: float = 0.9,
    ) -> None:
        checks.one_of("feedback", feedback, PASSES)
        self.kind, self.beta = feedback, checks.positive_float("beta", beta)
        self.noise, self.steps = checks.positive_float("noise", noise), checks.positive_int("steps", steps)
        self.rate = None if feedback_rate is None else checks.positive_float("feedback_rate", feedback_rate)
        if feedback_momentum != 0:
            checks.positive_float("feedback_momentum", feedback_momentum)
        if feedback_momentum >= 1:
            raise InputError(f"feedback_momentum={feedback_momentum!r}: expected a number from 0 to below 1")
        self.momentum = feedback_momentum

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """Draw the feedback; `InputError` for a network that has none, and for precisions other than float32."""
        refuse_chance(model, config)
        self.network = in_blocks(model)
        image = data.train.images[:1].to(device_of(model))
        layers = example(self.network, image)
        self.feedback = Feedback(self.kind, layers, self.noise, self.rate, self.momentum, seed)
        counts = multiply_adds(self.network, image)
        learning = self.steps * self.feedback.learning_cost(counts[1:])
        self.cost = 3 + (self.carried * sum(self.feedback.costs) + learning) / sum(counts)

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """Some steps of the feedback, then a gradient of every stage's loss."""
        layers = severed(self.network, batch.images)
        values = [H.detach() for H in layers]
        parts = {"cross_entropy": F.cross_entropy(values[-1], batch.labels)}
        if self.kind != "fixed":
            parts["feedback"] = self.feedback.learn(self.network, values, self.steps)
        losses = local_losses(layers, self.targets(values, batch.labels))
        loss = torch.stack(losses).sum()
        backward(loss)
        parts |= dict(zip(layer_names(self.network), losses, strict=True))
        return Step(loss, cost=self.cost, parts=parts, logits=values[-1])

    @torch.no_grad()
    def targets(self, layers: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """t_0, ..., t_L of a batch.

        Args:
            layers: h_0, ..., h_L, the last of them logits (B, classes).
            labels: (B,).
        """
        logits = layers[-1]
        slope = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
        wanted = [logits - self.beta * slope]
        for back, below, above in zip(reversed(self.feedback.stages), layers[-2::-1], layers[:0:-1], strict=True):
            wanted.insert(0, self.target(back, below, above, wanted[0]))
        return wanted

    def target(self, back: nn.Module, below: Tensor, above: Tensor, wanted: Tensor) -> Tensor:
        """t_{l-1} of G_l, h_{l-1}, h_l and t_l."""
        found: Tensor = back(wanted)
        return found

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {"method": type(self).__name__, "feedback": self.kind, "beta": self.beta, "noise": self.noise,
                "steps": self.steps, "feedback_rate": self.rate, "feedback_momentum": self.momentum}

    def state_dict(self) -> dict[str, Any]:
        """The feedback's weights and momentum, and where its noise is."""
        return self.feedback.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.feedback.load_state_dict(state)


class DifferenceTargetPropagation(TargetPropagation):
    """Target propagation in which each target is corrected by what G makes of the layer as it is, so that a perfect
    output has perfect targets below it, however bad G. Learned with "l-drl" it follows the gradient.

    Args:
        feedback, beta, noise, steps, feedback_rate, feedback_momentum: as in `TargetPropagation`.

    Raises:
        InputError: as `TargetPropagation`.

    Example:
        >>> from repsearch import FitConfig, fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> method, config = DifferenceTargetPropagation("fixed"), FitConfig(epochs=1, batch=50)
        >>> history = fit(learn_network(data, preset), data, method, config, progress=False)
        >>> 300 < history.spent[0] < 500  # of 100 images, 3 F each and two passes through the feedback
        True
    """

    carried = 2

    def __init__(
        self, feedback: str = "l-drl", beta: float = 0.5, noise: float = 0.1, steps: int = 5,
        feedback_rate: float | None = None, feedback_momentum: float = 0.9,
    ) -> None:
        super().__init__(feedback, beta, noise, steps, feedback_rate, feedback_momentum)

    def target(self, back: nn.Module, below: Tensor, above: Tensor, wanted: Tensor) -> Tensor:
        """t_{l-1} of G_l, h_{l-1}, h_l and t_l."""
        found: Tensor = below + (back(wanted) - back(above))  # so that no difference is none
        return found


def local_losses(layers: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
    """1/2 |h_l - t_l|^2 of each layer, summed over its units, averaged over the batch."""
    return [(H - wanted).square().sum() / (2 * len(H)) for H, wanted in zip(layers, targets, strict=True)]
