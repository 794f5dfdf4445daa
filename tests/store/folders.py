"""What tests do to a folder of targets."""

from __future__ import annotations

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spoil(path: Path, damage: str, where: int) -> None:
    """Damage a file: cut it off, change a bit, empty or delete it; `where` is a byte."""
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
        return
    flipped = content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]
    path.write_bytes({"truncate": content[:where], "flip": flipped, "empty": b""}[damage])
