"""What the records say about evolution in the space of weights: accuracies, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.strategy_settings import ARM_RATES, ARM_SIGMAS, ARMS, PAIRS, RANK_RATES, RANKS
from repsearch.reproduce.tables import markdown, mean_std

Numbers = dict[int, float]  # one a seed


def _records(variant: str, data: str = "mnist", preset: str = "book") -> list[Record]:
    return read_records(f"es-{data}-{preset}-{variant}-*")


def _best(record: Record, names: Sequence[str]) -> dict[str, Any] | None:
    """Of these cells, the one whose weights did best on validation images; None if all of them diverged."""
    last = {cell["name"] for cell in record["settings"]["cells"] if cell["fit"].get("keep") == "last"}

    def validated(name: str) -> float:
        cell = record["cells"][name]
        return float(cell["curve"][-1][1] if name in last else cell["best"])

    done = [name for name in names if "failed" not in record["cells"][name]]
    return record["cells"][max(done, key=validated)] if done else None


def _accuracies(variant: str, names: Sequence[str], data: str = "mnist", preset: str = "book") -> Numbers:
    """Test accuracy in percent of the best cell, by seed; 0 where every cell diverged."""
    best = {record["seed"]: _best(record, names) for record in _records(variant, data, preset)}
    return {seed: 100 * cell["test_accuracy"] if cell else 0.0 for seed, cell in best.items()}


def arm(name: str, sigma: float) -> Numbers:
    """Test accuracy in percent of an arm with its best rate."""
    return _accuracies("arms", [f"{name}, {sigma}, {rate}" for rate in ARM_RATES], "digits", "smoke")


def ranked(rank: int | None, pairs: int) -> Numbers:
    """Test accuracy in percent of EGGROLL, or of Gaussian noise."""
    return _accuracies("ranks", [f"{rank or 'full'}, {pairs}, {rate}" for rate in RANK_RATES])


# --- tables -----------------------------------------------------------------------------------------------------------


def arms_table() -> str:
    """Who sees which images, by the width of the noise: test accuracy in percent."""
    rows = [[name, *(_or_diverged(arm(name, sigma)) for sigma in ARM_SIGMAS)] for name in ARMS]
    return markdown(["who sees which images", *(f"sigma {sigma}" for sigma in ARM_SIGMAS)], rows) + _seeds(
        _records("arms", "digits", "smoke"), "Test accuracy in percent, digits")


def _or_diverged(found: Numbers) -> str:
    return mean_std(list(found.values())) if any(found.values()) else "diverged at every rate"


def ranks_table() -> str:
    """Accuracy by rank and population."""
    rows = [[f"{pairs:,}", *(mean_std(list(ranked(rank, pairs).values())) for rank in RANKS)] for pairs in PAIRS]
    head = ["pairs", *("full rank" if rank is None else f"rank {rank}" for rank in RANKS)]
    return markdown(head, rows) + _seeds(_records("ranks"), "Test accuracy in percent, MNIST, the better of two rates")


def _seeds(records: Sequence[Record], what: str) -> str:
    return f"\n\n{what}; {len(records)} seeds, {records[0]['images']['train']:,} training images."
