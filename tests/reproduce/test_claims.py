"""What the claims make of the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from repsearch.cli.main import main
from repsearch.reproduce import claims, training_claims, verdicts
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


def test_the_page_of_claims_is_that_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.strip() == (ROOT / "book" / "claims.md").read_text().strip(), (
        "python -m repsearch claims --out book/claims.md")
