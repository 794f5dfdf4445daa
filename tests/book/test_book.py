"""The built book: no warnings, complete in itself, and every page reads without a network."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=built)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_pages_read_in_a_browser_without_a_network(browser: Any, address: str) -> None:
    for page_name in pages():
        wrong: list[str] = []
        page = browser.new_page(viewport={"width": 390, "height": 844})
        # Whatever is not from the book itself is refused, as it would be without a network, and noted.
        page.route(lambda url: not url.startswith((address, "data:")),
                   lambda route, wrong=wrong: (wrong.append(f"outside: {route.request.url}"), route.abort()))
        page.on("requestfailed", lambda request, wrong=wrong: wrong.append(f"failed: {request.url}"))
        page.on("response", lambda r, wrong=wrong: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        page.on("console", lambda m, wrong=wrong: wrong.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(f"error: {error}"))
        page.goto(f"{address}/{page_name}")
        page.wait_for_load_state("networkidle")
        page.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")
        text = page.inner_text("article")
        assert not wrong, f"{page_name}: {wrong}"
        raw = re.findall(r"\\(?:frac|sum|mathcal|theta|hat|text|begin)\b|\$[^$\n]{1,80}\$|\\\(|\\\[", text)
        assert not raw, f"{page_name}: raw TeX {raw}"
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{page_name}: {width} pixels wide on a phone of 390"
        page.close()
