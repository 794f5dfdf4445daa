"""Records: written whole, read from the library, and marked with the code that made them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import repsearch as rs
from repsearch.reproduce import records
from repsearch.reproduce.provenance import code_hash


def test_records_are_written_whole_and_rounded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    records.write_record(path, records.record("test", 3, 1.23, {"rate": 1 / 3}, value=1 / 3, curve=[0.1 + 0.2]))
    written = json.loads(path.read_text())
    assert written["value"] == 0.333333 and written["curve"] == [0.3] and written["seed"] == 3
    assert written["settings"] == {"rate": 1 / 3}  # exactly
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    (tmp_path / "file").touch()
    with pytest.raises(rs.InputError, match="cannot be written"):
        records.write_record(tmp_path / "file" / "record.json", written)


def test_records_that_come_with_the_library() -> None:
    assert records.read_records("paper")[0]["table1"]["mnist"]["SGD"] == [99.1, 0.1]
    with pytest.raises(rs.InputError, match=r"records: none is called nothing\.json"):
        records.read_records("nothing")


def test_docstrings_and_comments_do_not_make_records_stale() -> None:
    documented = 'class A:\n    """Doc,\n    of two lines."""\n\n    # why\n    x: str = """kept"""\n'

    def of(source: str) -> str:
        return code_hash("library.a", {"library.a": source})

    assert of(documented) == of('class A:\n    x: str = """kept"""\n')
    assert of(documented.replace("kept", "changed")) != of(documented)
