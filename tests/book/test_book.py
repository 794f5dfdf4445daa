"""The built book: no warnings, complete in itself, and every page reads without a network."""

from __future__ import annotations

import functools
import gzip
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup, SoupStrainer

import repsearch as rs

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_extensions"))

from ways import questions  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", ROOT, "--path-output", folder, "--warningiserror", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "_build" / "html"


def pages() -> list[str]:
    toc = (ROOT / "_toc.yml").read_text()
    found = [f"{entry}.html" for entry in re.findall(r"(?:file|root): (\S+)", toc)]
    assert len(found) > 10
    return found


def test_every_page_of_the_table_of_contents_is_built(built: Path) -> None:
    assert (built / "index.html").is_file()
    for page in pages():
        assert (built / page).is_file()


def test_chapters_can_be_opened_in_colab(built: Path) -> None:
    chapters = [page for page in pages() if page.startswith("notebooks/")]
    assert len(chapters) >= 10
    for page in chapters:
        link = "https://colab.research.google.com/github/repsearch/repsearch/blob/main/" + page.replace(".html", ".ipynb")
        assert link in (built / page).read_text()


def test_every_figure_has_alternative_text(built: Path) -> None:
    tags = [(page, tag) for page in pages() for tag in re.findall(r"<img\b[^>]*>", (built / page).read_text())]
    assert len(tags) >= 30
    for page, tag in tags:
        alt = re.search(r'alt="([^"]*)"', tag)
        assert alt and len(alt.group(1)) >= 10 and "/" not in alt.group(1), f"{page}: {tag[:200]}"


def test_a_link_to_the_next_chapter_says_what_it_answers(built: Path) -> None:
    asked = questions((ROOT / "book" / "intro.md").read_text(encoding="utf-8"))
    order = pages()
    assert {f"{page}.html" for page in asked} == set(order[1:-6])
    for page, following in pairwise(order):
        links = SoupStrainer("a", class_="right-next")
        why = BeautifulSoup((built / page).read_text(), "html.parser", parse_only=links).select_one(".why")
        assert (why.get_text() if why else None) == asked.get(following.removesuffix(".html"))


def test_a_shared_link_shows_what_it_is_and_machines_find_every_page(built: Path) -> None:
    sitemap, text = (built / "sitemap.xml").read_text(), (built / "book.txt").read_text()
    places = []
    for page in pages():
        html = (built / page).read_text()
        url = f"https://repsearch.github.io/repsearch/{page}"
        assert f'property="og:url" content="{url}"' in html and f"<loc>{url}</loc>" in sitemap
        assert f"repsearch {rs.__version__}" in html
        title = re.sub("<[^>]+>", "", re.search(r"<h1>(.*?)(?:<a class|</h1>)", html, re.S).group(1))  # type: ignore[union-attr]
        places.append(text.index(f"[{page.removesuffix('.html')}]\n\n{unescape(title).replace('’', chr(39))}"))
    assert places == sorted(places)
    assert (built / "_static" / "card.png").is_file()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_pages_read_in_a_browser_without_a_network(browser: Any, built: Path, address: str) -> None:
    """And none weighs a megabyte, with all that it loads, compressed as a server sends it."""
    for page_name in pages():
        wrong: list[str] = []
        loaded: set[str] = set()
        page = browser.new_page(viewport={"width": 390, "height": 844})
        # Whatever is not from the book itself is refused, as it would be without a network, and noted.
        page.route(lambda url: not url.startswith((address, "data:")),
                   lambda route, wrong=wrong: (wrong.append(f"outside: {route.request.url}"), route.abort()))
        page.on("request", lambda request, loaded=loaded: loaded.add(request.url.removeprefix(address).split("?")[0]))
        page.on("requestfailed", lambda request, wrong=wrong: wrong.append(f"failed: {request.url}"))
        page.on("response", lambda r, wrong=wrong: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        page.on("console", lambda m, wrong=wrong: wrong.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(f"error: {error}"))
        read(page, address, page_name)
        page.wait_for_load_state("networkidle")  # or what a script asks for late would be missed
        text = page.inner_text("article")
        assert not wrong, f"{page_name}: {wrong}"
        raw = re.findall(r"\\(?:frac|sum|mathcal|theta|hat|text|begin)\b|\$[^$\n]{1,80}\$|\\\(|\\\[", text)
        assert not raw, f"{page_name}: raw TeX {raw}"
        files = [built / one.lstrip("/") for one in loaded if one.startswith("/")]
        assert len(files) > 5
        weight = sum(min(path.stat().st_size, len(gzip.compress(path.read_bytes()))) for path in files)
        assert weight < 1_000_000, f"{page_name}: {weight:,} bytes"
        page.close()


def read(page: Any, address: str, name: str) -> None:
    """Open a page, and wait for its mathematics."""
    page.goto(f"{address}/{name}")
    page.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")


CUT = """() => {
  const boxes = document.querySelectorAll(
    "article :is(pre, table, figure, img, .pst-scrollable-table-container, mjx-container[display=true], div.math)");
  const cut = [...boxes].filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1);
  return cut.map(one => one.outerHTML.slice(0, 120));
}"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
ASKED = ((1280, "light"), (390, "dark"))
"""Where all rules are asked; what else a theme changes are colours."""
LOOKS = [(width, theme) for width in (1280, 390) for theme in ("light", "dark")]


@pytest.mark.slow
def test_nothing_is_cut_and_everyone_can_read_it(browser: Any, address: str) -> None:
    """At a desk and on a phone, light and dark: no box is wider than its place, and axe finds nothing to object to."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for name in [*pages(), "genindex.html", "search.html"]:
        page = browser.new_page()
        read(page, address, name)
        page.add_style_tag(content="* { transition: none !important; }")  # or a colour is measured on its way
        for width, theme in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            cut = page.evaluate(CUT)
            assert not cut, f"{name}, {width} pixels: {cut}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} pixels"
            rules = RULES if (width, theme) in ASKED else ["color-contrast"]
            # What passes isn't described: that takes longer than to find what doesn't.
            found = axe.run(page, options={"runOnly": rules, "resultTypes": ["violations"]})
            wrong = [(one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]]
            assert not wrong, f"{name}, {width} pixels, {theme}: {wrong}"
        page.close()


@pytest.mark.slow
def test_a_page_prints_whole_and_dark_on_white(browser: Any, address: str) -> None:
    for name in pages():
        page = browser.new_page(viewport={"width": 718, "height": 1000})  # a sheet of A4 without its margins
        read(page, address, name)
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.emulate_media(media="print")
        page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        cut = page.evaluate(CUT)
        assert not cut, f"{name}: {cut}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 718, name
        assert page.pdf(format="A4").startswith(b"%PDF")
        page.emulate_media(media="screen")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        page.close()
