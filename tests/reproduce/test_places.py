"""Hill climbing in activations and in weights: what each step takes, by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

import repsearch as rs
from repsearch.networks import activations, calibrate, rest
from repsearch.operators import normalise
from repsearch.reproduce import places
from repsearch.reproduce.places import Setup, rank_1
from repsearch.reproduce.samples import Sample

SETUP = Setup(Sample("digits", 64, 64, 64), width=8, images=16, strengths=(0.1,), candidates=5, generations=2)


@pytest.fixture(scope="module")
def found() -> dict[str, places.Curve]:
    return {name: place["climbs"]["0.1"] for name, place in places.run(SETUP, seed=1)["places"].items()}


@pytest.fixture(scope="module")
def network() -> rs.Network:
    data = SETUP.sample.load(None, 1)
    made = rs.airbench.convnet(data.train.images, 10, 8, statistics="running", seed=1)
    return calibrate(made, data.train.images[:512])


def test_every_climb_goes_down_and_no_further_than_it_is_paid_for(found: dict[str, places.Curve]) -> None:
    assert list(found) == ["block0", "block1", "block2", "weights", "weights, rank 1"]
    for name, curve in found.items():
        losses, spent = (torch.tensor(curve[key], dtype=torch.float64) for key in ("cross_entropy", "spent"))
        assert len(losses) == 3 and bool((losses.diff() <= 0).all()) and losses[-1] < losses[0], name
        assert torch.allclose(spent.diff(), spent.diff()[:1])
    assert found["weights"]["spent"] == found["weights, rank 1"]["spent"] == [1, 6, 11]
    head = 8 * 3 * 3 * 10  # a candidate at the last block costs the head alone
    convolutions = 8 * 8 * 9 * (2 * 31**2 + 2 * 15**2 + 2 * 7**2) / 2
    assert 1 < found["block2"]["spent"][1] < 1 + 5 * head / convolutions


def test_the_first_step_of_each_image_is_its_best_candidate(found: dict[str, places.Curve], network: rs.Network) -> None:
    data = SETUP.sample.load(None, 1).train[:16]
    with torch.no_grad():
        H = normalise(activations(network, data.images)[1])
        sigma = H.std((2, 3), keepdim=True)
        generator = torch.Generator().manual_seed(1)
        tries = [H, *(normalise(H + 0.1 * sigma * torch.randn(H.shape, generator=generator)) for _ in range(5))]
        losses = torch.stack([F.cross_entropy(rest(network, 1, each), data.labels, reduction="none") for each in tries])
    assert found["block1"]["cross_entropy"][0] == pytest.approx(float(losses[0].mean()))
    assert found["block1"]["cross_entropy"][1] == pytest.approx(float(losses.amin(0).mean()), rel=1e-3)


@pytest.mark.parametrize(("name", "noise"), [("weights", torch.randn), ("weights, rank 1", rank_1)])
def test_a_step_of_the_weights_serves_all_images(
    found: dict[str, places.Curve], network: rs.Network, name: str, noise: places.Noise
) -> None:
    """With each candidate's weights written into the network."""
    data, generator, results = SETUP.sample.load(None, 1), torch.Generator().manual_seed(1), []
    for number in range(6):
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for key, weight in moved.named_parameters():
                if number and weight.ndim > 1 and not key.startswith("stem"):
                    weight += 0.1 * weight.std() * noise(weight.shape, generator=generator)
            results.append([float(F.cross_entropy(moved(part.images[:16]), part.labels[:16]))
                            for part in (data.train, data.validation)])
    (first, others), best = results[0], min(results)
    assert [found[name]["cross_entropy"][0], found[name]["others"][0]] == pytest.approx([first, others], rel=1e-4)
    assert [found[name]["cross_entropy"][1], found[name]["others"][1]] == pytest.approx(best, rel=1e-4)


def test_noise_of_rank_1_has_the_moments_of_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([rank_1(torch.Size([4, 3, 2]), generator) for _ in range(20_000)])
    assert torch.linalg.matrix_rank(drawn[0].flatten(1)) == 1
    # Four standard errors of an entry's mean, and of its square's, whose variance is 9 - 1.
    assert float(drawn.mean(0).abs().max()) < 4 / 20_000**0.5
    assert float((drawn.square().mean(0) - 1).abs().max()) < 4 * (8 / 20_000) ** 0.5
