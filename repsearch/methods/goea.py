"""Greedy evolution (GO-EA): a random step of all weights is kept if it makes the fitness better, and else forgotten.

    theta' = theta + eps,  eps ~ N(0, std^2 I), or of one length;  theta <- theta' if F(theta') > F(theta)

Source: Kucharavy, Guerraoui, Dolamic 2023, "Evolutionary algorithms in the light of SGD". Its algorithm 1 takes the
first improvement, its code the best of a generation. Cost: F times (population + 1) an image, for the parent is
evaluated, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.method import Batch, Step
from repsearch.methods._members import Offsets
from repsearch.methods._population import Population, Score

ACCEPT = ("best", "first")
DROPOUT = ("fixed", "off")


class GOEA(Population):
    """Greedy random search in the space of weights, with elitism. It moves the weights itself: `fit`'s rate and
    momentum have no say. In `history.parts`, "accepted" is the mean of the steps taken in a generation.

    With a batch of all training images, as in the source, every generation has the same fitness, and it never falls.
    Weights alone are perturbed, no buffers.

    Args:
        population: children tried a generation.
        std: rewrite capacity: the standard deviation of a step on each weight; 0.01 if no `length` is given either.
        length: the same as the length of the whole step, in a random direction.
        accept: "best", the best child of a generation takes the parent's place if it is better; "first", each child
            that is better does at once.
        dropout: "fixed", one mask for all of a generation; "off".
        fitness, loss: as in `EvolutionStrategy`; only its order counts.

    Raises:
        InputError: arguments that are none of these, and both a std and a length.

    Example:
        >>> from repsearch import FitConfig, fit, learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> history = fit(learn_network(data, preset), data, GOEA(population=4), FitConfig(epochs=2, batch=100),
        ...               progress=False)
        >>> history.spent[0]  # four children, their parent, and its BatchNorm
        600.0
    """

    def __init__(
        self, population: int = 20, std: float | None = None, length: float | None = None, accept: str = "best",
        dropout: str = "fixed", fitness: Score | None = None, loss: Score | None = None,
    ) -> None:
        super().__init__(population, fitness, loss)
        if std is not None and length is not None:
            raise InputError("std, length: expected one of them, found both")
        checks.one_of("accept", accept, ACCEPT)
        checks.one_of("dropout", dropout, DROPOUT)
        self.accept, self.dropout = accept, dropout
        self.length = None if length is None else checks.positive_float("length", length)
        self.std = checks.positive_float("std", 0.01 if std is None else std)

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        size = {"std": self.std} if self.length is None else {"length": self.length}
        return {**super().identity(), **size, "accept": self.accept, "dropout": self.dropout}

    def draw(self, start: int, stop: int) -> Tensor:
        """Steps (stop - start, dimension) of this generation's members, of which the first stays where it is."""
        steps = super().draw(start, stop)
        steps *= self.std if self.length is None else self.length / steps.norm(dim=1, keepdim=True)
        if start == 0:
            steps[0] = 0
        return steps

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: FitConfig) -> Step:
        """The parent, or a child in its place."""
        with _without_dropout(model) if self.dropout == "off" else nullcontext():
            scores, taken = (self._best if self.accept == "best" else self._first)(batch)
            done = self.done(model, batch, scores, self.population + 1, -scores[0, taken[-1] if taken else 0])
        return replace(done, parts={**done.parts, "accepted": torch.tensor(float(len(taken)))})

    def _best(self, batch: Batch) -> tuple[Tensor, list[int]]:
        """Fitness of parent and children, (1, population + 1), and the child that was taken, if any was."""
        scores, kept = self.evaluate(self.population + 1, batch.images, batch.labels)
        best = int(self.survivors(scores, -torch.inf)[0].argmax())
        if scores[0, best] > scores[0, 0] or not scores[0, 0].isfinite():
            self._take(best, kept)
            return scores, [best]
        return scores, []

    def _first(self, batch: Batch) -> tuple[Tensor, list[int]]:
        """The same; the children that were taken, one after the other."""
        scores = torch.empty(1, self.population + 1, device=self.members.device)
        taken: list[int] = []
        for block in self.blocks(self.population + 1):
            steps = self.draw(*block)
            for number in range(*block):
                one: Offsets = self.members.parts(steps[number - block[0]][None])
                scores[0, number] = self.fitness(self.members.logits(one, (1.0,), batch.images), batch.labels)[0, 0]
                parent = scores[0, taken[-1] if taken else 0]
                if number and scores[0, number].isfinite() and (scores[0, number] > parent or not parent.isfinite()):
                    self.members.move(self.members.centre() + steps[number - block[0]])
                    taken.append(number)
        self.survivors(scores)
        return scores, taken

    def _take(self, number: int, kept: dict[int, Tensor]) -> None:
        (block,) = (block for block in self.blocks(self.population + 1) if block[0] <= number < block[1])
        steps = kept[block[0]] if block[0] in kept else self.draw(*block)
        self.members.move(self.members.centre() + steps[number - block[0]])


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    active = [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)
              and module.training]
    inside = [(module, module.dropout) for module in model.modules()
              if isinstance(module, nn.MultiheadAttention | nn.RNNBase)]
    for module in active:
        module.eval()
    for layer, _ in inside:
        layer.dropout = 0.0
    try:
        yield
    finally:
        for module in active:
            module.train()
        for layer, share in inside:
            layer.dropout = share
