"""What the claims make of the records."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from repsearch.cli.main import main
from repsearch.reproduce import claims, page, records, training_claims, verdicts
from repsearch.reproduce.catalogue import EXPERIMENTS
from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]


def test_verdicts() -> None:
    assert verdicts.always([0.1, 0.2, 0.3]) == "reproduced"
    assert verdicts.always([0.1, -0.05, 0.3]) == "in part"  # a mean of 0.117, with a standard error of 0.101
    assert verdicts.always([0.1, -0.1, 0.2]) == "not reproduced"  # 0.067, with 0.088
    assert verdicts.always([0.1, -0.3, 0.1]) == "not reproduced"
    assert verdicts.overall(["not reproduced"] * 3) == "not reproduced"
    assert verdicts.overall(["reproduced", "in part", "reproduced"]) == "in part"


@pytest.mark.parametrize(("verdict", "expected"), [
    (verdicts.gains_little([4.9, 4.9, 4.9], [20, 20, 20]), "reproduced"),  # a quarter is 5
    (verdicts.gains_little([5.1, 5.1, 5.1], [20, 20, 20]), "not reproduced"),
    (verdicts.makes_progress([10.1, 11, 12]), "reproduced"), (verdicts.makes_progress([9, 9, 9]), "not reproduced"),
    (verdicts.close([0.9, 1.0, 1.1], "mnist"), "reproduced"), (verdicts.close([1.1, 1.1, 1.1], "mnist"), "not reproduced"),
    (verdicts.close([1.1, 1.1, 1.1], "cifar10"), "reproduced"), (verdicts.close([3.1, 3, 3], "cifar100"), "not reproduced"),
    (verdicts.near_one([[0.92, 0.92], [1.08, 1.08]]), "reproduced"),
    (verdicts.near_one([[0.92, 0.92], [1.12, 1.12]]), "in part"), (verdicts.near_one([[0.88, 0.88]]), "not reproduced"),
    (verdicts.labels_images([91, 99, 99]), "reproduced"), (verdicts.labels_images([89, 99, 99]), "in part"),
    (verdicts.labels_images([49, 99, 99]), "not reproduced"),
    (verdicts.falls_beyond_luck([[1, 1, 1]], [[2, 2, 2]]), ["reproduced"]),
    (verdicts.falls_beyond_luck([[1, 1, 1]], [[0.9, 0.9, 0.9]]), ["in part"]),  # no more than luck gives
    (verdicts.falls_beyond_luck([[1, 1, 1]], [[-1, -1, -1]]), ["not reproduced"]),
    (verdicts.falls_by_a_tenth([[10, 11, 12], [9, 30, 30]]), ["reproduced", "not reproduced"]),
    (verdicts.grows([[1.0, 1.2, 1.1]], [[1.3, 1.4, 1.5]]), "reproduced"),
    (verdicts.grows([[1.0, 1.4, 1.1]], [[1.3, 1.5, 1.6]]), "not reproduced"),  # seed by seed it grows
    (verdicts.crucial([40, 40, 40], [34, 34, 34], [20, 20, 20]), "reproduced"),  # 6 of 20
    (verdicts.crucial([40, 40, 40], [36, 36, 36], [20, 20, 20]), "in part"),  # 4 of 20
    (verdicts.crucial([40, 40, 40], [41, 41, 41], [20, 20, 20]), "not reproduced"),
    (verdicts.crucial([20, 20, 20], [10, 10, 10], [21, 21, 21]), "not reproduced"),  # training adds nothing
    (verdicts.differ([[1, 2, 3]], [[0, 0, 0]]), "not reproduced"),  # 2, with a deviation of 1
    (verdicts.differ([[2, 3, 4]], [[0, 0, 0]]), "reproduced"), (verdicts.differ([[0, 0, 0]], [[2, 3, 4]]), "reproduced"),
])
def test_rules_on_either_side_of_their_thresholds(verdict: str | list[str], expected: str | list[str]) -> None:
    assert verdict == expected


@pytest.mark.parametrize(("last", "verdict", "falls"), [
    ([0.5, 0.5, 0.5], "reproduced", False), ([1.9, 1.0, -0.1], "reproduced", False),
    ([-0.5, 0.6, 0.4], "reproduced", False),  # it fell in one seed only
    ([-0.2, 0.1, -0.1], "reproduced", False),  # a mean of -0.067, with a standard error of 0.088: flat
    ([2.1, 0.5, 0.5], "in part", False), ([3.0, 3.0, 3.0], "not reproduced", False),
    ([-1.0, -1.0, -1.0], "not reproduced", True), ([-0.01, -0.01, -5.0], "not reproduced", True),
    ([-2.0, -2.0, 0.1], "not reproduced", True),  # -1.3, with 0.7
])
def test_accuracy_that_falls_does_not_saturate(
    last: list[float], verdict: str, falls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a quarter to once the search each seed gains 4 points, so 2 a doubling."""
    once = [34.0, 35.0, 36.0]
    found = {"population-x0.25": [30.0, 31.0, 32.0], "search-based": once,
             "population-x2": [a + b for a, b in zip(once, last, strict=True)]}
    monkeypatch.setattr(training_claims, "validated", lambda _, variant, __: found[variant])
    value, _, judged = training_claims.saturates("cifar100", "population")
    assert judged == verdict == verdicts.saturates([2.0, 2.0, 2.0], last)
    assert value.startswith("a doubling adds 2.0 ± 0.0 points up to the base, then ")
    assert value.endswith(": it falls") == falls == verdicts.falls(last)


def test_a_claim_is_judged_by_its_records() -> None:
    """CIFAR-10's rows of Table 1, computed here from the files themselves."""
    def test_accuracies(variant: str) -> torch.Tensor:
        files = [FOLDER / f"training-cifar10-book-{variant}-{seed}.json" for seed in (0, 1, 2)]
        return torch.tensor([100 * json.loads(file.read_text())["test_accuracy"] for file in files], dtype=torch.float64)

    def shown(values: torch.Tensor) -> str:
        return f"{values.mean():.1f} ± {values.std():.1f}"

    ours, untrained, other = (test_accuracies(variant) for variant in ("search-based", "untrained-body", "other"))
    holds = bool((ours > untrained).all() and (ours > other).all())
    value, control, verdict = training_claims.learns("cifar10")
    assert value == f"{shown(ours)} %" and (verdict == "reproduced") == holds
    assert control == f"untrained body {shown(untrained)} %, targets of other images {shown(other)} %"

    rival = test_accuracies(training_claims.best("cifar10", training_claims.SGD))
    ours = test_accuracies(training_claims.best("cifar10", training_claims.SEARCH_BASED))
    value, _, verdict = training_claims.close_to_sgd("cifar10")
    assert value == f"{shown(ours)} % against {shown(rival)} %: {shown(rival - ours)} points behind"
    assert (verdict == "reproduced") == bool((rival - ours).mean() <= 3)


def test_every_claim_has_a_verdict() -> None:
    found = claims.claims()
    assert len(found) >= 25
    for claim in found:
        ours, _, verdict = claim.judge()
        assert verdict in (verdicts.REPRODUCED, verdicts.IN_PART, verdicts.NOT, verdicts.UNTRIED)
        assert bool(ours) == (verdict != verdicts.UNTRIED) == (claim.experiment is not None)
        assert set((claim.experiment or "").split()) <= set(EXPERIMENTS)


def test_a_page_judges_each_claim_once_and_reads_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, read, real, text = Counter[str](), Counter[str](), claims.claims, Path.read_text

    def judge(claim: claims.Claim) -> training_claims.Found:
        judged[claim.what] += 1
        return claim.judge()

    def read_text(path: Path, *args: Any, **settings: Any) -> str:
        if path.parent == FOLDER:
            read[path.name] += 1
        return text(path, *args, **settings)

    def counted() -> list[claims.Claim]:
        return [replace(claim, judge=partial(judge, claim)) for claim in real()]

    monkeypatch.setattr(page, "claims", counted)
    monkeypatch.setattr(Path, "read_text", read_text)
    records._parsed.cache_clear()
    whole = page.page()
    assert len(judged) == len(real()) and set(judged.values()) == {1}
    assert len(read) > 150 and set(read.values()) == {1}
    assert all(f"- *{word}*: {asks}" in whole for word, asks in verdicts.RULES.items())


def test_the_page_of_claims_is_that_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.strip() == (ROOT / "book" / "claims.md").read_text().strip(), (
        "python -m repsearch claims --out book/claims.md")
