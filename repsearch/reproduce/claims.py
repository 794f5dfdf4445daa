"""Every claim of the paper, and what judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from repsearch.reproduce import model_claims as models
from repsearch.reproduce import search_claims as searched
from repsearch.reproduce import training_claims as trained
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.training_claims import Found
from repsearch.reproduce.verdicts import UNTRIED

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PHOTOGRAPHS = ("cifar10", "cifar100")


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Args:
        section: where it is made.
        what: it says, in our words.
        paper: the value it reports, if it does.
        experiment: whose records judge it, one or more IDs of `repsearch reproduce`; None if it was not tried.
        judge: our value, the control and the verdict, from the committed records.
        ours: a question of ours beside the paper's claims, counted apart.
    """

    section: str
    what: str
    paper: str
    experiment: str | None
    judge: Callable[[], Found]
    ours: bool = False

    @cached_property
    def found(self) -> Found:
        """Our value, the control and the verdict."""
        return self.judge()


def _untried() -> Found:
    return "", "", UNTRIED


def claims() -> list[Claim]:
    """Every claim, in the paper's order."""
    (paper,) = read_records("paper")
    return [*_section_2(), *_section_3_1(), *_section_3_2(), *_section_4(paper), *_section_4_4(), *_section_4_5(),
            *_section_5(paper)]


def _section_2() -> list[Claim]:
    return [
        Claim("2", "Random perturbation makes little progress in parameter space", "", "perturbation",
              searched.parameters_gain_little),
        Claim("2", "It makes progress in activation space", "", "perturbation", searched.activations_gain),
        Claim("2", "The reason is the dimension of parameter space", "", "perturbation",
              searched.dimension_is_the_reason),
    ]


def _section_3_1() -> list[Claim]:
    return [
        *(Claim("3.1", f"Search makes an untrained network label its training images: {NAMES[data]}", "", "table1",
                partial(trained.search_labels, data)) for data in NAMES),
        Claim("3.1", "Smoothing is crucial for learnability (noise a pixel, whole child smoothed)",
              "", "ablations", partial(trained.crucial, "noise-pixel-no-smoothing", "literal-reading")),
        Claim("3.1", "Smoothing is crucial for learnability (noise a pixel, smoothed alone)", "", "ablations",
              partial(trained.crucial, "noise-pixel-no-smoothing", "noise-pixel")),
        Claim("3.1", "Smoothing is crucial for learnability (noise a map, smoothed alone)", "", "ablations",
              partial(trained.crucial, "no-smoothing")),
        Claim("3.1", "Normalisation is crucial for convergence: of the search", "", "ablations", trained.converges),
        Claim("3.1", "Normalisation is crucial for convergence: of the learning", "", "ablations",
              partial(trained.crucial, "no-normalisation")),
        Claim("3.1", "Explorers help", "", "ablations", partial(trained.with_and_without, "no-explorers"), ours=True),
    ]


def _section_3_2() -> list[Claim]:
    return [
        Claim("3.2", "Cross-entropy falls with the population", "falls", "fig2", searched.falls_with_population),
        Claim("3.2", "Cross-entropy falls with the generations", "falls", "fig2", searched.falls_with_generations),
        Claim("3.2", "Block 2 is easier than blocks 0 and 1", "lowest", "fig2", searched.block2_is_easiest),
        Claim("3.2", "The effective number of solutions grows with the runs (noise alone smoothed)", "grows", "fig3",
              searched.solutions_grow),
        Claim("3.2", "It grows fastest at the earliest block (noise alone smoothed)", "block 0 highest", "fig3",
              searched.solutions_grow_fastest_at_block0),
    ]


def _section_4(paper: Record) -> list[Claim]:
    return [
        *(Claim("4.1", f"What search finds can be learned by regression alone: {NAMES[data]}", "", "table1",
                partial(trained.learns, data)) for data in NAMES),
        *(Claim("4.1", f"It says more than the image's label: {NAMES[data]}", "", "table1",
                partial(trained.beyond_the_label, data), ours=True) for data in NAMES),
        *(_table1(data, paper) for data in NAMES),
        *(claim for data in PHOTOGRAPHS for claim in _table2(data, paper)),
    ]


def _section_4_4() -> list[Claim]:
    return [
        *(Claim("4.4", f"Accuracy {does} with the {axis} of the search: {NAMES[data]}",
                does if data == "cifar100" else "", "fig4", partial(judge, data, axis), ours=data != "cifar100")
          for data in ("cifar100", "cifar10") for does, judge in (("rises", trained.pays_off),
                                                                  ("saturates", trained.saturates))
          for axis in ("population", "generations")),
    ]


def _section_4_5() -> list[Claim]:
    return [
        *(Claim("4.5", f"Search-based training brings unseen images closer to their targets: {NAMES[data]}", "falls",
                "fig5", partial(models.distance_falls, data)) for data in PHOTOGRAPHS),
        *(Claim("4.5", f"After training by SGD the distance is near 1: {NAMES[data]}", "near 1.0", "fig5",
                partial(models.sgd_stays_far, data)) for data in PHOTOGRAPHS),
        *(Claim(section, f"The two trainings differ in {kind}-class entropy: {NAMES[data]}", "", figure,
                partial(models.entropies_differ, data, kind), ours=True)
          for kind, figure, section in (("within", "fig6", "4.5"), ("between", "fig7", "B")) for data in PHOTOGRAPHS),
        *(Claim("4.5", f"They differ in order by class, entropy below shuffled classes': {NAMES[data]}", "", "fig6",
                partial(models.order_differs, data), ours=True) for data in PHOTOGRAPHS),
    ]


def _section_5(paper: Record) -> list[Claim]:
    behind = [rows["SGD"][0] - max(row[0] for name, row in rows.items() if name != "SGD")
              for table in ("table1", "table2") for rows in paper[table].values()]
    return [
        Claim("5", "Search-based training trails SGD", f"by {min(behind):.1f} to {max(behind):.1f} points",
              "table1 table2", trained.trails_sgd),
        Claim("5", "Letting search and learning inform each other would be better", "left open", None, _untried),
        Claim("5", "Diverse representations give diverse models", "left open", None, _untried),
    ]


def _table1(data: str, paper: Record) -> Claim:
    sgd, ours = (paper["table1"][data][name][0] for name in ("SGD", "search-based"))
    return Claim("4.3", f"Search-based training comes close to SGD: {NAMES[data]}",
                 f"{ours} against {sgd} %: {sgd - ours:.1f} points behind", "table1",
                 partial(trained.close_to_sgd, data))


def _table2(data: str, paper: Record) -> list[Claim]:
    sgd, skip, every = (paper["table2"][data][name][0] for name in ("SGD", "skip block 0", "all layers"))
    plain = {name: value[0] for name, value in paper["table1"][data].items()}
    return [
        Claim("4.3", f"Augmented, no target on block 0 is better than targets everywhere: {NAMES[data]}",
              f"{skip} against {every} %", "table2", partial(trained.skipping_block0_helps, data)),
        Claim("4.3", f"Augmented, search-based training comes close to SGD: {NAMES[data]}",
              f"{sgd - skip:.1f} points behind", "table2", partial(trained.augmented_close_to_sgd, data)),
        Claim("4.3", f"Augmentation helps, though all variants of an image share a target: {NAMES[data]}",
              f"{every - plain['search-based']:.1f} points; SGD {sgd - plain['SGD']:.1f}", "table1 table2",
              partial(trained.augmentation_helps, data)),
    ]
