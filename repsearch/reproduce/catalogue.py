"""The experiments by the paper's names: which runs each figure and table is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.reproduce.experiment import Experiment
from repsearch.reproduce.loops import CONTROLS
from repsearch.reproduce.method_experiments import METHODS
from repsearch.reproduce.rival_settings import AUGMENTED, LARGER, RIVAL_TRIALS
from repsearch.reproduce.search_plans import EXPLORERS, READINGS, SIZES
from repsearch.reproduce.trials import TUNING
from repsearch.reproduce.variants import ABLATIONS, FIGURE4, TABLE1, TABLE2, TIED

if TYPE_CHECKING:
    from repsearch.reproduce.runs import Run


ALL_SEEDS = tuple(range(10))
ALL, PHOTOGRAPHS = ("mnist", "cifar10", "cifar100"), ("cifar10", "cifar100")
MAIN = ("search-based", "slow-head", "sgd2", "sgd4", "untrained-body", "untrained-slow-head", "other", "class-means",
        "search-tuned", "sgd-tuned", "untrained-tuned", "class-means-tuned")
FIGURE4_ALL = ("search-based", "sgd2", "untrained-body", *FIGURE4)
FIGURE5 = ("search-based", "sgd2", "other")
DECIDES = ("search-based", "sgd2", "untrained-body", "class-means", "literal-reading", "noise-pixel", "no-smoothing",
           "noise-pixel-no-smoothing", "no-normalisation", "no-normalisation-x0.1", "no-explorers", "groups3",
           "search-based-steps", "sgd2-steps")
"""Ablations that a verdict rests on, and what they are compared with."""
EXPERIMENTS = {
    "perturbation": Experiment("2", "what a random perturbation gains, in parameters and in activations",
                               "perturbation", ("cifar10",), ("all",), main=("all",)),
    "places": Experiment("2", "what hill climbing gains by its cost, in activations, weights, and steps of rank 1",
                         "places", ("cifar10",), ("all",)),
    "fig2": Experiment("3.2", "cross-entropy of the best against population and generations, each block alone",
                       "fig2", ("cifar100",), tuple(READINGS)),
    "fig2-paper": Experiment("3.2", "the same at the paper's sizes", "fig2", ("cifar100",), tuple(READINGS),
                             preset="paper"),
    "fig3": Experiment("3.2", "effective number of solutions against independent runs, each block alone", "fig3",
                       ("cifar100",), ("noise", *SIZES), main=("noise",)),
    "table1": Experiment("4.3", "test accuracy without augmentation, with controls", "training", ALL, tuple(TABLE1),
                         main=MAIN),
    "table2": Experiment("4.3", "test accuracy with augmentation", "training", PHOTOGRAPHS, tuple(TABLE2),
                         main=tuple(TABLE2)),
    "fig4": Experiment("4.4", "accuracy against population and generations", "training", PHOTOGRAPHS,
                       FIGURE4_ALL, main=FIGURE4_ALL, train=500),
    "fig5": Experiment("4.5", "distance to the searched targets against epoch", "training", ALL, FIGURE5, main=FIGURE5),
    "fig6": Experiment("4.5", "within-class entropy against epoch", "training", ALL, FIGURE5, main=FIGURE5),
    "fig7": Experiment("B", "between-class entropy against epoch", "training", ALL, FIGURE5, main=FIGURE5),
    "untrained": Experiment("4.5", "where these trainings start", "untrained", ALL, ("start",), main=("start",)),
    "ablations": Experiment("3.1, 4.2", "what matters: one choice changed at a time", "training", ("cifar10",),
                            ("search-based", "sgd2", "untrained-body", "class-means", *ABLATIONS), main=DECIDES,
                            train=500),
    "batch": Experiment("3.1", "readings that tie images to each other; only the reference searches them",
                        "training", ("digits",), ("search-based", *TIED), preset="smoke"),
    "candidates": Experiment("3.1", "BatchNorm of the candidates, on photographs; only the reference searches it",
                             "training", ("cifar10",), ("search-based", "candidate-statistics"), train=500),
    "tuning": Experiment("A.3", "depth, rates and weight decay, chosen on validation images", "training",
                         ("cifar10",), tuple(TUNING), seeds=1),
    "search": Experiment("3.1", "a hundred images searched at the paper's sizes", "search", ("cifar10",),
                         ("first100",), preset="paper"),
    "chained": Experiment("3.1", "layer after layer, beside each layer alone", "search", PHOTOGRAPHS, ("chained",)),
    "diversity": Experiment("3.1", "how alike parents become, with explorers and without", "diversity", ("cifar10",),
                            tuple(EXPLORERS)),
    "gradients": Experiment("4.2", "which terms of the loss reach the body", "gradients", ("cifar10",),
                            ("first-step",)),
    "turns-500": Experiment("6", "search and learning in turn, with controls, at 500 images", "alternate", ("cifar10",),
                            CONTROLS, train=500, seeds=5, first=3),
    "turns-500-rivals": Experiment("6", "SGD at 500 images", "rival", ("cifar10",), ("sgd-tuned",), train=500,
                                   seeds=5, first=3),
    "turns-500-budget-rivals": Experiment("6", "SGD in as many forward passes as the loop takes", "rival",
                                          ("cifar10",), ("sgd-budget",), train=500, seeds=5, first=3),
    "turns-500-augmented": Experiment("6", "search and learning in turn on augmented images", "alternate", ("cifar10",),
                                      ("augmented",), train=500, seeds=5, first=3),
    "turns-500-augmented-rivals": Experiment("6", "SGD with augmentation", "rival", ("cifar10",), ("sgd-augmented",),
                                             train=500, seeds=5, first=3),
    "turns-500-augmented-tuning": Experiment("6", "its settings, chosen on validation images", "rival", ("cifar10",),
                                             tuple(AUGMENTED), train=500, seeds=1),
    "turns": Experiment("6", "search and learning in turn, at 2,000 images", "alternate", ("mnist", "cifar10"),
                        ("loop",), seeds=5, first=3),
    "turns-cifar100": Experiment("6", "search and learning in turn, a longer search for a hundred classes",
                                 "alternate", ("cifar100",), ("longer-5",), seeds=5, first=3),
    "turns-rivals": Experiment("6", "SGD at 2,000 images", "rival", ALL, ("sgd-tuned",), seeds=5, first=3),
    "turns-rivals-tuning-cifar10": Experiment("6", "its settings, chosen on validation images", "rival", ("cifar10",),
                                              LARGER, seeds=1),
    "turns-rivals-tuning-mnist": Experiment("6", "its settings, chosen on validation images", "rival", ("mnist",),
                                            LARGER[:4], seeds=1),
    "turns-rivals-tuning-cifar100": Experiment("6", "its settings, chosen on validation images", "rival",
                                               ("cifar100",), LARGER[:4], seeds=1),
    "turns-rivals-tuning": Experiment("6", "settings of SGD, chosen on validation images", "rival", ("cifar10",),
                                      tuple(RIVAL_TRIALS), train=500, seeds=1),
    **METHODS,
    "bench": Experiment("A.4", "candidates a second: reference, engine, evolution libraries", "bench", ("cifar10",),
                        ("all",), preset="paper", seeds=1),
    "bench-strategies": Experiment("", "members a second of evolution strategies: the library's, EvoTorch's, evosax's",
                                   "strategy-rates", ("digits",), ("all",), preset="book", seeds=1),
}


def runs(
    names: Sequence[str], preset: str, seeds: Sequence[int], data: Sequence[str] = (), variants: Sequence[str] = ()
) -> list[Run]:
    """The runs of these experiments, each once, in order.

    Args:
        names: of experiments, or what the names of several begin with, such as "goea"; "all" is all of them.
        preset: smoke, book or paper.
        seeds: one or more.
        data, variants: keep only runs with these; none given keeps all.

    Raises:
        InputError: no experiment, preset, data set or variant of them has such a name, or no name is given.
    """
    if not names:
        raise InputError(f"experiment: name one or more of {', '.join(EXPERIMENTS)}, or all; or give --list")
    names = list(EXPERIMENTS) if "all" in names else [known for name in names for known in _named(name)]
    checks.one_of("preset", preset, presets.PRESETS)
    for seed in seeds:
        checks.positive_int("seed", seed, minimum=0)
    found = list(dict.fromkeys(run for name in names for run in EXPERIMENTS[name].runs(preset, seeds)))
    for key, wanted in (("data", data), ("variant", variants)):
        for value in wanted:
            checks.one_of(key, value, tuple(dict.fromkeys(getattr(run, key) for run in found)))
        found = [run for run in found if not wanted or getattr(run, key) in wanted]
    return found


def _named(name: str) -> list[str]:
    """The experiment of this name, or those whose names begin with it and a dash."""
    found = [name] if name in EXPERIMENTS else [known for known in EXPERIMENTS if known.startswith(f"{name}-")]
    if not found:
        checks.one_of("experiment", name, EXPERIMENTS)
    return found
