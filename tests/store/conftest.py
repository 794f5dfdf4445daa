"""A folder of finished targets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import repsearch as rs
from repsearch.presets import Preset


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, network: rs.Network, data: rs.Dataset, preset: Preset) -> Path:
    folder = tmp_path_factory.mktemp("targets") / "digits"
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path / "digits")
