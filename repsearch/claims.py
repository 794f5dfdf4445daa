"""The paper's claims, each judged by records: what the paper reports, what came out, the control, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from repsearch.records import Record, read_records, record_folder
from repsearch.reproduce import EXPERIMENTS

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
SGD = ("sgd2", "sgd4", "sgd6")
Found = tuple[str, str, str]
"""Ours, the control, the verdict."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Args:
        section: where it is made.
        what: it says, in our words.
        paper: the value it reports, if it does.
        experiment: whose records judge it, a key of `repsearch.reproduce.EXPERIMENTS`; None if it was not tried.
        judge: our value, the control and the verdict, from the committed records.
    """

    section: str
    what: str
    paper: str
    experiment: str | None
    judge: Callable[[], Found]


# --- reading records ---------------------------------------------------------------------------------------------------


def trainings(data: str, variant: str) -> list[Record]:
    """The committed book records of a variant, one a seed."""
    return read_records(f"training-{data}-book-{variant}-[0-9]")


def test_accuracy(data: str, variant: str) -> list[float]:
    """Test accuracy of a variant in percent, one a seed."""
    return [100 * record["test_accuracy"] for record in trainings(data, variant)]


def validation_accuracy(data: str, variant: str) -> list[float]:
    """Validation accuracy of a variant at its best epoch in percent, one a seed."""
    return [100 * max(record["validation_accuracy"]) for record in trainings(data, variant)]


def best_sgd(data: str) -> str:
    """The depth of SGD with the best mean validation accuracy."""
    return max(SGD, key=lambda variant: mean(validation_accuracy(data, variant)))


def at_end(data: str, variant: str, key: str, block: int, epoch: int = -1) -> list[float]:
    """A measured value at a block after the last epoch, or at another entry, one a seed."""
    return [[row for row in record["measured"] if row["block"] == block][epoch][key]
            for record in trainings(data, variant)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of seeds.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        '2.0 ± 1.0'
    """
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """first - second, seed by seed."""
    return [a - b for a, b in zip(first, second, strict=True)]


def always(values: Sequence[float]) -> str:
    """The verdict on a claim that all of these differences are positive.

    Example:
        >>> always([1, 2, 3]), always([1, -2, 3]), always([-1, -2, -3])
        ('reproduced', 'in part', 'not reproduced')
    """
    if min(values) > 0:
        return "reproduced"
    return "in part" if mean(values) > 0 else "not reproduced"


# --- judges -------------------------------------------------------------------------------------------------------------


def _gap(data: str, paper: dict[str, Any]) -> Claim:
    """Table 1: how far search-based training stays behind the best SGD."""
    reported = paper["table1"][data]
    allowed = 1.0 if data == "mnist" else 3.0
    claimed = reported["SGD"][0] - reported["search-based"][0]

    def judge() -> Found:
        rival = best_sgd(data)
        ours, control = test_accuracy(data, "search"), test_accuracy(data, "untrained-body")
        behind = differences(test_accuracy(data, rival), ours)
        verdict = "reproduced" if mean(behind) <= allowed else "not reproduced"
        return (f"search-based {spread(ours)} %, SGD {spread(test_accuracy(data, rival))} %: {spread(behind)} points behind",
                f"untrained body, trained head {spread(control)} %", verdict)

    return Claim("4.3", f"{NAMES[data]}: search-based training comes close to SGD",
                 f"{reported['search-based'][0]} against {reported['SGD'][0]} %: {claimed:.1f} points behind", "table1", judge)


def _learns(data: str) -> Claim:
    """4.1: the body learns something from regression alone."""

    def judge() -> Found:
        ours, control = test_accuracy(data, "search"), test_accuracy(data, "untrained-body")
        others = test_accuracy(data, "other")
        beyond = [min(pair) for pair in zip(differences(ours, control), differences(ours, others), strict=True)]
        return (f"{spread(ours)} %", f"untrained body {spread(control)} %, targets of other images {spread(others)} %",
                always(beyond))

    return Claim("4.1", f"{NAMES[data]}: a body that sees no classification gradient learns to classify, by regression "
                 "to searched activations", "", "table1", judge)


def _table2(data: str, paper: dict[str, Any]) -> list[Claim]:
    reported = {name: value[0] for name, value in paper["table2"][data].items()}
    rows = {"SGD": "sgd-augmented", "skip block 0": "skip0-augmented", "all layers": "all-augmented"}

    def skip() -> Found:
        first, second = (test_accuracy(data, rows[name]) for name in ("skip block 0", "all layers"))
        return f"{spread(first)} against {spread(second)} %", f"SGD {spread(test_accuracy(data, rows['SGD']))} %", always(
            differences(first, second))

    def gap() -> Found:
        best = max(("skip block 0", "all layers"), key=lambda name: mean(validation_accuracy(data, rows[name])))
        behind = differences(test_accuracy(data, rows["SGD"]), test_accuracy(data, rows[best]))
        return f"{spread(behind)} points ({best})", f"SGD {spread(test_accuracy(data, rows['SGD']))} %", (
            "reproduced" if mean(behind) <= 3 else "not reproduced")

    def helps() -> Found:
        plain = test_accuracy(data, "search")
        gained = differences(test_accuracy(data, rows["all layers"]), plain)
        of_sgd = differences(test_accuracy(data, rows["SGD"]), test_accuracy(data, "sgd2"))
        return f"{spread(gained)} points for search-based", f"{spread(of_sgd)} points for SGD", always(gained)

    table1 = paper["table1"][data]
    return [
        Claim("4.3", f"{NAMES[data]}, augmented: no target on block 0 is better than targets on all blocks",
              f"{reported['skip block 0']} against {reported['all layers']} %", "table2", skip),
        Claim("4.3", f"{NAMES[data]}, augmented: search-based training comes close to SGD",
              f"{reported['SGD'] - reported['skip block 0']:.1f} points behind", "table2", gap),
        Claim("4.3", f"{NAMES[data]}: augmentation helps, though all variants of an image share one target",
              f"{reported['all layers'] - table1['search-based'][0]:.1f} points for search-based, "
              f"{reported['SGD'] - table1['SGD'][0]:.1f} for SGD", "table2", helps),
    ]


def _more_search(data: str, axis: str) -> Claim:
    def judge() -> Found:
        least, base, most = (validation_accuracy(data, name) for name in (f"{axis}-x0.25", "search", f"{axis}-x2"))
        ours = f"{spread(least)}, {spread(base)}, {spread(most)} % at a quarter, once and twice the {axis}"
        return ours, f"untrained body {spread(validation_accuracy(data, 'untrained-body'))} %", always(
            differences(most, least))

    return Claim("4.4", f"{NAMES[data]}: accuracy rises with the {axis} of the search, then saturates", "a rising curve",
                 "fig4", judge)


def _distance_falls(data: str) -> Claim:
    def judge() -> Found:
        start, end = ([mean(at_end(data, "search", "distance", b, epoch)[i] for b in range(3)) for i in range(3)]
                      for epoch in (0, -1))
        others = [mean(at_end(data, "search", "distance_others", b)[i] for b in range(3)) for i in range(3)]
        nearer = [min(pair) for pair in zip(differences(start, end), differences(others, end), strict=True)]
        return (f"{spread(start, 2)} untrained, {spread(end, 2)} at the end",
                f"to other images' targets {spread(others, 2)}", always(nearer))

    return Claim("4.5", f"{NAMES[data]}: under search-based training the distance to the searched targets of unseen images "
                 "falls", "falls", "fig5", judge)


def _distance_of_sgd(data: str) -> Claim:
    def judge() -> Found:
        end = [mean(at_end(data, "sgd2", "distance", b)[i] for b in range(3)) for i in range(3)]
        others = [mean(at_end(data, "sgd2", "distance_others", b)[i] for b in range(3)) for i in range(3)]
        start = [mean(at_end(data, "sgd2", "distance", b, 0)[i] for b in range(3)) for i in range(3)]
        verdict = "reproduced" if abs(mean(end) - 1) < 0.1 else "in part" if mean(end) > mean(start) else "not reproduced"
        return (f"{spread(end, 2)} at the end", f"untrained {spread(start, 2)}; to other images' targets {spread(others, 2)}",
                verdict)

    return Claim("4.5", f"{NAMES[data]}: under SGD it stays near 1", "near 1.0", "fig5", judge)


def _entropy(data: str, kind: str, figure: str, section: str) -> Claim:
    def judge() -> Found:
        ends = {variant: [at_end(data, variant, kind, b) for b in range(3)] for variant in ("search", "sgd2")}
        shown = "; ".join(f"block {b}: {spread(ends['search'][b])} against {spread(ends['sgd4'][b])}" for b in range(3))
        apart = [d for b in range(3) for d in differences(ends["search"][b], ends["sgd2"][b])]
        untrained = ", ".join(spread(at_end(data, "search", kind, b, 0)) for b in range(3))
        same_sign = [all(d > 0 for d in apart[3 * b : 3 * b + 3]) or all(d < 0 for d in apart[3 * b : 3 * b + 3])
                     for b in range(3)]
        verdict = "reproduced" if all(same_sign) else "in part" if any(same_sign) else "not reproduced"
        return f"search-based against SGD, nats: {shown}", f"untrained {untrained}", verdict

    return Claim(section, f"{NAMES[data]}: the two trainings give representations of different {kind}-class entropy",
                 "curves that differ", figure, judge)


def _framework(space: str, images: int) -> list[float]:
    """Best gain of a random perturbation in percent, at the largest width, one a seed."""
    records = read_records("framework-cifar10-book-*")
    widest = max(point["width"] for point in records[0]["points"])
    return [100 * point["gain"] for record in records for point in record["points"]
            if (point["space"], point["images"], point["width"]) == (space, images, widest)]


def _most_images() -> int:
    return max(int(point["images"]) for point in read_records("framework-cifar10-book-*")[0]["points"])


def _parameters() -> Found:
    shared, own = _framework("parameters", _most_images()), _framework("activations", 1)
    return (f"the best of 32 steps gains {spread(shared)} % for {_most_images()} images at once",
            f"in activations {spread(own)} %", always(differences(own, shared)))


def _activations() -> Found:
    own = _framework("activations", 1)
    return f"the best of 32 steps gains {spread(own)} %", f"parameters, shared: {spread(_framework('parameters', _most_images()))} %", always(own)


def _dimension() -> Found:
    one, shared = _framework("parameters", 1), _framework("parameters", _most_images())
    verdict = "reproduced" if mean(one) < mean(_framework("activations", 1)) else "in part"
    return (f"parameters for one image gain {spread(one)} %", f"for {_most_images()} images {spread(shared)} %: what hurts is "
            "sharing", verdict)


def _labels() -> Found:
    records = [record for data in NAMES for record in trainings(data, "search")]
    after = [100 * record["found"]["above_half"]["logits"] for record in records]
    losses = "; ".join(f"{NAMES[data]} {spread([r['found']['cross_entropy']['block0'][0] for r in trainings(data, 'search')], 2)}"
                       for data in NAMES)
    return f"{spread(after)} % of images above one half", f"cross-entropy of the best noisy copy at block 0: {losses}", (
        "reproduced" if min(after) > 90 else "in part")


def _curves(reading: str, block: int, population: int | None = None) -> list[list[float]]:
    """Best cross-entropy against generation of Figure 2's book records, one curve a seed."""
    records = read_records(f"fig2-cifar100-book-{reading}-*")
    size = population or max(point["population"] for point in records[0]["points"])
    return [point["curve"] for record in records for point in record["points"]
            if (point["block"], point["population"]) == (block, size)]


def _by_population() -> Found:
    records = read_records("fig2-cifar100-book-child-*")
    sizes = sorted({point["population"] for point in records[0]["points"]})
    rows, gains = [], []
    for block in range(3):
        small, large = _curves("child", block, sizes[0]), _curves("child", block, sizes[-1])
        rows.append(f"block {block}: {spread([c[-1] for c in small], 2)} to {spread([c[-1] for c in large], 2)}")
        gains += [a[-1] - b[-1] for a, b in zip(small, large, strict=True)]
    chance = "; ".join(spread([c[0] for c in _curves("child", block, sizes[-1])], 2) for block in range(3))
    return (f"population {sizes[0]} to {sizes[-1]}, nats: {'; '.join(rows)}",
            f"best of {sizes[-1]} noisy copies, no evolution: {chance}", always(gains))


def _by_generations() -> Found:
    ends = [_curves("child", block) for block in range(3)]
    rows = [f"block {b}: {spread([c[0] for c in curves], 2)} to {spread([c[-1] for c in curves], 2)}"
            for b, curves in enumerate(ends)]
    other = "; ".join(spread([c[-1] for c in _curves("noise", b)], 2) for b in range(3))
    return f"nats: {'; '.join(rows)}", f"smoothing the noise alone ends at {other}", always(
        [c[0] - c[-1] for curves in ends for c in curves])


def _block2_easier() -> Found:
    found = {}
    for reading in ("child", "noise"):
        ends = [[c[-1] for c in _curves(reading, block)] for block in range(3)]
        found[reading] = ([min(a, b) - c for a, b, c in zip(*ends, strict=True)], [spread(end, 2) for end in ends])
    verdicts = {always(found[reading][0]) for reading in found}
    return (f"child smoothed, blocks 0, 1, 2: {', '.join(found['child'][1])} nats",
            f"noise smoothed: {', '.join(found['noise'][1])}",
            verdicts.pop() if len(verdicts) == 1 else "in part")


def _solutions(key: str, block: int, runs: int) -> list[float]:
    return [point[key] for record in read_records("fig3-cifar100-book-noise-*") for point in record["points"]
            if (point["block"], point["runs"]) == (block, runs) and point[key] is not None]


def _more_solutions() -> Found:
    few, many = ([_solutions("solutions", block, runs) for block in range(3)] for runs in (2, 16))
    noise = [_solutions("noise", block, 16) for block in range(3)]
    rows = "; ".join(f"block {b}: {spread(few[b])} to {spread(many[b])}" for b in range(3))
    beyond = [always(differences(many[b], noise[b])) for b in range(3)]
    verdict = "reproduced" if beyond == ["reproduced"] * 3 else "in part" if "reproduced" in beyond else "not reproduced"
    return f"2 to 16 runs: {rows}", f"one solution, perturbed: {', '.join(spread(v) for v in noise)}", verdict


def _fastest_at_block0() -> Found:
    many = [_solutions("solutions", block, 16) for block in range(3)]
    ahead = [a - max(b, c) for a, b, c in zip(*many, strict=True)]
    unrelated = ", ".join(spread(_solutions("unrelated", block, 16)) for block in range(3))
    return f"of 16 runs, blocks 0, 1, 2: {', '.join(spread(v) for v in many)}", f"unrelated images: {unrelated}", always(ahead)


def _study(variant: str) -> list[Record]:
    return read_records(f"ablation-cifar10-book-{variant}-[0-9]")


def _without(variant: str, what: str) -> Found:
    """An ablation: how much test accuracy is lost without something, and what the search reached."""
    base, other = _study("search"), _study(variant)
    scores = [[100 * record["test_accuracy"] for record in records] for records in (base, other)]
    losses = [[record["found"]["cross_entropy"]["block0"][1] for record in records] for records in (base, other)]
    return (f"accuracy {spread(scores[0])} %, {what} {spread(scores[1])} %",
            f"cross-entropy at block 0 after search {spread(losses[0], 2)}, {what} {spread(losses[1], 2)}",
            always(differences(*scores)))


def _convergence() -> Found:
    """Search ends lower with normalisation than without."""
    ours, _, _ = _without("no-normalisation", "without")
    losses = [[record["found"]["cross_entropy"]["block0"][1] for record in _study(name)]
              for name in ("search", "no-normalisation")]
    return (f"cross-entropy at block 0 {spread(losses[0], 2)}, without {spread(losses[1], 2)}", ours,
            always(differences(losses[1], losses[0])))


def _lambda() -> Found:
    scores = [spread([100 * r["test_accuracy"] for r in _study(name)]) for name in ("lambda-x0.1", "search", "lambda-x10")]
    return f"a tenth, once, ten times: {', '.join(scores)} %", "the body's gradient does not change (chapter on learning)", "see there"


def _untried() -> Found:
    return "", "", "not tried"


def claims() -> list[Claim]:
    """Every claim, in the paper's order."""
    (paper,) = read_records("paper")
    return [
        Claim("2", "random perturbation makes little progress in parameter space", "", "framework", _parameters),
        Claim("2", "random perturbation makes progress in activation space", "", "framework", _activations),
        Claim("2", "the reason is the dimension of parameter space", "", "framework", _dimension),
        Claim("3.1", "search alone makes an untrained network label its training images correctly", "", "table1", _labels),
        Claim("3.1", "smoothing is crucial for learnability", "", "ablations", lambda: _without("no-smoothing", "without")),
        Claim("3.1", "normalisation is crucial for convergence", "", "ablations", _convergence),
        Claim("3.1", "explorers help", "", "ablations", lambda: _without("no-explorers", "without")),
        Claim("3.2", "cross-entropy falls with the population", "falls", "fig2", _by_population),
        Claim("3.2", "cross-entropy falls with the generations", "falls", "fig2", _by_generations),
        Claim("3.2", "block 2 is easier than blocks 0 and 1", "lowest curve", "fig2", _block2_easier),
        Claim("3.2", "the effective number of solutions grows with independent runs", "grows", "fig3", _more_solutions),
        Claim("3.2", "it grows fastest at the earliest block", "block 0 highest", "fig3", _fastest_at_block0),
        *(_learns(data) for data in NAMES),
        *(_gap(data, paper) for data in NAMES),
        *(claim for data in ("cifar10", "cifar100") for claim in _table2(data, paper)),
        *(_more_search(data, axis) for data in ("cifar10", "cifar100") for axis in ("population", "generations")),
        *(_distance_falls(data) for data in ("cifar10", "cifar100")),
        *(_distance_of_sgd(data) for data in ("cifar10", "cifar100")),
        *(_entropy(data, "within", "fig6", "4.5") for data in ("cifar10", "cifar100")),
        *(_entropy(data, "between", "fig7", "B") for data in ("cifar10", "cifar100")),
        Claim("5", "search once, then learn, rather than let the two inform each other", "a limit it states", None, _untried),
        Claim("5", "whether diverse representations give diverse models", "left open", None, _untried),
    ]


# --- tables -------------------------------------------------------------------------------------------------------------


def table(section: str | None = None, command: bool = False) -> str:
    """The claims of a section, or all, as a Markdown table.

    Args:
        section: of the paper, such as "3.2"; None for all.
        command: add what redoes a claim, and what that costs.
    """
    head = ["section", "claim", "paper", "here, mean ± std of 3 seeds", "control", "verdict"]
    if command:
        head += ["command", "minutes"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for claim in claims():
        if section in (None, claim.section):
            cells = [claim.section, claim.what, claim.paper, *claim.judge()]
            if command:
                known = claim.experiment is not None
                cells += [f"`python -m repsearch reproduce {claim.experiment}`" if known else "",
                          f"{minutes(claim.experiment):.0f}" if claim.experiment else ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def minutes(experiment: str, preset: str = "book", seeds: Sequence[int] = (0, 1, 2)) -> float:
    """What the committed records of an experiment took, one core each, if made one after the other."""
    records = [point.read(record_folder()) for point in EXPERIMENTS[experiment].points(preset, seeds)]
    return sum(record["seconds"] for record in records if record) / 60


def page() -> str:
    """The page of all claims, `book/claims.md`."""
    return "\n".join([
        "# Every claim, and what came out", "",
        "Made by `python -m repsearch claims` from the records in `book/records`. A claim is judged by a rule, not by hand:",
        "*reproduced* if what it says holds in every seed, *in part* if it holds in the mean only or for some of its blocks,",
        "*not reproduced* otherwise; closeness to SGD counts as reproduced within 1 point on MNIST and 3 on the others.",
        "Our sizes are the book preset's, many times smaller than the paper's, so a verdict is about the claim at this size.",
        "Minutes are those of all records of the experiment, on one core; claims that share an experiment share them.", "",
        table(command=True), "",
    ])


def write(path: Path) -> None:
    """Write the page."""
    path.write_text(page())
