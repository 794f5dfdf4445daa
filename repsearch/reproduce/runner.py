"""Running what is missing or stale, a JSON record each; and the list of what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from repsearch import checks, presets
from repsearch.checks import InputError
from repsearch.reproduce.catalogue import EXPERIMENTS
from repsearch.reproduce.records import read_record, write_record
from repsearch.sources import read

if TYPE_CHECKING:
    from repsearch.reproduce.runs import Run


def reproduce(
    todo: Sequence[Run], folder: Path, root: str | None = None, store: Path | None = None, jobs: int = 1
) -> None:
    """Compute the runs that are missing or stale, and write each record as it is finished.

    Args:
        todo: from `catalogue.runs`.
        folder: of the records.
        root: folder of the data files.
        store: folder in which searches are kept, so that runs share them and an interrupted one goes on.
        jobs: processes at a time, of one thread each. Runs that measure the machine come last, one by one.
    """
    together: dict[tuple[str, str, int | None, int], list[Run]] = {}
    for run in todo:  # runs of the same images share searches, so one process computes them
        if not run.plan.alone:
            together.setdefault((run.kind, run.data, run.train, run.seed), []).append(run)
    work = partial(_reproduce, folder=folder, root=root, store=store)
    in_processes(work, list(together.values()), jobs)
    work([run for run in todo if run.plan.alone])


def in_processes(work: Callable[[list[Run]], None], groups: Sequence[list[Run]], jobs: int) -> None:
    """`work` for each group of runs, in `jobs` processes."""
    checks.positive_int("jobs", jobs)
    if jobs == 1:
        for group in groups:
            work(group)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        list(pool.map(work, groups))


def _reproduce(todo: Sequence[Run], folder: Path, root: str | None, store: Path | None) -> None:
    checked: set[str] = set()
    for run in todo:
        state = run.state(folder)
        if state != "done":
            if run.data not in checked:
                check_source(run.data, folder, root)
                checked.add(run.data)
            result = run.compute(root, store)
            write_record(folder / f"{run.name}.json", result)
            print(f"{run.name}: was {state}; {result['seconds']:.0f} s", flush=True)


def check_source(data: str, folder: Path, root: str | None) -> None:
    """Raise `InputError` if records in the folder were made from another part of a data set than the files hold."""
    (train, _), (test, _), _classes = read(data, root, None)
    here = [len(train), len(test)]
    for file in sorted(folder.glob(f"*-{data}-*.json")):
        source = read_record(file).get("images", {}).get("source")
        if source is not None and source != here:
            was, now = (f"{counts[0]:,} training and {counts[1]:,} test images" for counts in (source, here))
            raise InputError(f"out={str(folder)!r}: {file.name} is of {was}, the files of {data} now hold {now}; name "
                             "another folder with --out")


def listing(preset: str, seeds: Sequence[int], folder: Path) -> str:
    """A table of all experiments: runs done, stale, missing; and what their records took."""
    checks.one_of("preset", preset, presets.PRESETS)
    width = 1 + max(map(len, EXPERIMENTS))
    lines = [f"{'id':<{width}}{'section':<10}{'done':>5}{'stale':>6}{'missing':>8}{'minutes':>9}  what"]
    states: dict[Run, str] = {}

    def row(name: str, section: str, chosen: Sequence[Run], what: str) -> str:
        counts = [[states[run] for run in chosen].count(state) for state in ("done", "stale", "missing")]
        minutes = sum((run.read(folder) or {}).get("seconds", 0.0) for run in chosen) / 60
        return f"{name:<{width}}{section:<10}{counts[0]:>5}{counts[1]:>6}{counts[2]:>8}{minutes:>9.1f}  {what}"

    for name, experiment in EXPERIMENTS.items():
        chosen = experiment.runs(preset, seeds)
        states |= {run: run.state(folder) for run in chosen if run not in states}
        lines.append(row(name, experiment.section, chosen, experiment.what))
    return "\n".join([*lines, row("all", "", list(states), "runs that experiments share counted once")])
