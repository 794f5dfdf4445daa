"""Leave out Thebe, which Jupyter Book always brings along: the book does not use it, and its scripts want a network."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx_thebe import init_thebe_core


def disconnect(app: Sphinx, _: Any) -> None:
    """Take sphinx-thebe's scripts off every page."""
    listeners = app.events.listeners["env-before-read-docs"]
    app.events.listeners["env-before-read-docs"] = [one for one in listeners if one.handler is not init_thebe_core]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("config-inited", disconnect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
