"""What the claims make of the records."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from repsearch.cli.main import main
from repsearch.reproduce import claims, page, records, seeds, training_claims
from repsearch.reproduce.catalogue import EXPERIMENTS
from repsearch.reproduce.found import Found
from repsearch.reproduce.intervals import Contrast
from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]


def test_seeds_are_paired_by_their_number() -> None:
    assert seeds.paired({0: 3.0, 1: 4.0, 2: 9.0}, {1: 1.0, 0: 1.0}) == [2.0, 3.0]
    assert seeds.beyond({0: 3.0, 1: 4.0, 2: 9.0}, {0: 1.0, 1: 5.0}, {2: 1.0, 1: 2.0, 0: 2.5}) == [0.5, -1.0]


def test_the_best_variant_is_chosen_on_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the seeds that all have: a variant with more of them gains nothing by the others."""
    found = {"a": {0: 50.0, 1: 51.0, 2: 99.0}, "b": {0: 51.0, 1: 52.0}}
    monkeypatch.setattr(seeds, "validated", lambda _, variant, __: found[variant])
    monkeypatch.setattr(seeds, "tested", lambda *_: pytest.fail("the test images chose"))
    assert seeds.best("mnist", ("a", "b")) == "b"


def test_what_came_out_says_what_decides_it() -> None:
    found = Found("1 %", "2 %", [Contrast([1, 1.1, 1.2], 0.5, "block 0"), Contrast([-1, -1.1, -1.2], 0, "block 1")], "%", 2)
    assert found.verdict == "in part" and found.parts == "holds for block 0; fails for block 1"
    assert found.decided_by == "block 0: 1.10 [0.85, 1.35], n=3 (at least 0.5); block 1: -1.10 [-1.35, -0.85], n=3 %"
    assert found.to_settle == ""
    assert replace(found, open="nothing to lose").verdict == "undecided"
    assert replace(found, open="nothing to lose").to_settle == "nothing to lose"
    assert Found.untried().verdict == "not tried" and Found.untried().decided_by == ""


@pytest.mark.parametrize(("values", "settle"), [
    ([0.0, 1.0, 2.0], "about 10 seeds"), ([0.0], "more than one seed"), ([-1.0, 0.0, 1.0001], "more than 1,000 seeds")])
def test_what_would_settle_an_undecided_claim(values: list[float], settle: str) -> None:
    assert Found("", contrasts=[Contrast(values)]).to_settle == settle


@pytest.mark.parametrize(("ours", "without", "verdict"), [
    ([40, 41, 42], [34, 35.1, 35.9], "holds"),  # 6 of 20, a quarter is 5
    ([40, 41, 42], [36, 37.1, 37.9], "fails"),  # 4 of 20
    ([40, 41, 42], [36, 35.1, 35.9], "undecided"),
    ([20, 21, 22], [1, 2, 3], "undecided"),  # training adds nothing that could be lost
])
def test_what_is_crucial_takes_a_quarter(
    ours: list[float], without: list[float], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = [20.0, 21.0, 22.0]
    found = {"search-based": ours, "without": without, "untrained-body": untrained}
    monkeypatch.setattr(training_claims, "tested", lambda _, name, __: dict(enumerate(found[name])))
    monkeypatch.setattr(training_claims, "validated", lambda *_: {0: 1.0})
    monkeypatch.setattr(training_claims, "best", lambda _, names, __: names[0])
    monkeypatch.setattr(training_claims, "searched", lambda *_: {0: 1.0, 1: 1.0})
    judged = training_claims.crucial("without")
    assert judged.verdict == verdict and bool(judged.open) == (ours[0] == untrained[0])


def test_every_claim_has_a_verdict() -> None:
    found = claims.claims()
    assert len(found) >= 70
    assert [claim.section for claim in found] == sorted((c.section for c in found), key=lambda s: (s == "greedy", s == "strategies", s == "B", s))
    for claim in found:
        judged = claim.found
        assert judged.verdict in page.VERDICTS
        assert bool(judged.ours) == (judged.verdict != "not tried") == (claim.experiment is not None)
        assert set((claim.experiment or "").split()) <= set(EXPERIMENTS)
        assert len({contrast.name for contrast in judged.contrasts}) == len(judged.contrasts)  # parts have names
        assert len({len(contrast.values) for contrast in judged.contrasts}) <= 1 or claim.experiment == "fig3"
    assert len({claim.what for claim in found}) == len(found)


def test_a_page_judges_each_claim_once_and_reads_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, read, real, text = Counter[str](), Counter[str](), claims.claims, Path.read_text

    def judge(claim: claims.Claim) -> Found:
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
    page.page()
    assert len(judged) == len(real()) and set(judged.values()) == {1}
    assert len(read) > 250 and set(read.values()) == {1}


def test_the_page_counts_its_verdicts_and_what_chance_gives() -> None:
    whole, found = page.page(), claims.claims()
    papers = [claim for claim in found if claim.asked_by == "paper"]
    counts = Counter(claim.found.verdict for claim in papers)
    assert f"**{len(papers)} claims of the paper, at our size: " in whole
    for verdict, count in counts.items():
        said = {"holds": "hold", "fails": "fail"}.get(verdict, verdict) if count > 1 else verdict
        assert f"{count} {said}" in whole and whole.count(f"**{verdict}**") >= count
    by_means = [claim.found for claim in papers if claim.found.contrasts and not claim.found.exact]
    assert page.by_chance(papers) == pytest.approx(0.025 * sum(judged.sides for judged in by_means))


def test_a_part_of_a_data_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((FOLDER / "training-cifar100-book-search-based-0.json").read_text())
    for source, said in (([20000, 5000], "**a part**, 20,000 of 50,000 training and 5,000 of 10,000 test images"),
                         ([50000, 10000], "CIFAR-100: all;")):
        record["images"]["source"] = source
        monkeypatch.setattr(page, "read_records", lambda _: [record])
        assert said in page.images_of("cifar100")
        monkeypatch.setattr(page, "NAMES", {"cifar100": "CIFAR-100"})
        assert page.titles() == {"cifar100": "CIFAR-100 (a part)" if source[0] == 20000 else "CIFAR-100"}


def test_the_page_of_claims_is_that_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.strip() == (ROOT / "book" / "claims.md").read_text().strip(), (
        "python -m repsearch claims --out book/claims.md")
