"""What all searches in the space of weights share: a generation is drawn, evaluated, and shared by ranks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from repsearch import checks, ranks
from repsearch.checks import InputError
from repsearch.config import FitConfig
from repsearch.data import Dataset
from repsearch.method import Batch, Method, Step
from repsearch.methods._members import Members, Offsets

Score = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes) and labels (B,) to one number."""
DRAWN = 2**22
"""Numbers of noise that are drawn at once, from one seed: 16 MiB, so that memory does not grow with the population."""
AT_ONCE = 256
"""Directions that are drawn at once, at most, so that ranks have something to share."""
KEPT = 2**24
"""Numbers of noise that are kept from a generation's evaluation to its update, and not drawn twice: 64 MiB."""


class Population(Method):
    """A method that evaluates a population of networks a step. Subclasses draw it, and say what follows from fitness.

    Args:
        population: members a generation, of which one is evaluated on each batch.
        fitness: logits (B, classes) and labels (B,) to one number, which is maximised; by default the mean
            log-probability of the label.
        loss: the same, minimised; give one of the two.
    """

    scales: Sequence[float] = (1.0,)

    def __init__(self, population: int, fitness: Score | None = None, loss: Score | None = None) -> None:
        self.population = checks.positive_int("population", population, 2)
        if fitness is not None and loss is not None:
            raise InputError("fitness, loss: expected one of them, found both")
        self.score, self.sign = (fitness, 1.0) if loss is None else (loss, -1.0)
        self.steps, self.warned = 0, False

    def start(self, model: nn.Module, data: Dataset, config: FitConfig, seed: int) -> None:
        """`InputError` for a network without trained weights, and for precisions other than float32."""
        if config.precision != "float32":
            raise InputError(f"precision={config.precision!r}: members differ by less than it can tell; use 'float32'")
        self.members, self.seed = Members(model), seed
        self.steps, self.warned = 0, False

    def identity(self) -> dict[str, Any]:
        """Its arguments."""
        name = getattr(self.score, "__qualname__", type(self.score).__name__)
        score = None if self.score is None else f"{getattr(self.score, '__module__', '')}.{name}"
        return {"method": type(self).__name__, "population": self.population, "sign": self.sign, "score": score}

    def state_dict(self) -> dict[str, Any]:
        """Generations done, which decide what is drawn next."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after them."""
        self.steps = state["steps"]

    # --- a generation's noise -----------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Numbers that are drawn for a direction."""
        return self.members.dimension

    def offsets(self, drawn: Tensor) -> Offsets:
        """Noise on the weights of D directions, of what was drawn for them, (D, width)."""
        return self.members.parts(drawn)

    def draw(self, start: int, stop: int) -> Tensor:
        """Standard normal numbers (stop - start, width) of these directions in this generation."""
        return noise((self.seed, self.steps, start), stop - start, self.width).to(self.members.device)

    def blocks(self, directions: int) -> list[tuple[int, int]]:
        """(start, stop) of the directions that are drawn at once."""
        size = min(max(1, DRAWN // self.width), AT_ONCE)
        return [(start, min(start + size, directions)) for start in range(0, directions, size)]

    def drawn(self, blocks: Sequence[tuple[int, int]], kept: dict[int, Tensor]) -> Iterator[tuple[int, int, Tensor]]:
        """Each block's numbers; those not kept are drawn by a thread of its own while the block before is used."""
        def numbers(block: tuple[int, int]) -> Tensor:
            return kept[block[0]] if block[0] in kept else self.draw(*block)

        if len(blocks) == 1:
            yield *blocks[0], numbers(blocks[0])
            return
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(numbers, blocks[0]) if blocks else None
            for block, following in zip(blocks, [*blocks[1:], None], strict=True):
                assert ahead is not None
                found = ahead.result()
                if following is not None:
                    ahead = thread.submit(numbers, following)
                yield *block, found

    # --- and its fitness ----------------------------------------------------------------------------------------------

    def evaluate(
        self, directions: int, images: Tensor, labels: Tensor, own: int = 0
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Fitness of the members, (S, directions); and the numbers that there was room to keep, by first direction.

        Of several ranks each evaluates its own blocks, and all end with all scores: nothing else is exchanged, for
        every rank can draw every direction.

        Args:
            images, labels: (B, ...), of all; with own = 1 (directions, B, ...); with own = 2 (S, directions, B, ...).
        """
        scores = torch.zeros(max(1, len(self.scales)), directions, device=self.members.device)
        kept: dict[int, Tensor] = {}
        blocks = self.blocks(directions)[ranks.rank()::ranks.world_size()]
        for start, stop, drawn in self.drawn(blocks, {}):
            if stop * self.width <= KEPT:
                kept[start] = drawn
            at = (slice(start, stop),) if own < 2 else (slice(None), slice(start, stop))
            pictures, right = (images[at], labels[at]) if own else (images, labels)
            logits = self.members.logits(self.offsets(drawn), self.scales, pictures, own)
            scores[:, start:stop] = self.fitness(logits, right)
        if ranks.world_size() > 1:
            dist.all_reduce(scores)
        return scores, kept

    def fitness(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of members (S, D, B, classes): (S, D)."""
        members = logits.flatten(0, 1)
        right = labels.expand(*logits.shape[:3]).flatten(0, 1)
        if self.score is None:  # classes first: softmax is several times faster over them than within ten numbers
            losses = F.cross_entropy(members.transpose(1, 2).contiguous().float(), right, reduction="none")
            return -losses.mean(1).view(logits.shape[:2])
        found = [self.score(one, its) for one, its in zip(members, right, strict=True)]
        if any(not isinstance(one, Tensor) or one.numel() != 1 for one in found):
            raise InputError("fitness: expected a tensor of one number, for logits (B, classes) and labels (B,)")
        return self.sign * torch.stack([one.reshape(()).float() for one in found]).view(logits.shape[:2])

    def survivors(self, scores: Tensor, lowest: float | None = None) -> Tensor:
        """Members without a finite fitness get the lowest of the others', or this."""
        finite = scores.isfinite()
        if bool(finite.all()):
            return scores
        if not bool(finite.any()):
            raise InputError("method: no member has a finite fitness; make its steps smaller, or look at the fitness")
        if not self.warned:
            self.warned = True
            warnings.warn(f"method: {int((~finite).sum())} of {scores.numel()} members have no finite fitness, and "
                          "count as the worst; history.parts['lost'] has their share", stacklevel=6)
        return torch.where(finite, scores, scores[finite].min() if lowest is None else lowest)

    def done(self, model: nn.Module, batch: Batch, scores: Tensor, cost: float, loss: Tensor | None = None) -> Step:
        """What `fit` is told; what the network keeps beside its weights, such as statistics, is brought up to date.

        Args:
            scores: of the members, as they came.
            cost: in F an image, for them alone.
            loss: by default the members' mean.
        """
        self.steps += 1
        torch.rand(1)  # the next generation draws other masks for dropout
        logits = None
        if self.members.keeps:
            logits, cost = model(batch.images), cost + 1
        lost = (~scores.isfinite()).float().mean()
        return Step(-self.survivors(scores).mean() if loss is None else loss, cost, {"lost": lost}, logits)


def noise(seed: Sequence[int], count: int, width: int) -> Tensor:
    """Standard normal numbers (count, width) that `seed` alone decides; drawn on the CPU."""
    state = int(np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randn(count, width, generator=torch.Generator().manual_seed(state))


def centred_ranks(fitness: Tensor) -> Tensor:
    """Ranks of all members from -1/2, the worst, to 1/2; equal ones share the mean of theirs.

    Example:
        >>> centred_ranks(torch.tensor([3.0, 1.0, 1.0])).tolist()
        [0.5, -0.25, -0.25]
    """
    flat = fitness.flatten()
    ordered = flat.sort().values
    below = torch.searchsorted(ordered, flat)
    up_to = torch.searchsorted(ordered, flat, right=True)
    places = (below + up_to - 1) / 2
    return (places / max(len(flat) - 1, 1) - 0.5).view(fitness.shape)
