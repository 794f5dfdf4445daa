"""Runs: what each record of the book is computed from, and whether one on disk still is it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from repsearch import presets
from repsearch.config import as_dict
from repsearch.reproduce.plan import Plan
from repsearch.reproduce.plans import PLANS
from repsearch.reproduce.provenance import code_hash
from repsearch.reproduce.records import Record, read_record, record


@dataclass(frozen=True)
class Run:
    """What one record is of. Experiments may share runs.

    Args:
        kind: a key of `PLANS`.
        data: name of the data set.
        preset: smoke, book or paper.
        variant: of the kind.
        seed: of everything random.
        train: training images, if not the preset's number.
    """

    kind: str
    data: str
    preset: str
    variant: str
    seed: int
    train: int | None = None

    @property
    def group(self) -> str:
        """What runs that differ in their seed alone have in common."""
        sized = self.data if self.train is None else f"{self.data}-{self.train}"
        return f"{self.kind}-{sized}-{self.preset}-{self.variant}"

    @property
    def name(self) -> str:
        """Of the record, without its suffix."""
        return f"{self.group}-{self.seed}"

    @property
    def plan(self) -> Plan:
        return PLANS[self.kind]

    @cached_property
    def setup(self) -> Any:
        """All that decides what comes out, beside the seed."""
        return self.plan.setup(presets.PRESETS[self.preset](self.data), self.variant, self.train)

    @property
    def settings(self) -> dict[str, Any]:
        """The setup as a record holds it."""
        plain: dict[str, Any] = json.loads(json.dumps(as_dict(self.setup)))
        return plain

    def state(self, folder: Path) -> str:
        """ "done", "stale" (the code that computes it or its settings have changed since) or "missing"."""
        found = self.read(folder)
        if found is None:
            return "missing"
        same = found.get("settings") == self.settings
        return "done" if same and found.get("library_hash") == code_hash(self.plan.module) else "stale"

    def read(self, folder: Path) -> Record | None:
        """The record, None if there is none; an empty one if it is damaged."""
        try:
            return read_record(folder / f"{self.name}.json")
        except FileNotFoundError:
            return None

    def compute(self, root: str | None = None, store: Path | None = None) -> Record:
        """The record. All but measurements of the machine run on one thread: sums, and so results, then don't depend
        on how many there are.

        Args:
            root: folder of the data files.
            store: folder in which searches are kept, for runs that need the same.
        """
        run = import_module(self.plan.module).run
        if store is not None:
            store = store / code_hash(self.plan.module if self.plan.resumed else "repsearch.searching")
        threads, start = torch.get_num_threads(), time.perf_counter()
        torch.set_num_threads(threads if self.plan.alone else 1)
        try:
            results = run(self.setup, self.seed, root, store)
            return record(
                self.kind, self.seed, time.perf_counter() - start, self.settings, self.plan.module, data=self.data,
                preset=self.preset, variant=self.variant, **results,
            )
        finally:
            torch.set_num_threads(threads)
