"""Points: what each record of the paper's figures and tables is computed from, and whether one on disk still is it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from repsearch import presets
from repsearch.config import as_dict
from repsearch.data import Dataset, load
from repsearch.experiments import WIDTHS, framework
from repsearch.presets import Preset
from repsearch.records import Record, library_hash
from repsearch.scaling import FIGURE2, FIGURE3, figure2, figure3
from repsearch.trainings import VARIANTS, train

READINGS: dict[str, dict[str, Any]] = {
    "child": {"blurred": "child", "noise": "pixel"},  # the library's default
    "noise": {"blurred": "noise", "noise": "pixel"},
    "map": {"blurred": "noise", "noise": "map"},  # the book preset's
}
# SGD's best rate on validation images depends on its depth: the preset's, times this (`reproduce tuning`).
SGD_RATES = {1: 3.0, 2: 1.0, 3: 0.3}


@dataclass(frozen=True)
class Kind:
    """What computes a record.

    Args:
        module: a change of its code, or of what it imports, makes the record stale.
        prepare: what (preset, variant, data set) change in the preset.
        settings: what the record of (prepared preset, variant) must hold; else it is stale.
        run: (data, prepared preset, variant, seed, folder of shared searches) to a record.
    """

    module: str
    prepare: Callable[[Preset, str, str], Preset]
    settings: Callable[[Preset, str], dict[str, Any]]
    run: Callable[[Dataset, Preset, str, int, Path | None], Record]


# --- Figures 2 and 3, section 2 ---------------------------------------------------------------------------------------


def _reading(preset: Preset, variant: str, _: str) -> Preset:
    images = 200 if preset.name == "smoke" else 1000
    return replace(preset, train=images, search=replace(preset.search, **READINGS[variant]))


def _longer(preset: Preset, variant: str, data: str) -> Preset:
    """At the book preset a search twice as long in a network twice as wide: else few solutions are good enough."""
    preset = _reading(preset, variant, data)
    if preset.name != "book":
        return preset
    schedule = tuple(replace(row, generations=2 * row.generations) for row in preset.search.schedule)
    return replace(preset, width=2 * preset.width, search=replace(preset.search, schedule=schedule))


def _figure2(data: Dataset, preset: Preset, _: str, seed: int, __: Path | None) -> Record:
    return figure2(data, preset, seed, *FIGURE2[preset.name])


def _figure3(data: Dataset, preset: Preset, _: str, seed: int, __: Path | None) -> Record:
    return figure3(data, preset, seed, *FIGURE3[preset.name])


def _framework(data: Dataset, preset: Preset, _: str, seed: int, __: Path | None) -> Record:
    return framework(data, seed, WIDTHS[preset.name])


def _searches(images: dict[str, int]) -> Callable[[Preset, str], dict[str, Any]]:
    return lambda preset, _: {
        "width": preset.width, "search": as_dict(preset.search), "images": images[preset.name],
    }


# --- trainings --------------------------------------------------------------------------------------------------------


def _tuned(preset: Preset, variant: str, _: str) -> Preset:
    """The preset, with SGD's rate for its depth; variants that try out rates start from the preset's."""
    chosen = VARIANTS[variant]
    if preset.name != "book" or chosen.targets or not chosen.test:
        return preset
    rate = SGD_RATES[chosen.groups or preset.groups] * preset.baseline.learning_rate
    return replace(preset, baseline=replace(preset.baseline, learning_rate=rate))


def _fewer(preset: Preset, variant: str, data: str) -> Preset:
    """Many variants, of which the order matters and not the height: fewer images."""
    preset = _tuned(preset, variant, data)
    return replace(preset, train=500) if preset.name == "book" else preset


def _training(preset: Preset, variant: str) -> dict[str, Any]:
    chosen = VARIANTS[variant]
    learn, search = preset.learn if chosen.targets else preset.baseline, preset.search
    return {
        "width": preset.width, "groups": chosen.groups or preset.groups,
        "learn": as_dict(chosen.learn(learn) if chosen.learn else learn),
        "search": as_dict(chosen.search(search) if chosen.search else search) if chosen.targets else None,
        **({"train": preset.train} if preset.train else {}),
    }


def _few(preset: Preset, _: str, __: str) -> Preset:
    return replace(preset, train=200 if preset.name == "smoke" else 1000)


KINDS = {
    "framework": Kind("experiments", _few, lambda *_: {"candidates": 32}, _framework),
    "fig2": Kind("scaling", _reading, _searches({name: sizes[0] for name, sizes in FIGURE2.items()}), _figure2),
    "fig3": Kind("scaling", _longer, _searches({name: sizes[0] for name, sizes in FIGURE3.items()}), _figure3),
    "training": Kind("trainings", _tuned, _training, train),
    "study": Kind("trainings", _fewer, _training, train),
}


@dataclass(frozen=True)
class Point:
    """One record: what computes it, the data set, the preset, the variant, the seed. Experiments may share points."""

    kind: str
    data: str
    preset: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Of the record, without its suffix."""
        return f"{self.kind}-{self.data}-{self.preset}-{self.variant}-{self.seed}"

    @property
    def prepared(self) -> Preset:
        """The preset this point runs with."""
        return KINDS[self.kind].prepare(presets.PRESETS[self.preset](self.data), self.variant, self.data)

    def state(self, folder: Path) -> str:
        """ "done", "stale" (the code that computes it or its settings have changed since) or "missing"."""
        found, kind = self.read(folder), KINDS[self.kind]
        if found is None:
            return "missing"
        expected = kind.settings(self.prepared, self.variant)
        same = all(_same(found.get(key), value) for key, value in expected.items())
        return "done" if same and found.get("library_hash") == library_hash(kind.module) else "stale"

    def read(self, folder: Path) -> Record | None:
        """The record, None if there is none; an empty one if it is damaged."""
        try:
            found: Record = json.loads((folder / f"{self.name}.json").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return found

    def run(self, root: str | None = None, store: Path | None = None) -> Record:
        """Compute the record, on one thread: sums, and so results, then don't depend on how many there are.

        Args:
            root: folder of the data files.
            store: folder in which searches are kept, for points that need the same.
        """
        kind, preset = KINDS[self.kind], self.prepared
        made_by = library_hash(kind.module)  # before a long run, during which files may change
        sizes = {part: getattr(preset, part) for part in ("train", "validation", "test")}
        data = load(self.data, root, seed=self.seed, **sizes)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = kind.run(data, preset, self.variant, self.seed, store)
        finally:
            torch.set_num_threads(threads)
        return {**result, "variant": self.variant, "module": kind.module, "library_hash": made_by}


def _same(found: Any, expected: Any) -> bool:
    """Equal, but for the rounding of numbers in a record."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(
            _same(found[key], value) for key, value in expected.items())
    if isinstance(expected, list | tuple):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, int | float) and abs(found - expected) <= 1e-5 * abs(expected)
    return bool(found == expected)
