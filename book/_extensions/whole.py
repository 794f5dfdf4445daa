"""What belongs to the book as a whole: its version on every page, and all of its text in one file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

from repsearch.version import __version__

TEXT = "book.txt"


def commit(folder: Path) -> str:
    """The commit that is checked out, in short; empty where there is no git."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def stamp(app: Sphinx) -> str:
    """What this book is of."""
    version = commit(Path(app.srcdir))
    return f"repsearch {__version__}" + (f", commit {version}" if version else "")


def on_config(app: Sphinx, config: Config) -> None:
    """Put the stamp into the footer of every page."""
    config.html_theme_options["extra_footer"] = f'<p class="stamp">{stamp(app)}</p>'


def on_finish(app: Sphinx, error: Exception | None) -> None:
    """Write the text of all pages, in the order in which they are read."""
    if error or app.builder.format != "html":
        return
    pages = [app.config.master_doc, *_below(app, app.config.master_doc)]
    whole = "\n\n\n".join(f"[{page}]\n\n{app.env.get_doctree(page).astext()}" for page in pages)
    (Path(app.outdir) / TEXT).write_text(f"{stamp(app)}\n\n\n{whole}\n", encoding="utf-8")


def _below(app: Sphinx, page: str) -> list[str]:
    """The pages of this one's tables of contents, in order."""
    return [name for child in app.env.toctree_includes.get(page, []) for name in (child, *_below(app, child))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("config-inited", on_config)
    app.connect("build-finished", on_finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
