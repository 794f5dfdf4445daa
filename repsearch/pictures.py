"""Folders of pictures {train,test}/<class>/<image>, as cameras, scanners and file managers leave them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from repsearch.arrays import Arrays, class_names, first_line
from repsearch.checks import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# What Pillow may take a file for, whatever its name: it hands PostScript, for one, to another program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PIXELS = 2**27
"""Of a picture brought to size, before it is cropped."""
BITS_PER_SAMPLE = 258
"""The tag of a TIFF file."""


def read_folder(folder: Path, size: int) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    """Training and test pictures of a folder as RGB, shorter side brought to `size`, centre cropped.

    Pictures stand as their EXIF orientation says. Grey pictures of 16 bits are scaled to 8; floats in 0..1, too. Names
    that begin with a dot are left out, as are `__MACOSX` and `@eaDir`.

    Args:
        folder: with train/<class>/ and test/<class>/, in which pictures may lie in folders of their own.
        size: of a side.

    Returns:
        (uint8 (N, size, size, 3), int64 (N,)) of train and of test, and the names of the classes.

    Raises:
        InputError: no pictures, other classes in test than in train, a file that cannot be read.
    """
    (train, classes), (test, test_classes) = (_part(folder / part, size) for part in ("train", "test"))
    if classes != test_classes:
        differ = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise InputError(f"{folder}: train and test must have the same classes, only one of them has {differ}")
    return train, test, classes


def _part(folder: Path, size: int) -> tuple[Arrays, tuple[str, ...]]:
    try:
        found = sorted(path.name for path in _shown(folder) if path.is_dir())
        if not found:
            raise InputError(f"{folder}: expected <class>/<image> files, found no folder in it")
        classes = class_names(str(folder), found)
        files = [sorted(_files(folder / title), key=lambda path: (str(path.parent), path.name)) for title in classes]
    except PermissionError:
        raise
    except OSError as error:
        raise InputError(f"{folder}: expected <class>/<image> files ({error})") from None
    empty = ", ".join(title for title, paths in zip(classes, files, strict=True) if not paths)
    if empty:
        raise InputError(f"{folder}: no images ({' '.join(SUFFIXES)}) of {empty}; add some, or remove the folder")
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(paths) for paths in files])
    images = np.empty((len(labels), size, size, 3), np.uint8)  # first, to know whether there is memory for all
    for image, path in zip(images, (path for paths in files for path in paths), strict=True):
        image[:] = _read(path, size)
    return (images, labels), classes


def _shown(folder: Path) -> list[Path]:
    """What a folder holds, without what systems and programs hide in it."""
    return [path for path in folder.iterdir() if path.name[0] != "." and path.name not in ("__MACOSX", "@eaDir")]


def _files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Image files in a folder and the folders in it, but for links that lead back up."""
    here = folder.resolve()
    if here in above:
        return
    for path in _shown(folder):
        if path.is_dir():
            yield from _files(path, above | {here})
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _read(path: Path, size: int) -> np.ndarray:
    """A picture as uint8 (size, size, 3)."""
    from torchvision.transforms import functional as TF

    where = str(path) if str(path).isprintable() else repr(str(path))  # no control characters reach the terminal
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a file")
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as picture:
            upright = _rgb(where, _upright(picture), _white(picture))
    except (InputError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{where}: has too many pixels ({error}); remove it or make it smaller") from None
    except Exception as error:  # Pillow's readers each raise their own on a damaged file
        raise InputError(f"{where}: not a readable image ({first_line(error)}); remove it or save it again") from None
    shorter, longer = sorted(upright.size)
    if longer > shorter * max(1, PIXELS // size**2):
        raise InputError(f"{where}: {longer} pixels long but {shorter} wide, too narrow to be cropped; cut it yourself")
    return np.asarray(TF.center_crop(TF.resize(upright, size), [size, size]), dtype=np.uint8)


def _upright(picture: Image.Image) -> Image.Image:
    """A picture turned and flipped as its EXIF orientation says."""
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF does not say how the picture stands
        return picture


def _white(picture: Any) -> int | None:
    """What white is in a grey picture of more than 8 bits a pixel: 0 if it may be anything. None for all others."""
    if picture.mode.startswith("I;16"):
        bits = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, 16)  # 12 in some TIFF files
        return int(2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1)
    if picture.mode == "I":  # 16 bits in a PNG or PGM; in others 32, or with a sign
        return 65535 if picture.format in ("PNG", "PPM") else 0
    return 1 if picture.mode == "F" else None


def _rgb(where: str, picture: Image.Image, white: int | None) -> Image.Image:
    """A picture of any kind in RGB, 8 bits each."""
    if white is None:
        return picture.convert("RGB")
    values = np.asarray(picture).astype(np.float64)
    if white == 0 or not ((values >= 0) & (values <= white)).all():
        found = f"{values.min():g} to {values.max():g}, of which black and white are unknown"
        raise InputError(f"{where}: holds values of {found}; save it with 8 or 16 bits, or as floats in 0..1")
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8)).convert("RGB")
