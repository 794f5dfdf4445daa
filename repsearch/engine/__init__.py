"""The same search as `repsearch.reference`, fast: README.md beside this file says where to begin."""

from __future__ import annotations

_MOVED = {
    "KernelEngine": "engine.kernel_engine.KernelEngine", "TorchEngine": "engine.torch_engine.TorchEngine",
    "Reference": "engine.reference_engine.ReferenceEngine", "choose": "engine.choice.choose",
    "Engine": "engine.interface.Engine",
}


def __getattr__(name: str) -> None:
    if name in _MOVED:
        raise ImportError(f"repsearch.engine.{name} of release 0.1 is repsearch.{_MOVED[name]} since 0.2")
    raise AttributeError(f"module 'repsearch.engine' has no attribute {name!r}")
