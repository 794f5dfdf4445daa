"""The corruptions of CIFAR-10-C against other libraries, plain loops and closed forms; its parameters are written out again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from matplotlib import colors
from scipy import ndimage, stats
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms import InterpolationMode

import repsearch as rs
from repsearch import _corrupting as formulas
from repsearch import corruptions
from repsearch.corruptions import CORRUPTIONS, corrupt, generator

NOISES = ("gaussian_noise", "shot_noise", "impulse_noise")
DRAWN = {*NOISES, "glass_blur", "motion_blur", "snow", "plasma", "fog", "elastic"}
SEED = 7


def pictures(n: int = 3, side: int = 32) -> torch.Tensor:
    """Smooth colours, 8 bits, each picture darker than the one before; the first has black, white and pure ones."""
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 0.6, n).reshape(n, 1, 1, 1)
    x = (F.interpolate(coarse, size=side, mode="bicubic").clamp(0, 1) * 255).round() / 255
    x[0, :, 0, :5] = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).T
    return x


def plain(colour: tuple[int, int, int], n: int = 2) -> torch.Tensor:
    return torch.tensor(colour).div(255).reshape(1, 3, 1, 1).repeat(n, 1, 32, 32)


def whole(x: torch.Tensor) -> np.ndarray:
    """As bytes 0..255, which every result must be already."""
    assert ((x * 255) - (x * 255).round()).abs().max() < 1e-4
    return (x * 255).round().int().numpy()


def cut(x: np.ndarray) -> np.ndarray:
    """Clipped and truncated to bytes."""
    return np.floor(x.clip(0, 1) * 255 + 1e-6).astype(int)


def each(name: str, severity: int, side: int = 32) -> Iterator[tuple[np.ndarray, np.ndarray, np.random.Generator]]:
    """Three pictures in float64, what `corrupt` makes of them in bytes, and generators that repeat its draws."""
    x = pictures(side=side)
    for row, ours in enumerate(whole(corrupt(x, name, severity, SEED))):
        yield whole(x[row]) / 255, ours, generator(SEED, name, severity, row)


def line(picture: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """Channels (c, h, w) under a kernel with its weights on a line."""
    reach, ahead, kernel = 2 * radius, np.arange(2 * radius + 1), np.zeros((4 * radius + 1, 4 * radius + 1))
    weights = stats.norm.pdf(ahead, scale=sigma)
    down, right = np.rint(ahead * np.sin(np.radians(angle))), np.rint(ahead * np.cos(np.radians(angle)))
    np.add.at(kernel, (reach + down.astype(int), reach + right.astype(int)), weights / weights.sum())
    return np.stack([ndimage.correlate(channel, kernel, mode="nearest") for channel in picture])


def enlarged(picture: np.ndarray, factor: float) -> np.ndarray:
    start = (32 - (kept := int(np.ceil(32 / factor)))) // 2
    large = ndimage.zoom(picture[:, start:start + kept, start:start + kept], (1, factor, factor), order=1, mode="nearest")
    start = (large.shape[1] - 32) // 2
    return large[:, start:start + 32, start:start + 32]


def fractal(drawn: np.ndarray, decay: float) -> np.ndarray:
    """Diamond-square, one point after the other; `drawn` holds each point's number in -1..1."""
    size = len(drawn)
    field, step, wibble = np.zeros((size, size)), size, 100.0
    while step > 1:
        half = step // 2
        centres = [(i, j) for i in range(half, size, step) for j in range(half, size, step)]
        edges = [((i + a) % size, (j + b) % size) for i, j in centres for a, b in ((half, 0), (0, half))]
        for places, near in ((centres, ((1, 1), (1, -1), (-1, 1), (-1, -1))), (edges, ((0, 1), (0, -1), (1, 0), (-1, 0)))):
            for i, j in places:
                around = [field[(i + a * half) % size, (j + b * half) % size] for a, b in near]
                field[i, j] = np.mean(around) + wibble**2 * drawn[i, j]
        step, wibble = half, wibble / decay
    return (field - field.min()) / np.ptp(field)


def test_fourteen_of_the_benchmark_and_one_of_our_own() -> None:
    others = "defocus_blur glass_blur motion_blur zoom_blur snow plasma fog brightness contrast elastic pixelate jpeg"
    assert list(CORRUPTIONS) == [*NOISES, *others.split()]


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("side", [16, 21])
def test_results_are_pictures_of_8_bits(name: str, side: int) -> None:
    x, before = pictures(side=side), pictures(side=side)
    for severity in range(1, 6):
        y = corrupt(x, name, severity)
        assert y.shape == x.shape and y.dtype == torch.float32
        assert torch.equal(y, torch.from_numpy(whole(y)).float() / 255) and y.min() >= 0 and y.max() <= 1 and not torch.equal(y, x)
    assert torch.equal(x, before)
    between = x + 0.4 / 255 * (x < 0.5) - 0.4 / 255 * (x > 0.5)  # all nearest to the same 255ths
    assert torch.equal(corrupt(between.double(), name, 5), y)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_draws_are_seeded_for_each_image(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(1).repeat(5, 1, 1, 1)
    y = corrupt(x, name, 3, SEED)
    assert torch.equal(y, corrupt(x, name, 3, SEED))
    assert torch.equal(corrupt(x, name, 3, SEED + 1), y) == (name not in DRAWN)
    assert torch.equal(y[0], y[1]) == (name not in DRAWN)  # the same picture in two rows
    others = torch.cat([x[:2], pictures(2, 32)])
    assert torch.equal(corrupt(others, name, 3, SEED)[:2], y[:2])
    monkeypatch.setattr(corruptions, "TOGETHER", 2)
    assert torch.equal(corrupt(x, name, 3, SEED), y)
    keys = [(0, "fog", 1, 0), (1, "fog", 1, 0), (0, "snow", 1, 0), (0, "fog", 2, 0), (0, "fog", 1, 1)]
    assert len({generator(*key).random() for key in keys}) == len(keys)


@pytest.mark.parametrize(("severity", "sigma"), enumerate((0.04, 0.06, 0.08, 0.09, 0.10), start=1))
def test_gaussian_noise_is_normal(severity: int, sigma: float) -> None:
    noise = whole(corrupt(plain((128, 128, 128), 60), "gaussian_noise", severity)) / 255 + 0.5 / 255 - 128 / 255
    assert noise.std() == pytest.approx(np.hypot(sigma, 12**-0.5 / 255), rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=5 * sigma / noise.size**0.5)
    for a, b in ((noise[:, 0], noise[:, 1]), (noise[..., 1:], noise[..., :-1]), (noise[:30], noise[30:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / a.size**0.5
    assert stats.kurtosis(noise.ravel()) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(("severity", "photons"), enumerate((500, 250, 100, 75, 50), start=1))
def test_shot_noise_is_of_variance_x_over_c(severity: int, photons: int) -> None:
    for level in (0.1, 0.5):
        noisy = formulas.shot_noise(np.full((1, 200_000), level), [np.random.default_rng(0)], photons)
        assert noisy.mean() == pytest.approx(level, rel=0.005) and noisy.var() == pytest.approx(level / photons, rel=0.02)
        assert np.allclose(noisy * photons, np.rint(noisy * photons))
    for picture, ours, g in each("shot_noise", severity):
        assert (ours == cut(g.poisson(picture * photons) / photons)).all()


@pytest.mark.parametrize(("severity", "share"), enumerate((0.01, 0.02, 0.03, 0.05, 0.07), start=1))
def test_impulse_noise_sets_a_share_of_the_values(severity: int, share: float) -> None:
    y = whole(corrupt(plain((128, 100, 90), 60), "impulse_noise", severity))
    hit = y != np.array([128, 100, 90])[:, None, None]
    assert set(np.unique(y[hit])) == {0, 255}
    for found, of, chance in ((y == 0, y, share / 2), (y == 255, y, share / 2), (hit.all(1), y[:, 0], share**3)):
        assert stats.binomtest(int(found.sum()), of.size, chance).pvalue > 1e-4  # the last: a channel's fate is its own


@pytest.mark.parametrize("name", [*NOISES, "zoom_blur", "snow", "fog", "brightness", "contrast", "jpeg"])
def test_error_grows_with_severity(name: str) -> None:
    x = pictures(10) * 0.6 + 0.2
    errors = [float((corrupt(x, name, severity) - x).square().mean()) for severity in range(1, 6)]
    assert errors == sorted(errors) and errors[0] > 0


@pytest.mark.parametrize("name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "contrast", "elastic", "pixelate"])
def test_a_plain_picture_stays(name: str) -> None:
    x = torch.cat([plain((0, 0, 0)), plain((255, 255, 255)), plain((3, 77, 201))])
    assert all(torch.equal(corrupt(x, name, severity), x) for severity in range(1, 6))


@pytest.mark.parametrize(("severity", "radius", "spread"), [(1, 0.3, 0.4), (2, 0.4, 0.5), (3, 0.5, 0.6), (4, 1, 0.2), (5, 1.5, 0.1)])
def test_defocus_blur_is_a_smoothed_disk(severity: int, radius: float, spread: float) -> None:
    inside = ((np.mgrid[-8:9, -8:9] ** 2).sum(0) <= radius**2).astype(float)
    kernel = ndimage.gaussian_filter(inside / inside.sum(), spread, radius=1)
    disk = formulas.disk(radius, spread)
    assert disk.sum() == pytest.approx(1) and np.allclose(np.pad(disk, (17 - len(disk)) // 2), kernel)
    for picture, ours, _ in each("defocus_blur", severity):
        padded = F.pad(torch.from_numpy(picture)[:, None], (8, 8, 8, 8), mode="reflect")
        assert (ours == cut(F.conv2d(padded, torch.from_numpy(kernel)[None, None])[:, 0].numpy())).all()


@pytest.mark.parametrize(("severity", "sigma", "passes"), [(1, 0.05, 1), (2, 0.25, 1), (3, 0.4, 1), (4, 0.25, 2), (5, 0.4, 2)])
def test_glass_blur_is_a_loop_over_pixels(severity: int, sigma: float, passes: int) -> None:
    """What the benchmark writes as an exchange: numpy's views make a copy of it."""
    for picture, ours, g in each("glass_blur", severity):
        blurred = cut(np.stack([ndimage.gaussian_filter(c, sigma, mode="nearest") for c in picture]))
        pixels = np.ascontiguousarray(blurred.transpose(1, 2, 0))
        for step in g.integers(-1, 1, (passes, 2, 30, 30)):
            for i in range(31, 1, -1):
                for j in range(31, 1, -1):
                    down, right = step[:, i - 2, j - 2]
                    here, there = pixels[i, j], pixels[i + down, j + right]
                    here[:], there[:] = there, here
        again = np.stack([ndimage.gaussian_filter(c / 255, sigma, mode="nearest") for c in pixels.transpose(2, 0, 1)])
        assert (ours == cut(again)).all()


@pytest.mark.parametrize(("severity", "radius", "sigma"), [(1, 6, 1), (2, 6, 1.5), (3, 6, 2), (4, 8, 2), (5, 9, 2.5)])
def test_motion_blur_is_a_kernel_on_a_line(severity: int, radius: int, sigma: float) -> None:
    for picture, ours, g in each("motion_blur", severity):
        assert np.abs(ours - 255 * line(picture, radius, sigma, g.uniform(-45, 45))).max() < 0.5 + 1e-6


@pytest.mark.parametrize(("severity", "count"), enumerate((7, 12, 16, 21, 26), start=1))
def test_zoom_blur_is_a_mean_of_zooms(severity: int, count: int) -> None:
    for picture, ours, _ in each("zoom_blur", severity):
        assert (ours == cut(np.mean([picture, *(enlarged(picture, factor) for factor in np.arange(1, 2, 0.01)[:count])], axis=0))).all()


@pytest.mark.parametrize(("severity", "mean", "spread", "zoom", "least", "radius", "sigma", "kept"), [
    (1, 0.1, 0.2, 1, 0.6, 8, 3, 0.95), (2, 0.1, 0.2, 1, 0.5, 10, 4, 0.9), (3, 0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (4, 0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (5, 0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
])
def test_snow_falls(severity: int, mean: float, spread: float, zoom: float, least: float, radius: int, sigma: float, kept: float) -> None:
    for picture, ours, g in each("snow", severity):
        flakes = enlarged(g.normal(mean, spread, (1, 32, 32)), zoom)
        flakes = np.rint(255 * line(cut(flakes * (flakes >= least)) / 255, radius, sigma, g.uniform(-135, -45))) / 255
        grey = TF.rgb_to_grayscale(torch.from_numpy(picture)).numpy() / 0.9999  # torchvision's red is 0.2989
        whiter = kept * picture + (1 - kept) * np.maximum(picture, 1.5 * grey + 0.5)
        off = ours - cut(whiter + flakes + np.rot90(flakes, 2, (1, 2)))
        assert np.abs(off).max() <= 1 and (off != 0).mean() < 0.02


@pytest.mark.parametrize(("side", "size"), [(21, 32), (32, 32)])
@pytest.mark.parametrize(("severity", "strength", "decay"), [(1, 0.2, 3), (2, 0.5, 3), (3, 0.75, 2.5), (4, 1, 2), (5, 1.5, 1.75)])
def test_fog_is_a_fractal_over_the_picture(side: int, size: int, severity: int, strength: float, decay: float) -> None:
    for picture, ours, g in each("fog", severity, side):
        over = picture + strength * fractal(g.uniform(-1, 1, (size, size)), decay)[:side, :side]
        assert (ours == cut(over * picture.max() / (picture.max() + strength))).all()
    assert not corrupt(torch.zeros(1, 3, 16, 16), "fog", severity).any()


@pytest.mark.parametrize(("severity", "kept", "strength"), [(1, 1, 0.2), (2, 1, 0.3), (3, 0.9, 0.4), (4, 0.85, 0.4), (5, 0.75, 0.45)])
def test_plasma_stands_in_for_frost(severity: int, kept: float, strength: float) -> None:
    for picture, ours, g in each("plasma", severity):
        assert (ours == cut(kept * picture + strength * fractal(g.uniform(-1, 1, (32, 32)), 1.75))).all()


@pytest.mark.parametrize(("severity", "more"), enumerate((0.05, 0.1, 0.15, 0.2, 0.3), start=1))
def test_brightness_raises_the_value(severity: int, more: float) -> None:
    for picture, ours, _ in each("brightness", severity):
        hsv = colors.rgb_to_hsv(picture.transpose(1, 2, 0))
        hsv[..., 2] = (hsv[..., 2] + more).clip(max=1)
        assert (ours == cut(colors.hsv_to_rgb(hsv)).transpose(2, 0, 1)).all() and (ours.max(0) == cut(picture.max(0) + more)).all()


@pytest.mark.parametrize(("severity", "kept"), enumerate((0.75, 0.5, 0.4, 0.3, 0.15), start=1))
def test_contrast_scales_what_differs_from_the_mean(severity: int, kept: float) -> None:
    for picture, ours, _ in each("contrast", severity):
        for channel, changed in zip(picture, ours, strict=True):
            alike = TF.adjust_contrast(torch.from_numpy(channel).repeat(3, 1, 1), kept)[0].numpy()
            assert np.abs(255 * alike - changed - 0.5).max() < 0.6  # its grey is 0.9999 of the channel
        deviations, mean = formulas.contrast(picture[None], kept)[0], picture.mean((1, 2), keepdims=True)
        assert np.allclose(deviations - mean, kept * (picture - mean))


@pytest.mark.parametrize(("severity", "strength", "spread", "corner"), [
    (1, 0, 0, 0.08), (2, 0.05, 0.2, 0.07), (3, 0.08, 0.06, 0.06), (4, 0.1, 0.04, 0.05), (5, 0.1, 0.03, 0.03),
])
@pytest.mark.parametrize("side", [21, 32])
def test_elastic_is_two_maps(side: int, severity: int, strength: float, spread: float, corner: float) -> None:
    """Torch reflects at pixels, or at edges, as it aligns the corners, or does not."""
    third, middle, y = side // 3, side // 2, np.mgrid[:side, :side].astype(float)
    for picture, ours, g in each("elastic", severity, side):
        old = np.array([[middle + third] * 2, [middle + third, middle - third], [middle - third] * 2])
        new = old + g.uniform(-corner, corner, (3, 2)) * side
        forth = np.linalg.inv(np.c_[old, np.ones(3)]) @ np.c_[new, np.ones(3)]
        places = np.stack([y[1], y[0], np.ones_like(y[0])], axis=-1) @ np.linalg.inv(forth)
        grid = torch.from_numpy(places[..., :2] * 2 / (side - 1) - 1)
        mapped = F.grid_sample(torch.from_numpy(picture)[None], grid[None], padding_mode="reflection", align_corners=True)
        noise = g.uniform(-1, 1, (2, side, side))
        moves = strength * side * ndimage.gaussian_filter(noise, (0, spread * side, spread * side), mode="reflect", truncate=3)
        grid = torch.from_numpy((np.stack([y[1] + moves[0], y[0] + moves[1]], axis=-1) * 2 + 1) / side - 1)
        again = F.grid_sample(mapped, grid[None], padding_mode="reflection", align_corners=False)
        assert (ours == cut(again[0].numpy())).all()


@pytest.mark.parametrize(("severity", "small"), enumerate((30, 28, 27, 24, 20), start=1))
def test_pixelate_is_two_resizes(severity: int, small: int) -> None:
    for picture, ours, _ in each("pixelate", severity):
        image = TF.to_pil_image(torch.from_numpy(picture).float())
        for side in (small, 32):
            image = TF.resize(image, [side, side], InterpolationMode.BOX)
        assert (ours == np.asarray(image).transpose(2, 0, 1)).all() and len(np.unique(ours, axis=1)[0]) <= small


@pytest.mark.parametrize(("severity", "quality"), enumerate((80, 65, 58, 50, 40), start=1))
@pytest.mark.filterwarnings("ignore:.*TorchVision are deprecated:DeprecationWarning")
def test_jpeg_is_that_of_torchvision(severity: int, quality: int) -> None:
    for picture, ours, _ in each("jpeg", severity):
        theirs = decode_jpeg(encode_jpeg(torch.from_numpy(np.rint(picture * 255)).byte(), quality)).numpy()
        assert np.abs(ours - theirs).max() <= 2  # 0, if both hold the same library


@pytest.mark.parametrize(("change", "message"), [
    ({"images": pictures().numpy()}, "images: expected a floating-point tensor"),
    ({"images": torch.zeros(2, 1, 32, 32)}, r"images: expected 3 channels.*found 1; repeat grey ones"),
    ({"images": torch.zeros(2, 3, 32, 31)}, "images: expected squares of at least 16x16 pixels, found 32x31"),
    ({"images": torch.zeros(2, 3, 15, 15)}, "found 15x15"),
    ({"images": pictures() * 255}, r"images: floats must lie in 0\.\.1"), ({"images": pictures() * torch.nan}, "image 0 has NaN"),
    ({"name": "frost"}, "name='frost': unknown; choose one of .*plasma"),
    ({"severity": 0}, "severity=0: expected a whole number"), ({"severity": 2.5}, "severity=2.5"),
    ({"severity": 6}, "severity=6: expected a whole number from 1"), ({"seed": -1}, "seed=-1: expected a whole number"),
])
def test_bad_input(change: dict[str, object], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        corrupt(**({"images": pictures(), "name": "fog", "severity": 1} | change))  # type: ignore[arg-type]
