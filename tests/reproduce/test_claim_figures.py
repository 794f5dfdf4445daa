"""What the paper reports beside what came out here: the figure's numbers are the files'."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from xml.etree import ElementTree

import pytest
from scipy import stats

from repsearch.reproduce.claim import beside
from repsearch.reproduce.claim_figures import beside_the_paper
from repsearch.reproduce.claims import claims
from repsearch.reproduce.page import page
from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]
AUGMENTED = ("cifar10", "cifar100")


def accuracies(data: str, variant: str) -> dict[int, float]:
    files = FOLDER.glob(f"training-{data}-book-{variant}-[0-9].json")
    return {record["seed"]: 100 * record["test_accuracy"] for record in (json.loads(file.read_text()) for file in files)}


def differences(data: str, first: str, second: str) -> list[float]:
    one, other = accuracies(data, first), accuracies(data, second)
    return [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]


def test_dots_and_intervals_are_those_of_the_files() -> None:
    (ax,) = beside_the_paper(claims()).axes
    dots = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    spans = [line for line in ax.lines if line.get_marker() == "None" and line.get_linewidth() == 2]
    pairs = [("skip0-augmented", "all-augmented"), ("skip0-augmented", "sgd-augmented"), ("all-augmented", "search-based")]
    wanted = [differences(data, *pair) for pair in pairs for data in AUGMENTED]
    for values, dot, span in zip(wanted, dots[3:], spans[3:], strict=True):
        assert dot.get_xdata() == [pytest.approx(mean(values))]
        assert list(span.get_xdata()) == pytest.approx(list(stats.t.interval(0.95, len(values) - 1, mean(values), stats.sem(values))))


def test_diamonds_are_the_papers_numbers() -> None:
    (paper,) = [json.loads((FOLDER / "paper.json").read_text())]
    (ax,) = beside_the_paper(claims()).axes
    drawn = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]
    one, two = ({data: {name: row[0] for name, row in rows.items()} for data, rows in paper[table].items()} for table in ("table1", "table2"))
    assert drawn == pytest.approx([
        *(one[data]["search-based"] - one[data]["SGD"] for data in ("mnist", *AUGMENTED)),
        *(two[data]["skip block 0"] - two[data]["all layers"] for data in AUGMENTED),
        *(two[data]["skip block 0"] - two[data]["SGD"] for data in AUGMENTED),
        *(two[data]["all layers"] - one[data]["search-based"] for data in AUGMENTED)])


def test_the_picture_of_the_page_is_of_todays_records() -> None:
    picture = ElementTree.parse(ROOT / "book" / "_static" / "claims" / "paper.svg")
    drawn = json.loads(str(picture.findtext(".//{http://purl.org/dc/elements/1.1/}description")))
    assert drawn == [[claim.what, reported, list(claim.found.difference)] for claim, reported in beside(claims())]


def test_the_caption_counts_what_lies_inside() -> None:
    inside = 0
    for claim, reported in beside(claims()):
        values = claim.found.difference
        low, high = stats.t.interval(0.95, len(values) - 1, mean(values), stats.sem(values))
        inside += bool(low <= reported <= high)
    assert f"in our 95 % interval in {inside} of {len(beside(claims()))}." in page()
