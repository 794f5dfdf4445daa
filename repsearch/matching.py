"""How different trained networks are in their weights, before and after their channels are put into the same order.

Hidden channels have no order of their own: a network whose channels are permuted computes the same, and is far away.
In the library's networks (`airbench.convnet`) no two convolutions share their output channels, for nothing is added
across them, so each has a permutation P of its own: W becomes P W P', with P' that of the convolution before. The
BatchNorm behind a convolution is permuted with it; pooling and GELU act on each channel alone; the head's inputs are
channels times positions. The whitening is no hidden layer: it is fixed, and the same for all networks of a data set.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from repsearch import checks
from repsearch.airbench import convnet
from repsearch.checks import InputError
from repsearch.data import Split
from repsearch.evaluation import check_model, logits
from repsearch.networks import Network, calibrate, device_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def parameter_distance(a: nn.Module, b: nn.Module) -> float:
    """norm(a - b) / sqrt(norm(a) norm(b)), over all trainable parameters of two networks of one architecture.

    0 if they are equal, sqrt(2) if orthogonal and of equal length. BatchNorm undoes the scale of the filters before
    it, so networks that compute the same can still differ in it.

    Raises:
        InputError: parameters that differ in name, shape or being trained; none that are; NaN or zeros alone.

    Example:
        >>> a, b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        >>> a.weight.data, b.weight.data = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
        >>> round(parameter_distance(a, b), 6)
        1.414214
    """
    _check_alike(a=a, b=b)
    vectors = []
    for name, network in (("a", a), ("b", b)):
        trained = [p.detach().cpu().double().flatten() for p in network.parameters() if p.requires_grad]
        vectors.append(torch.cat(trained) if trained else torch.zeros(0))
        if not bool(vectors[-1].any()):
            found = "zeros alone" if trained else "none"
            raise InputError(f"{name}: expected trainable parameters other than zero, found {found}; "
                             "undo requires_grad_(False), which calibrate does")
    return float((vectors[0] - vectors[1]).norm() / (vectors[0].norm() * vectors[1].norm()).sqrt())


def match(network: Network, to: Network, seed: int = 0) -> Network:
    """A copy of `network` that computes the same, with its hidden channels in the order that brings it nearest to `to`.

    Weight matching: each layer in turn gets the permutation that is best while the others stay (an assignment problem,
    solved exactly), until none changes. It starts from the order as it is, and from the one that suits each
    convolution's own filters, from the first to the last; the nearer end counts. A permuted copy of `to` is brought
    back to it; of other networks the end is a local optimum, and another `seed` may find another. Their
    `parameter_distance` never grows.

    Args:
        network: of `learn_network`, `search_network` or `convnet`, any width and number of groups.
        to: of the same architecture and with the same whitening, which means: made from the same training images.
        seed: decides the order in which layers take their turns.

    Raises:
        InputError: another kind of network, two that differ in architecture or whitening, or NaN weights.

    References: Ainsworth et al. 2023 (arXiv 2209.04836), algorithm 1.

    Example:
        >>> from repsearch import learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> a, b = learn_network(data, preset, seed=0), learn_network(data, preset, seed=1)
        >>> matched = match(a, to=b)
        >>> parameter_distance(matched, b) <= parameter_distance(a, b)
        True
    """
    for name, value in (("network", network), ("to", to)):
        _check_kind(name, value)
    _check_alike(network=network, to=to)
    own, other = (next(n.stem.parameters()).detach().cpu() for n in (network, to))
    if not torch.allclose(own, other, rtol=1e-4, atol=1e-4):  # the last bits depend on the processor
        raise InputError("to: expected the whitening filters of network, whose channels are not permuted, found "
                         "others; build both from the same training images")
    return _permuted(network, _nearest(network, to, torch.Generator().manual_seed(checks.seed(seed))))


def barrier(a: nn.Module, b: nn.Module, split: Split, images: Tensor, points: int = 11) -> float:
    """How far the loss rises above its straight line on the straight way from one network's weights to another's.

    max over alpha of L(theta_alpha) - (1 - alpha) L(a) - alpha L(b), with theta_alpha = (1 - alpha) a + alpha b and L
    the mean cross-entropy on `split`, in nats. 0 at least, for the ends are among the points. BatchNorm's running
    statistics are those of `images` at every point, the ends included: averaged ones fit no network between, and those
    of the training would make the ends another kind of network. Match channels first: `barrier(match(a, b), b, ...)`.

    Args:
        a: offers stem, blocks and head; stays as it is.
        b: of the same architecture.
        split: images and labels of the loss.
        images: one batch of training images (N, C, H, W) for the statistics; some hundreds are enough.
        points: how many alphas, evenly from 0 to 1, both included.

    Raises:
        InputError: networks that differ in architecture, or images that they do not take.

    References: Frankle et al. 2020 (arXiv 1912.05671); Jordan et al. 2023 (arXiv 2211.08403) for the statistics.

    Example:
        >>> from repsearch import learn_network, load, presets
        >>> data, preset = load("digits", train=100, validation=50, test=50), presets.smoke("digits")
        >>> a = learn_network(data, preset)
        >>> barrier(a, a, data.validation, data.train.images, points=3)
        0.0
    """
    _check_alike(a=a, b=b)
    checks.instance("split", split, Split, "give data.test, data.validation or data.train")
    checks.images("images", images)
    check_model(a, split)
    alphas = torch.linspace(0, 1, checks.positive_int("points", points, minimum=3), dtype=torch.float64)
    labels = split.labels.cpu()
    losses = torch.stack([
        F.cross_entropy(logits(_between(a, b, alpha, images), split.images).double(), labels)
        for alpha in alphas.tolist()
    ])
    return float((losses - torch.lerp(losses[0], losses[-1], alphas)).max())


@torch.no_grad()
def _between(a: nn.Module, b: nn.Module, alpha: float, images: Tensor) -> nn.Module:
    """The network at (1 - alpha) a + alpha b, with the BatchNorm statistics of `images`."""
    network = copy.deepcopy(a)
    for parameter, other in zip(network.parameters(), b.parameters(), strict=True):
        parameter.lerp_(other.to(parameter), alpha)  # exact at both ends, and where the two are equal
    return calibrate(network, images.to(device_of(network)), normalised=False)  # type: ignore[arg-type]


# --- permutations -----------------------------------------------------------------------------------------------------


Weights = Sequence[tuple[Tensor, Tensor]]
"""A layer: filters (outputs, inputs, positions), and what else belongs to their outputs (outputs, ...)."""


def _layers(network: Network) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The hidden convolutions, each with its BatchNorm, from the first to the last."""
    modules = list(network.blocks.modules())
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    return zip((module for module in modules if isinstance(module, nn.Conv2d)), norms, strict=True)


def _nearest(network: Network, to: Network, generator: torch.Generator) -> list[Tensor]:
    """The orders of all channels, the stem's to the logits', that bring `network` nearest to `to`; the ends stay.

    The descent has two starts. One is the order as it is. There it often stays: these networks start near the
    identity, and a layer that is permuted alone loses it on both sides. The other goes forwards once, each convolution
    by its own filters: it undoes any permutation of one and the same network.
    """
    own, wanted = _weights(network), _weights(to)
    as_it_is = [torch.arange(weight.shape[1]) for weight, _ in own] + [torch.arange(len(own[-1][0]))]
    forwards = list(as_it_is)
    for layer in range(1, len(own)):
        forwards[layer] = _assigned(_filter_gains(own, wanted, forwards, layer))
    ends = [_descended(own, wanted, start, generator) for start in (as_it_is, forwards)]
    return max(ends, key=lambda orders: _likeness(own, wanted, orders))


def _descended(own: Weights, wanted: Weights, orders: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Orders of which none can be bettered alone, reached from these, layer by layer."""
    orders, changed = list(orders), True
    while changed:
        changed = False
        for layer in (1 + torch.randperm(len(own) - 1, generator=generator)).tolist():
            (weight, _), (target, _) = own[layer], wanted[layer]
            below = weight[orders[layer + 1]].transpose(0, 1).flatten(1)
            gains = _filter_gains(own, wanted, orders, layer) + target.transpose(0, 1).flatten(1) @ below.T
            best, places = _assigned(gains), torch.arange(len(gains))
            gain = gains[places, best].sum() - gains[places, orders[layer]].sum()
            if float(gain) > 1e-9 * float(gains.abs().sum()):  # more than rounding, or it might never end
                orders[layer], changed = best, True
    return orders


def _filter_gains(own: Weights, wanted: Weights, orders: Sequence[Tensor], layer: int) -> Tensor:
    """[i, j]: inner product of filter j, its inputs in their order, with filter i of `wanted`, and of their BatchNorms.

    Permutations keep lengths, so the nearest weights are those of the largest inner product.
    """
    (weight, affine), (target, target_affine) = own[layer - 1], wanted[layer - 1]
    return target.flatten(1) @ weight[:, orders[layer - 1]].flatten(1).T + target_affine @ affine.T


def _assigned(gains: Tensor) -> Tensor:
    """Which channel to put in each place for the largest sum of gains [place, channel]."""
    return torch.from_numpy(linear_sum_assignment(gains.numpy(), maximize=True)[1])


def _likeness(own: Weights, wanted: Weights, orders: Sequence[Tensor]) -> float:
    """Inner product of all the weights in these orders with those wanted."""
    return sum(float(_filter_gains(own, wanted, orders, layer)[torch.arange(len(order)), order].sum())
               for layer, order in enumerate(orders[1:], start=1))


def _weights(network: Network) -> Weights:
    """Of each convolution its filters and its BatchNorm's weight and bias; of the head its weights, and nothing."""
    layers = list(_layers(network))
    head = network.head[1].weight.unflatten(1, (layers[-1][0].out_channels, -1))  # type: ignore[index]
    pairs = [(conv.weight.flatten(2), torch.stack([norm.weight, norm.bias], 1)) for conv, norm in layers]
    return [(w.detach().cpu().double(), a.detach().cpu().double()) for w, a in [*pairs, (head, head[:, 0, :0])]]


@torch.no_grad()
def _permuted(network: Network, orders: Sequence[Tensor]) -> Network:
    """A copy of the network with its channels in these orders, the stem's first; it computes the same."""
    network, device = copy.deepcopy(network), device_of(network)
    for (conv, norm), (inputs, order) in zip(_layers(network), itertools.pairwise(orders[:-1]), strict=True):
        conv.weight.copy_(conv.weight[order.to(device)][:, inputs.to(device)])
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if values is not None:  # statistics="batch" keeps none
                values.copy_(values[order.to(device)])
    weight = network.head[1].weight  # type: ignore[index]
    weight.copy_(weight.unflatten(1, (len(orders[-2]), -1))[:, orders[-2].to(device)].flatten(1))
    return network


# --- checks -----------------------------------------------------------------------------------------------------------


def _check_kind(name: str, network: Network) -> None:
    """Raise `InputError` unless a network has the parts of a `convnet`, whose permutations are known here."""
    checks.instance(name, network, Network, "give what repsearch.learn_network returns")
    groups = max(1, sum(isinstance(module, nn.Conv2d) for module in network.blocks.modules()) // 6)
    if _parts(network) != _parts(convnet(torch.zeros(1, 1, 9, 9), 2, 1, groups)):
        raise InputError(f"{name}: expected the parts of repsearch.convnet, of which is known what can be permuted, "
                         "found others; give what repsearch.learn_network returns")


def _parts(network: Network) -> tuple[list[tuple[str, type, int]], list[str]]:
    modules = [(name, type(module), getattr(module, "groups", 1)) for name, module in network.named_modules()]
    return modules, [name for name, _ in network.named_parameters()]


def _check_alike(**networks: nn.Module) -> None:
    """Raise `InputError` unless two networks have parameters of the same names and shapes, and finite ones."""
    for name, network in networks.items():
        checks.instance(name, network, nn.Module, "give a network")
        if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
            raise InputError(f"{name}: has NaN or infinite parameters; leave a training that diverged out")
    (first, expected), (second, found) = (
        (name, {key: (tuple(p.shape), p.requires_grad) for key, p in network.named_parameters()})
        for name, network in networks.items()
    )
    if found != expected:
        key = next(key for key in expected | found if found.get(key) != expected.get(key))
        raise InputError(f"{second}: expected the architecture of {first}, with {key} of {expected.get(key)} (shape, "
                         f"trained), found {found.get(key)}; build both from one preset")
