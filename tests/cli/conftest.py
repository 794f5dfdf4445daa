"""A folder in which a search has been run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SMALL, run


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    done = run("search", *SMALL, "--json", "search.json", cwd=folder)
    assert json.loads((folder / "search.json").read_text())["seconds"] > 0
    assert "targets of 20 images: targets/digits-smoke\n" in done.stdout
    return folder
