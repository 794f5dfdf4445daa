"""SGD with what a practitioner would add to it: the rival of search and learning in turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch.nn.functional as F
from torch import nn

from repsearch.airbench import learn_network
from repsearch.config import FitConfig
from repsearch.evaluation import logits, share_correct
from repsearch.fitting import fit
from repsearch.method import Batch, Method, Step, autocast, backward
from repsearch.networks import check_network

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Sample


@dataclass(frozen=True)
class Regularised(Method):
    """Back-propagation of the cross-entropy with smoothed labels, and dropout before the head.

    Args:
        smoothing: share of the label's weight that is spread over all classes.
        dropout: share of the last block's channels that are left out of a step, image by image.
    """

    smoothing: float = 0.0
    dropout: float = 0.0

    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """One gradient of the batch's mean cross-entropy."""
        parts = check_network(model)
        with autocast(batch, config):
            H = parts.stem(batch.images)
            for block in parts.blocks:
                H = block(H)
            predicted = parts.head(F.dropout2d(H, self.dropout)).float()
        loss = F.cross_entropy(predicted, batch.labels, label_smoothing=self.smoothing)
        backward(loss)
        return Step(loss, cost=3, parts={"cross_entropy": loss}, logits=predicted)

    def identity(self) -> Any:
        """Its name and both shares."""
        return {"method": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Setup:
    """All that decides a training, beside its seed.

    Args:
        sample: images.
        width, groups: of the network.
        fit: how it is trained.
        smoothing, dropout: see `Regularised`.
        tested: whether the test images are used, once, at the end.
        statistics: of the network at test time.
    """

    sample: Sample
    width: int
    groups: int
    fit: FitConfig
    smoothing: float = 0.0
    dropout: float = 0.0
    tested: bool = True
    statistics: Literal["running", "batch"] = "running"


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Train once.

    Returns:
        `validation_accuracy` of every epoch, and `train_accuracy` and `test_accuracy` of the best, in 0..1; `spent`,
        in F.
    """
    data = setup.sample.load(root, seed)
    model = learn_network(data, setup, seed)
    history = fit(model, data, Regularised(setup.smoothing, setup.dropout), setup.fit, seed, progress=False)
    return {
        "images": setup.sample.counts(data), "validation_accuracy": history.validation_accuracy,
        "best_epoch": history.best_epoch, "train_accuracy": history.train_accuracy[history.best_epoch],
        "spent": history.spent[-1],
        "test_accuracy": share_correct(logits(model, data.test.images), data.test.labels) if setup.tested else None,
    }
