"""The paper's two networks (appendix A.1): cifar10-airbench, changed, as it is searched and as it is trained."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from repsearch import checks
from repsearch.checks import InputError
from repsearch.config import SearchConfig
from repsearch.data import Dataset
from repsearch.networks import Network, calibrate, own_settings
from repsearch.operators import image_generators, noisy


def convnet(
    images: Tensor,
    classes: int,
    width: int = 256,
    groups: int = 1,
    init: Literal["dirac", "residual"] = "dirac",
    head_init: Literal["kaiming", "torch"] = "kaiming",
    statistics: Literal["running", "batch"] = "running",
    seed: int = 0,
) -> Network:
    """The network of appendix A.1: whitening, three blocks of `groups` ConvGroups, a linear head.

    Args:
        images: training images (N, C, H, W), normalised; the whitening is computed from the first 5000.
        classes: number of classes.
        width: channels of every block.
        groups: ConvGroups a block, two convolutions each; the first one pools.
        init: of the convolutions; see `dirac_conv`.
        head_init: "kaiming" is `kaiming_uniform_` itself, "torch" its default for linear layers.
        statistics: BatchNorm uses "running" statistics at test time, or always those of the "batch" (literal).
        seed: decides the initial weights.

    Returns:
        A `Network`. For 32x32 images its search layers are width x 15 x 15, x 7 x 7, x 3 x 3, and the logits.

    Raises:
        InputError: images too small for three poolings, a width or a number of groups out of range.
    """
    checks.images("images", images)
    checks.positive_int("classes", classes, minimum=2)
    checks.positive_int("width", width)
    checks.positive_int("groups", groups)
    checks.one_of("init", init, ("dirac", "residual"))
    checks.one_of("head_init", head_init, ("kaiming", "torch"))
    checks.one_of("statistics", statistics, ("running", "batch"))
    seed = checks.seed(seed)
    sides = [(side - 1) // 8 for side in images.shape[2:]]
    if min(sides) < 1:
        found = f"{images.shape[2]}x{images.shape[3]}"
        raise InputError(f"images: {found} vanish in three poolings; expected 9x9 or larger")

    with own_settings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        filters = whitening_filters(images[:5000])
        stem_conv = nn.Conv2d(filters.shape[1], filters.shape[0], filters.shape[2], bias=False)
        stem_conv.weight = nn.Parameter(filters, requires_grad=False)
        blocks, channels = [], filters.shape[0]
        for _ in range(3):
            parts = []
            for group in range(groups):
                parts.append(conv_group(channels, width, group == 0, init, statistics == "running"))
                channels = width
            blocks.append(nn.Sequential(*parts))
        linear = nn.Linear(width * sides[0] * sides[1], classes, bias=False, device="meta").to_empty(device="cpu")
        kaiming_uniform_(linear.weight, math.sqrt(5))
        if head_init == "kaiming":
            kaiming_uniform_(linear.weight)
    return Network(nn.Sequential(stem_conv, nn.GELU()), blocks, nn.Sequential(nn.Flatten(), linear))


def conv_group(channels: int, width: int, pool: bool, init: str = "dirac", running: bool = False) -> nn.Sequential:
    """Conv3x3, MaxPool2x2 (if `pool`), BatchNorm, GELU, Conv3x3, BatchNorm, GELU; arguments as in `convnet`."""
    return nn.Sequential(
        dirac_conv(channels, width, init), *([nn.MaxPool2d(2)] if pool else []), batch_norm(width, running), nn.GELU(),
        dirac_conv(width, width, init), batch_norm(width, running), nn.GELU(),
    )


def dirac_conv(channels: int, width: int, init: str = "dirac") -> nn.Conv2d:
    """A same-padded 3x3 convolution without bias whose first `channels` filters are, or start from, the identity.

    "dirac" replaces them by the identity, as airbench does; the filters beyond `channels` keep torch's default, and
    with as many outputs as inputs there are none. "residual" adds the identity to a tenth of torch's default. Trained
    networks start so: where the margin of every image is the same, as in MNIST, a pure Dirac network has channels
    that are constant over a whole batch, and BatchNorm's gradient, divided by the square root of 1e-12, ends the
    training in its first step.
    """
    conv = nn.Conv2d(channels, width, 3, padding="same", bias=False, device="meta").to_empty(device="cpu")
    kaiming_uniform_(conv.weight, math.sqrt(5))
    with torch.no_grad():
        identity = nn.init.dirac_(torch.empty_like(conv.weight[:channels]))
        conv.weight[:channels] = identity if init == "dirac" else 0.1 * conv.weight[:channels] + identity
    return conv


def kaiming_uniform_(weight: Tensor, a: float = 0.0) -> None:
    """`torch.nn.init.kaiming_uniform_`, which in torch differs in its last bit between kinds of processors.

    Here the product is rounded once, as by torch where the processor multiplies and adds in one step: the same seed
    gives the same network everywhere.

    Args:
        weight: is filled.
        a: negative slope of the leaky ReLU that it is for; torch's layers take the square root of 5.
    """
    bound = math.sqrt(3.0) * nn.init.calculate_gain("leaky_relu", a) / math.sqrt(weight[0].numel())
    low, high = torch.tensor([-bound, bound]).double()
    with torch.no_grad():
        weight.copy_(torch.rand(weight.shape).double() * (high - low) + low)


def batch_norm(width: int, running: bool) -> nn.BatchNorm2d:
    """BatchNorm with eps 1e-12, its weight fixed at 1, its bias trained; batch statistics unless `running`."""
    norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4, track_running_stats=running)
    norm.weight.requires_grad_(False)
    return norm


def whitening_filters(images: Tensor, side: int = 2, eps: float = 5e-4) -> Tensor:
    """Filters that whiten the patches of images: eigenvectors over sqrt(eigenvalue + eps), with both signs (A.1).

    Args:
        images: (N, C, H, W), normalised.
        side: of a patch, in pixels.
        eps: added to each eigenvalue of the uncentred covariance.

    Returns:
        (2 * C * side**2, C, side, side). The first half, applied to the patches, gives uncorrelated features of
        mean square eigenvalue / (eigenvalue + eps).
    """
    channels = images.shape[1]
    patches = images.unfold(2, side, 1).unfold(3, side, 1).permute(0, 2, 3, 1, 4, 5)
    flat = patches.reshape(-1, channels * side * side).double()
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    # The sign of an eigenvector is arbitrary: fix it, so that every machine gets the same filters.
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    filters = (vectors * largest.sign() / (values + eps).sqrt()).T.flip(0)
    filters = filters.reshape(-1, channels, side, side).float()
    return torch.cat([filters, -filters])


class SearchSizes(Protocol):
    """What `search_network` takes of a preset."""

    @property
    def width(self) -> int: ...

    @property
    def search(self) -> SearchConfig: ...


class LearnSizes(Protocol):
    """What `learn_network` takes of a preset."""

    @property
    def width(self) -> int: ...

    @property
    def groups(self) -> int: ...

    @property
    def statistics(self) -> Literal["running", "batch"]: ...


def search_network(
    data: Dataset, preset: SearchSizes, seed: int = 0, head_init: Literal["kaiming", "torch"] = "kaiming"
) -> Network:
    """The network that is searched: one ConvGroup a block, never trained, statistics frozen (A.1).

    The statistics are those of noisy copies of the first 512 training images, which is what a search starts from.

    Args:
        data: its training images give the whitening and the calibration batch.
        preset: gives the width, and the noise on the calibration images.
        seed: decides the weights and that noise.
        head_init: see `convnet`.

    Example:
        >>> from repsearch import activations, load, presets
        >>> data = load("digits", train=100, validation=50, test=50)
        >>> network = search_network(data, presets.smoke("digits"))
        >>> [tuple(H.shape[1:]) for H in activations(network, data.train.images[:2])]
        [(16, 15, 15), (16, 7, 7), (16, 3, 3), (10,)]
    """
    checks.instance("data", data, Dataset, "give what repsearch.load returns")
    network = convnet(
        data.train.images, data.train.classes, preset.width, 1, head_init=head_init, statistics="running", seed=seed
    )
    generators = image_generators(seed, range(min(512, len(data.train))))
    with own_settings():
        copies = noisy(data.train.images[:512], preset.search.input_noise, generators)
    return calibrate(network, copies, preset.search.normalise)


def learn_network(
    data: Dataset,
    preset: LearnSizes,
    seed: int = 0,
    groups: int | None = None,
    statistics: Literal["running", "batch"] | None = None,
) -> Network:
    """The network that is trained: `preset.groups` ConvGroups a block, three (six convolutions) in the paper (A.1).

    Args:
        data: its training images give the whitening.
        preset: gives width and depth.
        seed: decides the weights.
        groups: ConvGroups a block, if not the preset's.
        statistics: what BatchNorm uses at test time, if not the preset's: "running" statistics, or, as written in the
            paper, those of the "batch": an image's prediction then depends on the images beside it.
    """
    checks.instance("data", data, Dataset, "give what repsearch.load returns")
    return convnet(
        data.train.images, data.train.classes, preset.width, preset.groups if groups is None else groups, "residual",
        statistics=statistics or preset.statistics, seed=seed,
    )
