"""What rules without an end-to-end gradient come to on one network and budget, and how near their steps are to it."""

from __future__ import annotations

from statistics import mean

from repsearch.reproduce.arena_tables import SEARCHED, cell_of, millions, turned, turns
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.rule_settings import RULES
from repsearch.reproduce.tables import markdown, mean_std

STAGES = ("first layer", "second layer", "logits")


def rules_table(data: str = "mnist") -> str:
    """Test accuracy in percent, its cost, and how far gradients go, by rule: the best first; mean and deviation over
    seeds."""
    rows = []
    for name, rule in RULES.items():
        cells = [cell_of(record) for record in ruled(data, name)]
        rows.append((rule.title, [100 * cell["test_accuracy"] for cell in cells], [cell["spent"] for cell in cells],
                     rule.backward))
    for title, later in SEARCHED.items():
        found = [turned(record, later) for record in turns(data)]
        rows.append((title, [100 * accuracy for accuracy, _ in found], [cost for _, cost in found], "alone"))
    rows.sort(key=lambda row: -mean(row[1]))
    head = ["", "test, %", "million F", "gradients pass"]
    seeds, images = len(ruled(data, "backprop")), ruled(data, "backprop")[0]["images"]["train"]
    return markdown(head, [[title, mean_std(accuracies), millions(costs), PASS[backward]]
                           for title, accuracies, costs, backward in rows]) + (
        f"\n\n{seeds} seeds, {images:,} training images.")


PASS = {"all": "all layers", "alone": "one layer at a time", "no": "the last layer alone"}


def ruled(data: str, rule: str) -> list[Record]:
    """Records of the trainings by a rule."""
    return read_records(f"rules-{data}-book-{rule}-[0-9]*")


def cosines(data: str, rule: str, stage: int) -> list[list[tuple[int, float]]]:
    """One a seed: pairs of epochs done and the cosine between the rule's gradient of a stage and back-propagation's."""
    return [[(epoch, each[stage]) for epoch, _, each in cell_of(record)["cosines"] if each]
            for record in ruled(data, rule)]
