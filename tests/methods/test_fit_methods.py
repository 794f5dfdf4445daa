"""`rs.fit` with methods: against torch's own loop, with methods of one's own, within a budget."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import repsearch as rs
from repsearch.cost import multiply_adds, search_multiply_adds
from repsearch.fitting import learning_rate_share
from repsearch.method import Batch, Method, Step
from repsearch.methods.backprop import Backprop
from repsearch.presets import Preset


@pytest.fixture
def mlp(data: rs.Dataset) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(data.train.images[0].numel(), 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_backprop_is_torch_sgd(mlp: nn.Module, data: rs.Dataset, decay: float) -> None:
    """The same loop, written with torch alone; any module will do."""
    config = rs.FitConfig(epochs=4, batch=7, learning_rate=0.1, momentum=0.9, weight_decay=decay)
    twin = nn.Sequential(*[type(m)() if not isinstance(m, nn.Linear) else nn.Linear(m.in_features, m.out_features) for m in mlp])
    twin.load_state_dict(mlp.state_dict())
    rs.fit(mlp, data, Backprop(), config, progress=False)

    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay)
    best, weights = -1.0, {}
    batches = [(0, 7), (7, 13), (13, 20)]  # 20 images in nearly equal batches of at most 7
    for epoch in range(4):
        for number, (start, stop) in enumerate(batches):
            optimizer.param_groups[0]["lr"] = 0.1 * learning_rate_share((3 * epoch + number) / 12)
            optimizer.zero_grad()
            F.cross_entropy(twin(data.train.images[start:stop]), data.train.labels[start:stop]).backward()
            optimizer.step()
        if (accuracy := rs.accuracy(twin, data.validation)) > best:
            best, weights = accuracy, {name: value.clone() for name, value in twin.state_dict().items()}
    assert all(torch.equal(value, weights[name]) for name, value in mlp.state_dict().items())


class HillClimbing(Method):
    """Keeps a random step of the weights if the batch's loss falls; has no gradient, and a state of its own."""

    def __init__(self) -> None:
        self.tried = torch.zeros(1)

    def start(self, model: nn.Module, data: rs.Dataset, config: rs.FitConfig, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def step(self, model: nn.Module, batch: Batch, config: rs.FitConfig) -> Step:
        before = F.cross_entropy(model(batch.images), batch.labels)
        noise = [0.05 * torch.randn(w.shape, generator=self.generator) for w in model.parameters()]
        for w, e in zip(model.parameters(), noise, strict=True):
            w += e
        after = F.cross_entropy(model(batch.images), batch.labels)
        if after >= before:
            for w, e in zip(model.parameters(), noise, strict=True):
                w -= e
        self.tried += 1
        return Step(torch.minimum(before, after), cost=2)

    def state_dict(self) -> dict[str, Any]:
        return {"tried": self.tried, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tried = state["tried"]
        self.generator.set_state(state["generator"])


def test_a_method_without_gradients(mlp: nn.Module, data: rs.Dataset) -> None:
    method = HillClimbing()
    history = rs.fit(mlp, data, method, rs.FitConfig(epochs=30, batch=20), progress=False)
    assert history.loss[-1] < history.loss[0]
    assert history.train_accuracy == [] and len(history.validation_accuracy) == 30
    assert history.spent == [40.0 * (epoch + 1) for epoch in range(30)]
    assert int(method.tried) == 30


def test_a_checkpoint_holds_the_method(mlp: nn.Module, data: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=6, batch=20)
    start = {name: value.clone() for name, value in mlp.state_dict().items()}
    undisturbed = rs.fit(mlp, data, HillClimbing(), config, progress=False)
    weights = {name: value.clone() for name, value in mlp.state_dict().items()}

    class StopError(Exception):
        pass

    def stop(epoch: int, _: nn.Module) -> None:
        if epoch == 4:
            raise StopError

    mlp.load_state_dict(start)
    with pytest.raises(StopError):
        rs.fit(mlp, data, HillClimbing(), config, checkpoint=tmp_path / "c", progress=False, watch=stop)
    mlp.load_state_dict(start)
    method = HillClimbing()
    assert rs.fit(mlp, data, method, config, checkpoint=tmp_path / "c", progress=False) == undisturbed
    assert int(method.tried) == 6
    assert all(torch.equal(value, weights[name]) for name, value in mlp.state_dict().items())
    mlp.load_state_dict(start)
    with pytest.raises(rs.InputError, match="of another training"):
        rs.fit(mlp, data, Backprop(), config, checkpoint=tmp_path / "c", progress=False)


def test_a_checkpoint_of_release_0_1_ends_in_a_line(mlp: nn.Module, data: rs.Dataset, tmp_path: Path) -> None:
    """0.1 wrote the same entries but for the format and the method."""
    torch.save({"identity": "x", "epoch": 1, "history": {}, "best": {}, "model": {}, "optimizer": {}, "generator": torch.zeros(1)},
               tmp_path / "old")
    with pytest.raises(rs.InputError, match=r"written by repsearch 0\.1; finish that training with it, or delete the file"):
        rs.fit(mlp, data, Backprop(), rs.FitConfig(epochs=1, batch=20), checkpoint=tmp_path / "old", progress=False)


def test_multiply_adds_in_closed_form() -> None:
    """A 3x3 convolution of 4 to 5 channels at 6x6 positions: 9 * 4 * 5 * 36; pooled to 3x3, a linear layer of 45 to 7."""
    body = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.MaxPool2d(2), nn.ReLU())
    network = rs.Network(nn.Conv2d(1, 4, 1), [body, nn.Identity()], nn.Sequential(nn.Flatten(), nn.Linear(45, 7)))
    counts = [4 * 36 + 9 * 4 * 5 * 36, 0, 45 * 7]
    image = torch.zeros(1, 1, 6, 6)
    assert multiply_adds(network, image) == counts
    config = rs.SearchConfig((rs.LayerSearch(3, 0.1),) * 3, parents=2, explorers=3, refiners=4)
    first = 9 * counts[0]  # nine noisy copies, through the first block
    block0 = (9 + 3 * 7) * (counts[1] + counts[2])  # they, and seven children in each of three generations
    block1 = (9 + 3 * 7) * counts[2]
    assert search_multiply_adds(network, image, config, [0, 1, 2]) == first + block0 + block1


def test_the_search_counts(data: rs.Dataset, preset: Preset, network: rs.Network, targets: rs.Targets) -> None:
    model, image = rs.learn_network(data, preset), data.train.images[:1]
    history = rs.learn(model, data, targets, replace(preset.learn, epochs=2), progress=False)
    searched = 20 * search_multiply_adds(network, image, preset.search, [0, 1, 2, 3]) / sum(multiply_adds(model, image))
    assert history.spent == pytest.approx([searched + 60, searched + 120])


def test_a_budget_ends_training_and_schedule(mlp: nn.Module, data: rs.Dataset) -> None:
    config = rs.FitConfig(epochs=50, batch=10, learning_rate=0.1, momentum=0, budget=200)
    seen: list[float] = []

    class Constant(Method):
        """A gradient of one everywhere: without momentum, each step moves every weight by the learning rate."""

        def step(self, model: nn.Module, batch: Batch, config: rs.FitConfig) -> Step:
            seen.append(next(model.parameters())[0, 0].item())
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
            return Step(torch.tensor(1.0), cost=3)

    history = rs.fit(mlp, data, Constant(), config, progress=False)
    assert history.spent == [60, 120, 180, 210]  # no step begins once 200 F are spent; the last epoch is half a one
    assert len(seen) == 7
    moved = [before - after for before, after in pairwise(seen)]
    assert moved == pytest.approx([0.1 * learning_rate_share(30 * step / 200) for step in range(6)], abs=1e-6)


def test_a_budget_that_lasts_changes_nothing(mlp: nn.Module, data: rs.Dataset) -> None:
    """The rate falls with the epochs done, where they are further than the share of the budget spent."""
    config = rs.FitConfig(epochs=3, batch=10, learning_rate=0.1)
    twin = copy.deepcopy(mlp)
    without = rs.fit(mlp, data, Backprop(), config, progress=False)
    assert rs.fit(twin, data, Backprop(), replace(config, budget=1e6), progress=False) == without


@pytest.mark.parametrize(("change", "message"), [
    ({"budget": 0}, "budget=0: expected a finite number above zero"),
    ({"weight_decay": -1.0}, "weight_decay=-1.0: expected a finite number above zero"),
    ({"epochs": 0}, "epochs=0"),
])
def test_bad_configuration(change: dict[str, float], message: str) -> None:
    with pytest.raises(rs.InputError, match=message):
        rs.FitConfig(**change)  # type: ignore[arg-type]


def test_bad_input(mlp: nn.Module, data: rs.Dataset, preset: Preset, targets: rs.Targets) -> None:
    with pytest.raises(rs.InputError, match=r"method: expected an instance such as repsearch\.methods\.Backprop\(\), found <class"):
        rs.fit(mlp, data, Backprop, rs.FitConfig(), progress=False)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match=r"model: its head gives \(3,\) an image; expected \(10,\)"):
        rs.fit(nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)), data, Backprop(), rs.FitConfig(), progress=False)
    with pytest.raises(rs.InputError, match=r"targets=None: expected the Targets.*repsearch\.methods\.Backprop"):
        rs.learn(mlp, data, None, preset.learn)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match=r"budget=5: \d+ F were spent before the first step; raise it"):
        rs.learn(rs.learn_network(data, preset), data, targets, replace(preset.learn, budget=5), progress=False)
    with pytest.raises(rs.InputError, match="config: expected a LearnConfig, found a FitConfig"):
        rs.learn(rs.learn_network(data, preset), data, targets, preset.baseline, progress=False)  # type: ignore[arg-type]
