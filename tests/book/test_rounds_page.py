"""The page that steps through the loop's rounds: driven from a disk by keyboard, and its data as the record has them."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from repsearch.reproduce.records import FOLDER

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Step through the rounds</title>
<style>body {{ margin: 16px; }}</style></head><body>{}</body></html>"""


def data() -> dict[str, Any]:
    text = (STATIC / "rounds" / "data.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("= ") + 2 : text.rindex(";")])  # type: ignore[no-any-return]


@pytest.fixture
def page(opened: Callable[[str], Any], tmp_path: Path) -> Any:
    for name in ("explorer", "rounds"):
        shutil.copytree(STATIC / name, tmp_path / "_static" / name, ignore=shutil.ignore_patterns("data-*"))
    text = (ROOT / "book" / "rounds.md").read_text(encoding="utf-8")
    (embedded,) = re.findall(r"```\{raw\} html\n(.*?)```", text, re.S)
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "rounds.html").write_text(PAGE.format(embedded), encoding="utf-8")
    return opened((tmp_path / "book" / "rounds.html").as_uri())


def test_numbers_are_those_of_the_records() -> None:
    shown = data()
    record, rival = (json.loads((FOLDER / f"{name}-cifar10-500-book-{variant}-3.json").read_text())
                     for name, variant in (("alternate", "loop"), ("rival", "sgd-tuned")))
    assert shown["test"] == pytest.approx([100 * one for one in record["test"]])
    assert shown["sgd"] == pytest.approx(100 * rival["test_accuracy"])
    for share, one in zip(shown["share"], record["rounds"], strict=True):
        assert share == pytest.approx([100 * one["between_class"][f"block{block}"] for block in range(3)], abs=0.06)


def test_data_are_whole_and_small() -> None:
    shown, rounds = data(), len(data()["test"])
    assert len({image["label"] for image in shown["images"]}) == len(shown["images"]) == 5
    for block in shown["blocks"]:
        assert [len(b64decode(one)) for one in block["maps"]] == [5 * block["side"] ** 2] * (2 * rounds + 1)
        assert len(block["agreement"]) == rounds and all(-1 <= value <= 1 for one in block["agreement"] for value in one)
    script = (STATIC / "rounds" / "data.js").stat().st_size
    assert script - sum(len(image["pixels"]) for image in shown["images"]) <= 15_000 and script <= 40_000


def test_arrows_go_from_the_untrained_network_to_the_last_round(page: Any) -> None:
    shown, rounds = data(), len(data()["test"])
    assert "never trained" in page.inner_text("[role=status]")
    page.locator("button[data-do=next]").focus()
    for number in range(rounds):
        page.keyboard.press("ArrowRight")
        said = page.inner_text("[role=status]")
        assert page.inner_text("output") == f"round {number}, searched" and f"{shown['share'][number][0]:.1f}" in said
        page.keyboard.press("ArrowRight")
        said = page.inner_text("[role=status]")
        assert page.inner_text("output") == f"round {number}, learned"
        assert f"accuracy is {shown['test'][number]:.1f}" in said
        assert f"by {mean(shown['blocks'][0]['agreement'][number]):.2f}" in said
        assert page.locator(".rounds-accuracy circle").count() == number + 1
    page.keyboard.press("ArrowRight")
    assert page.inner_text("output") == f"round {rounds - 1}, learned"
    for _ in range(2 * rounds + 1):
        page.keyboard.press("ArrowLeft")
    assert page.inner_text("output") == "before the first search"


def test_learning_changes_what_the_network_says_and_search_the_target(page: Any) -> None:
    def painted(row: str) -> list[str]:
        return page.locator(f".rounds-{row} canvas").evaluate_all("all => all.map(one => one.toDataURL())")  # type: ignore[no-any-return]

    page.locator("button[data-do=next]").click()
    untrained, first = painted("says"), painted("targets")
    page.locator("button[data-do=next]").click()
    learned = painted("says")
    assert painted("targets") == first and all(a != b for a, b in zip(untrained, learned, strict=True))
    page.locator("button[data-do=next]").click()
    assert painted("says") == learned and all(a != b for a, b in zip(first, painted("targets"), strict=True))


def test_a_block_has_maps_and_words_of_its_own(page: Any) -> None:
    page.locator("input[type=range]").fill("2")
    page.get_by_label("What is shown").select_option("2")
    assert page.evaluate("document.querySelector('.rounds-says canvas').width") == data()["blocks"][2]["side"]
    assert f"{mean(data()['blocks'][2]['agreement'][0]):.2f}" in page.inner_text("[role=status]")


def test_every_control_is_reached_by_tab(page: Any) -> None:
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached == ["block", "range", "button", "button"]


@pytest.mark.parametrize("width", [390, 320])
def test_nothing_is_wider_than_a_phone(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator(".rounds canvas").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert min(boxes) >= 30
