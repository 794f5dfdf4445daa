"""Shared fixtures: small data, networks and one finished search, all on the embedded digits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch.config import split_population

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # workers share the cores
ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that no worker is left with one when the other has nothing more to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def data() -> rs.Dataset:
    return rs.load("digits", train=20, validation=20, test=40)


@pytest.fixture(scope="session")
def preset() -> rs.presets.Preset:
    """The smoke preset, narrower, with fewer candidates and generations."""
    from dataclasses import replace

    smoke = rs.presets.smoke("digits")
    schedule = tuple(replace(layer, generations=count) for layer, count in zip(smoke.search.schedule, (3, 2, 2, 2), strict=True))
    search = replace(smoke.search, schedule=schedule, shard=4, **split_population(20, 4))
    return replace(smoke, width=8, search=search, learn=replace(smoke.learn, epochs=3, batch=10),
                   baseline=replace(smoke.baseline, epochs=3, batch=10))


@pytest.fixture(scope="session")
def network(data: rs.Dataset, preset: rs.presets.Preset) -> rs.Network:
    return rs.search_network(data, preset)


@pytest.fixture(scope="session")
def targets(data: rs.Dataset, preset: rs.presets.Preset, network: rs.Network) -> rs.Targets:
    return rs.search(network, data.train, preset.search, progress=False)


@pytest.fixture
def generators() -> list[torch.Generator]:
    return rs.operators.image_generators(0, range(3))


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real MNIST and CIFAR-10 files: REPSEARCH_DATA, or unpacked from beside the repository."""
    if os.environ.get("REPSEARCH_DATA"):
        return Path(os.environ["REPSEARCH_DATA"])
    unpack = ROOT.parent / "shared" / "data" / "unpack.py"
    if not unpack.is_file():
        pytest.skip("needs the real image files: set REPSEARCH_DATA to their folder")
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, unpack, folder], check=True, stdout=subprocess.DEVNULL)
    return folder
