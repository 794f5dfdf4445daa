"""Local losses against autograd on a copy cut by hand, and against back-propagation where both are the same."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from nets import StopHereError, stop
from torch import Tensor, nn

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods import Backprop
from repsearch.methods.local_losses import LocalLosses

CONFIG = rs.FitConfig(epochs=1, batch=20)


def perceptron() -> nn.Sequential:
    """64-16-12-10, of digits averaged to 8 x 8 pixels."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 10))


def convnet() -> rs.Network:
    """A trained stem; maps of 8 x 8, then of 3 x 2 whose block changes its input in place, then vectors."""
    torch.manual_seed(0)
    body = [
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.AdaptiveMaxPool2d((3, 1)), nn.GELU()),
        nn.Sequential(nn.Flatten(), nn.Linear(15, 6), nn.Tanh()),
    ]
    return rs.Network(nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 3, 1)), body, nn.Linear(6, 10))


def book(digits: rs.Dataset) -> rs.Network:
    return rs.learn_network(digits, replace(rs.presets.smoke("digits"), width=4))


def cut(model: Any) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Stem, blocks and head."""
    if isinstance(model, nn.Sequential):
        return model[:2], [model[2:4], model[4:6]], model[6]
    return model.stem, list(model.blocks), model.head


def batch_of(digits: rs.Dataset, size: int = 20) -> Batch:
    return Batch(digits.train.images[:size].clone(), digits.train.labels[:size], 0, size)


def started(model: nn.Module, digits: rs.Dataset, seed: int = 0, head_rate: float = 0.1) -> LocalLosses:
    method = LocalLosses(head_rate)
    method.start(model, digits, CONFIG, seed)
    return method


def gradients(model: nn.Module, method: rs.methods.Method, batch: Batch, config: rs.FitConfig = CONFIG) -> dict[str, Tensor]:
    """What one step leaves, by name."""
    model.train().zero_grad()
    method.step(model, replace(batch, images=batch.images.clone()), config)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


MODELS: dict[str, Callable[[rs.Dataset], nn.Module]] = {
    "perceptron": lambda _: perceptron(), "convnet": lambda _: convnet(), "book": book,
}


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_each_block_has_the_gradient_of_its_own_head(name: str, digits: rs.Dataset) -> None:
    model, batch = MODELS[name](digits), batch_of(digits)
    method, (stem, blocks, head) = started(model, digits), cut(deepcopy(model))
    weights = [(deepcopy(one[-1].weight), deepcopy(one[-1].bias)) for one in method.heads]  # type: ignore[index]
    step_config = replace(CONFIG, learning_rate=7.0)  # of the network; the heads have their own
    found = gradients(model, method, batch, step_config)

    wanted: list[Tensor] = []
    H = stem(batch.images)
    for number, (block, (W, b), after) in enumerate(zip(blocks, weights, method.heads, strict=True)):
        out = block(H.clone())
        seen = F.adaptive_avg_pool2d(out, (2, min(2, out.shape[3]))) if out.ndim == 4 else out
        loss = F.cross_entropy(seen.flatten(1) @ W.T + b, batch.labels)
        trained = [p for p in (*(stem.parameters() if number == 0 else ()), *block.parameters()) if p.requires_grad]
        *own, dW, db = torch.autograd.grad(loss, [*trained, W, b])
        wanted += own
        torch.testing.assert_close(after[-1].weight.detach(), W.detach() - 0.1 * dW)  # type: ignore[index]
        torch.testing.assert_close(after[-1].bias.detach(), b.detach() - 0.1 * db)  # type: ignore[index]
        H = out.detach()
    wanted += torch.autograd.grad(F.cross_entropy(head(H), batch.labels), list(head.parameters()))

    assert list(found) == [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(found) == len(wanted) and all(float(one.abs().max()) > 0 for one in wanted)
    for one, other in zip(found.values(), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_no_gradient_crosses_a_block(name: str, digits: rs.Dataset) -> None:
    """Whatever becomes of a later block, its head or the network's, what is before has the same gradient to the bit."""
    model, batch = MODELS[name](digits), batch_of(digits)
    before = gradients(model, started(model, digits), batch)
    for number in range(len(cut(model)[1]) + 1):
        changed = deepcopy(model)
        method, (stem, blocks, head) = started(changed, digits), cut(changed)
        parts = [nn.ModuleList([stem, blocks[0]]), *blocks[1:], head]
        with torch.no_grad():
            for weight in parts[number].parameters():
                weight.mul_(2).add_(0.01)
            if number < len(blocks):
                method.heads[number][-1].weight.mul_(-3)  # type: ignore[index, operator]
        after = gradients(changed, method, batch)
        earlier = {id(weight) for part in parts[:number] for weight in part.parameters()}
        same = [name for name in before if torch.equal(before[name], after[name])]
        assert same == [name for name, weight in changed.named_parameters() if id(weight) in earlier and weight.requires_grad]


def test_where_the_network_ends_it_is_backprop(digits: rs.Dataset) -> None:
    """The last block hears what Backprop would tell it, if its head is the network's; with one block, all parts do."""
    torch.manual_seed(1)
    flat = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
    maps = rs.Network(nn.AvgPool2d(4), [nn.Sequential(nn.Conv2d(1, 5, 3, stride=2), nn.AdaptiveMaxPool2d(2), nn.GELU())],
                      nn.Sequential(nn.Flatten(), nn.Linear(20, 10)))
    for model, own in ((flat, 2), (maps, 2), (perceptron(), 2)):
        method, batch = started(model, digits), batch_of(digits)
        last: Any = list(model.modules())[-1]
        method.heads[-1][-1].load_state_dict(last.state_dict())  # type: ignore[index, union-attr]
        ours, theirs = gradients(model, method, batch), gradients(deepcopy(model), Backprop(), batch)
        names = list(ours)
        for name in names[-2 - own :]:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-8)
        assert not any(torch.allclose(ours[name], theirs[name], rtol=1e-2) for name in names[: -2 - own])


def test_bfloat16_is_close(digits: rs.Dataset) -> None:
    one, other, batch = book(digits), book(digits), batch_of(digits, 100)
    exact = gradients(one, started(one, digits), batch)
    rough = gradients(other, started(other, digits), batch, replace(CONFIG, precision="bfloat16"))
    last = "head.1.weight"
    assert rough[last].dtype == torch.float32 and not torch.equal(exact[last], rough[last])
    assert float(F.cosine_similarity(exact[last].flatten(), rough[last].flatten(), dim=0)) > 0.99


# --- what it costs, keeps and learns ----------------------------------------------------------------------------------


def test_cost_in_closed_form(digits: rs.Dataset) -> None:
    F_, heads = 64 * 16 + 16 * 12 + 12 * 10, 16 * 10 + 12 * 10
    history = rs.fit(perceptron(), digits, LocalLosses(), CONFIG, progress=False)
    assert history.spent == [pytest.approx(400 * (3 + 3 * heads / F_), rel=1e-6)]
    F_ = 3 * 64 + 9 * 3 * 4 * 64 + 9 * 4 * 5 * 36 + 15 * 6 + 6 * 10
    heads = (4 * 4 + 5 * 2 + 6) * 10
    assert started(convnet(), digits).cost == pytest.approx(3 + 3 * heads / F_, rel=1e-6)


def test_the_seed_decides_the_heads(digits: rs.Dataset) -> None:
    one, same, other = (started(perceptron(), digits, seed).heads for seed in (3, 3, 4))
    for number, inputs in enumerate((16, 12)):
        weights = [heads[number][-1].weight for heads in (one, same, other)]  # type: ignore[index]
        assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
        assert 0.9 < float(weights[0].detach().abs().max()) * inputs**0.5 <= 1 and weights[0].shape == (10, inputs)


def test_it_resumes_to_the_same_bytes(digits: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=4, batch=50, learning_rate=0.1, keep="last")
    whole, halves, ends = perceptron(), perceptron(), [LocalLosses(), LocalLosses()]
    undisturbed = rs.fit(whole, digits, ends[0], config, progress=False)
    with pytest.raises(StopHereError):
        rs.fit(halves, digits, LocalLosses(), config, checkpoint=tmp_path / "c.pt", progress=False, watch=stop)
    halves = perceptron()
    assert rs.fit(halves, digits, ends[1], config, checkpoint=tmp_path / "c.pt", progress=False) == undisturbed
    for one, other in ((whole, halves), (ends[0].heads, ends[1].heads)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(rs.InputError, match=r"of another training \(head_rate 0.1 there, 0.2 here\)"):
        rs.fit(perceptron(), digits, LocalLosses(0.2), config, checkpoint=tmp_path / "c.pt", progress=False)


@pytest.mark.parametrize(("name", "epochs", "margin"), [("perceptron", 4, 0.1), ("book", 2, 0.03)])
def test_it_learns_more_than_a_head_on_an_untrained_body(name: str, epochs: int, margin: float, digits: rs.Dataset) -> None:
    config, found = rs.FitConfig(epochs, batch=25, learning_rate=0.1), []
    for method in (LocalLosses(), Backprop()):
        model = MODELS[name](digits)
        if isinstance(method, Backprop):
            model.requires_grad_(False)
            list(model.modules())[-1].requires_grad_(True)
        found.append(max(rs.fit(model, digits, method, config, progress=False).validation_accuracy))
    assert found[0] > found[1] + margin, found


def test_bad_input(digits: rs.Dataset) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = perceptron()

        def forward(self, images: Tensor) -> Tensor:
            return self.body(images)

    conv = nn.Sequential(nn.Conv2d(1, 2, 3, stride=4), nn.Flatten(), nn.Linear(128, 5), nn.ReLU(), nn.Linear(5, 10))
    rows = rs.Network(nn.Identity(), [nn.Flatten(1, 2), nn.Linear(32, 4)], nn.Sequential(nn.Flatten(), nn.Linear(128, 10)))
    for model, message in (
        (Own(), r"model: Own is neither cut into stem, blocks and head nor a perceptron.*repsearch\.Network\(stem"),
        (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), "model: 1 linear layers are in the nn.Sequential; expected two"),
        (conv, r"model: there are parameters before its first linear layer.*wrap its parts"),
        (rows, r"model: block0 gives \(32, 32\) an image; expected a vector or a map"),
    ):
        with pytest.raises(rs.InputError, match=message):
            rs.fit(model, digits, LocalLosses(), CONFIG, progress=False)
    with pytest.raises(rs.InputError, match="head_rate=0: expected a finite number above zero"):
        LocalLosses(0)
