"""What methods that search weights, search activations, or follow a gradient come to on one network and budget."""

from __future__ import annotations

from repsearch.reproduce.arena_settings import METHODS
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.tables import markdown, mean_std

Curves = dict[str, list[list[tuple[float, float]]]]
SEARCHED = {"one shot": False, "search and learning in turn": True}
"""Search in the space of activations: round 0 alone, or the best of all rounds."""
TITLES = {"mnist": "MNIST, perceptron"}


def methods_table() -> str:
    """Test accuracy in percent and what it took, by method and data set: mean and deviation over seeds."""
    head, rows = [""], {name: [name] for name in [*METHODS.values(), *SEARCHED]}
    for data, title in TITLES.items():
        head += [f"{title}: test, %", "million F"]
        for method, name in METHODS.items():
            records = trained(data, method)
            cells = [cell_of(record) for record in records]
            rows[name] += [mean_std([100 * cell["test_accuracy"] for cell in cells]),
                           millions([cell["spent"] for cell in cells])]
        for name, later in SEARCHED.items():
            found = [turned(record, later) for record in turns(data)]
            rows[name] += [mean_std([100 * accuracy for accuracy, _ in found]), millions([cost for _, cost in found])]
    seeds, images = len(records), records[0]["images"]["train"]
    return markdown(head, list(rows.values())) + f"\n\n{seeds} seeds, {images:,} training images."


def curves(data: str) -> Curves:
    """By method, one a seed: pairs of F spent and accuracy on validation images, in 0..1."""
    return {name: [cell_of(record)["curve"] for record in trained(data, method)] for method, name in METHODS.items()}


def trained(data: str, method: str) -> list[Record]:
    """Records of the trainings by a method."""
    return read_records(f"es-{data}-book-{method}-[0-9]*")


def turns(data: str) -> list[Record]:
    """Records of search and learning in turn on the same network and images, of the seeds that were trained."""
    name = "es-turns-mnist-book-loop-*" if data == "mnist" else f"alternate-{data}-book-loop-*"
    seeds = {record["seed"] for record in trained(data, next(iter(METHODS)))}
    return [record for record in read_records(name) if record["seed"] in seeds]


def cell_of(record: Record) -> Record:
    """Its one training."""
    (cell,) = record["cells"].values()
    return cell  # type: ignore[no-any-return]


def turned(record: Record, later: bool) -> tuple[float, float]:
    """Test accuracy in 0..1, and cost in F, of all rounds or of round 0."""
    spent = record["spent"] if isinstance(record["spent"], list) else [one["spent"] for one in record["rounds"]]
    return (record["test"][record["best"]], sum(spent)) if later else (record["test"][0], spent[0])


def millions(costs: list[float]) -> str:
    return f"{sum(costs) / len(costs) / 1e6:.2g}"
