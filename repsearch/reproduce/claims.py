"""Every claim of the paper, in its order, and what judges it; questions of ours beside them."""

from __future__ import annotations

from functools import partial

from repsearch.reproduce import model_claims as models
from repsearch.reproduce import own_claims as own
from repsearch.reproduce import search_claims as searched
from repsearch.reproduce import training_claims as trained
from repsearch.reproduce.claim import Claim
from repsearch.reproduce.found import Found
from repsearch.reproduce.later_claims import section_5, section_6
from repsearch.reproduce.noted import noted
from repsearch.reproduce.records import Record, read_records

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PHOTOGRAPHS = ("cifar10", "cifar100")
NORMALISED = ("no-normalisation", "no-normalisation-x0.1", "no-normalisation-x0.01", "no-normalisation-x0.001")


def claims() -> list[Claim]:
    """Every claim, in the paper's order; then those of other sources."""
    (paper,) = read_records("paper")
    return [*_section_2(), *_section_3_1(), *_section_3_2(), *_section_4_1(), *_section_4_3(paper), *_section_4_4(),
            *_section_4_5(), *section_5(), *section_6(paper), *_appendix_b(), *noted()]


def _section_2() -> list[Claim]:
    return [
        Claim("2", "Random perturbation makes little progress in parameter space", "", "perturbation",
              searched.parameters_gain_little),
        Claim("2", "It makes progress in activation space", "", "perturbation", searched.activations_gain),
        Claim("2", "Activation space is the smaller one", "", "perturbation", searched.activation_space_is_smaller),
        Claim("2", "The reason is the dimension of parameter space", "", "perturbation",
              searched.dimension_is_the_reason),
        Claim("2", "For the same cost, hill climbing gains more in activations than in weights", "", "places",
              partial(own.climbing_gains, "block0", "weights"), ours=True),
        Claim("2", "Activation space lets a sampler learn from what worked", "", None, Found.untried),
    ]


def _section_3_1() -> list[Claim]:
    smoothing = "Smoothing is crucial for learnability"
    return [
        *(Claim("3.1", f"Search makes an untrained network label its training images: {NAMES[data]}", "", "table1",
                partial(searched.search_labels, data)) for data in NAMES),
        Claim("3.1", "It does at the paper's sizes: a hundred images of CIFAR-10", "", "search",
              searched.paper_size_labels),
        Claim("3.1", "The best candidate never gets worse", "", "table1", searched.never_worse),
        Claim("3.1", "Selection for each image speeds the search up (digits)", "", "batch",
              searched.image_selection_is_faster),
        Claim("3.1", "Explorers keep the parents diverse", "", "diversity", searched.explorers_keep_diversity),
        Claim("3.1", "Explorers help the network that learns", "", "ablations",
              partial(trained.with_and_without, "no-explorers"), ours=True),
        Claim("3.1", f"{smoothing} (noise a pixel, smoothed alone)", "", "ablations",
              partial(trained.crucial, "noise-pixel-no-smoothing", "noise-pixel")),
        Claim("3.1", f"{smoothing} (noise a pixel, whole child smoothed)", "", "ablations",
              partial(trained.crucial, "noise-pixel-no-smoothing", "literal-reading")),
        Claim("3.1", f"{smoothing} (noise a map, where it acts at borders alone)", "", "ablations",
              partial(trained.crucial, "no-smoothing"), ours=True),
        Claim("3.1", "Normalisation is crucial for convergence of the search", "", "ablations", searched.converges),
        Claim("3.1", "Normalisation is crucial for the learning, at the rate best without it", "", "ablations",
              partial(trained.crucial, NORMALISED), ours=True),
        Claim("3.1", "Later layers benefit from the search of those before them", "", "chained",
              searched.later_layers_benefit),
        Claim("3.1", "BatchNorm of the candidates gives better targets than frozen statistics (digits)", "", "batch",
              own.candidate_statistics_help, ours=True),
        Claim("3.1", "BatchNorm of the candidates gives better targets than frozen statistics (CIFAR-10)", "",
              "candidates", partial(own.candidate_statistics_help, photographs=True), ours=True),
    ]


def _section_3_2() -> list[Claim]:
    several, where = "The effective number of solutions", "(noise a pixel; twice the width and generations)"
    return [
        Claim("3.2", "Cross-entropy falls with the population", "falls", "fig2", searched.falls_with_population),
        Claim("3.2", "It falls by more than the luck of more first candidates", "", "fig2", searched.beyond_luck,
              ours=True),
        Claim("3.2", "Cross-entropy falls with the generations", "falls", "fig2", searched.falls_with_generations),
        Claim("3.2", "Block 2 is easier than blocks 0 and 1", "lowest", "fig2", searched.block2_is_easiest),
        Claim("3.2", f"{several} grows with the runs {where}", "grows", "fig3", searched.solutions_grow),
        Claim("3.2", f"It grows steadily, with every doubling, at block 0 {where}", "", "fig3",
              searched.solutions_grow_steadily),
        Claim("3.2", f"It grows fastest at the earliest block {where}", "block 0 highest", "fig3",
              searched.solutions_grow_fastest_at_block0),
        *(Claim("3.2", f"{several} grows with the {axis} {where}", "", "fig3",
                partial(searched.solutions_grow_with, axis))
          for axis in ("population", "generations")),
    ]


def _section_4_1() -> list[Claim]:
    return [
        *(Claim("4.1", f"What search finds can be learned by regression alone: {NAMES[data]}", "", "table1",
                partial(trained.learns, data)) for data in NAMES),
        *(Claim("4.1", f"It can with settings chosen for either on CIFAR-10: {NAMES[data]}", "", "table1 tuning",
                partial(trained.learns_tuned, data), ours=True) for data in NAMES),
        *(Claim("4.1", f"It says more than the image's label: {NAMES[data]}", "", "table1",
                partial(trained.beyond_the_label, data), ours=True) for data in NAMES),
        Claim("4.2", "No gradient of the classification reaches the body", "", "gradients",
              trained.no_gradient_in_the_body),
        Claim("4.2", "A deeper network learns the targets better", "", "ablations", trained.capacity_helps),
        *(Claim("4.2", f"Targets of early layers are harder to learn: {NAMES[data]}", "", "table1",
                partial(trained.early_layers_are_hard, data)) for data in NAMES),
    ]


def _section_4_3(paper: Record) -> list[Claim]:
    return [
        *(_table1(data, paper) for data in NAMES),
        *(Claim("4.3", f"It does with settings chosen for either on CIFAR-10, weight decay among them: {NAMES[data]}",
                "", "table1 tuning", partial(trained.close_when_tuned, data), ours=True) for data in NAMES),
        *(Claim("4.3", f"Class means as targets, in these settings, come within a point of tuned SGD: {NAMES[data]}",
                "", "table1 tuning", partial(trained.class_means_close_to_sgd, data), ours=True) for data in NAMES),
        Claim("4.3", "The gap to SGD grows with the images, in as many steps: CIFAR-10", "", "table1 ablations",
              own.gap_grows, ours=True),
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
                "fig5", partial(models.distance_falls, data)) for data in NAMES),
        *(Claim("4.5", f"It does so throughout the training: {NAMES[data]}", "falls", "fig5",
                partial(models.distance_falls_throughout, data)) for data in NAMES),
        *(Claim("4.5", f"After training by SGD the distance is near 1: {NAMES[data]}", "near 1.0", "fig5",
                partial(models.sgd_stays_far, data)) for data in NAMES),
        *(Claim("4.5", f"Both trainings order images by class: {NAMES[data]}", "", "fig6",
                partial(models.both_organise, data)) for data in NAMES),
        *(_entropies("within", "fig6", "4.5", data) for data in NAMES),
        *(Claim("4.5", f"They differ in order by class, entropy below shuffled classes': {NAMES[data]}", "", "fig6",
                partial(models.order_differs, data), ours=True) for data in NAMES),
    ]


def _entropies(kind: str, figure: str, section: str, data: str) -> Claim:
    what = f"The two trainings differ in {kind}-class entropy: {NAMES[data]}"
    return Claim(section, what, "differ noticeably", figure,
                 partial(models.entropies_differ, data, kind))


def _appendix_b() -> list[Claim]:
    return [
        *(_entropies("between", "fig7", "B", data) for data in NAMES),
        *(Claim("B", f"Search-based training separates classes more at block 0: {NAMES[data]}", "", "fig6 fig7",
                partial(models.separates_at_block0, data)) for data in NAMES),
    ]


def _table1(data: str, paper: Record) -> Claim:
    sgd, ours = (paper["table1"][data][name][0] for name in ("SGD", "search-based"))
    return Claim("4.3", f"Search-based training comes within a point of SGD: {NAMES[data]}",
                 f"{ours} against {sgd} %: {sgd - ours:.1f} points behind", "table1",
                 partial(trained.close_to_sgd, data), reported=ours - sgd)


def _table2(data: str, paper: Record) -> list[Claim]:
    sgd, skip, every = (paper["table2"][data][name][0] for name in ("SGD", "skip block 0", "all layers"))
    plain = {name: value[0] for name, value in paper["table1"][data].items()}
    return [
        Claim("4.3", f"Augmented, no target on block 0 is better than targets everywhere: {NAMES[data]}",
              f"{skip} against {every} %", "table2", partial(trained.skipping_block0_helps, data),
              reported=skip - every),
        Claim("4.3", f"Augmented, search-based training comes close to SGD: {NAMES[data]}",
              f"{sgd - skip:.1f} points behind", "table2", partial(trained.augmented_close_to_sgd, data),
              reported=skip - sgd),
        Claim("4.3", f"Augmented, it does with settings chosen for either on CIFAR-10, all layers: {NAMES[data]}", "",
              "table2 tuning", partial(trained.augmented_close_when_tuned, data), ours=True),
        Claim("4.3", f"Augmentation helps, though all variants of an image share a target: {NAMES[data]}",
              f"{every - plain['search-based']:.1f} points; SGD {sgd - plain['SGD']:.1f}", "table1 table2",
              partial(trained.augmentation_helps, data), ours=True, reported=every - plain["search-based"]),
    ]
