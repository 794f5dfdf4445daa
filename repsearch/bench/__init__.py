"""How fast search is, against itself and what one would otherwise use."""

from __future__ import annotations

_MOVED = {
    "bench": "bench.benchmark.run", "table": "bench.benchmark.table", "SIZES": "bench.sizes.SIZES",
    "operations": "bench.machine.operations", "machine_peaks": "bench.machine.machine_peaks",
    "scaling": "bench.whole.cost_of_candidates", "peak_memory": "bench.whole.peak_memory",
}


def __getattr__(name: str) -> None:
    if name in _MOVED:
        raise ImportError(f"repsearch.bench.{name} of release 0.1 is repsearch.{_MOVED[name]} since 0.2")
    raise AttributeError(f"module 'repsearch.bench' has no attribute {name!r}")
