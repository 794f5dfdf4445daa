"""The corruptions of CIFAR-10-C, made from their formulas.

Fourteen of the benchmark's fifteen, "elastic" and "jpeg" by short names. The other, frost, lays photographs over the
picture, and no formula makes these. "plasma" stands in its place: it lays a fractal over the picture and is not frost,
so that errors under it, or means that take it in, compare with no published ones.

References: Hendrycks and Dietterich 2019, arXiv 1903.12261; the code of hendrycks/robustness, make_cifar_c.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from repsearch import checks
from repsearch._corrupting import DRAWN, FIXED, truncated
from repsearch.arrays import check_floats
from repsearch.checks import InputError

SEVERITIES: dict[str, tuple[tuple[float, ...], ...]] = {
    "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
    "shot_noise": ((500,), (250,), (100,), (75,), (50,)),
    "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "plasma": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
    "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
    "elastic": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
    "jpeg": ((80,), (65,), (58,), (50,), (40,)),
}
"""For each corruption, what its formula takes at the severities 1 to 5; `_corrupting` has it under the same name."""
CORRUPTIONS: tuple[str, ...] = tuple(SEVERITIES)
"""In the benchmark's order, "plasma" where it has frost."""
SMALLEST = 16
"""Side of a picture that all corruptions can work on."""
TOGETHER = 250
"""Pictures that are worked on at once, which bounds the memory and changes no result."""


def corrupt(images: Tensor, name: str, severity: int, seed: int = 0) -> Tensor:
    """Pictures corrupted as those of CIFAR-10-C are.

    Taken as pictures of 8 bits: values between two 255ths are rounded first. An image's draws are seeded by (seed,
    name, severity, its row), so that they depend neither on the other images nor on how many there are.

    Args:
        images: (n, 3, side, side) in 0..1, side at least 16. The parameters are those for a side of 32: lengths in
            pixels stay the same at every other; those of "elastic" and "pixelate" are shares of the side.
        name: one of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: decides the draws.

    Returns:
        The same shape, float32, on the images' device, clipped to 0..1 and then truncated to 255ths.

    Raises:
        InputError: images that are grey, not square, too small or not in 0..1, an unknown name or severity.

    Example:
        >>> grey = torch.full((2, 3, 32, 32), 0.6)
        >>> torch.equal(corrupt(grey, "zoom_blur", 5), grey)
        True
        >>> round(float(corrupt(grey, "gaussian_noise", 5).std()), 2)
        0.1
    """
    _check(images)
    checks.one_of("name", name, CORRUPTIONS)
    if checks.positive_int("severity", severity) > 5:
        raise InputError(f"severity={severity}: expected a whole number from 1 (mild) to 5; choose one of these")
    checks.seed(seed)
    eight_bits = (images.detach().cpu().double() * 255).round().numpy() / 255
    parts, parameters = [], SEVERITIES[name][severity - 1]
    for start in range(0, len(images), TOGETHER):
        part = eight_bits[start:start + TOGETHER]
        if name in FIXED:
            changed = FIXED[name](part, *parameters)
        else:
            draws = [generator(seed, name, severity, row) for row in range(start, start + len(part))]
            changed = DRAWN[name](part, draws, *parameters)
        parts.append(torch.from_numpy(truncated(changed)).float())
    return torch.cat(parts).to(images.device)


def _check(images: Tensor) -> None:
    checks.images("images", images)
    channels, height, width = images.shape[1:]
    if channels != 3:
        raise InputError(f"images: expected 3 channels, red, green and blue, found {channels}; "
                         "repeat grey ones: images.repeat(1, 3, 1, 1)")
    if height != width or height < SMALLEST:
        raise InputError(f"images: expected squares of at least {SMALLEST}x{SMALLEST} pixels, found {height}x{width}; "
                         "crop or resize them")
    check_floats("images", images.detach().cpu().numpy())


def generator(seed: int, name: str, severity: int, row: int) -> np.random.Generator:
    """The draws of one image, seeded by all four and nothing else."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*name.encode(), severity, row)))
