"""Four ways to make one step of the steps that a generation tried; greedy evolution knows the first two."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from repsearch import checks

WAYS = ("one improver", "best", "mean of improvers", "weighted sum")


def direction(way: str, steps: Tensor, gains: Tensor) -> Tensor | None:
    """The direction that the steps speak for, of length 1; None if it needs one that improves, and none does.

    Args:
        way: "one improver", the first step that makes the loss smaller; "best", the one that makes it smallest, even
            if it is larger than before; "mean of improvers"; "weighted sum", of all steps, each times its gain's
            z-score, as evolution strategies have it.
        steps: (N, n).
        gains: (N,), by how much each makes the loss smaller.

    Raises:
        InputError: a way that is none of these.

    Example:
        >>> import torch
        >>> steps, gains = torch.eye(3), torch.tensor([-1.0, 1.0, 3.0])
        >>> [direction(way, steps, gains).tolist() for way in ("one improver", "best")]
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    checks.one_of("way", way, WAYS)
    better = gains > 0
    if way == "best":
        return F.normalize(steps[gains.argmax()], dim=0)
    if way == "weighted sum":
        z = (gains - gains.mean()) / gains.std(correction=0).clamp_min(1e-30)
        return F.normalize(z @ steps, dim=0)
    if not bool(better.any()):
        return None
    return F.normalize(steps[better][0] if way == "one improver" else steps[better].mean(0), dim=0)
