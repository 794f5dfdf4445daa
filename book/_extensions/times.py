"""Say on each chapter how long it takes to read, and list when each was run on the page of the book's state."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

CHAPTERS, STATE = "notebooks/", "book/state"
WORDS_A_MINUTE, FIGURE = 220, 0.3  # minutes for a figure, too


def minutes_to_read(body: str) -> int:
    """Of the prose, the tables and the figures; code and its output are left to those who run it."""
    soup = BeautifulSoup(body, "html.parser")
    figures = len(soup.select("img:not(.dark-twin)"))
    for code in soup.select("pre, script, style, .math"):
        code.decompose()
    words = len(re.findall(r"\w+", soup.get_text(" ")))
    return max(1, round(words / WORDS_A_MINUTE + FIGURE * figures))


def duration(seconds: float) -> str:
    """In words.

    Example:
        >>> duration(1), duration(45), duration(100)
        ('a second', '45 seconds', 'two minutes')
    """
    if seconds < 90:
        return "a second" if seconds <= 1 else f"{seconds:.0f} seconds"
    count = round(seconds / 60)
    return f"{('two', 'three', 'four', 'five')[count - 2] if count <= 5 else count} minutes"


def ran(app: Sphinx, page: str) -> dict[str, Any]:
    """When and where a chapter was run, and for how long."""
    notebook = json.loads((Path(app.srcdir) / f"{page}.ipynb").read_text(encoding="utf-8"))
    found: dict[str, Any] = notebook["metadata"]["repsearch"]["ran"]
    return found


def state(app: Sphinx) -> str:
    """A table of all chapters."""
    rows = []
    for page in sorted(name for name in app.env.found_docs if name.startswith(CHAPTERS)):
        last, title = ran(app, page), escape(app.env.titles[page].astext())
        cells = [f'<a href="../{page}.html">{title}</a>', last["on"], duration(last["seconds"]), last["machine"]]
        rows.append("<tr>" + "".join(f"<td><p>{cell}</p></td>" for cell in cells) + "</tr>")
    head = "".join(f"<th><p>{name}</p></th>" for name in ("chapter", "last run", "took", "machine"))
    return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def on_page(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put the time below a chapter's title, and the table on its page."""
    if page == STATE:
        context["body"] = context["body"].replace("<p>STATE</p>", state(app))
    if page.startswith(CHAPTERS):
        minutes = minutes_to_read(context["body"])
        said = f"{minutes} minute{'s' * (minutes > 1)} to read."
        context["body"] = context["body"].replace("</h1>", f'</h1>\n<p class="times">{said}</p>', 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("html-page-context", on_page, priority=890)  # before the tables' cells get names
    return {"parallel_read_safe": True, "parallel_write_safe": True}
