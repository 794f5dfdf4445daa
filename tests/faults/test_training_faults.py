"""Training: what the seed decides, what the model is afterwards, and networks and batches at the edge."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from faulty import two_blocks
from torch import nn

import repsearch as rs
from repsearch.evaluation import predict
from repsearch.fitting import _batches
from repsearch.learning import Regression
from repsearch.method import Batch
from repsearch.presets import Preset


def train(model: nn.Module, data: rs.Dataset, preset: Preset, **more: Any) -> rs.History:
    return rs.fit(model, data, rs.methods.Backprop(), preset.baseline, progress=False, **more)


def with_dropout() -> rs.Network:
    return two_blocks(nn.Sequential(nn.ReLU(), nn.Dropout(0.3)))


@pytest.mark.xfail(strict=True, reason="U15, N8: dropout draws from torch's own generator")
def test_the_seed_decides_what_dropout_drops(data: rs.Dataset, preset: Preset) -> None:
    first, second = train(with_dropout(), data, preset), train(with_dropout(), data, preset)
    assert first.loss == second.loss


@pytest.mark.xfail(strict=True, reason="U15, N8: dropout draws from torch's own generator")
def test_training_leaves_torchs_own_generator_as_it_was(data: rs.Dataset, preset: Preset) -> None:
    before = torch.get_rng_state()
    train(with_dropout(), data, preset)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.xfail(strict=True, reason="U15, N8: a checkpoint lacks the state of torch's own generator")
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


@pytest.mark.xfail(strict=True, reason="U16: the model stays in train mode")
def test_a_model_in_eval_mode_is_so_after_training(data: rs.Dataset, preset: Preset) -> None:
    model = two_blocks().eval()
    train(model, data, preset)
    assert not any(module.training for module in model.modules())


@pytest.mark.xfail(strict=True, reason="D15: the modes of parts are overwritten")
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


@pytest.mark.xfail(strict=True, reason="N7: predictions depend on the batch, and nothing says so")
def test_predictions_that_depend_on_their_batch_are_said_to(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rs.fit(model, data, rs.methods.Backprop(), replace(preset.baseline, epochs=1, batch=20), progress=False)
        together, alone = predict(model, data.test.images), predict(model, data.test.images, batch=5)
    assert torch.allclose(together, alone, atol=1e-4) or any("batch" in str(warning.message) for warning in said)


@pytest.mark.xfail(strict=True, reason="N9, Raw: an empty parameter list")
@pytest.mark.parametrize("how", ["learn", "fit"])
def test_a_frozen_network_is_called_so(data: rs.Dataset, preset: Preset, network: rs.Network, targets: rs.Targets, how: str) -> None:
    frozen = copy.deepcopy(network)  # the other tests' network, which a training that fails would leave changed
    with pytest.raises(rs.InputError, match=r"model.*(frozen|gradient|calibrat|train)"):
        if how == "learn":
            rs.learn(frozen, data, targets, preset.learn, progress=False)
        else:
            train(frozen, data, preset)


@pytest.mark.xfail(strict=True, reason="Raw: batches of a single image")
@pytest.mark.parametrize(("count", "size"), [(5, 2), (19, 2), (3, 2)])
def test_no_batch_is_of_a_single_image(count: int, size: int) -> None:
    edges = _batches(count, size)
    assert min(stop - start for start, stop in edges) >= 2
    assert [start for start, _ in edges] == [0, *[stop for _, stop in edges[:-1]]] and edges[-1][1] == count


@pytest.mark.xfail(strict=True, reason="Raw: BatchNorm on 1x1 maps, one image a batch")
def test_an_odd_number_of_images_in_batches_of_two_can_be_trained_on(preset: Preset) -> None:
    data = rs.load("digits", train=19, validation=10, test=10, size=9)
    train(rs.learn_network(data, preset, statistics="running"), data, replace(preset, baseline=rs.FitConfig(epochs=1, batch=2)))


@pytest.mark.xfail(strict=True, reason="Raw: IndexError in the handler of a damaged checkpoint")
def test_an_empty_checkpoint_is_called_damaged(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    (tmp_path / "c").touch()
    with pytest.raises(rs.InputError, match=r"checkpoint=.*(damaged|empty)"):
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")


@pytest.mark.xfail(strict=True, reason="Misleading: weights given as a checkpoint are called damaged, to be deleted")
@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_nobody_is_told_to_delete_weights_given_as_a_checkpoint(tmp_path: Path, data: rs.Dataset, preset: Preset, kind: str) -> None:
    if kind == "torch":
        torch.save(two_blocks().state_dict(), tmp_path / "c")
    else:
        (tmp_path / "c").write_bytes(safetensors.torch.save(two_blocks().state_dict()))
    with pytest.raises(rs.InputError, match="checkpoint=") as error:
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    assert "delete it" not in str(error.value)


@pytest.mark.xfail(strict=True, reason="N13: a damaged checkpoint quotes torch on weights_only")
def test_a_damaged_checkpoint_is_answered_without_torchs_advice(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    (tmp_path / "c").write_bytes(b"not a checkpoint")
    with pytest.raises(rs.InputError, match=r"checkpoint=.*damaged") as error:
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    assert "weights_only" not in str(error.value)


@pytest.mark.xfail(strict=True, reason="N13: another training, without which option differs")
def test_a_checkpoint_of_another_training_says_what_differs(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    with pytest.raises(rs.InputError, match=r"checkpoint=.*learning_rate"):
        train(two_blocks(), data, replace(preset, baseline=replace(preset.baseline, learning_rate=0.2)), checkpoint=tmp_path / "c")


@pytest.mark.xfail(strict=True, reason="Raw: RNG state of another size")
def test_a_checkpoint_from_a_gpu_is_taken_up_or_called_so(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    path = tmp_path / "c"
    train(two_blocks(), data, preset, checkpoint=path)
    torch.save({**torch.load(path, weights_only=True), "generator": torch.zeros(16, dtype=torch.uint8)}, path)
    try:
        train(two_blocks(), data, preset, checkpoint=path)
    except rs.InputError as error:
        assert "checkpoint=" in str(error)


@pytest.mark.xfail(strict=True, reason="D8: the mean is over the blocks that are left")
def test_a_skipped_block_leaves_the_others_their_weight(data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    config = replace(preset.learn, skip=("block0",))
    model = rs.learn_network(data, preset)
    step = Regression(targets).step(model, Batch(data.train.images, data.train.labels, 0, 20), config)
    wanted = (step.parts["block1"] + step.parts["block2"]) / 3 + config.head_weight * step.parts["head"]
    assert step.loss.item() == pytest.approx(wanted.item())
