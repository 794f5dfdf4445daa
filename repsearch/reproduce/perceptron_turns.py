"""Search and learning in turn, of a perceptron: beside the strategies that train the same network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from repsearch.alternating import alternate
from repsearch.evaluation import logits, share_correct
from repsearch.networks import Network, calibrate

if TYPE_CHECKING:
    from repsearch.reproduce.samples import Sample
    from repsearch.rounds import AlternateConfig


@dataclass(frozen=True)
class Setup:
    """All that decides a run, beside its seed.

    Args:
        sample: images.
        sizes: of the perceptron's layers, the first a square of pixels.
        alternate: how search and learning take turns; a row of the schedule for each hidden layer, and the logits.
        tested: whether the test images are used, after every round.
    """

    sample: Sample
    sizes: tuple[int, ...]
    alternate: AlternateConfig
    tested: bool = True


def run(setup: Setup, seed: int, root: str | None = None, _: Path | None = None) -> dict[str, Any]:
    """Search and learn in turn.

    Returns:
        By round, `validation`, the accuracy of the epoch that was kept, and `test`, both in 0..1, and `spent`, in F;
        and `best`, the number of the round that did best on validation images.
    """
    data, tests = setup.sample.load(root, seed), list[float]()

    def watch(_: int, now: nn.Module) -> None:
        if setup.tested:
            tests.append(share_correct(logits(now, data.test.images), data.test.labels))

    side = data.train.images.shape[-1]
    searched = calibrate(perceptron(setup.sizes, side, seed), data.train.images[:512])
    rounds = alternate(searched, perceptron(setup.sizes, side, seed + 1000), data, setup.alternate, seed,
                       progress=False, watch=watch)
    return {"images": setup.sample.counts(data), "validation": [one.accuracy for one in rounds], "test": tests,
            "spent": [one.spent for one in rounds], "best": rounds.best}


def perceptron(sizes: tuple[int, ...], side: int, seed: int) -> Network:
    """Layers of these sizes with ReLU between, cut so that each hidden layer's units can be searched: channels of one
    pixel.

    Args:
        sizes: of the layers, the first a square of pixels.
        side: pixels of an image's side, of which a margin is lost.

    Example:
        >>> perceptron((64, 32, 10), 10, seed=0)(torch.zeros(2, 1, 10, 10)).shape
        torch.Size([2, 10])
    """
    margin = (round(sizes[0] ** 0.5) - side) // 2
    *hidden, last = pairwise(sizes)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        blocks = [nn.Sequential(nn.Flatten(), nn.Linear(n, m), nn.ReLU(), nn.Unflatten(1, (m, 1, 1)))
                  for n, m in hidden]
        head = nn.Sequential(nn.Flatten(), nn.Linear(*last))
    return Network(nn.ZeroPad2d(margin), blocks, head)
