"""Every claim of the paper with a verdict, as tables for the chapters and as the page `book/claims.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from repsearch import evidence
from repsearch.evidence import Found
from repsearch.records import Record, read_records, record_folder
from repsearch.reproduce import points

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
PHOTOGRAPHS = ("cifar10", "cifar100")


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Args:
        section: where it is made.
        what: it says, in our words.
        paper: the value it reports, if it does.
        experiment: whose records judge it, one or more IDs of `repsearch.reproduce`; None if it was not tried.
        judge: our value, the control and the verdict, from the committed records.
        ours: a question of ours beside the paper's claims, counted apart.
    """

    section: str
    what: str
    paper: str
    experiment: str | None
    judge: Callable[[], Found]
    ours: bool = False


def _untried() -> Found:
    return "", "", evidence.UNTRIED


def claims() -> list[Claim]:
    """Every claim, in the paper's order."""
    (paper,) = read_records("paper")
    behind = [rows["SGD"][0] - max(row[0] for name, row in rows.items() if name != "SGD")
              for table in ("table1", "table2") for rows in paper[table].values()]
    return [
        Claim("2", "Random perturbation makes little progress in parameter space", "", "framework",
              evidence.parameters_gain_little),
        Claim("2", "It makes progress in activation space", "", "framework", evidence.activations_gain),
        Claim("2", "The reason is the dimension of parameter space", "", "framework", evidence.dimension_is_the_reason),
        *(Claim("3.1", f"Search makes an untrained network label its training images: {NAMES[data]}", "", "table1",
                partial(evidence.search_labels, data)) for data in NAMES),
        Claim("3.1", "Smoothing is crucial for learnability (noise a pixel, whole child smoothed)",
              "", "ablations", partial(evidence.crucial, "noise-pixel-no-smoothing", "default-reading")),
        Claim("3.1", "Smoothing is crucial for learnability (noise a pixel, smoothed alone)", "", "ablations",
              partial(evidence.crucial, "noise-pixel-no-smoothing", "noise-pixel")),
        Claim("3.1", "Smoothing is crucial for learnability (noise a map, smoothed alone)", "", "ablations",
              partial(evidence.crucial, "no-smoothing")),
        Claim("3.1", "Normalisation is crucial for convergence: of the search", "", "ablations", evidence.converges),
        Claim("3.1", "Normalisation is crucial for convergence: of the learning", "", "ablations",
              partial(evidence.crucial, "no-normalisation")),
        Claim("3.1", "Explorers help", "", "ablations", partial(evidence.with_and_without, "no-explorers"), ours=True),
        Claim("3.2", "Cross-entropy falls with the population", "falls", "fig2", evidence.falls_with_population),
        Claim("3.2", "Cross-entropy falls with the generations", "falls", "fig2", evidence.falls_with_generations),
        Claim("3.2", "Block 2 is easier than blocks 0 and 1", "lowest", "fig2", evidence.block2_is_easiest),
        Claim("3.2", "The effective number of solutions grows with the runs (noise alone smoothed)", "grows", "fig3",
              evidence.solutions_grow),
        Claim("3.2", "It grows fastest at the earliest block (noise alone smoothed)", "block 0 highest", "fig3",
              evidence.solutions_grow_fastest_at_block0),
        *(Claim("4.1", f"What search finds can be learned by regression alone: {NAMES[data]}", "", "table1",
                partial(evidence.learns, data)) for data in NAMES),
        *(Claim("4.1", f"It says more than the image's label: {NAMES[data]}", "", "table1",
                partial(evidence.beyond_the_label, data), ours=True) for data in NAMES),
        *(_table1(data, paper) for data in NAMES),
        *(claim for data in PHOTOGRAPHS for claim in _table2(data, paper)),
        *(Claim("4.4", f"Accuracy {does} with the {axis} of the search: {NAMES[data]}",
                does if data == "cifar100" else "", "fig4", partial(judge, data, axis), ours=data != "cifar100")
          for data in ("cifar100", "cifar10") for does, judge in (("rises", evidence.pays_off),
                                                                  ("saturates", evidence.saturates))
          for axis in ("population", "generations")),
        *(Claim("4.5", f"Search-based training brings unseen images closer to their targets: {NAMES[data]}", "falls",
                "fig5", partial(evidence.distance_falls, data)) for data in PHOTOGRAPHS),
        *(Claim("4.5", f"After training by SGD the distance is near 1: {NAMES[data]}", "near 1.0", "fig5",
                partial(evidence.sgd_stays_far, data)) for data in PHOTOGRAPHS),
        *(Claim(section, f"The two trainings differ in {kind}-class entropy: {NAMES[data]}", "", figure,
                partial(evidence.entropies_differ, data, kind), ours=True)
          for kind, figure, section in (("within", "fig6", "4.5"), ("between", "fig7", "B")) for data in PHOTOGRAPHS),
        *(Claim("4.5", f"They differ in order by class, entropy below shuffled classes': {NAMES[data]}", "", "fig6",
                partial(evidence.order_differs, data), ours=True) for data in PHOTOGRAPHS),
        Claim("5", "Search-based training trails SGD", f"by {min(behind):.1f} to {max(behind):.1f} points",
              "table1 table2", evidence.trails_sgd),
        Claim("5", "Letting search and learning inform each other would be better", "left open", None, _untried),
        Claim("5", "Diverse representations give diverse models", "left open", None, _untried),
    ]


def _table1(data: str, paper: Record) -> Claim:
    sgd, ours = (paper["table1"][data][name][0] for name in ("SGD", "search-based"))
    return Claim("4.3", f"Search-based training comes close to SGD: {NAMES[data]}",
                 f"{ours} against {sgd} %: {sgd - ours:.1f} points behind", "table1",
                 partial(evidence.close_to_sgd, data))


def _table2(data: str, paper: Record) -> list[Claim]:
    sgd, skip, every = (paper["table2"][data][name][0] for name in ("SGD", "skip block 0", "all layers"))
    plain = {name: value[0] for name, value in paper["table1"][data].items()}
    return [
        Claim("4.3", f"Augmented, no target on block 0 is better than targets everywhere: {NAMES[data]}",
              f"{skip} against {every} %", "table2", partial(evidence.skipping_block0_helps, data)),
        Claim("4.3", f"Augmented, search-based training comes close to SGD: {NAMES[data]}",
              f"{sgd - skip:.1f} points behind", "table2", partial(evidence.augmented_close_to_sgd, data)),
        Claim("4.3", f"Augmentation helps, though all variants of an image share a target: {NAMES[data]}",
              f"{every - plain['search-based']:.1f} points; SGD {sgd - plain['SGD']:.1f}", "table1 table2",
              partial(evidence.augmentation_helps, data)),
    ]


def table(sections: Sequence[str] = (), command: bool = False) -> str:
    """Claims as a Markdown table; those marked "our question" are not the paper's.

    Args:
        sections: of the paper, such as ("3.2",); none given is all.
        command: add what redoes a claim, and what that costs.
    """
    head = ["claim", "paper", "here, mean ± std of 3 seeds", "beside it", "verdict"]
    if len(sections) != 1:
        head.insert(0, "section")
    if command:
        head.append("made by")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for claim in claims():
        if not sections or claim.section in sections:
            ours, control, verdict = claim.judge()
            what = f"{claim.what} (*our question*)" if claim.ours else claim.what
            cells = [what, claim.paper, ours, control, f"**{verdict}**"]
            if len(sections) != 1:
                cells.insert(0, claim.section)
            if command:
                known = claim.experiment
                cells.append(f"`repsearch reproduce {known}`, {minutes(known):.0f} min" if known else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def minutes(experiments: str) -> float:
    """What the committed book records of these experiments took, on one core."""
    records = [point.read(record_folder()) for point in points(experiments.split(), "book", (0, 1, 2))]
    return sum(float(record["seconds"]) for record in records if record) / 60


def page() -> str:
    """The page of all claims."""
    found = claims()
    sections = "\n\n".join(
        f"## {'Appendix' if section.isalpha() else 'Section'} {section}\n\n{table((section,), command=True)}"
        for section in dict.fromkeys(claim.section for claim in found))
    verdicts = Counter(claim.judge()[2] for claim in found if not claim.ours)
    order = (evidence.REPRODUCED, evidence.IN_PART, evidence.NOT, evidence.UNTRIED)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in order)
    return f"""# Every claim, and what came out

**{verdicts.total()} claims: {counts}.** {sum(claim.ours for claim in found)} questions of our own stand among them.

This page is made by `python -m repsearch claims` from the records that come with the book. A verdict is a rule applied
to them, not an opinion:

- *reproduced*: what the claim says holds in each of three seeds, and at every block it speaks of;
- *in part*: it holds for some blocks or readings; or not in every seed, but with a mean larger than its standard error;
- *not reproduced*: it does not.

With nothing behind it, a claim would be reproduced by chance one time in eight, so look at the spread, too. Some words
need a rule of their own:

- close to SGD: at most one point behind on MNIST and three on the others, on average;
- near 1: within a tenth, on average;
- labels: more than one half for the label of nine images of ten; in part, of every second image;
- falls with the population: in part, if the best of as many noisy copies falls as much without evolution;
- falls with the generations, which selection guarantees: by a tenth or more;
- saturates: the last doubling adds less than those before it;
- crucial: without it a quarter of what training adds to an untrained body is lost; in part, if anything is;
- differ: by more than twice the standard deviation of the difference over seeds.

"Beside it" stands what the number should be compared with, most often a control.

The trainings are those of the book preset: narrow networks, few images, noise drawn once a map and smoothed alone. That
reading learns better than the library's default, in which the noise is drawn for every pixel and the whole child is
smoothed; rows that use another reading say so. The paper's sizes are many times larger. A verdict is about the claim at
ours. Minutes are those of all records of an experiment, on one core; searches that experiments share are counted where
they were made first. Its command computes what is missing: empty folders for `--out` and `--store` make it compute
everything again. The rows of Figure 2 at the paper's sizes take `--preset paper --seeds 0 --variants child noise`.

{sections}
"""
