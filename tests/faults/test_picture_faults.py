"""Folders of pictures as cameras, scanners, file managers and strangers leave them."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

import repsearch as rs
from repsearch.pictures import _read

GREY = np.random.default_rng(0).integers(0, 65536, (32, 32)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def folder(root: Path, count: int = 6) -> Path:
    """Two classes of pictures."""
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            place = root / "mine" / part / label
            place.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(np.roll(COLOUR, i + len(label), 0)).save(place / f"{i}.png")
    return root / "mine"


def tiff(path: Path, order: str, width: int, values: np.ndarray, bits: int, kind: int = 1, orientation: int = 1) -> None:
    """A grey TIFF file of any bits a sample; `values` are packed already."""
    content, height = values.tobytes(), 32
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (274, orientation), (277, 1), (278, height),
            (279, len(content)), (339, kind)]
    entries = b"".join(struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value) for tag, value in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(content))
    path.write_bytes(head + content + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))


@pytest.mark.parametrize("name", ["16.png", "little.tif", "big.tif", "12.tif", "16.pgm", "10.pgm", "float.tif"])
def test_grey_of_more_than_8_bits_is_scaled(tmp_path: Path, name: str) -> None:
    path, expected = tmp_path / name, GREY / 65535
    if name == "little.tif":
        tiff(path, "<", 32, GREY.astype("<u2"), 16)
    elif name == "big.tif":
        tiff(path, ">", 32, GREY.astype(">u2"), 16)
    elif name == "12.tif":
        a, b = (GREY >> 4)[:, ::2].astype(int), (GREY >> 4)[:, 1::2].astype(int)
        tiff(path, "<", 32, np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], -1).astype(np.uint8), 12)
    elif name == "16.pgm":
        path.write_bytes(b"P5 32 32 65535\n" + GREY.astype(">u2").tobytes())
    elif name == "10.pgm":
        path.write_bytes(b"P5 32 32 1023\n" + (GREY >> 6).astype(">u2").tobytes())
    elif name == "float.tif":
        Image.fromarray(expected.astype(np.float32)).save(path)
    else:
        Image.fromarray(GREY).save(path)
    found = _read(path, 32)
    assert found.shape == (32, 32, 3) and np.ptp(found, axis=2).max() == 0
    assert np.abs(found[:, :, 0] / 255 - expected).max() < 0.005


@pytest.mark.parametrize("values", [
    GREY.astype(np.int32), GREY.astype(np.int32) - 40_000, GREY.astype(np.float32), np.full((32, 32), np.nan, np.float32),
    np.linspace(-0.1, 1, 1024, dtype=np.float32).reshape(32, 32),
], ids=["32 bits", "signed", "large floats", "nan", "below 0"])
def test_pixels_whose_white_is_unknown_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "1.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(rs.InputError, match=r"1\.tif: holds values of .*black and white are unknown; save it with 8 or 16 bits"):
        _read(path, 32)


def test_signed_16_bits_are_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "1.tif", "<", 32, (GREY.astype(int) - 2**15).astype("<i2"), 16, kind=2)
    with pytest.raises(rs.InputError, match=r"1\.tif: holds values"):
        _read(tmp_path / "1.tif", 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_grey_of_16_bits_stands_as_its_camera_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(tmp_path / "1.png", exif=exif)
    tiff(tmp_path / "1.tif", ">", 32, GREY.astype(">u2"), 16, orientation=orientation)
    eight = Image.fromarray(np.rint(GREY / 257).astype(np.uint8))
    eight.getexif()[0x0112] = orientation
    for name in ("1.png", "1.tif"):
        assert np.array_equal(_read(tmp_path / name, 32)[:, :, 0], np.asarray(ImageOps.exif_transpose(eight)))


def test_damaged_exif_is_no_obstacle(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "1.png", exif=b"Exif\0\0neither II nor MM")
    with Image.open(tmp_path / "1.png") as picture, pytest.raises(SyntaxError):
        picture.getexif()
    assert np.array_equal(_read(tmp_path / "1.png", 32), COLOUR)


@pytest.mark.parametrize("part", ["train", "test"])
def test_what_is_hidden_is_neither_class_nor_picture(tmp_path: Path, part: str) -> None:
    place = folder(tmp_path) / part
    before = rs.load("mine", tmp_path)
    for name in (".DS_Store", "Thumbs.db", "cat/.DS_Store", "cat/._1.png", "cat/.1.png.part.png", "cat/notes.txt"):
        (place / name).write_bytes(b"none")
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "cat/.ipynb_checkpoints", "cat/@eaDir/1.png", "cat/__MACOSX"):
        (place / name).mkdir(parents=True)
        Image.fromarray(COLOUR).save(place / name / "1-checkpoint.png")
    after = rs.load("mine", tmp_path)
    assert after.classes == before.classes
    for split in ("train", "validation", "test"):
        assert getattr(after, split).fingerprint() == getattr(before, split).fingerprint()


def test_pictures_may_lie_deeper_and_behind_links(tmp_path: Path) -> None:
    place = folder(tmp_path) / "train" / "cat"
    (place / "more").mkdir()
    Image.fromarray(COLOUR).save(place / "more" / "a.JPG", "JPEG")
    (place / "linked").symlink_to(place / "more")
    (place / "again").symlink_to(place)  # leads back up, without end
    data = rs.load("mine", tmp_path, validation=2)
    assert len(data.train) + len(data.validation) == 14


@pytest.mark.parametrize("kind", ["pipe", "dangling", "loop"])
def test_what_is_no_file_is_refused_in_a_line(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path) / "train" / "cat" / "9.png"
    if kind == "pipe":
        os.mkfifo(path)  # opening it would wait for ever
    else:
        path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")
    with pytest.raises(rs.InputError, match=r"9\.png: not a readable image \(.*\); remove it"):
        rs.load("mine", tmp_path)


def text_bomb(path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * 2**26, zip=True)
    Image.fromarray(COLOUR).save(path, pnginfo=info)


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n")


@pytest.mark.parametrize(("write", "message"), [
    (text_bomb, "not a readable image"),
    (postscript, "not a readable image .cannot identify"),  # Pillow would start another program for it
    (lambda path: Image.new("RGB", (1, 140_000)).save(path), "140000 pixels long but 1 wide"),
    (lambda path: path.write_bytes(b""), "not a readable image"),
    (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20)), "not a readable image"),
], ids=["text", "postscript", "strip", "empty", "broken"])
def test_pictures_of_a_stranger_are_refused_in_a_line(tmp_path: Path, write: Any, message: str) -> None:
    write(folder(tmp_path) / "train" / "cat" / "9.png")
    with pytest.raises(rs.InputError, match=r"9\.png: .*" + message) as error:
        rs.load("mine", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["cat/\x1b[31m\n.png", "\x1b[31m/1.png"])
def test_names_of_a_stranger_reach_no_terminal_as_they_are(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path) / "train" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"none")
    with pytest.raises(rs.InputError, match=r"\\x1b\[31m") as error:
        rs.load("mine", tmp_path)
    assert str(error.value).isprintable()


def test_a_folder_without_pictures_says_what_to_do(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "train" / "owl").mkdir()
    (place / "train" / "owl" / "1.gif").write_bytes(b"GIF89a")
    with pytest.raises(rs.InputError, match=r"train: no images \(\.jpg .*\) of owl; add some, or remove the folder"):
        rs.load("mine", tmp_path)
    (tmp_path / "flat" / "train").mkdir(parents=True)
    with pytest.raises(rs.InputError, match="flat/train: expected <class>/<image> files, found no folder in it"):
        rs.load("flat", tmp_path)
    (place / "train" / "owl" / "1.gif").unlink()
    (place / "train" / "owl").rmdir()
    (place / "test").rename(place / "val")
    with pytest.raises(rs.InputError, match="mine/test: expected <class>/<image> files"):
        rs.load("mine", tmp_path)
