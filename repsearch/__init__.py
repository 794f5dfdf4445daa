"""Search in representation space: evolve a network's activations, then train a network by regressing to them.

The method is that of Vegesna and Dahal, "Decoupling Search and Learning in Neural Net Training" (arXiv 2509.10973).

    import repsearch as rs

    data = rs.load("digits", train=200, seed=0)
    preset = rs.presets.smoke("digits")
    network = rs.search_network(data, preset, seed=0)
    targets = rs.search(network, data.train, preset.search)
    model = rs.learn_network(data, preset, seed=0)
    history = rs.learn(model, data, targets, preset.learn)

Names are looked up when they are first used: importing the library takes no time, and adding to it changes nothing that
exists.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repsearch import corruptions, differences, matching, measure, methods, networks, operators, presets
    from repsearch.airbench import convnet, learn_network, search_network
    from repsearch.alternating import alternate
    from repsearch.checks import InputError
    from repsearch.config import FitConfig, LayerSearch, LearnConfig, SearchConfig
    from repsearch.data import Dataset, Split, from_tensors, load
    from repsearch.evaluation import accuracy, predict
    from repsearch.fitting import fit
    from repsearch.learning import learn
    from repsearch.networks import Network, activations, calibrate
    from repsearch.rounds import AlternateConfig, Rounds
    from repsearch.searching import search
    from repsearch.store.reader import Targets
    from repsearch.training import History
    from repsearch.version import __version__

_MODULES = ("corruptions", "differences", "matching", "measure", "methods", "networks", "operators", "presets")
_HOMES = {
    "alternating": ("alternate",), "rounds": ("AlternateConfig", "Rounds"),
    "airbench": ("convnet", "learn_network", "search_network"), "checks": ("InputError",),
    "config": ("FitConfig", "LayerSearch", "LearnConfig", "SearchConfig"),
    "data": ("Dataset", "Split", "from_tensors", "load"),
    "evaluation": ("accuracy", "predict"), "fitting": ("fit",), "learning": ("learn",),
    "networks": ("Network", "activations", "calibrate"), "searching": ("search",), "store.reader": ("Targets",),
    "training": ("History",), "version": ("__version__",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
# Where the modules of release 0.1 have gone; importing one ends in a line that says so.
_MOVED = {
    "claims": "reproduce.claims", "draws": "engine.draws", "evidence": "reproduce.intervals",
    "experiments": "reproduce.perturbation", "kernel": "engine.kernel", "plots": "reproduce.figures",
    "points": "reproduce.runs", "records": "reproduce.records", "rivals": "bench.contestants", "run": "searching",
    "scaling": "reproduce.scaling", "tail": "engine.tail", "targets": "store.reader",
    "trainings": "reproduce.trainings", "writer": "store.writer",
}

__all__ = [
    "AlternateConfig", "Dataset", "FitConfig", "History", "InputError", "LayerSearch", "LearnConfig", "Network",
    "Rounds", "SearchConfig", "Split", "Targets", "__version__", "accuracy", "activations", "alternate",
    "calibrate", "convnet", "corruptions", "differences", "fit", "from_tensors", "learn", "learn_network", "load",
    "matching", "measure", "methods", "networks", "operators", "predict", "presets", "search", "search_network",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"repsearch.{name}")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"repsearch.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _MOVED:
        raise AttributeError(_moved(name))
    raise AttributeError(f"module 'repsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _moved(name: str) -> str:
    return f"repsearch.{name} of release 0.1 is repsearch.{_MOVED[name]} since 0.2; CHANGELOG.md says what else moved"


class _Moved:
    """Says where a module of release 0.1 is now, when it is imported."""

    @staticmethod
    def find_spec(fullname: str, _path: Any = None, _target: Any = None) -> None:
        package, _, name = fullname.partition(".")
        if package == "repsearch" and name in _MOVED:
            raise ImportError(_moved(name), name=fullname)
        if fullname in ("repsearch.search", "repsearch.learn"):
            new = {"search": "reference (the pseudocode)", "learn": "learning and fitting"}[name]
            raise ImportError(f"{fullname} is a function since 0.2; the module's functions are in repsearch.{new}")


if not any(isinstance(finder, type) and finder.__name__ == "_Moved" for finder in sys.meta_path):
    sys.meta_path.append(_Moved)  # type: ignore[arg-type]
