"""The page of claims: filters, anchors and cards, driven from a disk; a plain table without JavaScript."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from repsearch.reproduce.claim import Claim
from repsearch.reproduce.claims import claims
from repsearch.reproduce.page import page as text_of_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Every claim</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><article class="bd-article">{}</article></body></html>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's Markdown as HTML, its parts in sections as the book has them."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "book" / "_static" / "claims", site / "_static" / "claims")
    without_figure = re.sub(r"```\{figure\} .*?```", "", text_of_page(), flags=re.S)
    text, *last = re.split(r"(?=```\{raw\} html\n<script)", without_figure)
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    raw = re.compile(r"```\{raw\} html\n(.*?)```", re.S)

    def html(markdown: str) -> str:
        found = MarkdownIt("commonmark", {"html": True}).enable("table").render(raw.sub(r"\1", markdown))
        return re.sub(r"<(t[dh])([^>]*)>(.*?)</\1>", r"<\1\2><p>\3</p></\1>", found)  # as the book has them

    sections = [f'<section id="{title.lower().replace(" ", "-")}"><h2>{title}</h2>{html(body)}</section>'
                for title, body in zip(parts[1::2], parts[2::2], strict=True)]
    (site / "book").mkdir()
    (site / "book" / "claims.html").write_text(PAGE.format(html(parts[0]) + "".join(sections) + html(*last)), encoding="utf-8")
    return (site / "book" / "claims.html").as_uri()


@pytest.fixture
def page(opened: Callable[[str], Any], address: str) -> Any:
    return opened(address)


def shown(page: Any) -> list[str]:
    """The claims that can be seen."""
    cells = page.locator("table.claims tbody tr:visible td[data-column=claim]").all_inner_texts()
    return [cell.removesuffix("#").strip().removesuffix(" (our question)") for cell in cells]


def wanted(where: Callable[[Claim], bool]) -> list[str]:
    return [claim.what for claim in claims() if where(claim)]


def test_all_are_shown_first_and_counted(page: Any) -> None:
    assert sorted(shown(page)) == sorted(wanted(lambda _: True))
    counts = Counter(claim.found.verdict for claim in claims())
    said = page.inner_text("[role=status]")
    assert said.startswith(f"{len(claims())} of {len(claims())} claims: ")
    names = {"hold": "holds", "fail": "fails"}
    assert {names.get(name, name): int(count) for count, name in re.findall(r"(\d+) ([a-z ]+)(?:,|$)", said.split(": ")[1])} == counts


@pytest.mark.parametrize(("choice", "value", "where"), [
    ("verdict", "fails", lambda claim: claim.found.verdict == "fails"),
    ("verdict", "in part", lambda claim: claim.found.verdict == "in part"),
    ("asked by", "ours", lambda claim: claim.ours),
    ("asked by", "paper", lambda claim: claim.asked_by == "paper"),
    ("asked by", "notes", lambda claim: claim.asked_by == "notes"),
    ("part of the paper", "section-4.3", lambda claim: claim.section == "4.3"),
    ("data set", "CIFAR-10", lambda claim: re.search(r"CIFAR-10(?!0)", claim.what)),
    ("data set", "CIFAR-100", lambda claim: "CIFAR-100" in claim.what),
])
def test_a_filter_leaves_those_it_names(page: Any, choice: str, value: str, where: Callable[[Claim], bool]) -> None:
    page.get_by_label(choice, exact=True).select_option(value)
    left = wanted(where)
    assert left and sorted(shown(page)) == sorted(left)
    assert page.inner_text("[role=status]").startswith(f"{len(left)} of ")
    sections = {claim.section for claim in claims() if claim.what in left}
    headings = page.locator("section:has(table.claims):visible h2").all_inner_texts()
    names = {"B": "Appendix B", "strategies": "Evolution strategies", "greedy": "Greedy evolution"}
    assert set(headings) == {names.get(section, f"Section {section}") for section in sections}
    page.get_by_role("button", name="all claims").click()
    page.wait_for_function("wanted => document.querySelector('[role=status]').textContent.startsWith(wanted)",
                           arg=f"{len(claims())} of ")
    assert len(shown(page)) == len(claims())


def test_words_are_looked_for_in_the_whole_row_and_filters_add_up(page: Any) -> None:
    page.get_by_label("words").fill("SGD augmented")
    found = shown(page)
    assert 0 < len(found) < len(claims())
    page.get_by_label("asked by", exact=True).select_option("paper")
    both = shown(page)
    assert set(both) == set(found) & set(wanted(lambda claim: claim.asked_by == "paper"))
    page.get_by_label("words").fill("no such words")
    assert shown(page) == [] and page.inner_text("[role=status]") == f"0 of {len(claims())} claims"
    page.keyboard.press("Enter")  # leaves the page as it is
    assert shown(page) == []


def test_every_claim_of_the_paper_has_a_sign_that_leads_to_its_row(page: Any) -> None:
    signs = page.locator(".claims-strip a")
    papers = [claim for claim in claims() if not claim.ours]
    assert signs.evaluate_all("links => links.map(link => link.title)") == [f"{one.what}: {one.found.verdict}" for one in papers]
    page.get_by_label("verdict", exact=True).select_option("holds")
    failed = next(one for one in papers if one.found.verdict == "fails")
    assert failed.what not in shown(page)
    page.locator(".claims-strip").get_by_role("link", name=f"{failed.what}: fails", exact=True).press("Enter")
    target = page.locator("tr:target")
    assert failed.what in target.inner_text() and target.evaluate("row => row.getBoundingClientRect().top") < page.viewport_size["height"]


def test_every_claim_has_an_anchor_of_its_own(page: Any, address: str, opened: Callable[[str], Any]) -> None:
    links = page.locator(".claims-anchor").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(set(links)) == len(links) == len(claims())
    page = opened(f"{address}{links[-1]}")
    assert page.locator(f"[id='{links[-1][1:]}']").evaluate("row => { const at = row.getBoundingClientRect(); "
                                                            "return at.top >= -1 && at.top < innerHeight }")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_gets_a_card_a_claim(page: Any, theme: str) -> None:
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first = page.locator("table.claims tbody tr").first
    boxes = first.locator("td:visible").evaluate_all("cells => cells.map(cell => [cell.dataset.column, cell.getBoundingClientRect()])")
    order = [name for name, box in sorted(boxes, key=lambda one: one[1]["top"])]
    assert order[:2] == ["verdict", "claim"] and "made by" in order
    claim = first.locator("[data-column=claim]").bounding_box()
    link = first.locator(".claims-anchor").bounding_box()
    assert link["y"] + link["height"] <= claim["y"] + claim["height"] and first.locator("[data-column=claim] p").count() == 1
    assert all(box["right"] <= 390 and box["left"] >= 0 for _, box in boxes)
    assert "beside it" in first.locator("[data-column='beside it']").evaluate("cell => getComputedStyle(cell, '::before').content")


def test_every_filter_is_reached_by_tab(page: Any) -> None:
    reached = []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.claims-strip li:first-child a')")  # a stop for all signs
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.matches('.claims-strip a:nth-of-type(2)')")
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
    assert reached == ["verdict", "part", "data", "whose", "words", "reset"]


def test_without_javascript_it_is_a_table(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(address)
    assert page.locator("tbody tr:visible").count() == len(claims())
    assert not page.inner_text(".claims-filters")
    context.close()
