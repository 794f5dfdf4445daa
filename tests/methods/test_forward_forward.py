"""Forward-Forward against closed forms, autograd layer by layer, and a network whose goodness is known by hand."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from nets import StopHereError, stop
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import repsearch as rs
from repsearch.method import Batch, Step
from repsearch.methods import Backprop, ForwardForward
from repsearch.methods._goodness import Goodness, direction
from repsearch.methods.forward_forward import contrast, cost, wrong_labels

CONFIG = rs.FitConfig(epochs=1, batch=20)
SIZES = (48, 9, 8, 7)
CLASSES = 4


def batch_of(size: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(2)
    return Batch(torch.randn(size, 3, 4, 4, generator=generator), torch.arange(size) % CLASSES, 0, size)


def started(net: Goodness, seed: int = 5, theta: float = 1.0) -> ForwardForward:
    method = ForwardForward(theta)
    method.start(net, None, CONFIG, seed)  # type: ignore[arg-type]
    return method


def gradients(net: Goodness, seed: int = 5, theta: float = 1.0) -> dict[str, Tensor]:
    """What one step leaves, by name."""
    net.zero_grad()
    started(net, seed, theta).step(net, batch_of(), CONFIG)
    return {name: weight.grad.clone() for name, weight in net.named_parameters() if weight.grad is not None}


def wrong(seed: int = 5) -> Tensor:
    """The labels that the first step draws."""
    return wrong_labels(batch_of().labels, CLASSES, torch.Generator().manual_seed(seed))


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_the_loss_at_the_threshold_and_its_slopes() -> None:
    at = torch.full((5,), 3.0)
    assert float(contrast(at, at, theta=3.0)) == pytest.approx(2 * math.log(2), rel=1e-6)
    right, other = torch.tensor([1.0, 4.0, 2.5], requires_grad=True), torch.tensor([0.0, 3.0, 5.0], requires_grad=True)
    up, down = torch.autograd.grad(contrast(right, other, theta=2.0), [right, other])
    torch.testing.assert_close(up, -torch.sigmoid(2.0 - right.detach()) / 3)
    torch.testing.assert_close(down, torch.sigmoid(other.detach() - 2.0) / 3)


@pytest.mark.parametrize("theta", [0.3, 1.0])
def test_the_gradient_of_a_layer_in_closed_form(theta: float) -> None:
    """Of a linear layer and ReLU: the mean of -s(theta - g+) 2 h+ x+^T + s(g- - theta) 2 h- x-^T."""
    net, batch = Goodness(SIZES, CLASSES, seed=1), batch_of()
    found = gradients(net, theta=theta)
    assert list(found) == [name for name, _ in net.named_parameters()]
    inputs = []
    for labels in (batch.labels, wrong()):
        x = batch.images.flatten(1).clone()
        x[:, :CLASSES] = 0
        x[torch.arange(6), labels] = math.sqrt(48) / 3
        inputs.append(x)
    for number, width in enumerate(SIZES[1:]):
        W, b = net.layers[number].weight.detach(), net.layers[number].bias.detach()
        wanted, slopes = torch.zeros_like(W), torch.zeros_like(b)
        for sign, x in zip((1, -1), inputs, strict=True):
            u = x / x.square().mean(1, keepdim=True).sqrt()
            h = (u @ W.T + b).clamp_min(0)
            pull = -sign * torch.sigmoid(sign * (theta * width - h.square().sum(1)))
            wanted += torch.einsum("b,bi,bj->ij", pull, 2 * h, u) / 6
            slopes += (pull[:, None] * 2 * h).mean(0)
            x.resize_(h.shape).copy_(h)
        torch.testing.assert_close(found[f"layers.{number}.weight"], wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found[f"layers.{number}.bias"], slopes, rtol=1e-4, atol=1e-6)
        assert float(wanted.abs().max()) > 1e-3


def test_no_gradient_reaches_another_layer() -> None:
    net = Goodness(SIZES, CLASSES, predict="head", seed=1)
    before = gradients(net)
    for number in range(3):
        changed = deepcopy(net)
        with torch.no_grad():
            changed.layers[number].weight.mul_(1.5)
        after = gradients(changed)
        same = {name for name in before if torch.equal(before[name], after[name])}
        assert same == {f"layers.{earlier}.{kind}" for earlier in range(number) for kind in ("weight", "bias")}
    # A head changes nothing for the layers, whatever it says, and hears of its own loss alone.
    bare = Goodness(SIZES, CLASSES, seed=1)
    bare.load_state_dict({name: value for name, value in net.state_dict().items() if "head" not in name})
    assert all(torch.equal(value, before[name]) for name, value in gradients(bare).items())
    assert net.head is not None
    loss = F.cross_entropy(net(batch_of().images), batch_of().labels)
    for name, one in zip(("weight", "bias"), torch.autograd.grad(loss, list(net.head.parameters())), strict=True):
        torch.testing.assert_close(before[f"head.{name}"], 10 * one)


def test_a_layer_sees_no_length() -> None:
    net, x = Goodness(SIZES, CLASSES, seed=1), batch_of().images.flatten(1)
    h = net.activities(x)
    assert all(torch.equal(one, other) for one, other in zip(h, net.activities(4 * x), strict=True))
    with torch.no_grad():
        net.layers[0].weight.mul_(8)
    longer = net.activities(x)
    assert torch.equal(longer[0], 8 * h[0]) and torch.equal(longer[1], h[1]) and torch.equal(longer[2], h[2])
    torch.testing.assert_close(direction(h[0]).square().mean(1), torch.ones(6))  # so no goodness can be read off it
    assert float(h[0].detach().square().sum(1).std()) > 0.1


# --- labels -----------------------------------------------------------------------------------------------------------


def test_wrong_labels_are_wrong_and_all_others_as_likely() -> None:
    labels, generator = torch.arange(9000) % 3, torch.Generator().manual_seed(0)
    drawn, again = (wrong_labels(labels, 3, generator) for _ in range(2))
    for number in range(3):
        counts = drawn[labels == number].bincount(minlength=3)
        assert counts[number] == 0 and counts.sum() == 3000
        assert abs(int(counts[(number + 1) % 3]) - 1500) < 4 * math.sqrt(3000) / 2
    assert not torch.equal(drawn, again)
    assert torch.equal(wrong_labels(torch.tensor([0, 1, 1]), 2, generator), torch.tensor([1, 0, 0]))


def test_each_step_draws_wrong_labels_anew() -> None:
    net = Goodness(SIZES, CLASSES, seed=1)
    one, other = started(net), started(net)
    first, second = (one.step(net, batch_of(), CONFIG).loss.item() for _ in range(2))
    assert first != second
    assert [other.step(net, batch_of(), CONFIG).loss.item() for _ in range(2)] == [first, second]
    assert started(net, seed=6).step(net, batch_of(), CONFIG).loss.item() not in (first, second)


def test_a_label_takes_the_place_of_the_first_numbers() -> None:
    net, images = Goodness(SIZES, CLASSES), batch_of(2).images
    before = images.clone()
    seen, blank, strength = net.labelled(images, torch.tensor([2, 0])), net.neutral(images), math.sqrt(48) / 3
    torch.testing.assert_close(seen[:, :4], torch.tensor([[0, 0, strength, 0], [strength, 0, 0, 0]]))
    torch.testing.assert_close(blank[:, :4], torch.full((2, 4), strength / 4))
    for inputs in (seen, blank):
        assert torch.equal(inputs[:, 4:], images.flatten(1)[:, 4:])
    assert torch.equal(images, before)


# --- predictions ------------------------------------------------------------------------------------------------------


def by_hand(predict: str = "goodness") -> Goodness:
    """Its first layer sees the label alone, one unit a class; then they are weighed, 2 to 3 and 1 to 5."""
    net = Goodness((4, 2, 2, 2), 2, predict)
    net.load_state_dict({
        **net.state_dict(), "layers.0.weight": torch.eye(2, 4), "layers.1.weight": torch.diag(torch.tensor([2.0, 3.0])),
        "layers.2.weight": torch.diag(torch.tensor([1.0, 5.0])),
    })
    return net


def test_prediction_by_goodness_of_a_network_made_by_hand() -> None:
    """With label 0 the directions are (sqrt 2, 0) throughout: 4 * 2 + 1 * 2; with label 1 (0, sqrt 2): 9 * 2 + 25 * 2.

    The first layer, which would add a number that depends on the image, does not count."""
    images = torch.tensor([0.0, 0.0, 1.0, 2.0, 5.0, -5.0, 0.0, 0.1]).view(2, 1, 2, 2)
    torch.testing.assert_close(by_hand()(images), torch.tensor([[10.0, 68.0]]).expand(2, 2))


def test_prediction_by_a_head_of_a_network_made_by_hand() -> None:
    """The neutral label gives directions (1, 1), then (2, 3) and (2, 15) brought to a mean square of one."""
    net, (a, b) = by_hand("head"), (math.sqrt(13 / 2), math.sqrt(229 / 2))
    net.load_state_dict({**net.state_dict(), "head.weight": torch.tensor([[1.0, 2, 3, 4], [0, 0, 0, 1]]),
                         "head.bias": torch.tensor([0.5, 0.0])})
    wanted = torch.tensor([[8 / a + 66 / b + 0.5, 15 / b]])
    torch.testing.assert_close(net(torch.rand(1, 1, 2, 2)), wanted)


# --- what it costs, keeps and learns ----------------------------------------------------------------------------------


def counted(net: Goodness) -> float:
    """Multiply-adds of a prediction."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 4, 4))
    return counter.get_total_flops() / 2


def test_cost_in_closed_form(digits: rs.Dataset) -> None:
    layers, head = 48 * 9 + 9 * 8 + 8 * 7, (8 + 7) * 4
    plain, headed = Goodness(SIZES, CLASSES), Goodness(SIZES, CLASSES, predict="head")
    assert counted(plain) == CLASSES * layers and counted(headed) == layers + head
    assert cost(plain) == 6 and cost(headed) == pytest.approx((7 * layers + 3 * head) / (layers + head))
    net = ForwardForward.Net((1024, 16, 16), 10)
    assert rs.fit(net, digits, ForwardForward(), CONFIG, progress=False).spent == [400 * 6.0]


def test_what_a_step_says() -> None:
    for predict in ("goodness", "head"):
        net = Goodness(SIZES, CLASSES, predict, seed=1)
        done: Step = started(net).step(net, batch_of(), CONFIG)
        assert list(done.parts) == ["layer1", "layer2", "layer3"] + ["head"] * (predict == "head")
        weights = {"head": 10.0}
        assert done.loss.item() == pytest.approx(sum(weights.get(name, 1.0) * part.item() for name, part in done.parts.items()))
        if predict == "head":
            assert done.logits is not None and torch.equal(done.logits, net(batch_of().images))
        else:
            assert done.logits is None


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (Goodness((1024, 64, 32), 10, seed=seed).layers[0].weight for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert float(one.detach().square().mean()) == pytest.approx(2 / 1024, rel=0.02)


def test_it_resumes_to_the_same_bytes(digits: rs.Dataset, tmp_path: Path) -> None:
    config, path = rs.FitConfig(epochs=4, batch=50, learning_rate=0.001, keep="last"), tmp_path / "c.pt"

    def net() -> Goodness:
        return ForwardForward.Net((1024, 16, 12), 10, "head")

    whole, halves, again = net(), net(), net()
    undisturbed = rs.fit(whole, digits, ForwardForward(), config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(halves, digits, ForwardForward(), config, checkpoint=path, progress=False, watch=stop)
    assert rs.fit(again, digits, ForwardForward(), config, checkpoint=path, progress=False) == undisturbed
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))
    with pytest.raises(rs.InputError, match=r"of another training \(theta 1.0 there, 2.0 here\)"):
        rs.fit(net(), digits, ForwardForward(2.0), config, checkpoint=path, progress=False)


def test_it_learns_more_than_untrained_layers_know(digits: rs.Dataset) -> None:
    """By goodness more than it says before, and by a head more than one on layers that stay as they are."""
    config = rs.FitConfig(epochs=8, batch=25, learning_rate=0.001, momentum=0.9)
    nets = [ForwardForward.Net((1024, 64, 24), 10, predict) for predict in ("goodness", "head", "head")]
    nets[-1].layers.requires_grad_(False)
    before = rs.accuracy(nets[0], digits.validation)
    found = [max(rs.fit(net, digits, ForwardForward(), config, progress=False).validation_accuracy) for net in nets]
    assert found[0] > before + 0.3 and found[1] > found[2] + 0.05, (before, found)


def test_bad_input(digits: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match=r"model: Network reads no labels.*train repsearch\.methods\.ForwardForward\.Net\(sizes"):
        rs.fit(rs.learn_network(digits, rs.presets.smoke()), digits, ForwardForward(), CONFIG, progress=False)
    net = ForwardForward.Net((1024, 8, 8), 10)
    with pytest.raises(rs.InputError, match=r"precision='bfloat16': .*use 'float32'"):
        rs.fit(net, digits, ForwardForward(), replace(CONFIG, precision="bfloat16"), progress=False)
    with pytest.raises(rs.InputError, match="network: cannot take images of shape"):
        rs.fit(ForwardForward.Net((100, 8, 8), 10), digits, ForwardForward(), CONFIG, progress=False)
    with pytest.raises(rs.InputError, match=r"its head gives \(9,\) an image; expected \(10,\)"):
        rs.fit(ForwardForward.Net((1024, 8, 8), 9), digits, ForwardForward(), CONFIG, progress=False)
    for name in ("theta", "head_weight"):
        with pytest.raises(rs.InputError, match=f"{name}=0: expected a finite number above zero"):
            ForwardForward(**{name: 0})
    for sizes, classes, predict, message in (
        ((1024, 8), 10, "goodness", "expected numbers of an image, then units of two hidden layers or more"),
        ((10, 8, 8), 10, "goodness", "10 numbers of an image leave no room beside a label of 10 classes"),
        ((1024, 0, 8), 10, "goodness", "sizes=0: expected a whole number"),
        ((1024, 8, 8), 1, "goodness", "classes=1: expected a whole number of at least 2"),
        ((1024, 8, 8), 10, "labels", "predict='labels': unknown; choose one of goodness, head"),
    ):
        with pytest.raises(rs.InputError, match=message):
            ForwardForward.Net(sizes, classes, predict)


def test_any_method_trains_the_network(digits: rs.Dataset) -> None:
    """`Backprop` reaches only the last layer and the head of it."""
    net = ForwardForward.Net((1024, 16, 16), 10, "head")
    before = deepcopy(net.state_dict())
    rs.fit(net, digits, Backprop(), replace(CONFIG, learning_rate=0.1, keep="last"), progress=False)
    moved = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == ["head.weight", "head.bias"]
