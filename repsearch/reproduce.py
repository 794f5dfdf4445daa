"""The experiments by the paper's names, point by point: a JSON record each, and only what is missing or stale."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.points import READINGS, Point
from repsearch.records import write_record
from repsearch.trainings import ABLATIONS, FIGURE4, TABLE1, TABLE2, TIED, TUNING


@dataclass(frozen=True)
class Experiment:
    """One figure or table of the paper, or a study beside it.

    Args:
        section: of the paper.
        what: one line.
        kind: what computes its points.
        data: names of the data sets; at smoke it is always the embedded digits.
        variants: of each data set.
        preset: run at this preset, whatever is asked for.
        seeds: use only the first so many seeds.
    """

    section: str
    what: str
    kind: str
    data: tuple[str, ...]
    variants: tuple[str, ...]
    preset: str | None = None
    seeds: int | None = None

    def points(self, preset: str, seeds: Sequence[int]) -> list[Point]:
        """All points, in order."""
        preset = self.preset or preset
        return [Point(self.kind, data, preset, variant, seed)
                for data in (("digits",) if preset == "smoke" else self.data)
                for seed in seeds[: self.seeds] for variant in self.variants]


ALL, PHOTOGRAPHS = ("mnist", "cifar10", "cifar100"), ("cifar10", "cifar100")
FIGURE5 = ("search", "sgd2", "other")
EXPERIMENTS = {
    "framework": Experiment("2", "what a random perturbation gains, in parameters and in activations", "framework",
                            ("cifar10",), ("all",)),
    "fig2": Experiment("3.2", "cross-entropy of the best against population and generations, each block alone",
                       "fig2", ("cifar100",), tuple(READINGS)),
    "fig3": Experiment("3.2", "effective number of solutions against independent runs, each block alone", "fig3",
                       ("cifar100",), ("noise",)),
    "table1": Experiment("4.3", "test accuracy without augmentation, with controls", "training", ALL, tuple(TABLE1)),
    "table2": Experiment("4.3", "test accuracy with augmentation", "training", PHOTOGRAPHS, tuple(TABLE2)),
    "fig4": Experiment("4.4", "accuracy against population and generations", "study", PHOTOGRAPHS,
                       ("search", *FIGURE4)),
    "fig5": Experiment("4.5", "distance to the searched targets against epoch", "training", PHOTOGRAPHS, FIGURE5),
    "fig6": Experiment("4.5", "within-class entropy against epoch", "training", PHOTOGRAPHS, FIGURE5),
    "fig7": Experiment("B", "between-class entropy against epoch", "training", PHOTOGRAPHS, FIGURE5),
    "ablations": Experiment("3.1, 4.2", "what matters: one choice changed at a time", "study", ("cifar10",),
                            ("search", "sgd2", "untrained-body", "class-means", *ABLATIONS)),
    "batch": Experiment("3.1", "readings that tie images to each other; only the reference searches them",
                        "training", ("digits",), ("search", *TIED), preset="smoke"),
    "tuning": Experiment("A.3", "learning rates of both trainings, chosen on validation images", "training",
                         ("cifar10",), tuple(TUNING), seeds=1),
}


def points(
    names: Sequence[str], preset: str, seeds: Sequence[int], data: Sequence[str] = (), variants: Sequence[str] = ()
) -> list[Point]:
    """The points of these experiments, each once, in order.

    Args:
        names: of experiments.
        preset: smoke, book or paper.
        seeds: one or more.
        data, variants: keep only points with these; none given keeps all.

    Raises:
        InputError: no experiment, preset, data set or variant of them has such a name.
    """
    for name in names:
        checks.one_of("experiment", name, EXPERIMENTS)
    checks.one_of("preset", preset, presets.PRESETS)
    for seed in seeds:
        checks.positive_int("seed", seed, minimum=0)
    found = list(dict.fromkeys(point for name in names for point in EXPERIMENTS[name].points(preset, seeds)))
    for key, wanted in (("data", data), ("variant", variants)):
        for value in wanted:
            checks.one_of(key, value, tuple(dict.fromkeys(getattr(point, key) for point in found)))
        found = [point for point in found if not wanted or getattr(point, key) in wanted]
    return found


def reproduce(
    todo: Sequence[Point], folder: Path, root: str | None = None, store: Path | None = None, jobs: int = 1
) -> None:
    """Run the points that are missing or stale, and write each record as it is finished.

    Args:
        todo: from `points`.
        folder: of the records.
        root: folder of the data files.
        store: folder in which searches are kept, so that points share them and an interrupted one goes on.
        jobs: processes at a time, of one thread each.
    """
    checks.positive_int("jobs", jobs)
    together: dict[tuple[str, str, int], list[Point]] = {}
    for point in todo:  # points of the same images share searches, so one process runs them
        together.setdefault((point.kind, point.data, point.seed), []).append(point)
    work = partial(_run, folder=folder, root=root, store=store)
    if jobs == 1:
        list(map(work, together.values()))
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            list(pool.map(work, together.values()))


def _run(todo: Sequence[Point], folder: Path, root: str | None, store: Path | None) -> None:
    for point in todo:
        state = point.state(folder)
        if state != "done":
            result = point.run(root, store)
            write_record(folder / f"{point.name}.json", result)
            print(f"{point.name}: was {state}; {result['seconds']:.0f} s", flush=True)


def listing(preset: str, seeds: Sequence[int], folder: Path) -> str:
    """A table of all experiments: points done, stale, missing; and what their records took."""
    lines = [f"{'id':<11}{'section':<10}{'done':>5}{'stale':>6}{'missing':>8}{'minutes':>9}  what"]
    states: dict[Point, str] = {}
    seconds: dict[Point, float] = {}

    def row(name: str, section: str, chosen: Sequence[Point], what: str) -> str:
        counts = [[states[point] for point in chosen].count(state) for state in ("done", "stale", "missing")]
        minutes = sum(seconds.get(point, 0.0) for point in chosen) / 60
        return f"{name:<11}{section:<10}{counts[0]:>5}{counts[1]:>6}{counts[2]:>8}{minutes:>9.1f}  {what}"

    for name, experiment in EXPERIMENTS.items():
        chosen = experiment.points(preset, seeds)
        for point in chosen:
            if point not in states:
                states[point] = point.state(folder)
                seconds[point] = (point.read(folder) or {}).get("seconds", 0.0)
        lines.append(row(name, experiment.section, chosen, experiment.what))
    return "\n".join([*lines, row("all", "", list(states), "points that experiments share counted once")])


def check_listed(names: Sequence[str]) -> list[str]:
    """The experiments to run; all of them for "all"."""
    if not names:
        raise InputError(f"experiment: name one or more of {', '.join(EXPERIMENTS)}, or all; or give --list")
    return list(EXPERIMENTS) if "all" in names else list(names)
