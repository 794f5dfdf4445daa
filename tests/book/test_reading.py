"""What is done to a page that Sphinx has written: names of cells, figures for dark pages, explained words."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import jupytext
import pytest
from bs4 import BeautifulSoup

from repsearch.reproduce.drawing import COLOURS, networks

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_extensions"))

from reading import DARK, dark, name_cells  # noqa: E402
from terms import PAGES, definitions, explain  # noqa: E402
from times import duration, minutes_to_read  # noqa: E402

TERMS = definitions((ROOT / "book" / "glossary.md").read_text(encoding="utf-8"))


def table(head: list[str], *rows: list[str]) -> BeautifulSoup:
    def row(name: str, cells: list[str]) -> str:
        return "<tr>" + "".join(f"<{name}><p>{cell}</p></{name}>" for cell in cells) + "</tr>"

    body = "".join(row("td", cells) for cells in rows)
    soup = BeautifulSoup(f"<table><thead>{row('th', head)}</thead><tbody>{body}</tbody></table>", "html.parser")
    name_cells(soup.table)
    return soup


def test_cells_know_their_column_and_rows_their_header() -> None:
    soup = table(["", "loss", "accuracy, %"], ["loop", "0.5", "60"], ["SGD", "0.7", "59"])
    assert [cell["data-column"] for cell in soup.select("tbody td")] == ["loss", "accuracy, %"] * 2
    assert [(cell.get_text(), cell["scope"]) for cell in soup.select("tbody th")] == [("loop", "row"), ("SGD", "row")]
    assert [(cell.name, cell.get("scope")) for cell in soup.select("thead tr > *")] == [
        ("td", None), ("th", "col"), ("th", "col")]


def test_a_table_with_a_name_for_its_first_column_keeps_its_cells() -> None:
    soup = table(["symbol", "meaning"], ["x", "an image"])
    assert not soup.select("tbody th") and [cell["data-column"] for cell in soup.select("td")] == ["symbol", "meaning"]


@pytest.mark.parametrize(("head", "row", "wide"), [
    (["a", "b"], ["one word after another, which break at every space", "2"], False),
    (["a", "b", "c", "d", "e", "f"], ["search-based", "12.3", "45.6", "78.9", "undecided", "reproduce"], True),
    (["a", "b"], ["a-word-that-is-as-long-as-the-whole-phone-is-wide", "2"], True),
])
def test_a_table_becomes_cards_where_its_words_are_wider_than_a_phone(head: list[str], row: list[str], wide: bool) -> None:
    assert ("cards" in table(head, row).table.get_attribute_list("class")) == wide


def test_a_table_with_joined_cells_is_left_alone() -> None:
    html = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td colspan='2'>both</td></tr></tbody></table>"
    soup = BeautifulSoup(html, "html.parser")
    name_cells(soup.table)
    assert not soup.select("[data-column], .cards")


def luminance(colour: str) -> float:
    """As WCAG 2.1 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the standard's own example of just too little


def test_lines_are_seen_on_a_dark_page() -> None:
    """Three to one, which WCAG asks of what is no text; seven of text."""
    for name, colour in COLOURS.items():
        shown = "#" + "".join(f"{round(255 * part):02x}" for part in colour)
        assert contrast(DARK.get(shown, shown), DARK["#ffffff"]) >= 3, name
    assert contrast(DARK["#000000"], DARK["#ffffff"]) >= 7


def test_the_dark_twin_of_a_drawing_is_the_same_drawing() -> None:
    light, turned = networks(), dark(networks())
    before, after = (ElementTree.fromstring(text) for text in (light, turned))
    assert [one.tag for one in before.iter()] == [one.tag for one in after.iter()]
    assert after.get("fill") == DARK["#000000"] and before.get("fill") is None
    shown, turned_round = (re.findall(r"#[0-9a-f]{6}", text) for text in (light, turned))
    assert [DARK.get(colour, colour) for colour in shown] == turned_round[1:]  # the first is the text's


def test_only_the_first_use_of_a_word_is_explained() -> None:
    page = ("<h2>Explorers</h2><p>See <a href='x'>explorers</a> and <code>explorer</code>.</p>"
            "<p>An Explorer and explorers; <span class='math'>explorer</span>, nats, nats.</p><table><tr><td><p>refiner</p></td></tr></table>")
    soup = BeautifulSoup(explain(page, TERMS, "glossary.html"), "html.parser")
    links = soup.select("a.term")
    assert [(link.get_text(), link["href"]) for link in links] == [
        ("Explorer", "glossary.html#term-explorer"), ("nats", "glossary.html#term-nats")]
    assert links[1]["data-definition"] == TERMS["nats"]
    assert soup.get_text() == BeautifulSoup(page, "html.parser").get_text()


def test_longer_terms_go_first_and_parts_of_words_stay() -> None:
    page = "<p>The untrained body, a subpopulation, one-shot, class means.</p>"
    found = BeautifulSoup(explain(page, TERMS, "g"), "html.parser").select("a.term")
    assert [link.get_text() for link in found] == ["untrained body", "class means"]


def test_reading_takes_as_long_as_the_prose_is_long() -> None:
    prose = "<p>" + "word " * 440 + "</p>"
    assert minutes_to_read(prose) == 2 and minutes_to_read(prose + "<pre>" + "code " * 9000 + "</pre>") == 2
    assert minutes_to_read(prose + "<img><img><img><img class='dark-twin'>") == 3
    assert minutes_to_read("") == 1


def test_times_are_said_in_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 1, 2, 89, 91, 200, 1000)] == [
        "a second", "a second", "2 seconds", "89 seconds", "two minutes", "three minutes", "17 minutes"]


def test_the_glossary_is_in_order_and_every_term_is_used() -> None:
    assert list(TERMS) == sorted(TERMS) and len(TERMS) >= 20 and all(len(said) > 40 for said in TERMS.values())
    pages = [ROOT / f"{page}.md" for page in PAGES if not page.endswith("/")]
    prose = " ".join(cell.source for path in [*pages, *(ROOT / "notebooks").glob("[0-9]*.py")]
                     for cell in jupytext.read(path).cells if cell.cell_type == "markdown").lower()
    unused = [term for term in TERMS if not re.search(rf"\b{term}s?\b", " ".join(prose.split()))]
    assert not unused
