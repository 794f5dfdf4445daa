"""Configurations of search (section 3.1, appendix A.4) and of training (sections 4.1 and 4.2, appendix A.3)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict, get_args, get_type_hints

from repsearch import checks

LATER = {"later": True}
"""Marks a field that release 0.3 did not have: a configuration says it only where it is not the default, so that what
could be said before is said in the same way, and folders and checkpoints of then are still of the same search."""


SHARED = 2**63
"""Stands for all images where they share their draws."""


def _tidy(config: object) -> None:
    """Numbers of numpy's become Python's own; `InputError` for a field declared as `Literal[...]` or `bool` that holds
    anything else."""
    hints = get_type_hints(type(config))
    for name in (entry.name for entry in fields(config)):  # type: ignore[arg-type]
        value, options = getattr(config, name), get_args(hints[name])
        if options and all(isinstance(option, str) for option in options):
            checks.one_of(name, value, options)
        if hints[name] is bool:
            value = checks.switch(name, value)
        object.__setattr__(config, name, checks.plain(value))


def _as_tuple(name: str, value: object, kind: type) -> tuple[Any, ...]:
    """A list or tuple of `kind` as a tuple; `InputError` if it is anything else."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, kind) for item in value):
        raise checks.InputError(f"{name}={value!r}: expected a list or tuple of {kind.__name__}")
    return tuple(value)


@dataclass(frozen=True)
class LayerSearch:
    """How one search layer is searched: a row of the table in appendix A.4.

    Args:
        generations: how many times parents are selected and reproduce; with none, the fittest of the first population
            is what is found.
        strength: alpha, the noise of a refiner as a share of its parents' standard deviation.
        boost: an explorer's noise is `strength * boost`.
        blur: passes of 3x3 average pooling over each child; unused for logits.
    """

    generations: int
    strength: float
    boost: float = 1.0
    blur: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("generations", self.generations, minimum=0)
        checks.positive_float("strength", self.strength)
        checks.positive_float("boost", self.boost)
        checks.positive_int("blur", self.blur, minimum=0)
        _tidy(self)


@dataclass(frozen=True)
class SearchConfig:
    """Everything that decides what a search finds, beside the network, the image, its label and the seed.

    Args:
        schedule: one `LayerSearch` a search layer: the blocks in order, then the logits.
        parents, explorers, refiners: how the population is made up; 20 + 100 + 120 in the paper.
        input_noise: noise on the copies of the input that start the search, as a share of each channel's
            standard deviation in that image. What the paper leaves open follows; the defaults are the reading whose
            targets a network learns best from, on validation images, and `repsearch.presets.paper(reading="literal")`
            has the one closest to the paper's words.
        noise: mutation noise is drawn once for each channel's "map", or for every "pixel" (literal).
        blurred: smoothing acts on the "noise" alone, or on the whole "child" (literal).
        border: average pooling counts the "zeros" beyond the border, or only positions "inside".
        normalise: whether each child is normalised over channels and positions.
        refine_from: parents of refiners are "parents and explorers", or "parents" alone.
        pairs: the two parents are drawn "with replacement", or are "distinct".
        statistics: BatchNorm uses "frozen" statistics, or those of the "candidates" being evaluated. The second
            ties the images of a shard to each other, and the best fitness may then fall.
        selection: the fittest of each "image" become its parents; or those of the "batch", by their mean fitness over
            the images of a shard, the same for all of them. The second ties images to each other, too.
        draws: each image draws its "own" noise and pairs of parents, or all have "shared" ones (common random numbers).
        pull: mu in the fitness of a block's candidates, minus cross-entropy minus mu/2 times the mean squared distance
            to what the network itself makes of the image there.
        precision: of the network that judges candidates; "bfloat16" is for processors and GPUs that are faster at it,
            by the engine "torch". Activations, noise and selection stay float32.
        shard: consecutive images written to disk as one file, and searched together with "candidates".

    Raises:
        InputError: a value out of range, or fewer than `parents` in the population.

    Example:
        >>> config = SearchConfig(schedule=(LayerSearch(5, 0.3, 5, 5), LayerSearch(5, 0.1)))
        >>> config.population
        240
    """

    schedule: tuple[LayerSearch, ...]
    parents: int = 20
    explorers: int = 100
    refiners: int = 120
    input_noise: float = 0.3
    noise: Literal["map", "pixel"] = "map"
    blurred: Literal["noise", "child"] = "noise"
    border: Literal["zeros", "inside"] = "zeros"
    normalise: bool = True
    refine_from: Literal["parents and explorers", "parents"] = "parents and explorers"
    pairs: Literal["with replacement", "distinct"] = "with replacement"
    statistics: Literal["frozen", "candidates"] = "frozen"
    selection: Literal["image", "batch"] = "image"
    shard: int = 64
    draws: Literal["own", "shared"] = field(default="own", metadata=LATER)
    pull: float = field(default=0.0, metadata=LATER)
    precision: Literal["float32", "bfloat16"] = field(default="float32", metadata=LATER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", _as_tuple("schedule", self.schedule, LayerSearch))
        if not self.schedule:
            raise checks.InputError("schedule: expected one LayerSearch a search layer, found none")
        checks.positive_int("parents", self.parents)
        checks.positive_int("explorers", self.explorers, minimum=0)
        checks.positive_int("refiners", self.refiners, minimum=0)
        if self.explorers + self.refiners < 1:
            raise checks.InputError("explorers=0, refiners=0: the population cannot be smaller than parents + 1")
        if self.pairs == "distinct" and self.parents < 2:
            raise checks.InputError("parents=1: pairs='distinct' needs at least 2")
        checks.positive_float("input_noise", self.input_noise)
        checks.positive_int("shard", self.shard)
        if self.pull != 0:
            checks.positive_float("pull", self.pull)
        if self.precision == "bfloat16" and self.ties_images:
            raise checks.InputError("precision='bfloat16': is for statistics='frozen' and selection='image' alone")
        _tidy(self)

    @property
    def population(self) -> int:
        """Candidates an image has at a time."""
        return self.parents + self.explorers + self.refiners

    @property
    def ties_images(self) -> bool:
        """Whether what is found for an image depends on the others of its shard."""
        return self.statistics == "candidates" or self.selection == "batch"

    def draw_index(self, index: int) -> int:
        """What the draws of an image depend on, beside the seed: its index; or one that no image has, shared by all."""
        return index if self.draws == "own" else SHARED

    def resized(self, population: int) -> SearchConfig:
        """The same search with another population, of which as large a share are parents (at least 2).

        Example:
            >>> config = SearchConfig(schedule=(LayerSearch(5, 0.3), LayerSearch(5, 0.1)))
            >>> config.resized(120).parents
            10
        """
        parents = max(2, round(population * self.parents / self.population))
        return replace(self, **split_population(population, parents))

    def prolonged(self, times: float) -> SearchConfig:
        """The same search with `times` as many generations in every layer, at least one where there are any.

        Example:
            >>> config = SearchConfig(schedule=(LayerSearch(6, 0.3), LayerSearch(5, 0.1)))
            >>> [layer.generations for layer in config.prolonged(0.5).schedule]
            [3, 2]
        """
        checks.positive_float("times", times)
        return replace(self, schedule=tuple(
            replace(layer, generations=max(min(1, layer.generations), round(times * layer.generations)))
            for layer in self.schedule))


class PopulationSizes(TypedDict):
    """The make-up of a population, to be unpacked into a `SearchConfig`."""

    parents: int
    explorers: int
    refiners: int


def split_population(population: int, parents: int) -> PopulationSizes:
    """Parents, explorers and refiners of a population, children shared out 100 : 120 as in the paper.

    Example:
        >>> split_population(240, 20)
        {'parents': 20, 'explorers': 100, 'refiners': 120}
    """
    checks.positive_int("parents", parents)
    checks.positive_int("population", population)
    if population <= parents:
        raise checks.InputError(
            f"population={population}: expected more than parents={parents}; raise one or lower the other"
        )
    explorers = round((population - parents) * 100 / 220)
    return {"parents": parents, "explorers": explorers, "refiners": population - parents - explorers}


@dataclass(frozen=True)
class FitConfig:
    """How any method trains a network: what `repsearch.fit` itself does.

    Args:
        epochs: passes over the training images.
        batch: images a step; the batches are the same in every epoch.
        learning_rate: peak step size, for gradients averaged over the batch.
        momentum: Nesterov momentum.
        weight_decay: each step adds this times a weight to its gradient (L2), of weights that have a gradient.
        augment: flip and 2-pixel padded crop of the training images.
        precision: "bfloat16" lets a method run its forward pass under autocast; weights, losses and steps stay float32.
        budget: what training may cost in F, forward passes of one image through the network, a search before it
            included; None is no limit. The rate falls with the share of the budget spent, or of the epochs done,
            whichever is further.
        keep: the model ends with the weights of the "best" epoch on the validation images, or of the "last".

    Raises:
        InputError: a value out of range.
    """

    epochs: int = 90
    batch: int = 2000
    learning_rate: float = 1.0
    momentum: float = 0.85
    weight_decay: float = 0.0
    augment: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    budget: float | None = None
    keep: Literal["best", "last"] = field(default="best", metadata=LATER)

    def __post_init__(self) -> None:
        checks.positive_int("epochs", self.epochs)
        checks.positive_int("batch", self.batch, minimum=2)
        checks.positive_float("learning_rate", self.learning_rate)
        if self.momentum != 0:
            checks.positive_float("momentum", self.momentum)
        if self.momentum >= 1:
            raise checks.InputError(f"momentum={self.momentum!r}: expected a number from 0 to below 1")
        if self.weight_decay != 0:
            checks.positive_float("weight_decay", self.weight_decay)
        if self.budget is not None:
            checks.positive_float("budget", self.budget)
        _tidy(self)


@dataclass(frozen=True)
class LearnConfig(FitConfig):
    """How a network is trained by regression to targets (section 4.2): a fit, and the regression's own fields.

    Args:
        head_weight: lambda of section 4.2. Body and head see separate losses, so under plain SGD it only
            scales the head's learning rate.
        skip: search layers whose targets are not regressed to, such as ("block0",).
        averaged: the sum of the blocks' errors is divided by the number of "all blocks", L-1 in the formula, whether
            they are skipped or not; or by that of "kept blocks".
        squares: a layer's squared error is the "mean" over its elements, or their "sum" as literally written.
        normalise_output: whether the network's activations are normalised before they are compared.
        epochs, batch, learning_rate, momentum, weight_decay, augment, precision, budget, keep: see `FitConfig`. The
            target of the plain image serves all its augmented variants.

    Raises:
        InputError: a value out of range.
    """

    head_weight: float = 0.03
    skip: tuple[str, ...] = ()
    averaged: Literal["all blocks", "kept blocks"] = "all blocks"
    squares: Literal["mean", "sum"] = "mean"
    normalise_output: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive_float("head_weight", self.head_weight)
        object.__setattr__(self, "skip", _as_tuple("skip", self.skip, str))


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON writes and reads it: tuples are lists. Fields that are `LATER` stand there only where
    they are not the default.

    Example:
        >>> as_dict(LayerSearch(300, 0.3, 5, 5))
        {'generations': 300, 'strength': 0.3, 'boost': 5, 'blur': 5}
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "__dataclass_fields__"):
            return as_dict(value)
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    said = [entry.name for entry in fields(config)
            if not entry.metadata.get("later") or getattr(config, entry.name) != entry.default]
    return {name: plain(getattr(config, name)) for name in said}
