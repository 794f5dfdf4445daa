"""What reproduces the paper: README.md beside this file says where to begin."""

from __future__ import annotations

_MOVED = {
    "EXPERIMENTS": "reproduce.catalogue.EXPERIMENTS", "Experiment": "reproduce.experiment.Experiment",
    "points": "reproduce.catalogue.runs", "reproduce": "reproduce.runner.reproduce",
    "listing": "reproduce.runner.listing", "Point": "reproduce.runs.Run",
}


def __getattr__(name: str) -> None:
    if name in _MOVED:
        raise ImportError(f"repsearch.reproduce.{name} of release 0.1 is repsearch.{_MOVED[name]} since 0.2")
    raise AttributeError(f"module 'repsearch.reproduce' has no attribute {name!r}")
