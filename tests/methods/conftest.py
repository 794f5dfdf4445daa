"""Images for the tests of methods."""

from __future__ import annotations

import pytest

import repsearch as rs


@pytest.fixture(scope="session")
def digits() -> rs.Dataset:
    return rs.load("digits", train=400, validation=200, test=100)
