"""Training: what the seed decides, what the model is afterwards, and networks and batches at the edge."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import CONFIG, two_blocks
from torch import nn

import repsearch as rs
from repsearch.evaluation import predict
from repsearch.fitting import _batches
from repsearch.learning import Regression
from repsearch.method import Batch
from repsearch.presets import Preset
from repsearch.reproduce.measures import follow, watcher


def train(model: nn.Module, data: rs.Dataset, preset: Preset, **more: Any) -> rs.History:
    return rs.fit(model, data, rs.methods.Backprop(), preset.baseline, progress=False, **more)


def with_dropout() -> rs.Network:
    return two_blocks(nn.Sequential(nn.ReLU(), nn.Dropout(0.3)))


def test_the_seed_decides_what_dropout_drops(data: rs.Dataset, preset: Preset) -> None:
    first, second = train(with_dropout(), data, preset), train(with_dropout(), data, preset)
    assert first.loss == second.loss


def test_training_leaves_torchs_own_generator_as_it_was(data: rs.Dataset, preset: Preset) -> None:
    before = torch.get_rng_state()
    train(with_dropout(), data, preset)
    assert torch.equal(torch.get_rng_state(), before)


def test_with_dropout_resumed_is_as_undisturbed(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    def interrupt(epochs: int, _: nn.Module) -> None:
        if epochs == 2:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    undisturbed = train(with_dropout(), data, preset, checkpoint=tmp_path / "undisturbed")
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        train(with_dropout(), data, preset, checkpoint=tmp_path / "resumed", watch=interrupt)
    torch.manual_seed(1)
    assert train(with_dropout(), data, preset, checkpoint=tmp_path / "resumed").loss == undisturbed.loss


def test_a_model_in_eval_mode_is_so_after_training(data: rs.Dataset, preset: Preset) -> None:
    model = two_blocks().eval()
    train(model, data, preset)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("what", ["train", "predict"])
def test_parts_of_a_model_keep_their_modes(data: rs.Dataset, preset: Preset, what: str) -> None:
    model = two_blocks().train()
    model.stem.eval()
    before = [module.training for module in model.modules()]
    if what == "train":
        train(model, data, preset)
    else:
        predict(model, data.test.images)
    assert [module.training for module in model.modules()] == before


def test_predictions_that_depend_on_their_batch_are_said_to(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rs.fit(model, data, rs.methods.Backprop(), replace(preset.baseline, epochs=1, batch=20), progress=False)
        together, alone = predict(model, data.test.images), predict(model, data.test.images, batch=5)
    assert torch.allclose(together, alone, atol=1e-4) and not said
    literal = rs.learn_network(data, preset, statistics="batch")
    with pytest.warns(UserWarning, match=r'predictions depend on the batch.*statistics="running"'):
        together = predict(literal, data.test.images)
    with pytest.warns(UserWarning, match="predictions depend on the batch"):
        rs.accuracy(literal, data.test)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a training itself, whose batches are fixed, says nothing
        rs.fit(literal, data, rs.methods.Backprop(), replace(preset.baseline, epochs=1), progress=False)


@pytest.mark.parametrize("how", ["learn", "fit"])
def test_a_frozen_network_is_called_so(data: rs.Dataset, preset: Preset, network: rs.Network, targets: rs.Targets, how: str) -> None:
    frozen = copy.deepcopy(network)  # the other tests' network, which a training that fails would leave changed
    with pytest.raises(rs.InputError, match=r"model.*(frozen|gradient|calibrat|train)"):
        if how == "learn":
            rs.learn(frozen, data, targets, preset.learn, progress=False)
        else:
            train(frozen, data, preset)


@pytest.mark.parametrize(("count", "size"), [(5, 2), (19, 2), (3, 2)])
def test_no_batch_is_of_a_single_image(count: int, size: int) -> None:
    edges = _batches(count, size)
    assert min(stop - start for start, stop in edges) >= 2
    assert [start for start, _ in edges] == [0, *[stop for _, stop in edges[:-1]]] and edges[-1][1] == count


def test_an_odd_number_of_images_in_batches_of_two_can_be_trained_on(preset: Preset) -> None:
    data = rs.load("digits", train=19, validation=10, test=10, size=9)
    train(rs.learn_network(data, preset, statistics="running"), data, replace(preset, baseline=rs.FitConfig(epochs=1, batch=2)))


def test_a_skipped_block_leaves_the_others_their_weight(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    config = replace(preset.learn, skip=("block0",))
    model = rs.learn_network(data, preset)
    step = Regression(targets).step(model, Batch(data.train.images, data.train.labels, 0, 20), config)
    kept = Regression(targets).step(model, Batch(data.train.images, data.train.labels, 0, 20), replace(config, averaged="kept blocks"))
    errors, head = step.parts["block1"] + step.parts["block2"], config.head_weight * step.parts["head"]
    assert step.loss.item() == pytest.approx((errors / 3 + head).item())
    assert kept.loss.item() == pytest.approx((errors / 2 + head).item())


# --- siblings ---------------------------------------------------------------------------------------------------------


def test_what_watch_draws_is_not_drawn_from_the_training(data: rs.Dataset, preset: Preset) -> None:
    plain = train(with_dropout(), data, preset)
    assert train(with_dropout(), data, preset, watch=lambda *_: torch.rand(7)).loss == plain.loss


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_a_training_takes_its_gradients_where_none_are_recorded(data: rs.Dataset, preset: Preset, around: Any) -> None:
    plain, model = train(two_blocks(), data, preset), two_blocks()
    with around():
        assert train(model, data, preset).loss == plain.loss


def test_another_default_dtype_changes_no_training(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    models = [two_blocks(), rs.learn_network(data, preset)]
    plain = [train(copy.deepcopy(models[0]), data, preset), rs.learn(copy.deepcopy(models[1]), data, targets, preset.learn, progress=False)]
    torch.set_default_dtype(torch.float64)
    try:
        found = [train(models[0], data, preset), rs.learn(models[1], data, targets, preset.learn, progress=False)]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == plain


def test_a_model_that_changes_its_input_leaves_the_images_alone(data: rs.Dataset, preset: Preset) -> None:
    # In this memory format training needs no copy of its own.
    images = data.train.images.clone(memory_format=torch.channels_last)
    data = replace(data, train=replace(data.train, images=images))
    before = data.train.fingerprint(), data.validation.fingerprint(), data.test.fingerprint()
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(1024, 10))
    train(model, data, preset)
    rs.accuracy(model, data.test)
    assert (data.train.fingerprint(), data.validation.fingerprint(), data.test.fingerprint()) == before


def test_a_training_that_is_refused_leaves_the_model_as_it_was(tmp_path: Path, data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    """Its memory format, too."""
    path, first = tmp_path / "c", rs.learn_network(data, preset)
    rs.fit(first, data, rs.methods.Backprop(), preset.baseline, checkpoint=path, progress=False)
    model = rs.learn_network(data, preset, seed=1)
    state, strides = copy.deepcopy(model.state_dict()), [p.stride() for p in model.parameters()]
    refused: list[Any] = [
        lambda: rs.fit(model, data, rs.methods.Backprop(), preset.baseline, checkpoint=path, progress=False),
        lambda: rs.fit(model, data, rs.methods.Backprop(), preset.baseline, checkpoint=tmp_path, progress=False),
        lambda: rs.learn(model, data, targets, replace(preset.learn, budget=5), progress=False),
        lambda: rs.learn(model, data, targets, replace(preset.learn, skip=("block9",)), progress=False),
    ]
    for refuse in refused:
        with pytest.raises(rs.InputError):
            refuse()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert [p.stride() for p in model.parameters()] == strides


def test_one_image_that_batch_norm_cannot_take_ends_in_a_line(data: rs.Dataset, preset: Preset) -> None:
    small = rs.load("digits", train=19, validation=10, test=10, size=9)
    one = replace(small, train=small.train[:1])
    with pytest.raises(rs.InputError, match="1x1 maps has no statistics of a single image"):
        train(rs.learn_network(small, preset), one, preset)
    with pytest.raises(rs.InputError, match="1x1 maps has no statistics of a single image"), pytest.warns(UserWarning):
        predict(rs.learn_network(small, preset, statistics="batch"), small.test.images, batch=1)
    history = train(two_blocks(), replace(data, train=data.train[:1]), preset)  # no BatchNorm: one image will do
    assert len(history.loss) == preset.baseline.epochs


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_network_of_another_number_of_blocks_than_the_one_searched_is_called_so(data: rs.Dataset, blocks: int) -> None:
    targets, model = rs.search(two_blocks(), data.train, CONFIG, progress=False), two_blocks()
    model.blocks = nn.ModuleList([*model.blocks, nn.Conv2d(8, 8, 1)][:blocks])
    with pytest.raises(rs.InputError, match=f"model: has {blocks} blocks, the network that was searched 2"):
        rs.learn(model, data, targets, rs.LearnConfig(epochs=1, batch=10), progress=False)


@pytest.mark.parametrize(("model", "message"), [
    (nn.Sequential(nn.Flatten(), nn.ReLU()), "model: Sequential has no parameters"),
    (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10), nn.Dropout()).requires_grad_(False), "model: every parameter is frozen"),
])
def test_a_model_with_nothing_to_train_is_called_so(data: rs.Dataset, preset: Preset, model: nn.Module, message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        train(model, data, preset)


class Detached(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1)).detach()


class Both(nn.Linear):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x.flatten(1)), x


def test_a_model_without_a_gradient_or_with_two_outputs_is_called_so(data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="model: nothing that can be trained leads to its loss"):
        train(Detached(1024, 10), data, preset)
    with pytest.raises(rs.InputError, match="model: gives a tuple; expected one tensor of logits"):
        train(Both(1024, 10), data, preset)
    with pytest.raises(rs.InputError, match="model: gives a tuple; expected one tensor of logits"):
        rs.accuracy(Both(1024, 10), data.test)


@pytest.mark.parametrize(("change", "message"), [
    ({"learning_rate": 1e300}, r"learning_rate=1e\+300: a step leaves the range of float32; lower it"),
    ({"weight_decay": 1e300}, r"weight_decay=1e\+300: a step leaves the range of float32; lower it"),
    ({"learning_rate": 1e30, "batch": 20, "epochs": 1}, r"learning_rate=1e\+30: the logits became infinite or NaN in epoch 0"),
    ({"learning_rate": 1e30}, r"learning_rate=1e\+30: the loss became"),
])
def test_a_step_too_large_is_answered_in_a_line(data: rs.Dataset, preset: Preset, change: dict[str, Any], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        train(two_blocks(), data, replace(preset, baseline=replace(preset.baseline, **change)))


def test_a_loss_that_is_not_finite_before_any_step_is_not_the_learning_rates(data: rs.Dataset, preset: Preset) -> None:
    model = two_blocks()
    with torch.no_grad():
        model.head[-1].weight.fill_(float("nan"))  # type: ignore[index,union-attr,operator]
    with pytest.raises(rs.InputError, match="model: the loss became nan in the first step"):
        train(model, data, preset)


def test_images_that_cannot_be_predicted_are_called_so(data: rs.Dataset, network: rs.Network) -> None:
    images = data.test.images
    for wrong, message in ((images[:0], "images: expected at least one"), (images.double(), "images: are torch.float64"),
                           (images / 0, "images: image 0 has NaN"), (data.test, "images: expected a floating-point tensor")):
        with pytest.raises(rs.InputError, match=message):
            predict(network, wrong)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match="batch=0: expected"):
        predict(network, images, batch=0)


@pytest.mark.parametrize("around", ["autocast", "float64"])
def test_accuracy_is_measured_apart_from_what_is_around(data: rs.Dataset, network: rs.Network, around: str) -> None:
    plain = predict(network, data.test.images)
    if around == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(predict(network, data.test.images), plain)
        return
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(predict(network, data.test.images), plain)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("epochs", [1, 3, 11, 25])
def test_the_last_epoch_is_measured(data: rs.Dataset, network: rs.Network, targets: rs.Targets, epochs: int) -> None:
    measured: list[dict[str, float]] = []
    watch = watcher(data.train, targets, epochs, 0, measured)
    assert watch is not None
    for epoch in range(epochs + 1):
        watch(epoch, network)
    seen = [row["epoch"] for row in measured if row["block"] == 0]
    assert seen[0] == 0 and seen[-1] == epochs and len(seen) == len(set(seen))


def test_a_block_is_measured_against_its_own_targets(data: rs.Dataset, preset: Preset, network: rs.Network, targets: rs.Targets) -> None:
    """Also where the block before it has none; parts of the model keep their modes."""
    some = rs.search(network, data.train, preset.search, progress=False, layers=("block1", "logits"))
    model = copy.deepcopy(network)
    model.stem.train()
    (row,) = follow(model, data.train, some, 0)
    (same,) = (row for row in follow(model, data.train, targets, 0) if row["block"] == 1)
    assert row["block"] == 1 and row["within"] == same["within"]
    assert model.stem.training and not model.head.training
