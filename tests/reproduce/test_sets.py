"""Sets of models that differ in one thing: what each has of its own, and what is measured of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import repsearch as rs
from repsearch import presets
from repsearch.config import split_population
from repsearch.corruptions import CORRUPTIONS, corrupt
from repsearch.evaluation import logits, share_correct
from repsearch.method import Batch
from repsearch.reproduce import set_figures, set_tables
from repsearch.reproduce.records import FOLDER
from repsearch.reproduce.rivals import Regularised
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.set_measures import compared, shifted
from repsearch.reproduce.set_settings import ARMS, SHIFTED, sets_setup
from repsearch.reproduce.sets import Arm, Noisy, Setup, run, trained

SEED = 3
STILL = 1e-7
"""A learning rate at which weights stay where they were drawn."""


@pytest.fixture(scope="module")
def small() -> Setup:
    """The smoke preset's, of few images, generations and epochs."""
    setup = sets_setup(presets.smoke("digits"), "inits", None)
    rows = tuple(replace(row, generations=2) for row in setup.alternate.search.schedule)
    search = replace(setup.alternate.search, schedule=rows, **split_population(8, 2))
    alternate = replace(setup.alternate, search=search, learn=replace(setup.alternate.learn, epochs=1), rounds=2, epochs=1,
                        generations=(1,) * len(rows))
    return replace(setup, sample=Sample("digits", 40, 40, 40), alternate=alternate, sgd=replace(setup.sgd, epochs=2),
                   corrupted=10, severities=(3,))


@pytest.fixture(scope="module")
def data(small: Setup) -> rs.Dataset:
    return small.sample.load(None, SEED)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("name", ["searches", "inits", "sgd-inits", "sgd-orders", "sgd-matched", "loop-inits"])
def test_a_set_begins_from_the_same_weights_unless_these_are_its_own(small: Setup, data: rs.Dataset, name: str) -> None:
    still = replace(small, arm=ARMS[name], sgd=replace(small.sgd, learning_rate=STILL),
                    alternate=replace(small.alternate, learn=replace(small.alternate.learn, learning_rate=STILL)))
    first, second = (weights(trained(still, data, SEED, number)) for number in (0, 1))
    assert torch.allclose(first, second, atol=1e-3) == (ARMS[name].own != "network")
    torch.testing.assert_close(first, weights(rs.learn_network(data, still, SEED)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["searches", "others", "class-means", "sgd-orders", "sgd-noise", "loop-searches"])
def test_the_models_of_a_set_differ(small: Setup, data: rs.Dataset, name: str) -> None:
    first, second = (weights(trained(replace(small, arm=ARMS[name]), data, SEED, number)) for number in (0, 1))
    assert not torch.equal(first, second)


def test_a_model_comes_out_again_and_in_fewer_epochs_another(small: Setup, data: rs.Dataset) -> None:
    def of(arm: Arm) -> Tensor:
        return weights(trained(replace(small, arm=arm), data, SEED, 1))

    noisy = ARMS["sgd-noise"]
    assert torch.equal(of(noisy), of(noisy)) and not torch.equal(of(noisy), of(replace(noisy, epochs=1)))
    assert torch.equal(of(noisy), of(replace(noisy, epochs=small.sgd.epochs)))


def test_sets_of_one_kind_share_their_first_model(small: Setup, data: rs.Dataset) -> None:
    def first(name: str) -> Tensor:
        return weights(trained(replace(small, arm=ARMS[name]), data, SEED, 0))

    assert torch.equal(first("searches"), first("inits")) and torch.equal(first("sgd-inits"), first("sgd-orders"))
    assert not torch.equal(first("inits"), first("class-means")) and not torch.equal(first("sgd-inits"), first("sgd-noise"))


def test_an_order_of_its_own_is_of_the_same_images(small: Setup, data: rs.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[rs.Dataset] = []
    monkeypatch.setattr("repsearch.reproduce.sets.fit", lambda _, data, *__, **___: seen.append(data))
    for number in (0, 1, 2):
        trained(replace(small, arm=ARMS["sgd-orders"]), data, SEED, number)
    indices = [one.train.indices for one in seen]
    assert torch.equal(indices[0], data.train.indices)
    assert not torch.equal(indices[1], indices[2]) and not torch.equal(indices[0], indices[1])
    assert all(torch.equal(one.sort().values, indices[0].sort().values) for one in indices)


def test_a_matched_model_is_of_the_nearest_epoch(small: Setup, data: rs.Dataset) -> None:
    setup = replace(small, arm=ARMS["sgd-matched"], sgd=replace(small.sgd, epochs=8))
    model = trained(setup, data, SEED, 1)
    aim = rs.accuracy(trained(replace(small, arm=ARMS["inits"]), data, SEED, 1), data.validation)
    own = SEED + 1000
    history = rs.fit(rs.learn_network(data, setup, own), data, Noisy(setup.smoothing, setup.dropout), setup.sgd, own, progress=False)
    reached = history.validation_accuracy
    assert len(set(reached)) > 2  # or any epoch would do
    assert abs(rs.accuracy(model, data.validation) - aim) == pytest.approx(min(abs(one - aim) for one in reached), abs=1e-6)


class Seen(nn.Module):
    """A network of one part each that keeps what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Identity(), nn.ModuleList([nn.Identity()])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
        self.stem.register_forward_hook(lambda _, images, __: setattr(self, "images", images[0].detach().clone()))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks[0](self.stem(images)))


def test_noise_is_added_to_every_image_and_has_its_size() -> None:
    torch.manual_seed(0)
    net, batch = Seen(), Batch(torch.zeros(200, 3, 8, 8), torch.arange(200) % 4, 0, 200)
    config = rs.FitConfig(epochs=1, batch=200, learning_rate=0.1)
    Noisy(noise=0.4).step(net, batch, config)
    assert float(net.images.std()) == pytest.approx(0.4, rel=0.02) and abs(float(net.images.mean())) < 0.01
    plain, none = Regularised(0.1).step(net, batch, config), Noisy(0.1).step(net, batch, config)
    assert torch.equal(plain.loss, none.loss) and not bool(batch.images.any())


def test_a_model_and_itself_differ_in_nothing(data: rs.Dataset) -> None:
    model = rs.learn_network(data, presets.smoke("digits"), seed=0).eval()
    found = compared([model, model], data)
    (pair,) = found["pairs"]
    assert pair["models"] == [0, 1] and pair["cka"] == pytest.approx([1, 1, 1])
    nothing = ("disagreement", "over_chance", "divergence", "distance", "matched_distance", "barrier", "matched_barrier")
    assert [pair[key] for key in nothing] == pytest.approx([0] * len(nothing), abs=1e-9)
    assert found["ensemble"]["gain"] == pytest.approx(0) and found["distinct"] == pytest.approx(1)
    assert found["accuracy"] == [pytest.approx(rs.accuracy(model, data.test))] * 2


def test_pairs_are_all_pairs_and_over_chance_is_over_chance(data: rs.Dataset) -> None:
    models = [rs.learn_network(data, presets.smoke("digits"), seed=seed).eval() for seed in range(3)]
    found = compared(models, data)
    assert [pair["models"] for pair in found["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    pair, (a, b) = found["pairs"][1], (found["accuracy"][0], found["accuracy"][2])
    assert pair["over_chance"] * (1 - a * b - (1 - a) * (1 - b) / 9) == pytest.approx(pair["disagreement"])
    guesses = [logits(model, data.test.images).argmax(1) for model in models]
    assert pair["disagreement"] == pytest.approx(float((guesses[0] != guesses[2]).float().mean()))


def coloured(count: int = 12) -> rs.Dataset:
    """Pictures in colour."""
    images = torch.rand(3 * count, 3, 16, 16, generator=torch.Generator().manual_seed(0)) ** 2
    parts = [(images[n : n + count], torch.arange(count) % 4) for n in (0, count, 2 * count)]
    return rs.from_tensors(parts[0], parts[1], validation=parts[2])


def test_what_is_corrupted_are_the_pictures_and_not_what_the_network_sees() -> None:
    data = coloured()
    torch.manual_seed(1)
    nets: Any = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)) for _ in range(2)]
    found = shifted(nets, data, 10, (1, 5))
    split, (mean, std) = data.test[:10], (each[:, None, None] for each in (data.mean, data.std))
    assert found["clean"] == pytest.approx(sum(share_correct(net(split.images), split.labels) for net in nets) / 2)
    assert list(found["corrupted"]) == list(CORRUPTIONS)
    for name in ("fog", "pixelate"):
        seen = (corrupt(split.images * std + mean, name, 5) - mean) / std
        assert found["corrupted"][name][1] == pytest.approx(sum(share_correct(net(seen), split.labels) for net in nets) / 2)


def test_grey_pictures_are_corrupted_as_colours_of_equal_parts(data: rs.Dataset) -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.flatten(1)[:, :10]

    shifted([Watching()], data, 4, (2,))  # type: ignore[list-item]
    assert {tuple(one.shape) for one in seen} == {(4, *data.test.images.shape[1:])}
    name = list(CORRUPTIONS).index("contrast")
    pixels = (data.test.images[:4] * data.std[:, None, None] + data.mean[:, None, None]).clamp(0, 1)
    wanted = (corrupt(pixels.repeat(1, 3, 1, 1), "contrast", 2)[:, :1] - data.mean[:, None, None]) / data.std[:, None, None]
    torch.testing.assert_close(seen[1 + name], wanted)


def test_a_run_has_what_tables_read(small: Setup) -> None:
    setup = replace(small, arm=ARMS["sgd-inits"], sgd=replace(small.sgd, epochs=6))
    found = run(replace(setup, models=2), SEED)
    assert len(found["accuracy"]) == 2 and len(found["pairs"]) == 1 and set(found["shift"]) == {"clean", "corrupted"}
    assert "shift" not in run(replace(setup, models=1, corrupted=0), SEED)


def test_families_are_of_all_corruptions_and_tables_of_all_arms() -> None:
    assert sorted(name for names in set_figures.FAMILIES.values() for name in names) == sorted(CORRUPTIONS)
    line = next(line for line in set_tables.shift_table().splitlines() if ARMS["inits"].what in line)
    files = sorted(FOLDER.glob("sets-cifar10-500-book-inits-*.json"))
    shifts = [json.loads(file.read_text())["shift"] for file in files]
    corrupted = [100 * np.mean(list(shift["corrupted"].values())) for shift in shifts]
    assert f"| {np.mean(corrupted):.1f} ± {np.std(corrupted, ddof=1):.1f} |" in line
    assert len(set_tables.predictions_table().splitlines()) == 2 + len(ARMS) - 1  # one saw noise, and is compared elsewhere


def test_every_arm_has_a_name_and_a_setup() -> None:
    assert len({arm.what for arm in ARMS.values()}) == len(ARMS) and set(SHIFTED) < set(ARMS)
    for name, arm in ARMS.items():
        setup = sets_setup(presets.book("cifar10"), name, 500)
        assert isinstance(setup.arm, Arm) and setup.arm == arm and (setup.corrupted > 0) == (name in SHIFTED)
        assert setup.sgd.epochs == setup.alternate.learn.epochs + (setup.alternate.rounds - 1) * setup.alternate.epochs
    with pytest.raises(rs.InputError, match="variant='twins': unknown; choose one of class-means, inits"):
        sets_setup(presets.smoke(), "twins", None)
