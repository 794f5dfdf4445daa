"""Checkpoints: what is lost when something fails, and what is said of a file that a training cannot go on from."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from faulty import two_blocks
from torch import nn

import repsearch as rs
from repsearch import checks
from repsearch.method import Batch, Method, Step
from repsearch.methods.backprop import Backprop
from repsearch.presets import Preset


def train(model: nn.Module, data: rs.Dataset, preset: Preset, method: Method | None = None, **more: Any) -> rs.History:
    return rs.fit(model, data, method or Backprop(), preset.baseline, progress=False, **more)


def stop_at(epoch: int) -> Any:
    def watch(epochs: int, _: nn.Module) -> None:
        if epochs == epoch:
            raise KeyboardInterrupt

    return watch


def test_an_empty_checkpoint_is_called_damaged(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    (tmp_path / "c").touch()
    with pytest.raises(rs.InputError, match=r"checkpoint=.*(damaged|empty)"):
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("kind", ["torch", "safetensors", "model", "tensor", "text"])
def test_nobody_is_told_to_delete_weights_given_as_a_checkpoint(tmp_path: Path, data: rs.Dataset, preset: Preset, kind: str) -> None:
    contents: dict[str, Any] = {"torch": two_blocks().state_dict(), "model": two_blocks(), "tensor": torch.zeros(3), "text": {"a": "b"}}
    if kind == "safetensors":
        (tmp_path / "c").write_bytes(safetensors.torch.save(two_blocks().state_dict()))
    else:
        torch.save(contents[kind], tmp_path / "c")
    with pytest.raises(rs.InputError, match=r"checkpoint=.*no checkpoint|checkpoint=.*other objects") as error:
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    assert "delete" not in str(error.value).rpartition("/c':")[2]


@pytest.mark.parametrize("content", [b"not a checkpoint", b"PK\x03\x04", b"\x80\x02.", bytes(100), pickle.dumps(3)])
def test_a_damaged_checkpoint_is_answered_without_torchs_advice(tmp_path: Path, data: rs.Dataset, preset: Preset, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(rs.InputError, match=r"checkpoint=.*(damaged|no checkpoint)") as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    assert "weights_only" not in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_folder_is_no_checkpoint(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match=r"checkpoint=.*cannot be read \(Is a directory\); name another file"):
        train(two_blocks(), data, preset, checkpoint=tmp_path)


@pytest.mark.parametrize(("change", "differences"), [
    ({"learning_rate": 0.2}, ["learning_rate 0.1 there, 0.2 here"]),
    ({"epochs": 5, "augment": True}, ["epochs 3 there, 5 here", "augment false there, true here"]),
])
def test_a_checkpoint_of_another_training_says_what_differs(
    tmp_path: Path, data: rs.Dataset, preset: Preset, change: dict[str, Any], differences: list[str]
) -> None:
    train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    with pytest.raises(rs.InputError, match=r"checkpoint=.*of another training") as error:
        train(two_blocks(), data, replace(preset, baseline=replace(preset.baseline, **change)), checkpoint=tmp_path / "c")
    assert all(line in str(error.value) for line in differences) and "momentum" not in str(error.value)


def test_other_networks_images_seeds_and_methods_are_named(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    path = tmp_path / "c"
    train(two_blocks(), data, preset, checkpoint=path)
    others: list[tuple[str, Any]] = [
        ("network [0-9a-f]{8} there", lambda: train(two_blocks(nn.Tanh()), data, preset, checkpoint=path)),
        ("training images", lambda: train(two_blocks(), replace(data, train=data.train[:10]), preset, checkpoint=path)),
        ("validation images", lambda: train(two_blocks(), replace(data, validation=data.test), preset, checkpoint=path)),
        ("seed 0 there, 1 here", lambda: train(two_blocks(), data, preset, seed=1, checkpoint=path)),
        ('method "Backprop" there, "Numbers" here', lambda: train(two_blocks(), data, preset, Numbers(), checkpoint=path)),
    ]
    for what, other in others:
        with pytest.raises(rs.InputError, match=f"of another training.*{what}"):
            other()


def test_targets_are_the_same_in_memory_as_in_a_folder(tmp_path: Path, data: rs.Dataset, preset: Preset, network: rs.Network) -> None:
    """And so is a training from them; how they are stored is none of its business."""
    stored = rs.search(network, data.train, preset.search, store=tmp_path / "t", progress=False)
    in_memory = rs.search(network, data.train, preset.search, progress=False)
    found = [rs.learn(rs.learn_network(data, preset), data, targets, preset.learn, checkpoint=tmp_path / "c", progress=False)
             for targets in (stored, in_memory)]
    assert found[0] == found[1]


def test_a_checkpoint_from_a_gpu_is_taken_up(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    """With other draws, for its generators are of another kind."""
    path = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        train(two_blocks(), data, preset, checkpoint=path, watch=stop_at(1))
    states = [torch.zeros(16, dtype=torch.uint8), torch.get_rng_state(), torch.zeros(16, dtype=torch.uint8)]
    torch.save({**torch.load(path, weights_only=True), "device": "cuda", "generators": states}, path)
    history = train(two_blocks(), data, preset, checkpoint=path)
    assert history == train(two_blocks(), data, preset)  # which draws nothing


@pytest.mark.parametrize(("found", "release"), [(2, r"repsearch 0\.2"), (9, "a later repsearch")])
def test_a_checkpoint_of_another_format_ends_in_a_line(tmp_path: Path, data: rs.Dataset, preset: Preset, found: int, release: str) -> None:
    train(two_blocks(), data, preset, checkpoint=tmp_path / "c")
    saved = torch.load(tmp_path / "c", weights_only=True)
    if found == 2:  # its entries
        saved = {"identity": "0" * 64, "optimizer": {}, "generator": torch.get_rng_state(), **{key: saved[key] for key in ("epoch", "history", "best", "model", "method")}}
    torch.save({**saved, "format": found}, tmp_path / "c")
    with pytest.raises(rs.InputError, match=f"checkpoint=.*written by {release}; finish that training with it"):
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c")


def test_an_error_of_watch_loses_no_epoch(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(two_blocks(), data, preset, checkpoint=tmp_path / "c", watch=stop_at(2))
    assert torch.load(tmp_path / "c", weights_only=True)["epoch"] == 2
    train(two_blocks(), data, preset, checkpoint=tmp_path / "c", watch=lambda epochs, _: seen.append(epochs))
    assert seen == [2, 3]  # the measurement that failed is made again


class Numbers(Backprop):
    """Counts in numpy's numbers."""

    def step(self, model: nn.Module, batch: Batch, config: rs.FitConfig) -> Step:
        return replace(super().step(model, batch, config), cost=np.float64(3))  # type: ignore[arg-type]

    def spent(self, *_: Any) -> float:
        return np.float32(7)  # type: ignore[return-value]


def test_costs_in_numpys_numbers_can_be_read_again(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    for _ in range(2):
        history = train(two_blocks(), data, preset, Numbers(), checkpoint=tmp_path / "c")
        assert history.spent == [67, 127, 187]


class Odd(Backprop):
    """A state or an identity that no file holds."""

    def __init__(self, state: Any = None, identity: Any = "Odd") -> None:
        self.state, self.name = state, identity

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def identity(self) -> Any:
        return self.name

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state["other"]


@pytest.mark.parametrize("odd", [{"state": np.zeros(3)}, {"state": lambda: 0}, {"identity": torch.zeros(3)}, {"identity": {Path(): 1}}])
def test_a_method_that_no_checkpoint_can_hold_is_called_so(tmp_path: Path, data: rs.Dataset, preset: Preset, odd: Any) -> None:
    with pytest.raises(rs.InputError, match=r"method: the (state_dict|identity) of Odd"):
        train(two_blocks(), data, preset, Odd(**odd), checkpoint=tmp_path / "c")


def test_a_method_that_cannot_take_its_state_is_called_so(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    train(two_blocks(), data, preset, Odd(), checkpoint=tmp_path / "c")
    with pytest.raises(rs.InputError, match=r"checkpoint=.*its method: KeyError"):
        train(two_blocks(), data, preset, Odd(), checkpoint=tmp_path / "c")


def test_a_compiled_model_goes_on_from_the_checkpoint_of_the_plain_one(tmp_path: Path, data: rs.Dataset, preset: Preset) -> None:
    plain = train(two_blocks(), data, preset)
    with pytest.raises(KeyboardInterrupt):
        train(torch.compile(two_blocks(), backend="eager"), data, preset, checkpoint=tmp_path / "c", watch=stop_at(1))  # type: ignore[arg-type]
    assert train(two_blocks(), data, preset, checkpoint=tmp_path / "c") == plain
    model: Any = torch.compile(two_blocks(), backend="eager")
    assert train(model, data, preset, checkpoint=tmp_path / "c") == plain


def test_a_finished_training_is_read_where_nothing_can_be_written(
    tmp_path: Path, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is read-only, as a share is; for root every folder can be written."""
    history = train(two_blocks(), data, preset, checkpoint=tmp_path / "c")

    def refuse(name: str, folder: Path) -> Path:
        raise rs.InputError(f"{name}={str(folder)!r}: cannot be written")

    monkeypatch.setattr(checks, "writable_folder", refuse)
    assert train(two_blocks(), data, preset, checkpoint=tmp_path / "c") == history
    with pytest.raises(rs.InputError, match="cannot be written"):
        train(two_blocks(), data, preset, checkpoint=tmp_path / "new")


def test_a_checkpoint_stays_where_it_is_whatever_the_directory(
    tmp_path: Path, data: rs.Dataset, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    with contextlib.chdir(tmp_path):
        train(two_blocks(), data, preset, checkpoint="c", watch=lambda *_: contextlib.chdir(tmp_path / "other").__enter__())
    train(two_blocks(), data, preset, checkpoint="~/home")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "home", "other"]


class Gives(Method):
    """A step that gives what it is told to."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def step(self, _: nn.Module, batch: Batch, __: rs.FitConfig) -> Step:
        return self.what(batch)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("what", "message"), [
    (lambda _: None, "gave a NoneType; expected a repsearch.method.Step"),
    (lambda _: torch.tensor(1.0), "gave a Tensor; expected"),
    (lambda _: Step(1.0, cost=3), "gave a float for loss"),
    (lambda batch: Step(torch.ones(len(batch)), cost=3), r"gave a tensor \(10,\) for loss"),
    (lambda _: Step(torch.tensor(1.0), cost=3, parts={"left": 2.0}), "gave a float for left"),
    (lambda _: Step(torch.tensor(1.0), cost=float("nan")), "gave cost=nan"),
    (lambda _: Step(torch.tensor(1.0), cost=None), "gave cost=None"),
    (lambda _: Step(torch.tensor(1.0), cost=3, logits=torch.zeros(10)), r"gave logits of another shape than \(10, classes\)"),
])
def test_a_step_that_gives_something_else_is_answered_in_a_line(data: rs.Dataset, preset: Preset, what: Any, message: str) -> None:
    with pytest.raises(rs.InputError, match=f"method: Gives.step {message}"):
        train(two_blocks(), data, preset, Gives(what))


def test_a_method_that_does_nothing_is_told_so_once(data: rs.Dataset, preset: Preset) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(two_blocks(), data, preset, Gives(lambda _: Step(torch.tensor(1.0), cost=1)))
    assert [str(one.message) for one in said] == ["method: Gives left no gradient and moved no weight in the first epoch"]
