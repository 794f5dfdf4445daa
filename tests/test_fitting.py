"""The training loop: reproducible, interrupted and resumed, watched; the epoch it chooses; how a network predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch.evaluation import predict
from repsearch.fitting import learning_rate_share
from repsearch.learning import Regression
from repsearch.methods.backprop import Backprop
from repsearch.presets import Preset
from repsearch.training import Training


@pytest.mark.parametrize("objective_is", ["targets", "labels"])
def test_training_lowers_the_loss_and_repeats_to_the_bit(
    data: rs.Dataset, preset: Preset, targets: rs.Targets, objective_is: str
) -> None:
    method, config = (Regression(targets), preset.learn) if objective_is == "targets" else (Backprop(), preset.baseline)
    runs = []
    for _ in range(2):
        model = rs.learn_network(data, preset)
        runs.append((rs.fit(model, data, method, replace(config, epochs=6), progress=False), model.state_dict()))
    (history, weights), (again, same_weights) = runs
    assert history == again
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)
    assert history.loss[-1] < history.loss[0]
    assert len(history.validation_accuracy) == 6
    assert history.validation_accuracy[history.best_epoch] == max(history.validation_accuracy)


def test_the_model_ends_with_its_best_validation_weights(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    history = rs.fit(model, data, Backprop(), replace(preset.baseline, epochs=5), progress=False)
    assert rs.accuracy(model, data.validation) == max(history.validation_accuracy)


def bytes_of(model: nn.Module) -> bytes:
    return b"".join(value.contiguous().numpy().tobytes() for value in model.state_dict().values())


def test_the_model_may_end_with_the_last_weights(data: rs.Dataset, preset: Preset, tmp_path: Path) -> None:
    """Interrupted and resumed or not: those of as many epochs of which the last was the best."""
    config, seen = replace(preset.baseline, epochs=6, learning_rate=0.5, keep="last"), dict[int, bytes]()
    model = rs.learn_network(data, preset)
    history = rs.fit(model, data, Backprop(), config, checkpoint=tmp_path / "c.pt", progress=False,
                     watch=lambda epoch, now: seen.update({epoch: bytes_of(now)}))
    assert history.best_epoch == 5 and bytes_of(model) == seen[6] != seen[5]
    assert max(history.validation_accuracy) > history.validation_accuracy[-1]  # the best were others
    again = rs.learn_network(data, preset)
    assert rs.fit(again, data, Backprop(), config, checkpoint=tmp_path / "c.pt", progress=False) == history
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def by_hand(model: nn.Module, data: rs.Dataset, config: rs.FitConfig, optimizer: torch.optim.SGD) -> None:
    """An epoch in two batches, as torch's users write it."""
    model.train()
    for done, (x, y) in enumerate(zip(data.train.images.split(10), data.train.labels.split(10), strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_share(done / 2)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_an_optimizer_goes_on_with_its_momentum(data: rs.Dataset, preset: Preset, tmp_path: Path) -> None:
    config, ends = replace(preset.baseline, epochs=1, keep="last", weight_decay=1e-3), []
    theirs = rs.learn_network(data, preset)
    optimizer = torch.optim.SGD(trained(theirs), lr=1, momentum=0.85, nesterov=True, weight_decay=1e-3)
    for _ in range(2):
        by_hand(theirs, data, config, optimizer)
    for start in ("undisturbed", "again"):  # from the first training's checkpoint
        model, stop = rs.learn_network(data, preset), tmp_path / "first.pt"
        optimizer = torch.optim.SGD(trained(model), lr=9.0)
        rs.fit(model, data, Backprop(), config, checkpoint=stop, progress=False, optimizer=optimizer)
        rs.fit(model, data, Backprop(), config, checkpoint=tmp_path / f"{start}.pt", progress=False, optimizer=optimizer)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ends[0], theirs.parameters(), strict=True))
    fresh = rs.learn_network(data, preset)
    rs.fit(fresh, data, Backprop(), config, checkpoint=tmp_path / "first.pt", progress=False)
    with pytest.raises(rs.InputError, match="momentum"):  # a training without it is another
        rs.fit(fresh, data, Backprop(), config, checkpoint=tmp_path / "again.pt", progress=False)
    with pytest.raises(rs.InputError, match="optimizer: is of other parameters"):
        rs.fit(fresh, data, Backprop(), config, progress=False, optimizer=optimizer)


def test_a_trained_model_keeps_its_layout_and_can_be_saved(data: rs.Dataset, preset: Preset, tmp_path: Path) -> None:
    """safetensors takes contiguous weights alone. A model that came in channels last stays so."""
    for layout in (torch.contiguous_format, torch.channels_last):
        model = rs.learn_network(data, preset).to(memory_format=layout)  # type: ignore[call-overload]
        before = [p.is_contiguous() for p in model.parameters()]
        rs.fit(model, data, Backprop(), replace(preset.baseline, epochs=1), progress=False)
        assert [p.is_contiguous() for p in model.parameters()] == before
        if layout == torch.contiguous_format:
            safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_baselines_of_2_4_and_6_convolutions(data: rs.Dataset, preset: Preset, groups: int) -> None:
    model = rs.learn_network(data, preset, groups=groups)
    history = rs.fit(model, data, Backprop(), replace(preset.baseline, epochs=2), progress=False)
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

    with pytest.raises(rs.InputError, match=r"of another training \(network .* there, .* here\); name another file, or delete this one"):
        rs.learn(rs.learn_network(data, preset, seed=3), data, targets, config, checkpoint=file, progress=False)
    others = targets.changed(lambda _, H: H.roll(1, dims=0))
    with pytest.raises(rs.InputError, match=r"of another training \(targets changed null there, .* here\)"):
        rs.learn(rs.learn_network(data, preset), data, others, config, checkpoint=file, progress=False)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(rs.InputError, match=r"checkpoint=.*damaged"):
        rs.learn(rs.learn_network(data, preset), data, targets, config, checkpoint=file, progress=False)


def test_watch_sees_every_epoch_and_changes_nothing(data: rs.Dataset, preset: Preset) -> None:
    seen: list[int] = []
    models = [rs.learn_network(data, preset) for _ in range(2)]
    first = rs.fit(models[0], data, Backprop(), preset.baseline, progress=False, watch=lambda epoch, _: seen.append(epoch))
    second = rs.fit(models[1], data, Backprop(), preset.baseline, progress=False)
    assert seen == list(range(preset.baseline.epochs + 1)) and first == second


@pytest.mark.filterwarnings("ignore:.*predictions depend on the batch")
def test_predictions_come_in_fixed_batches_of_nearly_equal_size(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset, statistics="batch")
    logits = predict(model, data.test.images, batch=15)  # 40 images: 14, 13 and 13
    with torch.no_grad():
        assert torch.allclose(logits[14:27], model(data.test.images[14:27]), atol=1e-4)


def test_an_image_is_predicted_alone_as_beside_others(data: rs.Dataset, preset: Preset) -> None:
    model = rs.learn_network(data, preset)
    rs.fit(model, data, Backprop(), preset.baseline, progress=False)
    together, alone = predict(model, data.test.images), predict(model, data.test.images, batch=1)
    assert torch.allclose(together, alone, atol=1e-4) and together.shape == (40, 10)


def test_the_seed_decides_the_weights_of_lazy_layers(data: rs.Dataset, preset: Preset) -> None:
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
        runs.append(rs.fit(model, data, Backprop(), replace(preset.baseline, learning_rate=0.01), seed=5, progress=False))
    assert runs[0] == runs[1]


def test_a_history_shows_itself_in_a_line(data: rs.Dataset, preset: Preset) -> None:
    history = rs.fit(rs.learn_network(data, preset), data, Backprop(), preset.baseline, progress=False)
    best = max(history.validation_accuracy)
    assert repr(history) == f"History(3 epochs, 180 F, best validation accuracy {best:.1%} with best_epoch={history.best_epoch})"
    assert repr(rs.History()) == "History(0 epochs)" and rs.History() == rs.History()


def test_learning_rate_rises_then_falls() -> None:
    assert [learning_rate_share(p) for p in (0, 0.1, 0.2)] == pytest.approx([0.2, 0.6, 1.0])
    assert learning_rate_share(0.6) == pytest.approx((1.0 + 0.05) / 2)


def test_divergence_is_an_error_that_names_the_learning_rate(data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match=r"learning_rate=1e\+30: the loss became"):
        rs.fit(rs.learn_network(data, preset), data, Backprop(), replace(preset.baseline, learning_rate=1e30), progress=False)


def test_of_equally_good_epochs_the_first_is_kept() -> None:
    model = torch.nn.Linear(1, 1)
    state = Training(model, rs.methods.Backprop(), torch.optim.SGD(model.parameters()), [], {})
    first = model.weight.item()
    for _ in range(2):
        state.finish_epoch(1.0, {}, None, 0.5, 0.0)
        model.weight.data += 1
    assert state.history.best_epoch == 0 and state.best["weight"].item() == first
