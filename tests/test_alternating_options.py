"""How rounds of search and learning may be run: from the network's own activations, by other judges, crossed, warm."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import repsearch as rs
from repsearch.cost import multiply_adds
from repsearch.engine.threads import one_thread
from repsearch.moves import moves
from repsearch.networks import activations, layer_names, rest
from repsearch.operators import normalise
from repsearch.presets import Preset
from repsearch.remade import of_some_images
from repsearch.round_images import halves_of, images_of
from repsearch.rounds import AlternateConfig


@pytest.fixture(scope="module")
def config(preset: Preset) -> AlternateConfig:
    return replace(preset.alternate, rounds=2, generations=(2, 1, 1, 1), epochs=2)


def run(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, store: Path | None = None
) -> tuple[rs.Rounds, nn.Module]:
    model = rs.learn_network(data, preset)
    return rs.alternate(rs.search_network(data, preset), model, data, config, store=store, progress=False), model


@pytest.fixture(scope="module")
def plain(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> rs.Rounds:
    return run(data, preset, config)[0]


def as_after_round_0(data: rs.Dataset, preset: Preset, config: AlternateConfig, rounds: rs.Rounds) -> rs.Network:
    model = rs.learn_network(data, preset)
    rs.learn(model, data, rounds[0].targets, config.learn, progress=False)
    return model


def searchable(model: nn.Module, data: rs.Dataset, config: AlternateConfig) -> rs.Network:
    generators = rs.operators.image_generators(0, range(len(data.train)))
    with one_thread():
        return rs.calibrate(copy.deepcopy(model), rs.operators.noisy(data.train.images, config.input_noise, generators))  # type: ignore[arg-type]


def without_batch_norm(seed: int) -> rs.Network:
    torch.manual_seed(seed)
    blocks = [nn.Sequential(nn.Conv2d(n, 8, 3), nn.MaxPool2d(2), nn.GELU()) for n in (1, 8, 8)]
    return rs.Network(nn.Identity(), blocks, nn.Sequential(nn.Flatten(), nn.Linear(32, 10)))


def test_without_generations_nothing_is_left_to_learn(data: rs.Dataset, config: AlternateConfig) -> None:
    """Targets are the network's own activations and logits: the gradient is zero, and the weights stay."""
    learn = replace(config.learn, weight_decay=0, keep="last")
    none, seen = replace(config, generations=(0, 0, 0, 0), learn=learn), list[list[Tensor]]()
    model = without_batch_norm(1)
    rounds = rs.alternate(without_batch_norm(0), model, data, none, progress=False,
                          watch=lambda _, now: seen.append([p.detach().clone() for p in now.parameters()]))
    with torch.no_grad():
        own = activations(model, data.train.images)
    for name, H in zip(layer_names(model), own, strict=True):
        assert torch.allclose(rounds[1].targets.read(name), H, atol=2e-3)  # they are kept in float16
    assert all(abs(loss) < 1e-6 for part in rounds[1].history.parts.values() for loss in part)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*seen, strict=True))


def test_the_untrained_network_judges(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    """What is said of each block's best is its cross-entropy behind the untrained network's later blocks."""
    rounds, _ = run(data, preset, replace(config, judges="untrained"))
    network, targets = rs.search_network(data, preset), rounds[1].targets
    for block in range(3):
        loss = F.cross_entropy(rest(network, block, targets.read(f"block{block}")), data.train.labels)
        assert float(loss) == pytest.approx(rounds[1].after[f"block{block}"], abs=5e-3)
    trained = searchable(as_after_round_0(data, preset, config, rounds), data, config)
    from_best = rest(network, 1, normalise(trained.blocks[1](targets.read("block0"))))  # begins at the trained block's
    assert float(F.cross_entropy(from_best, data.train.labels)) == pytest.approx(rounds[1].before["block1"], abs=5e-3)


def test_crossed_networks_search_images_that_they_were_not_trained_on(
    data: rs.Dataset, preset: Preset, config: AlternateConfig
) -> None:
    """By hand, from the parts."""
    rounds, _ = run(data, preset, replace(config, crossed=True))
    (even, first), (odd, second) = halves_of(data)
    assert torch.equal(torch.cat([even, odd]).sort().values, torch.arange(len(data.train)))
    assert torch.equal(*(torch.bincount(half.train.labels, minlength=10) for half in (first, second)))
    for rows, trained_on, (others, searched) in ((even, first, (odd, second)), (odd, second, (even, first))):
        model = rs.learn_network(data, preset)
        rs.learn(model, trained_on, of_some_images(rounds[0].targets, rows, trained_on.train), config.learn, progress=False)
        network = searchable(model, trained_on, config)
        found = rs.search(network, searched.train, config.search_of(1), progress=False)
        for layer in found.layers:
            assert torch.equal(rounds[1].targets.read(layer)[others], found.read(layer))
            assert torch.equal(rounds[1].targets.cross_entropy(layer)[others], found.cross_entropy(layer))


def test_augmented_rounds_search_and_train_on_other_images_each(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, tmp_path: Path
) -> None:
    """Round 0 on the plain ones; each later search is of images of its own, which are the plain ones flipped and cropped."""
    own = replace(config, rounds=3, augment=True)
    rounds, _ = run(data, preset, own, tmp_path)
    plain = data.train.images
    seen = [images_of(number, data, own, seed=0) for number in range(3)]
    assert torch.equal(seen[0].images, plain) and not torch.equal(seen[1].images, seen[2].images)
    padded = torch.cat([F.pad(each, (2,) * 4, mode="reflect") for each in (plain, plain.flip(3))], 1)
    crops = F.unfold(padded.view(-1, 1, *padded.shape[2:]), plain.shape[2:]).view(len(plain), 2, plain[0].numel(), -1)
    for number, split in enumerate(seen):
        apart = (crops - split.images.flatten(1)[:, None, :, None]).abs().amax(2)
        assert (apart.amin((1, 2)) == 0).all()
        assert rounds[number].targets.manifest["data"] == split.fingerprint()
        assert torch.equal(split.labels, data.train.labels) and torch.equal(split.indices, data.train.indices)
    network = searchable(as_after_round_0(data, preset, own, rounds), data, own)
    found = rs.search(network, seen[1], own.search_of(1), progress=False)
    assert all(torch.equal(rounds[1].targets.read(layer), found.read(layer)) for layer in found.layers)


@pytest.mark.parametrize("change", [{"optimizer": "warm"}, {"crossed": True}, {"judges": "untrained"}, {"generations": (0,) * 4},
                                    {"normalise": False}, {"augment": True}, {"augment": True, "crossed": True}])
def test_every_way_is_another_run_and_resumed_the_same(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, plain: rs.Rounds, tmp_path: Path, change: dict[str, Any]
) -> None:
    other = replace(config, **change)
    (first, model), (again, same) = (run(data, preset, other, tmp_path) for _ in range(2))
    assert first[0].history == plain[0].history and first[1].history != plain[1].history
    assert again[1].history == first[1].history
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), same.state_dict().values(), strict=True))
    with pytest.raises(rs.InputError, match=r"another|of other"):
        run(data, preset, config, tmp_path)


def test_rounds_that_normalise_nothing_search_the_network_as_it_predicts(
    data: rs.Dataset, preset: Preset, config: AlternateConfig
) -> None:
    """With its own statistics: what its search begins with is its cross-entropy of the image, but for the noise."""
    rounds, _ = run(data, preset, replace(config, normalise=False, input_noise=1e-6))
    model = as_after_round_0(data, preset, config, rounds).eval()
    with torch.no_grad():
        loss = F.cross_entropy(model(data.train.images), data.train.labels)
        assert rounds[1].before["block0"] == pytest.approx(float(loss), rel=1e-3)
        found = F.cross_entropy(rest(model, 0, rounds[1].targets.read("block0")), data.train.labels)
    assert float(found) == pytest.approx(rounds[1].after["block0"], abs=5e-3)


def test_a_pull_shortens_the_moves_of_later_rounds(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    lengths = [[move.length for move in run(data, preset, replace(config, pull=pull))[0][1].moves.values()] for pull in (0.0, 50.0)]
    assert all(pulled < free for free, pulled in zip(*lengths, strict=True))


def test_moves_along_the_gradient_are_downhill(data: rs.Dataset, network: rs.Network, targets: rs.Targets, preset: Preset) -> None:
    """Targets that are the network's own activations less a step of the gradient: cosine 1, and the step's length."""
    own, H = [], network.stem(data.train.images)
    for block in network.blocks:
        H = normalise(block(H)).detach().requires_grad_()
        own.append(H)
    gradients = [torch.autograd.grad(F.cross_entropy(rest(network, i, H), data.train.labels), H)[0] for i, H in enumerate(own)]
    steps = [-0.1 * g * (H.flatten(1).norm() / g.flatten(1).norm()) for g, H in zip(gradients, own, strict=True)]
    made = targets.changed(lambda block, _: (own[int(block[-1])] + steps[int(block[-1])]).detach())
    found = moves(network, made, data.train, preset.search)
    for i, (name, move) in enumerate(found.items()):
        length = (steps[i].flatten(1).norm(dim=1) / own[i].flatten(1).norm(dim=1)).mean()
        assert name == f"block{i}" and move.downhill == pytest.approx(1, abs=0.01) and abs(move.others) < 0.6
        assert move.length == pytest.approx(float(length), rel=0.02)


def test_regression_on_a_small_step_of_the_activations_is_back_propagation() -> None:
    """The limit of the loop: for 1/2 |h - T|^2 with T = h - eta dCE/dh the gradient is eta times back-propagation's."""
    network, eta = without_batch_norm(0).double(), 0.05
    x, y = torch.randn(6, 1, 32, 32, dtype=torch.double), torch.arange(6)
    H = activations(network, x)[1]
    loss = F.cross_entropy(rest(network, 1, H), y)
    below = [p for block in network.blocks[:2] for p in block.parameters()]
    T = (H - eta * torch.autograd.grad(loss, H, retain_graph=True)[0]).detach()
    back = torch.autograd.grad(loss, below, retain_graph=True)
    regression = torch.autograd.grad((H - T).square().sum() / 2, below)
    assert all(torch.allclose(r, eta * b, rtol=1e-9) for r, b in zip(regression, back, strict=True))


def test_halves_of_odd_classes_are_as_large_as_can_be(data: rs.Dataset) -> None:
    odd = replace(data, train=data.train[torch.tensor([i for i in range(20) if i not in (0, 3, 4)])])
    counts = [torch.bincount(half.train.labels, minlength=10) for _, half in halves_of(odd)]
    assert int((counts[0] - counts[1]).abs().max()) <= 1 and abs(int(sum(counts[0]) - sum(counts[1]))) <= 1


def test_nobody_elses_network_is_changed(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    network = rs.search_network(data, preset)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train().requires_grad_(True)
    rs.alternate(network, rs.learn_network(data, preset), data, replace(config, judges="untrained"), progress=False)
    assert all(p.requires_grad for p in network.parameters()) and all(m.training for m in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_a_round_cost(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    """Its search and all trainings: 3 F an image and epoch; two halves train as much again, but in the last round."""
    plain, model = run(data, preset, config)
    crossed, untrained = (run(data, preset, replace(config, **change))[0]  # type: ignore[arg-type]
                          for change in ({"crossed": True}, {"judges": "untrained"}))
    image, images = sum(multiply_adds(model, data.train.images[:1])), len(data.train)
    for number, epochs in ((0, config.learn.epochs), (1, config.epochs)):
        searching = images * plain[number].targets.manifest["multiply_adds"] / image
        assert plain[number].spent == pytest.approx(searching + 3 * images * epochs)
        assert crossed[number].spent - plain[number].spent == pytest.approx((1 - number) * 3 * images * epochs)
    # Four searches, of a layer each, cost more than one of four layers, for each has its own first population.
    assert untrained[1].targets.manifest["multiply_adds"] > plain[1].targets.manifest["multiply_adds"]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"watch": 3}, "watch: expected a function, found a int"), ({"change": "means"}, "change: expected a function"),
    ({"learn": {"skip": ("blok0",)}}, "skip='blok0': unknown; choose one of block0, block1, block2"),
    ({"learn": {"skip": ("block0", "block1", "block2")}}, "skip=.*nothing is left to regress to"),
])
def test_what_would_end_a_later_round_is_refused_before_the_first(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    given = replace(config, learn=replace(config.learn, **arguments.pop("learn", {})))
    with pytest.raises(rs.InputError, match=message):
        rs.alternate(rs.search_network(data, preset), rs.learn_network(data, preset), data, given, store=tmp_path, progress=False, **arguments)
    assert not list(tmp_path.iterdir())


def test_settings_around_have_no_say(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    (plain, _), again = run(data, preset, config), []
    with torch.autocast("cpu", torch.bfloat16):
        again.append(run(data, preset, config)[0])
    torch.set_default_dtype(torch.float64)
    try:
        again.append(run(data, preset, config)[0])
    finally:
        torch.set_default_dtype(torch.float32)
    assert [other[1].history for other in again] == [plain[1].history] * 2


@pytest.mark.parametrize("change", [{"generations": (0,) * 4}, {"judges": "untrained"}, {"crossed": True, "augment": True}])
def test_a_run_goes_on_with_another_number_of_threads(
    data: rs.Dataset, preset: Preset, config: AlternateConfig, tmp_path: Path, change: dict[str, Any]
) -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(run(data, preset, replace(config, **change), tmp_path)[0])
    torch.set_num_threads(2)
    assert found[0][1].history == found[1][1].history


@pytest.mark.parametrize(("change", "message"), [
    ({"judges": "nobody"}, "judges='nobody': unknown; choose one of trained, untrained"),
    ({"optimizer": "cold"}, "optimizer='cold': unknown"), ({"crossed": 1}, "crossed=1: expected True or False"),
    ({"pull": -1}, "pull=-1: expected"), ({"augment": None}, "augment=None: expected True or False"),
])
def test_values_out_of_range(config: AlternateConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        replace(config, **change)


def test_a_model_that_cannot_learn_is_refused_before_the_search(data: rs.Dataset, preset: Preset, config: AlternateConfig) -> None:
    with pytest.raises(rs.InputError, match="model: has nothing to train"):
        rs.alternate(rs.search_network(data, preset), rs.search_network(data, preset), data, config, progress=False)
