"""Back-propagation of the cross-entropy with the labels: the SGD baseline (section 4.3).

    loss = 1/B sum_b -log p(y_b | x_b)

Cost: 3 F an image: a forward pass is 1, the backward pass 2. Needs a network whose every part has a gradient.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from repsearch.config import FitConfig
from repsearch.method import Batch, Method, Step, autocast, backward


class Backprop(Method):
    """Training with labels: the gradient of the cross-entropy, through the whole network.

    Example:
        >>> from repsearch import fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, Backprop(), preset.baseline, progress=False)
        >>> history.spent[0]  # an epoch of 100 images, 3 F each
        300.0
    """

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """One gradient of the batch's mean cross-entropy."""
        with autocast(batch, config):
            logits = model(batch.images)
        logits = logits.float()
        loss = F.cross_entropy(logits, batch.labels)
        backward(loss)
        return Step(loss, cost=3, parts={"cross_entropy": loss}, logits=logits)
