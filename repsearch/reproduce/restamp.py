"""Renewing the hashes of records after code has been moved or reworded, against a proof that it computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repsearch.reproduce.records import CIRCUMSTANCES, Record, as_written, write_record
from repsearch.reproduce.runner import in_processes

if TYPE_CHECKING:
    from repsearch.reproduce.runs import Run


def restamp(
    todo: Sequence[Run], folder: Path, root: str | None = None, store: Path | None = None, jobs: int = 1
) -> None:
    """Compute one seed of every variant again; where it equals its record, renew the hashes of the other seeds.

    A record is renewed only if the same code made it as made the record that was computed again, and its settings are
    the run's, but for fields that it did not have yet, whose default was compared with it; it says so in its entry
    "restamped". All others stay stale. Runs that measure the machine are left out: they never come out the same.

    Args:
        todo: from `catalogue.runs`.
        folder, root, store, jobs: as in `repsearch.reproduce.runner.reproduce`.
    """
    first = min(run.seed for run in todo)
    together: dict[tuple[str, str, int | None], list[Run]] = {}
    for run in todo:  # runs of the same images share searches, so one process computes them
        if not run.plan.alone and run.seed == first:
            together.setdefault((run.kind, run.data, run.train), []).append(run)
    work = partial(_restamp_all, folder=folder, root=root, store=store, others=[r for r in todo if r.seed != first])
    in_processes(work, list(together.values()), jobs)


def _restamp_all(proofs: list[Run], folder: Path, root: str | None, store: Path | None, others: list[Run]) -> None:
    for proof in proofs:
        _restamp(proof, [run for run in others if run.group == proof.group], folder, root, store)


def _restamp(proof: Run, others: list[Run], folder: Path, root: str | None, store: Path | None) -> None:
    found = proof.read(folder)
    if not found:
        print(f"{proof.name}: no record to compare with; nothing renewed", flush=True)
        return
    if proof.state(folder) != "done":
        made_by, again = found.get("library_hash"), as_written(proof.compute(root, store))
        differing = differences(found, again)
        if differing:
            print(f"{proof.name}: differs in {', '.join(differing)}; nothing renewed", flush=True)
            return
        again["restamped"] = {"from": made_by, "proof": proof.name}
        write_record(folder / f"{proof.name}.json", again)
    made_by = (proof.read(folder) or {}).get("restamped", {}).get("from")
    if made_by is None:
        print(f"{proof.name}: of today's code, and proves nothing of other; nothing renewed", flush=True)
        return
    renewed = [run.name for run in others if _renew(run, proof, made_by, folder)]
    print(f"{proof.name}: equal; renewed {len(renewed)} of {len(others)} other seeds", flush=True)


def _renew(run: Run, proof: Run, made_by: str | None, folder: Path) -> bool:
    found = run.read(folder)
    if not found or run.state(folder) == "done":
        return False
    if found.get("library_hash") != made_by or _differing(found.get("settings"), run.settings, added=True):
        return False
    proved = proof.read(folder) or {}
    stamp = {**{key: proved[key] for key in ("library", "library_hash", "module")}, "settings": run.settings}
    write_record(folder / f"{run.name}.json", {**found, **stamp, "restamped": {"from": made_by, "proof": proof.name}})
    return True


def differences(one: Record, other: Record) -> list[str]:
    """The entries in which two records differ, nested ones with their path; how they were made is left out, and so
    are settings that the first did not have yet.
    """
    how = (*CIRCUMSTANCES, "module", "seconds_search", "settings")
    a, b = ({key: value for key, value in record.items() if key not in how} for record in (one, other))
    settings = _differing(one.get("settings"), other.get("settings"), "settings", added=True)
    return _differing(a, b) + settings


def _differing(one: Any, other: Any, path: str = "", added: bool = False) -> list[str]:
    """With `added`, the second may have entries that the first lacks."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one if added else {*one, *other}
        return [name for key in sorted(keys)
                for name in _differing(one.get(key), other.get(key), f"{path}.{key}" if path else key, added)]
    return [] if one == other else [path]
