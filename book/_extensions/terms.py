"""Explain words of the glossary where a page first uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
PAGES = ("book/intro", "book/explore", "book/rounds", "book/claims", "notebooks/")
"""Pages that are read from the top; others are looked things up in."""
ELSEWHERE = ("a", "abbr", "code", "pre", "summary", "table", "figcaption", "script", "style")


def definitions(text: str) -> dict[str, str]:
    """The glossary's terms, each with its definition as plain text."""
    inside = text.split("```{glossary}\n")[1].split("```")[0]
    entries = (entry.split("\n", 1) for entry in inside.strip().split("\n\n"))
    return {term: re.sub(r"[*_`]", "", " ".join(said.split())) for term, said in entries}


def explain(body: str, terms: dict[str, str], glossary: str) -> str:
    """The page with the first use of each term in running text as a link to the glossary.

    Args:
        body: of the page.
        terms: with their definitions.
        glossary: address of the glossary from this page.
    """
    soup, left = BeautifulSoup(body, "html.parser"), dict(terms)
    for paragraph in soup.find_all("p"):
        if paragraph.find_parent(ELSEWHERE):
            continue
        for node in list(paragraph.find_all(string=True)):
            if not _in_math(node) and not node.find_parent(ELSEWHERE):
                _explain_in(node, left, soup, glossary)
    return str(soup)


def _in_math(node: NavigableString) -> bool:
    return any("math" in parent.get_attribute_list("class") for parent in node.parents if isinstance(parent, Tag))


def _explain_in(node: NavigableString, left: dict[str, str], soup: BeautifulSoup, glossary: str) -> None:
    """Link each term that is left, and is first met in this piece of text; take it off those left."""
    if not left:
        return
    names = "|".join(re.escape(term) for term in sorted(left, key=len, reverse=True))
    found = re.search(rf"(?i)(?<![\w-])({names})(s?)(?![\w-])", str(node))
    if not found:
        return
    term, text = found.group(1).lower(), str(node)
    link = soup.new_tag("a", attrs={"class": "term", "href": f"{glossary}#term-{term.replace(' ', '-')}",
                                    "data-definition": left[term], "aria-description": left[term]})
    link.string = found.group()
    after = NavigableString(text[found.end():])
    node.replace_with(NavigableString(text[:found.start()]), link, after)
    del left[term]
    _explain_in(after, left, soup, glossary)


def on_page(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Explain what this page uses."""
    if page.startswith(PAGES):
        text = (Path(app.srcdir) / f"{GLOSSARY}.md").read_text(encoding="utf-8")
        context["body"] = explain(context["body"], definitions(text), context["pathto"](GLOSSARY))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("html-page-context", on_page, priority=901)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
