"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SMALL = ("--train", "20", "--validation", "20", "--test", "40", "--quiet")


def run(*arguments: str | Path, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("REPSEARCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "repsearch", *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == expect, done.stderr
    return done
