"""The experiments by the paper's names, point by point: a JSON record each, and only what is missing or stale."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.data import load
from repsearch.presets import Preset
from repsearch.records import Record, library_hash, write_record
from repsearch.scaling import figure2, figure3

READINGS = {"child": "smoothing of the whole child", "noise": "smoothing of the noise alone"}


@dataclass(frozen=True)
class Experiment:
    """One figure or table of the paper.

    Args:
        section: of the paper.
        what: one line.
        data: names of the data sets; at smoke it is always the embedded digits.
        module: what computes it; a change there, or in what it imports, makes its records stale.
        run: (data, preset, seed) to a record.
        sizes: for each preset, images loaded for training, and keyword arguments for `run`.
    """

    section: str
    what: str
    data: tuple[str, ...]
    module: str
    run: Callable[..., Record]
    sizes: dict[str, tuple[int, dict[str, object]]]


EXPERIMENTS = {
    "fig2": Experiment(
        "3.2", "cross-entropy of the best against population and generations, each block alone", ("cifar100",),
        "scaling", figure2, {
            "smoke": (200, {"images": 8, "populations": (12, 24, 48)}),
            "book": (1000, {"images": 60, "populations": (20, 60, 180)}),
            "paper": (1000, {"images": 20, "populations": (60, 240)}),
        },
    ),
    "fig3": Experiment(
        "3.2", "effective number of solutions against independent runs, each block alone", ("cifar100",),
        "scaling", figure3, {
            "smoke": (200, {"images": 8, "runs": 8, "counts": (2, 4, 8)}),
            "book": (1000, {"images": 16}),
            "paper": (1000, {"images": 8}),
        },
    ),
}


@dataclass(frozen=True)
class Point:
    """One record: an experiment on a data set, at a preset, in a reading, with a seed."""

    experiment: str
    data: str
    preset: str
    reading: str
    seed: int

    @property
    def name(self) -> str:
        """Of the record, without its suffix."""
        return f"{self.experiment}-{self.data}-{self.preset}-{self.reading}-{self.seed}"

    def state(self, folder: Path) -> str:
        """ "done", "stale" (the library has changed since) or "missing"."""
        try:
            found = json.loads((folder / f"{self.name}.json").read_text())
        except FileNotFoundError:
            return "missing"
        except ValueError:
            return "stale"
        return "done" if found.get("library_hash") == library_hash(EXPERIMENTS[self.experiment].module) else "stale"

    def run(self, root: str | None = None) -> Record:
        """Compute the record."""
        experiment = EXPERIMENTS[self.experiment]
        train, arguments = experiment.sizes[self.preset]
        preset: Preset = presets.PRESETS[self.preset](self.data)
        preset = replace(preset, search=replace(preset.search, blurred=self.reading))  # type: ignore[arg-type]
        data = load(self.data, root, train=train, validation=10, test=10)
        result = experiment.run(data, preset, self.seed, **arguments)
        return {**result, "reading": self.reading, "module": experiment.module,
                "library_hash": library_hash(experiment.module)}


def points(
    names: Sequence[str], preset: str, seeds: Sequence[int], readings: Sequence[str] = ("child", "noise")
) -> list[Point]:
    """All points of these experiments, in order.

    Raises:
        InputError: no experiment, preset or reading has such a name.
    """
    for name in names:
        checks.one_of("experiment", name, EXPERIMENTS)
    checks.one_of("preset", preset, presets.PRESETS)
    for reading in readings:
        checks.one_of("reading", reading, READINGS)
    for seed in seeds:
        checks.positive_int("seed", seed, minimum=0)
    return [Point(name, data, preset, reading, seed) for name in names
            for data in (("digits",) if preset == "smoke" else EXPERIMENTS[name].data)
            for reading in readings for seed in seeds]


def reproduce(todo: Sequence[Point], folder: Path, root: str | None = None, say: Callable[[str], None] = print) -> None:
    """Run the points that are missing or stale, and write each record as it is finished."""
    for point in todo:
        state = point.state(folder)
        if state != "done":
            result = point.run(root)
            write_record(folder / f"{point.name}.json", result)
            say(f"{point.name}: was {state}; {result['seconds']:.0f} s")


def listing(preset: str, seeds: Sequence[int], folder: Path) -> str:
    """A table of all experiments: points done, stale, missing; and what their records took."""
    lines = [f"{'id':<8}{'section':<9}{'done':>5}{'stale':>6}{'missing':>8}{'seconds':>9}  what"]
    for name, experiment in EXPERIMENTS.items():
        states = {point: point.state(folder) for point in points([name], preset, seeds)}
        seconds = [json.loads((folder / f"{point.name}.json").read_text())["seconds"]
                   for point, state in states.items() if state == "done"]
        counts = [list(states.values()).count(state) for state in ("done", "stale", "missing")]
        lines.append(f"{name:<8}{experiment.section:<9}{counts[0]:>5}{counts[1]:>6}{counts[2]:>8}{sum(seconds):>9.0f}"
                     f"  {experiment.what}")
    return "\n".join(lines)


def record_folder() -> Path:
    """The checkout's book/records, or records in the current folder for an installed library."""
    checkout = Path(__file__).resolve().parents[1] / "book" / "records"
    return checkout if checkout.is_dir() else Path("records")


def check_listed(names: Sequence[str]) -> list[str]:
    """The experiments to run; all of them for "all"."""
    if not names:
        raise InputError(f"experiment: name one or more of {', '.join(EXPERIMENTS)}, or all; or give --list")
    return list(EXPERIMENTS) if "all" in names else list(names)
