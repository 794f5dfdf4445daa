"""What the records say about evolution in the space of weights: accuracies, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.strategy_settings import ARM_RATES, ARM_SIGMAS, ARMS, PAIRS, RANK_RATES, RANKS, TRIALS
from repsearch.reproduce.tables import markdown, mean_std

NAMES = {"sgd": "SGD", "es": "`EvolutionStrategy`", "openai-es": "`OpenAIES`", "eggroll": "`EGGROLL`, rank 1",
         "snes": "`SNES`", "deep-ga": "`DeepGA`", "goea": "`GOEA`"}
Numbers = dict[int, float]  # one a seed


def _records(variant: str, data: str = "mnist", preset: str = "book") -> list[Record]:
    return read_records(f"es-{data}-{preset}-{variant}-*")


def _best(record: Record, names: Sequence[str]) -> dict[str, Any] | None:
    """Of these cells, the one that did best on validation images; None if all of them diverged."""
    done = [record["cells"][name] for name in names if "failed" not in record["cells"][name]]
    return max(done, key=lambda cell: cell["best"], default=None)


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


def trained(method: str) -> Numbers:
    """Test accuracy in percent of a method within the budget."""
    return {record["seed"]: 100 * cell["test_accuracy"] for record in _records(f"mlp-{method}")
            for cell in record["cells"].values()}


# --- tables -----------------------------------------------------------------------------------------------------------


def arms_table() -> str:
    """Who sees which images, by the width of the noise: test accuracy in percent."""
    rows = [[name, *(mean_std(list(arm(name, sigma).values())) for sigma in ARM_SIGMAS)] for name in ARMS]
    return markdown(["who sees which images", *(f"sigma {sigma}" for sigma in ARM_SIGMAS)], rows) + _seeds(
        _records("arms", "digits", "smoke"), "Test accuracy in percent, digits")


def ranks_table() -> str:
    """Accuracy by rank and population."""
    rows = [[f"{pairs:,}", *(mean_std(list(ranked(rank, pairs).values())) for rank in RANKS)] for pairs in PAIRS]
    head = ["pairs", *("full rank" if rank is None else f"rank {rank}" for rank in RANKS)]
    return markdown(head, rows) + _seeds(_records("ranks"), "Test accuracy in percent, MNIST, the better of two rates")


def methods_table() -> str:
    """Every method within the budget: test accuracy, and its settings."""
    rows = []
    for method in TRIALS:
        ((_, cell),) = _records(f"mlp-{method}")[0]["cells"].items()
        setting = _records(f"mlp-{method}")[0]["settings"]["cells"][0]
        rows.append([NAMES[method], mean_std(list(trained(method).values())), _said(setting),
                     f"{cell['spent'] / 1e6:.1f}"])
    return markdown(["method", "test accuracy (%)", "chosen", "million F"], rows) + _seeds(
        _records("mlp-sgd"), "MNIST; F is a forward pass of one image")


def _said(setting: dict[str, Any]) -> str:
    """What was chosen of a method, in short."""
    chosen = {name: value for name, value in setting["arguments"].items() if name not in ("shaping", "optimizer")}
    if setting["method"] in ("Backprop", "EvolutionStrategy", "OpenAIES", "EGGROLL"):
        chosen["rate"] = setting["fit"]["learning_rate"]
    return ", ".join(f"{name} {value:g}" for name, value in chosen.items())


def _seeds(records: Sequence[Record], what: str) -> str:
    return f"\n\n{what}; {len(records)} seeds, {records[0]['images']['train']:,} training images."
