"""Files of arrays, names of data sets and names of classes, from users and from strangers."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty import write_npz

import repsearch as rs
from repsearch import sources


class Opened:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


def rewritten(path: Path, change: dict[str, bytes | None], how: int = zipfile.ZIP_STORED) -> Path:
    """An archive with some of its members replaced, added or, where None, left out."""
    with zipfile.ZipFile(path) as archive:
        members: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in {**members, **change}.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def header(text: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + content


def claimed(shape: str, descr: str = "'|u1'", content: bytes = b"") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", content)


@pytest.mark.parametrize(("member", "content"), [
    ("train_images", claimed("(-40, 9, 9)")), ("train_images", claimed("(-40, -9, 9)", content=bytes(3240))),
    ("train_images", claimed(f"({2**40}, 9, 9)")), ("train_images", claimed(f"({2**90}, 9, 9)")),
    ("train_images", claimed("(40, 9, 9)", content=bytes(3239))), ("train_images", claimed("(40, 9, 9)", content=bytes(3241))),
    ("train_images", claimed("(40.0, 9, 9)")), ("train_images", header("(" * 5000)), ("train_images", header("-" * 9000 + "1")),
    ("train_images", header("{}")), ("train_images", b""),
    ("train_images", b"\x93NUMPY\x09\x09\x10\x00"), ("train_images", b"no array"), ("train_images", claimed("()", "'<M9'")),
    ("classes", claimed(f"({2**60},)", "'|S0'")), ("classes", claimed(f"({2**60},)", "'<U0'")), ("classes", claimed(f"({2**60},)", "'|V0'")),
], ids=lambda value: None if isinstance(value, str) else value[10:60].decode(errors="replace"))
def test_headers_that_say_what_is_not_there_are_refused_in_a_line(tmp_path: Path, member: str, content: bytes) -> None:
    rewritten(write_npz(tmp_path / "mine.npz", [20, 20]), {f"{member}.npy": content})
    with pytest.raises(rs.InputError, match=r"mine\.npz: damaged, truncated or not an npz file") as error:
        rs.load("mine", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("member", sources.NPZ_KEYS)
def test_objects_are_never_unpickled(tmp_path: Path, member: str) -> None:
    path = write_npz(tmp_path / "mine.npz", [20, 20])
    with io.BytesIO() as file:
        np.save(file, np.array([Opened()], dtype=object), allow_pickle=True)
        content = file.getvalue()
    rewritten(path, {f"{member}.npy": content})
    with pytest.raises(rs.InputError, match=f"mine.npz: {member}: holds Python objects, which are never read; write names as"):
        rs.load("mine", tmp_path)
    for whole in (content, pickle.dumps(Opened())):
        path.write_bytes(whole)
        with pytest.raises(rs.InputError, match=r"mine\.npz: damaged, truncated or not an npz file"):
            rs.load("mine", tmp_path)


def test_only_members_that_were_looked_at_are_read(tmp_path: Path) -> None:
    """numpy calls a member by its name with or without .npy; two may differ."""
    path = write_npz(tmp_path / "mine.npz", [20, 20])
    before = rs.load("mine", tmp_path).train.fingerprint()
    rewritten(path, {"train_images": claimed(f"({2**40}, 9, 9)")})
    assert rs.load("mine", tmp_path).train.fingerprint() == before
    rewritten(path, {"train_images.npy": None})
    with pytest.raises(rs.InputError, match=r"mine\.npz: "):
        rs.load("mine", tmp_path)


def test_an_archive_that_is_encrypted_or_packed_in_an_unknown_way_is_refused_in_a_line(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "mine.npz", [20, 20])
    content = path.read_bytes()
    for offset, value in ((8, b"\x01\x00"), (10, b"\x63\x00")):  # the flags and the method of the central directory
        changed, place = bytearray(content), 0
        while (place := content.find(b"PK\x01\x02", place + 1)) > 0:
            changed[place + offset : place + offset + 2] = value
        path.write_bytes(changed)
        with pytest.raises(rs.InputError, match=r"mine\.npz: damaged, truncated or not an npz file"):
            rs.load("mine", tmp_path)


def test_an_archive_packed_to_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    black = np.zeros((5000, 30, 30), np.uint8)
    path = write_npz(tmp_path / "mine.npz", [2500, 2500], train_images=black, test_images=black[:2])
    rewritten(path, {}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(sources, "UNPACKED", 10**6)
    with pytest.raises(rs.InputError, match=r"mine\.npz: 4,.* bytes packed into .* may be meant to fill the memory; write it with np\.savez"):
        rs.load("mine", tmp_path)
    write_npz(tmp_path / "mine.npz", [2500, 2500])
    assert len(rewritten(path, {}, zipfile.ZIP_DEFLATED).read_bytes()) and len(rs.load("mine", tmp_path, validation=500).train) == 4500


@pytest.mark.parametrize(("classes", "message"), [
    (np.array("cat"), r"classes: expected the names of all classes, in the order of labels, found array\('cat'"),
    (np.array([], dtype=str), "classes: expected the names of the classes, found none"),
    (np.array([b"\xff", b"b"]), "classes: names in bytes must be UTF-8"),
    (np.array(["cat\x1b[31m", "dog"]), r"classes: the name 'cat\\x1b\[31m' holds control characters"),
    (np.array(["cat\n", "dog\n"]), r"classes: the name 'cat\\n' holds control characters"),
])
def test_other_names_of_classes_are_refused_in_a_line(tmp_path: Path, classes: np.ndarray, message: str) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20], classes=classes)
    with pytest.raises(rs.InputError, match=message) as error:
        rs.load("mine", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("classes", [np.array(["Schäfer", "猫"]), np.array(["Schäfer".encode(), "猫".encode()]), np.array([["Schäfer"], ["猫"]])])
def test_names_of_classes_may_be_of_any_language(tmp_path: Path, classes: np.ndarray) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20], classes=classes)
    assert rs.load("mine", tmp_path).classes == ("Schäfer", "猫")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint64, ">i8", ">u2"])
def test_labels_of_a_file_may_be_of_any_whole_type(tmp_path: Path, dtype: Any) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20])
    plain = rs.load("mine", tmp_path)
    write_npz(tmp_path / "mine.npz", [20, 20], train_labels=np.repeat([0, 1], 20).astype(dtype))
    assert rs.load("mine", tmp_path).train.fingerprint() == plain.train.fingerprint()


@pytest.mark.parametrize("shape", [(40, 0, 9), (40, 9, 0, 3), (0, 9, 9)])
def test_images_without_pixels_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_npz(tmp_path / "mine.npz", [20, 20], train_images=np.zeros(shape, np.uint8))
    with pytest.raises(rs.InputError, match="train_images: expected N x H x W"):
        rs.load("mine", tmp_path)


@pytest.mark.filterwarnings("ignore:std_mean")
def test_a_single_pixel_is_called_constant(tmp_path: Path) -> None:
    pixel = np.zeros((2, 1, 1), np.uint8)
    write_npz(tmp_path / "mine.npz", [2], train_images=pixel, test_images=pixel[:1])
    with pytest.raises(rs.InputError, match="a channel of the 1 training images is constant; take more images"):
        rs.load("mine", tmp_path)


@pytest.mark.parametrize("name", ["../mine", "{root}/mine", "a/../mine", "..", "", ".", ".hidden", "a\\mine", "C:mine", "sub/mine", 3, None, b"mine"])
@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_a_name_chooses_no_path(tmp_path: Path, name: Any, kind: str) -> None:
    root = tmp_path / "root"
    for place in (tmp_path, root, root / "sub", root / "a"):
        write_npz(place / "mine.npz", [20, 20])
        (place / "mine" / "train").mkdir(parents=True)
        if kind == "folder":
            (place / "mine.npz").unlink()
    name = name.format(root=tmp_path) if isinstance(name, str) else name
    with pytest.raises(rs.InputError, match=r"^data"):
        rs.load(name, root)


def test_a_name_may_hold_spaces_dots_and_other_letters(tmp_path: Path) -> None:
    for name in ("my data", "v1.2", "Größe-2 (new)"):
        write_npz(tmp_path / f"{name}.npz", [20, 20])
        assert rs.load(name, tmp_path).name == name


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "\ud800"])
def test_a_name_that_no_file_has_is_unknown(tmp_path: Path, name: str) -> None:
    with pytest.raises(rs.InputError):
        rs.load(name, tmp_path)


@pytest.mark.parametrize("root", [5, b"here", ["here"], "~nobody-of-this-name/data"])
def test_a_root_that_is_no_folder_is_refused_in_a_line(root: Any) -> None:
    with pytest.raises(rs.InputError, match=r"^root="):
        rs.load("mnist", root)


@pytest.mark.parametrize("name", ["digits", "mine"])
def test_a_size_beyond_the_memory_is_called_so(tmp_path: Path, name: str) -> None:
    write_npz(tmp_path / "mine.npz", [2000])
    with pytest.raises(rs.InputError, match=r"size=32768: the images of .* do not fit into memory; pass a smaller size="):
        rs.load(name, tmp_path, size=2**15)
    for size in (2**15 + 1, 2**70):
        with pytest.raises(rs.InputError, match=f"size={size}: expected at most 32768 pixels a side"):
            rs.load(name, tmp_path, size=size)


@pytest.mark.parametrize("argument", ["train", "test", "validation", "size", "seed"])
@pytest.mark.parametrize("value", [1.5, "2", True, -1, np.float64(2), np.int64(-3)])
def test_counts_and_seeds_are_whole_numbers(argument: str, value: Any) -> None:
    with pytest.raises(rs.InputError, match=f"{argument}="):
        rs.load("digits", **{argument: value})
    with pytest.raises(rs.InputError, match="seed="):
        rs.load("digits", seed=2**64)
