"""Flatness, dropout and transfer of the networks of greedy evolution's papers: by hand, and against closed forms."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch import presets
from repsearch.evaluation import logits
from repsearch.reproduce.goea import flatness, transfer
from repsearch.reproduce.goea.flat_settings import SERIES, flatness_setup, transfer_setup
from repsearch.reproduce.goea.flatness import Net, Setup, Training, curve, direction, judged, under_dropout
from repsearch.reproduce.goea.network import network
from repsearch.reproduce.samples import Sample, generator_of

SETUP = Setup(Sample("digits", 400, 50, 200), (Net("one", 8, 24, Training(batch=8, epochs=3)),), (0.5, 1.0), 2)
LAYERS = (1, 5, 9, 12, 16, 18)  # of the network, with weights


@pytest.fixture(scope="module")
def data() -> rs.Dataset:
    return SETUP.images(None, 0)[0]


@pytest.fixture(scope="module")
def split(data: rs.Dataset) -> rs.Split:
    return data.test[:100]


@pytest.fixture(scope="module")
def net(data: rs.Dataset) -> nn.Sequential:
    """With spectral norm."""
    return flatness.trained(SETUP.nets[0], data, 0)


@pytest.fixture(scope="module")
def plain() -> nn.Sequential:
    """Without it, and with weights so large that noise is felt."""
    made = network(4, 12, 0, 0, seed=1, spectral=False)
    with torch.no_grad():
        for weight in made.parameters():
            weight *= 2.5
    return made


# --- directions -------------------------------------------------------------------------------------------------------


def test_a_step_of_a_filter_is_as_long_as_the_filter(net: nn.Sequential) -> None:
    steps = direction(net, "filter", torch.Generator().manual_seed(3))
    for weight, step in zip(net.parameters(), steps, strict=True):
        if weight.ndim == 1:
            assert not step.any()
            continue
        for kernel, part in zip(weight.detach(), step, strict=True):
            assert math.sqrt(part.double().square().sum()) == pytest.approx(math.sqrt(kernel.double().square().sum()), rel=1e-6)


def test_the_other_scale_is_the_mean_size_of_a_tensor(net: nn.Sequential) -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = [direction(net, "tensor-mean", generator) for _ in range(300)]
    for number, weight in enumerate(net.parameters()):
        sizes = torch.stack([steps[number] for steps in drawn]) / weight.detach().abs().mean()
        assert float(sizes.std()) == pytest.approx(1, abs=5 / math.sqrt(2 * sizes.numel()))
        assert float(sizes.mean()) == pytest.approx(0, abs=5 / math.sqrt(sizes.numel()))
    with pytest.raises(rs.InputError, match="scale"):
        direction(net, "layer", generator)


def rescaled(net: nn.Sequential, first: int, factors: torch.Tensor) -> nn.Sequential:
    """The same function: units of a layer times factors, and the next layer's weights divided by them."""
    made, following = copy.deepcopy(net), LAYERS[LAYERS.index(first) + 1]
    with torch.no_grad():
        made[first].weight *= factors.view(-1, *[1] * (made[first].weight.ndim - 1))
        made[first].bias *= factors
        made[following].weight /= factors.view(1, -1, *[1] * (made[following].weight.ndim - 2))
    return made


def fixed(net: nn.Sequential, split: rs.Split, std: float) -> float:
    """Loss with noise of one standard deviation on all weights."""
    made, generator = copy.deepcopy(net), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight += std * torch.randn(weight.shape, generator=generator)
    return judged(made, split)["known"]["loss"]


@pytest.mark.parametrize("first", [9, 16])  # of the last two convolutions, and of the linear layers
def test_what_relu_lets_rescale_changes_no_curve(plain: nn.Sequential, split: rs.Split, first: int) -> None:
    units = len(plain[first].bias)
    same = rescaled(plain, first, torch.full((units,), 8.0))
    other = rescaled(plain, first, torch.logspace(-1, 1, units))
    for changed in (same, other):
        torch.testing.assert_close(logits(changed, split.images), logits(plain, split.images), rtol=1e-4, atol=1e-4)
    for scale in flatness.SCALES:
        before, after, uneven = (curve(each, split, scale, (0.8,), 3, 0)["loss"][0] for each in (plain, same, other))
        assert after == pytest.approx(before, rel=1e-3)
        assert uneven != pytest.approx(before, rel=0.02)
    assert fixed(same, split, 0.2) != pytest.approx(fixed(plain, split, 0.2), rel=0.02)


# --- curves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", flatness.SCALES)
def test_a_curve_is_what_weights_written_out_give(net: nn.Sequential, split: rs.Split, scale: str) -> None:
    """Each layer divided by its largest singular value, as LAPACK has it; means and spread over directions."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = curve(net, split, scale, (0.0, 0.6), 2, 4)
    generator, losses, shares = generator_of(4), [], []
    for _ in range(2):
        names = [name for name, _ in net.named_parameters()]
        steps = dict(zip(names, direction(net, scale, generator), strict=True))
        at = {name: value.detach() + 0.6 * steps[name] for name, value in net.named_parameters()}
        x = split.images
        for layer in LAYERS:
            if layer == 18:
                x = F.linear(x, at["18.weight"], at["18.bias"])
                continue
            W = at[f"{layer}.parametrizations.weight.original"]
            W = W / torch.linalg.matrix_norm(W.flatten(1), 2)
            if layer == 16:
                x = F.linear(x.flatten(1), W, at["16.bias"]).relu()
            else:
                x = F.conv2d(x, W, at[f"{layer}.bias"], padding=W.shape[-1] // 2).relu()
                x = F.max_pool2d(x, 2) if layer < 9 else x
        known = split.labels < 8
        losses.append(float(F.cross_entropy(x[known], split.labels[known])))
        right = x.argmax(1) == split.labels
        shares.append([float(right[known].float().mean()), float(right.float().mean())])
    assert found["loss"][1] == pytest.approx(sum(losses) / 2, rel=1e-4)
    assert [found["accuracy"][1], found["all"][1]] == pytest.approx(torch.tensor(shares).mean(0).tolist())
    assert found["spread"][1] == pytest.approx(abs(shares[0][0] - shares[1][0]) / math.sqrt(2), abs=1e-6)
    here = judged(net, split)
    assert found["loss"][0] == pytest.approx(here["known"]["loss"], rel=1e-5) and found["spread"][0] == 0
    assert [found["accuracy"][0], found["all"][0]] == pytest.approx([here["known"]["accuracy"], here["all"]["accuracy"]])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items() if "_" not in name.split(".")[-1])


def test_far_from_its_weights_a_network_guesses(net: nn.Sequential, split: rs.Split) -> None:
    found = curve(net, split, "filter", (0.0, 50.0), 6, 0)
    assert found["accuracy"][0] > 0.5 > 0.3 > found["accuracy"][1]


# --- hidden labels ----------------------------------------------------------------------------------------------------


class Told(nn.Module):
    """Reads an image's label off its first pixel, and never says 8 or 9."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(30.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.size * F.one_hot(images[:, 0, 0, 0].long() % 8, 10)


def test_who_knows_eight_classes_has_their_share_as_ceiling(split: rs.Split) -> None:
    images = split.images.clone()
    images[:, 0, 0, 0] = split.labels.float()
    found = judged(Told(), replace(split, images=images))
    assert [found[name]["accuracy"] for name in ("known", "new", "all")] == pytest.approx([1, 0, 0.8])
    assert [found[name]["loss"] for name in ("known", "new", "all")] == pytest.approx([0, 30, 6], abs=1e-6)


def test_hidden_labels_are_not_seen(data: rs.Dataset, net: nn.Sequential) -> None:
    labels = torch.where(data.train.labels == 8, 9, data.train.labels)
    again = flatness.trained(SETUP.nets[0], replace(data, train=replace(data.train, labels=labels)), 0)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    seen = torch.where(data.train.labels == 7, 6, data.train.labels)
    other = flatness.trained(SETUP.nets[0], replace(data, train=replace(data.train, labels=seen)), 0)
    assert not torch.equal(other[18].weight, net[18].weight)


def test_batches_know_all_mixtures_of_classes(data: rs.Dataset) -> None:
    known = SETUP.sample.load(None, 0).train
    assert data.train.labels.bincount().tolist() == known.labels.bincount().tolist()
    fours = {tuple(sorted(four)) for four in data.train.labels.view(-1, 4).tolist()}
    assert len(fours) > 60 and not torch.equal(data.train.labels, known.labels)


# --- dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", [0.25, 0.5])
def test_dropout_of_one_pixel_has_a_closed_form(drop: float) -> None:
    """One pixel says class 0. It survives with probability q = .9 (1 - drop), and is then 1/q as bright."""
    net = nn.Sequential(network()[0], nn.Flatten(), nn.Dropout(0.0), nn.Linear(1, 10))
    with torch.no_grad():
        net[3].weight.zero_()[0] = 2
        net[3].bias.zero_()[0] = -1
    labels = torch.tensor([0, 9]).repeat(20_000)  # half of them don't count
    images = rs.Split(torch.ones(len(labels), 1, 1, 1), labels, 10, range(len(labels)))
    q = 0.9 * (1 - drop)
    loss = q * math.log(1 + 9 * math.exp(1 - 2 / q)) + (1 - q) * math.log(1 + 9 * math.e)
    found = under_dropout(net, images, drop)
    assert found["accuracy"] == pytest.approx(q, abs=0.015) and found["loss"] == pytest.approx(loss, rel=0.015)


def test_dropout_leaves_the_network_as_it_was(net: nn.Sequential, split: rs.Split) -> None:
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    noisy = under_dropout(net, split, 0.5, seed=1)
    assert noisy == under_dropout(net, split, 0.5, seed=1) != under_dropout(net, split, 0.5, seed=2)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and [net[i].p for i in (0, 4, 15)] == [0.1, 0.1, 0.1]
    calm, known = under_dropout(net, split, 0, drop_in=0), judged(net, split)["known"]
    assert calm["loss"] == pytest.approx(known["loss"], rel=1e-5) and noisy["loss"] > calm["loss"]


# --- transfer, and records --------------------------------------------------------------------------------------------


def test_labels_that_are_shown_are_learned(net: nn.Sequential, data: rs.Dataset) -> None:
    before = copy.deepcopy(net.state_dict())
    found = transfer.revealed(net, data, data.test, Training(batch=8, epochs=3, drop=0), 0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert found[0] == judged(net, data.test) and len(found) == 4
    assert found[0]["new"]["accuracy"] == 0 < 0.3 < found[-1]["new"]["accuracy"]
    assert found[0]["all"]["accuracy"] < 0.7 < found[-1]["all"]["accuracy"]


def test_networks_of_a_figure_differ_in_one_thing() -> None:
    base = next(net for net in SERIES if net.name == "base")
    for net in SERIES:
        how, its = net.training, base.training
        differ = {"size": (net.maps, net.hidden) != (base.maps, base.hidden),
                  "dropout": (how.drop_in, how.drop) != (its.drop_in, its.drop),
                  "batch": (how.batch, how.rate) != (its.batch, its.rate), "epochs": how.epochs != its.epochs}
        assert [name for name, does in differ.items() if does] == ([] if net == base else [net.name.split()[0]])
    assert len(SERIES) == len({net.name for net in SERIES}) == 11


def test_a_record_holds_what_the_figures_need() -> None:
    """The archetypes' numbers of weights are those counted by hand."""
    setup = transfer_setup(presets.smoke("digits"), "archetypes", None)
    found = transfer.run(setup, 1)
    assert json.loads(json.dumps(found["nets"])) == found["nets"]
    assert {name: one["weights"] for name, one in found["nets"].items()} == {
        "Robust Wide": 38_386, "Brittle Narrow": 2_596, "Brittle Wide": 38_386}
    for name, one in found["nets"].items():
        assert list(one["dropout"]) == ["0.1", "0.25", "0.5"] and list(one["curves"]) == list(flatness.SCALES)
        assert {len(values) for curves in one["curves"].values() for values in curves.values()} == {3}
        own, alike = one["transfer"]["own"], one["transfer"]["alike"]
        assert own[0] == alike[0] == one["judged"] and len(own) == len(alike) == 4
        assert ["curves" in after for after in own] == [False, *[name == "Brittle Wide"] * 3]
        assert not any("curves" in after for after in alike)


def test_trials_are_judged_on_validation_images() -> None:
    setup = flatness_setup(presets.smoke("digits"), "rates", None)
    setup = replace(setup, nets=setup.nets[3:5])
    found = flatness.run(setup, 0)
    data, split = setup.images(None, 0)
    assert split is data.validation and set(found["nets"]) == {net.name for net in setup.nets}
    trained = flatness.trained(setup.nets[0], data, 0)
    assert found["nets"][setup.nets[0].name]["judged"] == judged(trained, data.validation)
    with pytest.raises(rs.InputError, match="variant"):
        flatness_setup(presets.smoke("digits"), "archetypes", None)
