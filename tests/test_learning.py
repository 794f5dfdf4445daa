"""Learning: the objective against torch's own losses, the stop-gradient, targets that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import repsearch as rs
from repsearch.learning import Regression, objective, objective_parts
from repsearch.method import Batch
from repsearch.networks import activations
from repsearch.operators import normalise
from repsearch.presets import Preset


def layers_and_targets(seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(6, 4, 5, 5), (6, 4, 3, 3), (6, 10)]
    return tuple([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2))  # type: ignore[return-value]


def test_terms_are_the_losses_of_torch() -> None:
    layers, targets = layers_and_targets()
    parts = objective_parts(layers, targets, rs.LearnConfig())
    assert list(parts) == ["block0", "block1", "head"]
    assert torch.isclose(parts["block0"], F.mse_loss(layers[0], targets[0]))
    expected = F.kl_div(layers[2].log_softmax(1), targets[2].softmax(1), reduction="batchmean")  # type: ignore[union-attr]
    assert torch.isclose(parts["head"], expected)
    by_hand = (targets[2].softmax(1) * (targets[2].log_softmax(1) - layers[2].log_softmax(1))).sum(1).mean()  # type: ignore[union-attr]
    assert torch.isclose(parts["head"], by_hand, atol=1e-6)


def test_literal_sum_of_squares() -> None:
    layers, targets = layers_and_targets()
    parts = objective_parts(layers, targets, rs.LearnConfig(squares="sum"))
    by_hand = sum(float((layers[1][b] - targets[1][b]).norm() ** 2) for b in range(6)) / 6  # type: ignore[index]
    assert parts["block1"].item() == pytest.approx(by_hand, rel=1e-5)


def test_normalised_output() -> None:
    layers, targets = layers_and_targets()
    parts = objective_parts(layers, targets, rs.LearnConfig(normalise_output=True))
    assert torch.isclose(parts["block0"], F.mse_loss(normalise(layers[0]), targets[0]))


def test_objective_is_the_mean_over_blocks_plus_lambda_kl() -> None:
    layers, targets = layers_and_targets()
    config = rs.LearnConfig(head_weight=0.03)
    parts = objective_parts(layers, targets, config)
    assert torch.isclose(objective(parts, config, 2), (parts["block0"] + parts["block1"]) / 2 + 0.03 * parts["head"])
    targets[0] = None  # skip block 0: the formula's 1/(L-1) stays
    parts = objective_parts(layers, targets, config)
    assert torch.isclose(objective(parts, config, 2), parts["block1"] / 2 + 0.03 * parts["head"])
    kept = replace(config, averaged="kept blocks")
    assert torch.isclose(objective(parts, kept, 2), parts["block1"] + 0.03 * parts["head"])


def test_where_nothing_is_skipped_the_objective_is_torchs_mean_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        parts = {name: torch.rand((), generator=generator) for name in ("block0", "block1", "block2", "head")}
        mean = torch.stack([parts["block0"], parts["block1"], parts["block2"]]).mean()
        for averaged in ("all blocks", "kept blocks"):
            assert objective(parts, rs.LearnConfig(averaged=averaged), 3) == mean + 0.03 * parts["head"]  # type: ignore[arg-type]


def test_the_stop_gradient(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    """From the KL term the body's gradient is exactly 0, and the head's is (p - p_hat)^T H / B."""
    model = rs.learn_network(data, preset)
    layers = activations(model, data.train.images, sever_head=True)
    wanted = [targets.read(layer) for layer in targets.layers]
    objective_parts(layers, wanted, preset.learn)["head"].backward()
    body = [p for part in (model.stem, model.blocks) for p in part.parameters()]
    assert all(p.grad is None or not p.grad.any() for p in body)
    H, difference = layers[-2].detach().flatten(1), (layers[-1].softmax(1) - wanted[-1].softmax(1)).detach()
    assert torch.allclose(model.head[1].weight.grad, difference.T @ H / len(H), atol=1e-6)  # type: ignore[index,arg-type]


def test_the_regression_does_not_move_the_head(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    model = rs.learn_network(data, preset)
    layers = activations(model, data.train.images, sever_head=True)
    parts = objective_parts(layers, [targets.read(layer) for layer in targets.layers], preset.learn)
    (parts["block0"] + parts["block1"] + parts["block2"]).backward()
    assert model.head[1].weight.grad is None  # type: ignore[index]


def test_skipped_block_learns_through_the_later_ones(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    model = rs.learn_network(data, preset)
    before = model.blocks[0][0][0].weight.clone()  # type: ignore[index]
    history = rs.learn(model, data, targets, replace(preset.learn, skip=("block0",), epochs=1), progress=False)
    assert set(history.parts) == {"block1", "block2", "head"}
    assert not torch.equal(model.blocks[0][0][0].weight, before)  # type: ignore[index]


def test_targets_that_do_not_belong(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    model = rs.learn_network(data, preset)
    fewer = rs.load("digits", train=10, validation=20, test=40)
    with pytest.raises(rs.InputError, match="targets: of 20 images, the data has 10"):
        rs.learn(model, fewer, targets, preset.learn, progress=False)
    other = rs.load("digits", train=20, validation=20, test=40, seed=9)
    with pytest.raises(rs.InputError, match="targets: of other images or labels"):
        rs.learn(model, other, targets, preset.learn, progress=False)
    wider = rs.learn_network(data, replace(preset, width=12))
    with pytest.raises(rs.InputError, match=r"targets: block0 is \(8, 15, 15\), the network's \(12, 15, 15\)"):
        rs.learn(wider, data, targets, preset.learn, progress=False)


def test_layers_that_cannot_be_skipped(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    model = rs.learn_network(data, preset)
    with pytest.raises(rs.InputError, match="skip='block9': unknown; choose one of block0, block1, block2"):
        rs.learn(model, data, targets, replace(preset.learn, skip=("block9",)), progress=False)
    with pytest.raises(rs.InputError, match="nothing is left to regress to"):
        rs.learn(model, data, targets, replace(preset.learn, skip=("block0", "block1", "block2")), progress=False)


def test_arguments_in_each_others_places_are_called_by_their_names(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    model: Any = rs.learn_network(data, preset)
    wrong: list[tuple[Any, str]] = [
        ((model, data, data, preset.learn), "targets: found a Dataset: expected the Targets"),
        ((model, data, "t", preset.learn), r"targets='t': expected Targets, found the name of a folder; give Targets\.open\('t'\)"),
        ((data, model, targets, preset.learn), "model: expected a Module, found a Dataset"),
        ((model, data, targets, preset), "config: expected a FitConfig, found a Preset"),
        ((torch.nn.Linear(1, 1), data, targets, preset.learn), "(network|model|images)"),
    ]
    for arguments, message in wrong:
        with pytest.raises(rs.InputError, match=message) as error:
            rs.learn(*arguments, progress=False)
        assert len(str(error.value).splitlines()) == 1


def test_a_step_sends_nothing_of_the_heads_loss_into_the_body(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    gradients = []
    for weight in (0.01, 100.0):
        model = rs.learn_network(data, preset)
        batch = Batch(data.train.images, data.train.labels, 0, len(data.train))
        Regression(targets).step(model, batch, replace(preset.learn, head_weight=weight))
        gradients.append([p.grad for p in model.blocks.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
