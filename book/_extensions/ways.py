"""Say why one would go on: links to the chapters before and after a page carry the question that each of them answers.

Questions stand once, in the introduction's table of chapters.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

INTRODUCTION = "book/intro"
ROW = re.compile(r"^\| \[[^\]]+\]\((?P<link>[^)]+)\) \|[^|]*\| (?P<question>[^|]+) \|$", re.M)


def questions(introduction: str) -> dict[str, str]:
    """The question of each page that the table of chapters names.

    Example:
        >>> questions("| [Search](../notebooks/02_search) | 3.1 | how are activations evolved? |")
        {'notebooks/02_search': 'how are activations evolved?'}
    """
    folder = posixpath.dirname(INTRODUCTION)
    return {posixpath.normpath(posixpath.join(folder, row["link"].removesuffix(".md"))): row["question"]
            for row in ROW.finditer(introduction)}


def on_page(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put the questions below the titles of the pages before and after this one."""
    if page not in app.builder.relations:  # type: ignore[attr-defined]
        return
    asked = questions((Path(app.srcdir) / f"{INTRODUCTION}.md").read_text(encoding="utf-8"))
    _, before, after = app.builder.relations[page]  # type: ignore[attr-defined]
    for name, other in (("prev", before), ("next", after)):
        if other in asked and context.get(name):
            title = f'{context[name]["title"]} <span class="why">{escape(asked[other])}</span>'
            context[name] = {**context[name], "title": title}


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("html-page-context", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
