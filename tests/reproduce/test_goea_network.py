"""The source's network: its sizes, spectral norm against singular values, hidden labels against autograd."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods import Backprop
from repsearch.reproduce.goea.network import Masked, judge, masked_loss, network, settle, shown, train

CONFIG = rs.FitConfig(epochs=1, batch=20)
NORMED = (1, 5, 9, 12, 16)  # positions of the layers that are divided by their largest singular value


@pytest.fixture(scope="module")
def digits() -> rs.Dataset:
    return shown(rs.load("digits", train=100, validation=50, test=100))


def moved(seed: int = 0) -> nn.Sequential:
    """A network whose weights were moved by hand, and settled."""
    net = network(drop_in=0, drop=0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    settle(net)
    return net.eval()


def divided(net: nn.Sequential) -> nn.Sequential:
    """The same without spectral norm: weights divided by torch's own singular values."""
    plain = network(drop_in=0, drop=0, spectral=False)
    state = {name.replace("parametrizations.weight.original", "weight"): value.clone()
             for name, value in net.named_parameters()}
    for at in NORMED:
        state[f"{at}.weight"] /= torch.linalg.svdvals(state[f"{at}.weight"].flatten(1))[0]
    plain.load_state_dict(state)
    return plain.eval()


@pytest.mark.parametrize(("maps", "hidden", "count"), [
    (8, 24, 9854), (4, 12, 2596), (8, 12, 7370), (16, 24, 28714), (16, 48, 38386), (32, 48, 113354)])
def test_sizes_are_those_of_the_source(maps: int, hidden: int, count: int) -> None:
    for spectral in (True, False):
        assert sum(weight.numel() for weight in network(maps, hidden, spectral=spectral).parameters()) == count


def test_what_the_network_is_made_of() -> None:
    net = network()
    assert sum(value.numel() for value in net.state_dict().values()) == 10551  # with the singular vectors
    assert [module.p for module in net if isinstance(module, nn.Dropout)] == [0.1] * 5
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    before = torch.get_rng_state()
    same, other = network(seed=0), network(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(net[18].weight, same[18].weight) and not torch.equal(net[18].weight, other[18].weight)
    with pytest.raises(rs.InputError, match=r"maps=7: .* even number"):
        network(7)


def test_pixels_are_dropped_and_laid_out_channels_last() -> None:
    images = torch.randn(50, 1, 28, 28)
    pixels = network()[0]
    assert torch.equal(pixels.eval()(images), images)
    torch.manual_seed(0)
    dropped = pixels.train()(images)
    assert 0.05 < (dropped == 0).float().mean() < 0.15
    torch.testing.assert_close(dropped[dropped != 0], images[dropped != 0] / 0.9)
    assert network()[1](pixels(images)).is_contiguous(memory_format=torch.channels_last)


def test_settled_networks_are_divided_by_their_singular_values(digits: rs.Dataset) -> None:
    net, images = moved(), digits.test.images
    wanted = divided(net)(images)
    torch.testing.assert_close(net(images), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.train()(images), wanted, rtol=1e-4, atol=1e-5)
    # Moved on without being settled, it is another network: by how much depends on where it came from.
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(weight.flip(0))
    stale = net.eval()(images)
    settle(net)
    assert (stale - net(images)).abs().max() > 0.1
    torch.testing.assert_close(net(images), divided(net)(images), rtol=1e-4, atol=1e-5)


def test_images_are_28_wide_and_from_minus_one_to_one() -> None:
    data = rs.load("digits", train=100, validation=50, test=50)
    found = shown(data)
    for before, after in ((data.train, found.train), (data.validation, found.validation), (data.test, found.test)):
        pixels = data.pixels(before.images)[:, 2:30, 2:30].permute(0, 3, 1, 2)
        torch.testing.assert_close(after.images, (pixels - 0.5) / 0.5)
        assert torch.equal(after.labels, before.labels) and torch.equal(after.indices, before.indices)
    torch.testing.assert_close(found.pixels(found.test.images), data.pixels(data.test.images)[:, 2:30, 2:30])
    colour = torch.rand(20, 3, 28, 28)
    with pytest.raises(rs.InputError, match="expected grey images of 28x28"):
        shown(rs.from_tensors((colour, torch.arange(20) % 2), (colour, torch.arange(20) % 2)))


# --- hidden labels ----------------------------------------------------------------------------------------------------


def test_hidden_labels_count_for_nothing(digits: rs.Dataset) -> None:
    """The gradient is that of back-propagation on the images whose label is known."""
    images, labels = digits.train.images[:40], digits.train.labels[:40]
    net = moved()
    other, known = deepcopy(net), labels < 8
    step = Masked(8).step(net, Batch(images, labels, 0, 40), CONFIG)
    kept = Batch(images[known], labels[known], 0, int(known.sum()))
    wanted = Backprop().step(other, kept, CONFIG)
    torch.testing.assert_close(step.loss, wanted.loss)
    assert step.cost == 3 and step.logits is not None and step.logits.shape == (40, 10)
    for mine, its in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-4, atol=1e-6)
    ignored = torch.where(known, labels, -1)
    torch.testing.assert_close(step.loss, F.cross_entropy(step.logits, ignored, ignore_index=-1))


def test_a_batch_of_hidden_labels_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(4, 10, requires_grad=True)
    loss = masked_loss(logits, torch.tensor([8, 9, 9, 8]), 8)
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_training_ends_settled_and_stops_at_the_classes_it_knows(digits: rs.Dataset) -> None:
    net = network(drop_in=0, drop=0)
    history = train(net, digits, 20, batch=10, rate=0.05, known=4, momentum=0.9)
    loss, share = judge(net, digits.train, known=4)
    predicted = net(digits.train.images).argmax(1)
    assert predicted.max() < 4 and share == pytest.approx(float((predicted == digits.train.labels).float().mean()))
    assert 0.3 < share <= 0.4 + 1e-6 and max(history.validation_accuracy) <= 0.4 + 1e-6  # four classes of ten
    assert loss < 1 < judge(net, digits.train)[0]
    torch.testing.assert_close(net.eval()(digits.test.images), divided(net)(digits.test.images), rtol=1e-4, atol=1e-5)
