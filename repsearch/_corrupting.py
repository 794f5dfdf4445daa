"""The formulas of `repsearch.corruptions`, one function each, by the names of `CORRUPTIONS`.

What a function does not draw is the same at every seed: `FIXED` ones take pictures and the parameters of a severity,
`DRAWN` ones a generator a picture in between.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

Array = np.ndarray[Any, Any]
Pictures = Array
"""(n, 3, side, side), float64 in 0..1. What a corruption returns may leave 0..1."""
Draws = Sequence[np.random.Generator]
"""One generator a picture."""
LUMA = np.array([0.299, 0.587, 0.114])[:, None, None]
"""Shares of red, green and blue in grey."""
ROUGHEST = 1.75
"""Decay of the plasma that stands in for frost: fog's at severity 5, its roughest."""


def truncated(x: Pictures) -> Pictures:
    """Clipped to 0..1, then to the 255th below; one that rounding errors missed, by a millionth at most, is reached."""
    return np.floor(255 * x.clip(0, 1) + 1e-6) / 255


def gaussian_noise(x: Pictures, draws: Draws, sigma: float) -> Pictures:
    """x + sigma N(0, 1)."""
    return x + sigma * np.stack([g.standard_normal(x.shape[1:]) for g in draws])


def shot_noise(x: Pictures, draws: Draws, photons: float) -> Pictures:
    """Poisson(photons x) / photons: of mean x and variance x / photons."""
    return np.stack([g.poisson(photons * picture) for g, picture in zip(draws, x, strict=True)]) / photons


def impulse_noise(x: Pictures, draws: Draws, share: float) -> Pictures:
    """A `share` of the values, each channel for itself, becomes 0 or 1, each as often."""
    uniform = np.stack([g.random(x.shape[1:]) for g in draws])
    return np.where(uniform < share, uniform < share / 2, x)


def defocus_blur(x: Pictures, radius: float, spread: float) -> Pictures:
    """The mean over a disk with soft edges; beyond the border lies the picture mirrored at its outermost pixels."""
    blurred: Pictures = ndimage.correlate(x, disk(radius, spread)[None, None], mode="mirror")
    return blurred


def disk(radius: float, spread: float) -> Array:
    """A disk, smoothed by a Gaussian of 3x3 pixels and standard deviation `spread`; sums to 1.

    The benchmark's is 17x17, and zero where this one ends.
    """
    half = math.floor(radius) + 1
    squares = np.arange(-half, half + 1) ** 2
    inside = (squares[:, None] + squares <= radius**2).astype(float)
    bell = np.exp(-np.array([1, 0, 1]) / (2 * spread**2))
    smooth: Array = ndimage.convolve(inside, np.outer(bell, bell), mode="constant")
    total: float = smooth.sum()
    return smooth / total


def glass_blur(x: Pictures, draws: Draws, sigma: float, passes: int) -> Pictures:
    """Gaussian blur; each pixel becomes a copy of itself, the one above, left, or above left; the blur again.

    The benchmark means to exchange pixels, but its code copies, and draws no offset of +1. It goes from the last pixel
    to the first, so that a pixel is always copied before it changes: all at once is the same. The first two rows and
    columns keep their pixels.
    """
    across = (0, 0, sigma, sigma)
    moved = truncated(ndimage.gaussian_filter(x, across, mode="nearest"))
    inner = np.arange(2, x.shape[-1])
    steps = np.stack([g.integers(-1, 1, (passes, 2, len(inner), len(inner))) for g in draws])
    pictures = np.arange(len(x))[:, None, None]
    for step in range(passes):
        rows, columns = inner[:, None] + steps[:, step, 0], inner + steps[:, step, 1]
        moved[:, :, 2:, 2:] = moved[pictures, :, rows, columns].transpose(0, 3, 1, 2)
    blurred: Pictures = ndimage.gaussian_filter(moved, across, mode="nearest")
    return blurred


def motion_blur(x: Pictures, draws: Draws, radius: int, sigma: float) -> Pictures:
    """`trailed`, at an angle drawn from -45 to 45 degrees."""
    return trailed(x, radius, sigma, np.array([g.uniform(-45, 45) for g in draws]))


def trailed(x: Pictures, radius: int, sigma: float, angles: Array) -> Pictures:
    """The weighted mean of the 2 radius + 1 pixels from each one on, on a line at its picture's angle, in degrees.

    The k-th weighs exp(-k^2 / (2 sigma^2)) and is the nearest to the line; the border's pixels go on beyond it. 0
    degrees looks right, 90 down. Rounded to 255ths, as ImageMagick does, whose 16 bits in between are not imitated.
    """
    side = np.arange(x.shape[-1])
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    pictures, radians = np.arange(len(x))[:, None, None], np.deg2rad(angles)[:, None]
    last, total = len(side) - 1, np.zeros_like(x)
    for k, weight in enumerate(weights / weights.sum()):
        rows = (side + np.ceil(k * np.sin(radians) - 0.5).astype(int)).clip(0, last)
        columns = (side + np.ceil(k * np.cos(radians) - 0.5).astype(int)).clip(0, last)
        total += weight * x[pictures, :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)
    rounded: Pictures = np.rint(255 * total) / 255
    return rounded


def zoom_blur(x: Pictures, largest: float) -> Pictures:
    """The mean of x and of its zooms by 1, 1.01, ... up to `largest`."""
    factors = np.arange(1, largest, 0.01)  # its rounding takes 1.06 and 1.11 in, and leaves the other ends out
    return (x + sum(zoomed(x, factor) for factor in factors)) / (len(factors) + 1)


def zoomed(x: Pictures, factor: float) -> Pictures:
    """The middle of pictures, `factor` times as large, by linear interpolation from corner to corner."""
    side = x.shape[-1]
    kept = math.ceil(side / factor)
    size, start = round(kept * factor), (side - kept) // 2
    middle = torch.from_numpy(x[:, :, start:start + kept, start:start + kept])
    large = F.interpolate(middle, size=(size, size), mode="bilinear", align_corners=True).numpy()
    start = (size - side) // 2
    return large[:, :, start:start + side, start:start + side]


def snow(
    x: Pictures, draws: Draws, mean: float, spread: float, zoom: float, least: float, radius: int, sigma: float,
    kept: float,
) -> Pictures:
    """The picture made whiter, under flakes: enlarged noise of at least `least`, falling, and again upside down."""
    flakes = zoomed(np.stack([g.normal(mean, spread, (1, *x.shape[2:])) for g in draws]), zoom)
    flakes = truncated(np.where(flakes < least, 0, flakes))
    flakes = trailed(flakes, radius, sigma, np.array([g.uniform(-135, -45) for g in draws]))
    grey: Array = (LUMA * x).sum(1, keepdims=True)
    return kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5) + flakes + flakes[:, :, ::-1, ::-1]


def plasma(x: Pictures, draws: Draws, kept: float, strength: float) -> Pictures:
    """kept x + strength P, P the rough fractal of `heights`. Not the benchmark's frost, whose P are photographs."""
    return kept * x + strength * heights(draws, x.shape[-1], ROUGHEST)


def fog(x: Pictures, draws: Draws, strength: float, decay: float) -> Pictures:
    """(x + strength P) m / (m + strength): P as `heights` gives it, m the largest value of the picture."""
    largest: Array = x.max((1, 2, 3), keepdims=True)
    return (x + strength * heights(draws, x.shape[-1], decay)) * largest / (largest + strength)


def heights(draws: Draws, side: int, decay: float) -> Array:
    """Diamond-square fractals (n, 1, side, side) in 0..1, which go on beyond an edge at the opposite one.

    Each point is the mean of four around it plus (100 / decay^level)^2 U(-1, 1): the benchmark's code multiplies by
    the spread twice. Sides that are no power of two get a part of the next larger fractal.
    """
    size = 2 ** math.ceil(math.log2(side))
    field = np.stack([g.uniform(-1, 1, (size, size)) for g in draws])  # a point's own draw, until its level comes
    field[:, 0, 0] = 0
    for level in range(int(math.log2(size))):
        step, half, spread = size >> level, size >> level + 1, (100 / decay**level) ** 2
        corners, centres = field[:, ::step, ::step], field[:, half::step, half::step]
        right, below = np.roll(corners, -1, 2), np.roll(corners, -1, 1)
        field[:, half::step, half::step] = spread * centres + (corners + right + below + np.roll(right, -1, 1)) / 4
        for edges, ends in ((field[:, ::step, half::step], (corners, right, centres, np.roll(centres, 1, 1))),
                            (field[:, half::step, ::step], (corners, below, centres, np.roll(centres, 1, 2)))):
            edges[:] = spread * edges + sum(ends) / 4
    lowest: Array = field.min((1, 2), keepdims=True)
    highest: Array = field.max((1, 2), keepdims=True)
    part: Array = ((field - lowest) / (highest - lowest))[:, None, :side, :side]
    return part


def brightness(x: Pictures, more: float) -> Pictures:
    """V + more, at most 1, in hue, saturation and value: the largest channel is V, and all three keep their ratios."""
    value: Array = x.max(1, keepdims=True)
    brighter = (value + more).clip(max=1)
    return np.where(value > 0, x * brighter / np.where(value > 0, value, 1), brighter)


def contrast(x: Pictures, kept: float) -> Pictures:
    """(x - mean) kept + mean, with the mean of each channel of each picture."""
    mean: Array = x.mean((2, 3), keepdims=True)
    return (x - mean) * kept + mean


def elastic(x: Pictures, draws: Draws, strength: float, spread: float, corner: float) -> Pictures:
    """A random affine map, then a displacement of each pixel: strength times uniform noise, smoothed over `spread`.

    All three are shares of the side: `corner` is how far the affine map may move each of three points, either way. The
    benchmark's affine map rounds positions to 1/32 of a pixel, which this one does not.
    """
    side = x.shape[-1]
    rows, columns = np.mgrid[:side, :side]
    points = side // 2 + side // 3 * np.array([[1, 1], [1, -1], [-1, -1]])  # columns, rows
    result = np.empty_like(x)
    for i, g in enumerate(draws):
        moved = points + side * g.uniform(-corner, corner, points.shape)
        back = np.linalg.solve(np.c_[moved, np.ones(3)], points)  # from where a point lands to where it was
        from_columns, from_rows = (columns * a + rows * b + c for a, b, c in back.T)
        mapped = sampled(x[i], from_rows, from_columns, "mirror")
        noise = (g.uniform(-1, 1, rows.shape) for _ in range(2))
        right, down = (strength * side * ndimage.gaussian_filter(n, spread * side, truncate=3) for n in noise)
        result[i] = sampled(mapped, rows + down, columns + right, "reflect")
    return result


def sampled(picture: Array, rows: Array, columns: Array, border: str) -> Array:
    """The picture (3, side, side) between its pixels, at rows and columns (side, side), by linear interpolation."""
    return np.stack([ndimage.map_coordinates(channel, (rows, columns), order=1, mode=border) for channel in picture])


def pixelate(x: Pictures, scale: float) -> Pictures:
    """Resized to `scale` of the side and back, each by the means of boxes."""
    side = x.shape[-1]
    small = int(side * scale)
    return _each(x, lambda p: p.resize((small, small), Image.Resampling.BOX).resize((side, side), Image.Resampling.BOX))


def jpeg(x: Pictures, quality: int) -> Pictures:
    """Written as JPEG, and read."""
    def through_file(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(x, through_file)


def _each(x: Pictures, change: Callable[[Image.Image], Image.Image]) -> Pictures:
    """Each picture of 8 bits changed by Pillow."""
    pixels = np.rint(255 * x).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.stack([np.asarray(change(Image.fromarray(p))) for p in pixels]).transpose(0, 3, 1, 2) / 255


FIXED: dict[str, Callable[..., Pictures]] = {
    "defocus_blur": defocus_blur, "zoom_blur": zoom_blur, "brightness": brightness, "contrast": contrast,
    "pixelate": pixelate, "jpeg": jpeg,
}
DRAWN: dict[str, Callable[..., Pictures]] = {
    "gaussian_noise": gaussian_noise, "shot_noise": shot_noise, "impulse_noise": impulse_noise,
    "glass_blur": glass_blur, "motion_blur": motion_blur, "snow": snow, "plasma": plasma, "fog": fog,
    "elastic": elastic,
}
