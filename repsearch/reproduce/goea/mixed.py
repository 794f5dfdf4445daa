"""Greedy evolution that makes one step of all that a generation tried, where GO-EA takes one of them.

    theta' = theta + std sqrt(n) d,  d of length 1:  the mean of the tries that improve, or all of them, weighted

The step is as long as a random one, so that ways to mix differ in direction alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from repsearch.config import FitConfig
from repsearch.method import Batch, Step
from repsearch.methods.goea import GOEA
from repsearch.reproduce.goea.ways import direction


class Mixed(GOEA):
    """A generation's tries make one step. In `history.parts`, "accepted" is the share of generations that took it.

    Cost: F times (population + 1) an image for parent and tries; and one more where the step is judged.

    Args:
        way: how they do; see `repsearch.reproduce.goea.ways`.
        elitist: whether the step is taken only if it makes the fitness better.
        population, std: as in `GOEA`.
    """

    def __init__(self, way: str, elitist: bool, population: int = 20, std: float = 0.01) -> None:
        super().__init__(population, std)
        self.way, self.elitist = way, elitist

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        return {**super().identity(), "way": self.way, "elitist": self.elitist}

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:  # noqa: ARG002
        """The mixed step, or none."""
        scores, _ = self.evaluate(self.population + 1, batch.images, batch.labels)
        tried = torch.cat([self.draw(*block) for block in self.blocks(self.population + 1)])[1:]
        towards = direction(self.way, tried, scores[0, 1:] - scores[0, 0])
        found, cost, taken = scores[0, 0], self.population + 1, towards is not None
        if towards is not None:
            step = self.std * math.sqrt(len(towards)) * towards
            if self.elitist:
                offsets = self.members.parts(step[None])
                score = self.fitness(self.members.logits(offsets, (1.0,), batch.images), batch.labels)[0, 0]
                taken, cost = bool(score > found), cost + 1
                found = torch.maximum(score, found)
            if taken:
                self.members.move(self.members.centre() + step)
        done = self.done(model, batch, scores, cost, -found)
        return replace(done, parts={**done.parts, "accepted": torch.tensor(float(taken))})
