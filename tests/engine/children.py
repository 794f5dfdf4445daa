"""What the reference makes of an engine's draws."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import repsearch as rs
from repsearch.engine import kernel
from repsearch.engine.draws import Banks
from repsearch.reference import make_children


def children_of(parents: Tensor, layer: int, config: rs.SearchConfig, drawn: kernel.Draws, banks: Banks) -> Tensor:
    """What the reference makes of the engine's draws for the first generation."""
    schedule, n = config.schedule[layer], config.explorers
    pairs = torch.from_numpy(np.stack([drawn.first[0], drawn.second[0]], 1))[None]
    noise = banks.rows_of(0, drawn.noise[0], smoothed=False)[None]
    explorers = make_children(parents, pairs[:, :n], noise[:, :n], schedule.strength * schedule.boost, schedule, config)
    pool = parents if config.refine_from == "parents" else torch.cat([parents, explorers], 1)
    refiners = make_children(pool, pairs[:, n:], noise[:, n:], schedule.strength, schedule, config)
    return torch.cat([explorers, refiners], 1)
