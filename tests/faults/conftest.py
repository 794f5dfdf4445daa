"""Folders of finished targets to damage, and data sets small enough to be written for a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from faulty import SMALL

import repsearch as rs
from repsearch.cli.main import main
from repsearch.presets import Preset


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Everything here is so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def _stored(tmp_path_factory: pytest.TempPathFactory, network: rs.Network, data: rs.Dataset, preset: Preset) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "digits"
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    return folder


@pytest.fixture
def stored(_stored: Path, tmp_path: Path) -> Path:
    """Targets of the 20 training images of `data`, in 5 shards."""
    return shutil.copytree(_stored, tmp_path / "stored")


@pytest.fixture(scope="session")
def _commanded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commanded") / "digits"
    assert main(["search", "--data", "digits", "--preset", "smoke", *SMALL, "--images", "4", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def commanded(_commanded: Path, tmp_path: Path) -> Path:
    """Targets of 4 images, in one shard, as the command line writes them."""
    return shutil.copytree(_commanded, tmp_path / "commanded")
