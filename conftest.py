"""Notebooks run as tests on the smoke preset, whatever the environment says otherwise."""

import os

os.environ.setdefault("REPSEARCH_PRESET", "smoke")
