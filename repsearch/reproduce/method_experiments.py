"""The studies beside the paper: evolution of weights, rivals without an end-to-end gradient."""

from __future__ import annotations

from repsearch.reproduce.arena_settings import METHODS as SEARCHERS
from repsearch.reproduce.arena_settings import TUNING as TUNING_ES
from repsearch.reproduce.arena_settings import TURNS
from repsearch.reproduce.experiment import Experiment
from repsearch.reproduce.goea.settings import GENERATIONS, PLACES
from repsearch.reproduce.rule_settings import RULES
from repsearch.reproduce.rule_settings import TUNING as TUNING_RULES
from repsearch.reproduce.set_settings import ARMS

METHODS = {
    "es-ranks": Experiment("", "low-rank noise: accuracy against rank and population", "es", ("mnist",), ("ranks",)),
    "es-arms": Experiment("", "evolution strategies: who sees which images", "es", ("digits",), ("arms",),
                          preset="smoke"),
    "es-estimates": Experiment("", "how good the estimated gradients are, beside closed forms", "es-estimates",
                               ("digits",), ("all",), preset="smoke", seeds=5),
    "topology": Experiment("", "NEAT at its own size: the exclusive or, odd and even digits", "topology", ("digits",),
                           ("both",), preset="smoke", seeds=5),
    "goea-theory": Experiment("", "greedy evolution where closed forms hold: angles, gains, chances", "goea-theory",
                              ("digits",), ("all",)),
    "goea-steps": Experiment("", "random steps of a network's weights, before training, at transfer, at the optimum",
                             "goea-steps", ("mnist",), tuple(PLACES)),
    "goea-greedy": Experiment("", "trainings by greedy evolution: as published, its sizes, ways to mix", "goea-greedy",
                              ("mnist",), tuple(GENERATIONS)),
    "goea-transfer": Experiment("", "flat and sharp networks before and after transfer", "goea-transfer", ("mnist",),
                                ("archetypes",)),
    "goea-flatness": Experiment("", "flatness by dropout, size, batch and epochs of SGD", "goea-flatness", ("mnist",),
                                ("series",)),
    "goea-rates": Experiment("", "their learning rates, chosen on validation images", "goea-flatness", ("mnist",),
                             ("rates",), seeds=1),
    "arena-weights": Experiment("", "one network and budget: evolution of weights, and SGD", "es", ("mnist",),
                                tuple(SEARCHERS), first=3),
    "arena-weights-tuning": Experiment("", "settings of each, chosen on validation images", "es", ("mnist",), TUNING_ES,
                                       seeds=1),
    "arena-turns": Experiment("", "the same: one shot and the loop, of the perceptron", "es-turns", ("mnist",),
                              ("loop",), first=3),
    "arena-turns-tuning": Experiment("", "settings of the loop, chosen on validation images", "es-turns", ("mnist",),
                                     tuple(TURNS), seeds=1),
    "arena-rules": Experiment("", "one network and budget: rules without an end-to-end gradient, and SGD", "rules",
                              ("mnist",), tuple(RULES), first=3),
    "arena-rules-tuning": Experiment("", "settings of each, chosen on validation images", "rules", ("mnist",),
                                     TUNING_RULES, seeds=1),
    "bridge": Experiment("", "where searches and rules would have activations go, and where the gradient points",
                         "bridge", ("cifar10",), ("all",)),
    "sets": Experiment("6", "sets of models that differ in one thing: predictions, weights, corrupted images", "sets",
                       ("cifar10",), tuple(ARMS), train=500, first=3),
}
