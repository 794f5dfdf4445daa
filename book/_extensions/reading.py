"""Make pages read at any width and in both themes.

What Sphinx has written is changed in four places: cells of tables are named, so that a narrow page can show a card a
row; each SVG figure gets a twin for dark pages; the theme's column of chapters becomes a landmark; and FontAwesome's
script goes, for its fonts are loaded anyway.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

PHONE, CHARACTER, PADDING = 330, 7.5, 18
"""Pixels: a phone's column; what a character, and a cell's padding, take of it."""
DARK = {
    "#ffffff": "#121212", "#000000": "#ced6dd", "#262626": "#ced6dd", "#dddddd": "#3c434d", "#f0f0f0": "#262c34",
    "#0173b2": "#4aa8e0", "#0072b2": "#4aa8e0", "#cccccc": "#4a525c",
}
"""The colours of figures on a dark page; others are seen on both."""
SHELL = (
    (re.compile(r'<script src="[^"]*fontawesome/[^"]*all\.min\.js[^"]*"></script>'), ""),
    (re.compile(r'<div class="bd-sidebar-primary bd-sidebar">'),
     '<div class="bd-sidebar-primary bd-sidebar" role="navigation" aria-label="Chapters">'),
)


def name_cells(table: Tag) -> None:
    """Give each cell its column's name, and its row's header to each row; mark a table that a phone cannot hold."""
    head = [cell.get_text(" ", strip=True) for cell in table.select("thead th")]
    rows = [row.find_all("td", recursive=False) for row in table.select("tbody tr")]
    if not head or any(len(row) != len(head) for row in rows):
        return
    for cell, text in zip(table.select("thead th"), head, strict=True):
        if text:
            cell["scope"] = "col"
        else:  # a corner heads no column
            cell.name = "td"
    for row in rows:
        for cell, text in zip(row, head, strict=True):
            cell["data-column"] = text
        if not head[0]:
            row[0].name, row[0]["scope"] = "th", "row"
    columns = zip(head, *([cell.get_text(" ", strip=True) for cell in row] for row in rows), strict=True)
    longest = [max(len(word) for text in column for word in [*text.split(), ""]) for column in columns]
    if sum(CHARACTER * count + PADDING for count in longest) > PHONE:
        table["class"] = [*table.get_attribute_list("class"), "cards"]


def add_dark_twin(image: Tag, soup: BeautifulSoup) -> None:
    """Put the figure for dark pages beside that for light ones; the theme's classes for this would hide captions."""
    twin = soup.new_tag("img", attrs=dict(image.attrs))
    twin["src"] = str(image["src"]).removesuffix(".svg") + ".dark.svg"
    for one, theme in ((image, "light-twin"), (twin, "dark-twin")):
        one["class"] = [*one.get_attribute_list("class"), "dark-light", theme]  # the theme leaves "dark-light" as it is
    image.insert_after(twin)


def on_page(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Change the body of one page."""
    if "body" not in context:
        return
    soup = BeautifulSoup(context["body"], "html.parser")
    for table in soup.find_all("table"):
        name_cells(table)
    for image in soup.select('img[src$=".svg"]'):
        add_dark_twin(image, soup)
    for citation in soup.select('div.citation[role="doc-biblioentry"]'):
        citation["role"] = "listitem"
    context["body"] = str(soup)


def dark(svg: str) -> str:
    """A figure of matplotlib for a dark page. Text has no colour of its own there, and takes the root's."""
    svg = re.sub("|".join(DARK), lambda found: DARK[found.group()], svg)
    return svg.replace("<svg ", f'<svg fill="{DARK["#000000"]}" ', 1)


def on_finish(app: Sphinx, error: Exception | None) -> None:
    """Change what templates write around a page's body, and write the dark figures."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for path in out.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for old, new in SHELL:
            text = old.sub(new, text)
        path.write_text(text, encoding="utf-8")
    for folder in ("_images", "_static"):
        for path in (out / folder).glob("*.svg"):
            if not path.stem.endswith(".dark"):
                path.with_suffix(".dark.svg").write_text(dark(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("html-page-context", on_page, priority=900)
    app.connect("build-finished", on_finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
