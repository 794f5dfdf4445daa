"""Learning: the objective against torch's own losses, the stop-gradient, reproducibility, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import repsearch as rs
from repsearch.learn import learning_rate_share, objective, objective_parts, predict
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
    assert torch.isclose(objective(parts, config), (parts["block0"] + parts["block1"]) / 2 + 0.03 * parts["head"])
    targets[0] = None  # skip block 0
    parts = objective_parts(layers, targets, config)
    assert torch.isclose(objective(parts, config), parts["block1"] + 0.03 * parts["head"])


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


@pytest.mark.parametrize("objective_is", ["targets", "labels"])
def test_training_lowers_the_loss_and_repeats_to_the_bit(
    data: rs.Dataset, preset: Preset, targets: rs.Targets, objective_is: str
) -> None:
    given, config = (targets, preset.learn) if objective_is == "targets" else (None, preset.baseline)
    runs = []
    for _ in range(2):
        model = rs.learn_network(data, preset)
        runs.append((rs.learn(model, data, given, replace(config, epochs=6), progress=False), model.state_dict()))
    (history, weights), (again, same_weights) = runs
    assert history == again
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)
    assert history.loss[-1] < history.loss[0]
    assert len(history.validation_accuracy) == 6
    assert history.validation_accuracy[history.best_epoch] == max(history.validation_accuracy)


def test_the_model_ends_with_its_best_validation_weights(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    history = rs.learn(model, data, None, replace(preset.baseline, epochs=5), progress=False)
    assert rs.accuracy(model, data.validation) == max(history.validation_accuracy)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_baselines_of_2_4_and_6_convolutions(data: rs.Dataset, preset: Preset, groups: int) -> None:
    model = rs.learn_network(data, preset, groups=groups)
    history = rs.learn(model, data, None, replace(preset.baseline, epochs=2), progress=False)
    assert history.loss[1] < history.loss[0]


class Interrupted(rs.Targets):
    """Targets whose reader is interrupted, as by Ctrl-C, after a number of reads."""

    def __init__(self, targets: rs.Targets, reads: int) -> None:
        super().__init__(targets.manifest, targets._memory, targets.folder)
        self.left = reads

    def read(self, layer: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().read(layer, start, stop)


def test_a_resumed_training_ends_as_an_undisturbed_one(
    tmp_path: Path, data: rs.Dataset, preset: Preset, targets: rs.Targets
) -> None:
    config = replace(preset.learn, epochs=4, augment=True)
    whole = rs.learn_network(data, preset)
    expected = rs.learn(whole, data, targets, config, progress=False)

    file, reads = tmp_path / "training.pt", 2 * 2 * 4 + 3  # two epochs of two batches of four layers, and a bit
    with pytest.raises(KeyboardInterrupt):
        interrupted = Interrupted(targets, reads)
        rs.learn(rs.learn_network(data, preset), data, interrupted, config, checkpoint=file, progress=False)
    assert torch.load(file)["epoch"] == 2
    model = rs.learn_network(data, preset)
    history = rs.learn(model, data, targets, config, checkpoint=file, progress=False)
    assert history == expected
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), whole.state_dict().values(), strict=True))

    with pytest.raises(rs.InputError, match="of another training; delete it or name another file"):
        rs.learn(rs.learn_network(data, preset, seed=3), data, targets, config, checkpoint=file, progress=False)
    others = targets.changed(lambda _, H: H.roll(1, dims=0))
    with pytest.raises(rs.InputError, match="of another training; delete it or name another file"):
        rs.learn(rs.learn_network(data, preset), data, others, config, checkpoint=file, progress=False)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(rs.InputError, match=r"checkpoint=.*damaged"):
        rs.learn(rs.learn_network(data, preset), data, targets, config, checkpoint=file, progress=False)


def test_predictions_come_in_fixed_batches_of_nearly_equal_size(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    logits = predict(model, data.test.images, batch=15)  # 40 images: 14, 13 and 13
    with torch.no_grad():
        assert torch.allclose(logits[14:27], model(data.test.images[14:27]), atol=1e-4)


def test_learning_rate_rises_then_falls() -> None:
    assert [learning_rate_share(p) for p in (0, 0.1, 0.2)] == pytest.approx([0.2, 0.6, 1.0])
    assert learning_rate_share(0.6) == pytest.approx((1.0 + 0.05) / 2)


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


def test_bad_configuration(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    for change, message in (
        ({"epochs": 0}, "epochs=0"), ({"batch": 1}, "batch=1"), ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"momentum": 1.0}, "momentum=1.0"), ({"squares": "cubes"}, "squares='cubes': unknown; choose one of mean, sum"),
    ):
        with pytest.raises(rs.InputError, match=message):
            replace(preset.learn, **change)  # type: ignore[arg-type]
    model = rs.learn_network(data, preset)
    with pytest.raises(rs.InputError, match="skip='block9': unknown; choose one of block0, block1, block2"):
        rs.learn(model, data, targets, replace(preset.learn, skip=("block9",)), progress=False)
    with pytest.raises(rs.InputError, match="nothing is left to regress to"):
        rs.learn(model, data, targets, replace(preset.learn, skip=("block0", "block1", "block2")), progress=False)


def test_divergence_is_an_error_that_names_the_learning_rate(data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match=r"learning_rate=1e\+30: the loss became"):
        rs.learn(rs.learn_network(data, preset), data, None, replace(preset.baseline, learning_rate=1e30), progress=False)
