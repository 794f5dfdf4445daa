"""The operators against torch's own functions, closed forms and chi-square bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from repsearch import operators as op


def population(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_select_keeps_the_fittest_unchanged_and_in_order() -> None:
    H, fitness = population(3, 6, 2, 5, 5), population(3, 6)
    parents, kept = op.select(H, fitness, 2)
    for b in range(3):
        order = sorted(range(6), key=lambda i: -fitness[b, i].item())[:2]
        assert torch.equal(parents[b], H[b, order])
        assert torch.equal(kept[b], fitness[b, order])


def test_selection_for_the_whole_batch() -> None:
    """Both images keep candidate 1, the fittest on average, though each has a fitter one."""
    fitness = torch.tensor([[0.0, -1.0, -9.0], [-9.0, -2.0, 0.0]])
    population = torch.arange(6.0).reshape(2, 3, 1)
    kept, values = op.select(population, fitness, 1, together=True)
    assert kept.flatten().tolist() == [1, 4] and values.flatten().tolist() == [-1, -2]  # each image's own


def test_crossover_is_the_mean_of_the_two_parents() -> None:
    H = population(2, 4, 3, 5, 5)
    pairs = torch.tensor([[[0, 1], [3, 3]], [[2, 0], [1, 2]]])
    child = op.crossover(H, pairs)
    assert torch.equal(child[0, 0], (H[0, 0] + H[0, 1]) / 2)
    assert torch.equal(child[0, 1], H[0, 3])
    assert torch.equal(child[1, 1], (H[1, 1] + H[1, 2]) / 2)


def test_pairs_are_uniform_with_replacement(generators: list[torch.Generator]) -> None:
    pairs = op.draw_pairs(4000, 5, generators)
    counts = torch.bincount((pairs[..., 0] * 5 + pairs[..., 1]).flatten(), minlength=25)
    # 12,000 draws over 25 equally likely ordered pairs.
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_distinct_pairs_never_repeat_a_parent_and_stay_uniform(generators: list[torch.Generator]) -> None:
    pairs = op.draw_pairs(4000, 5, generators, distinct=True)
    assert (pairs[..., 0] != pairs[..., 1]).all()
    counts = torch.bincount((pairs[..., 0] * 5 + pairs[..., 1]).flatten(), minlength=25).view(5, 5)
    off_diagonal = counts[~torch.eye(5, dtype=torch.bool)]
    assert stats.chisquare(off_diagonal.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(7, 9, 9), (10,)])
def test_children_have_the_mean_and_variance_of_the_formulas(shape: tuple[int, ...]) -> None:
    """eps ~ N(0, (alpha sigma)^2): (n - 1) s^2 / (alpha sigma)^2 is chi-square with n - 1 degrees of freedom."""
    alpha, n = 0.3, 5000
    generator = op.image_generators(7, [0])
    parents = population(1, 4, *shape)
    pairs = torch.tensor([[0, 2]]).expand(1, n, 2)
    noise = op.draw_noise((n, *shape), generator)
    children = op.mutate(op.crossover(parents, pairs), op.parent_spread(parents, pairs), alpha, noise)[0]

    mean = (parents[0, 0] + parents[0, 2]) / 2
    if len(shape) == 3:
        sigma = (parents[0, 0].std((1, 2)) + parents[0, 2].std((1, 2)))[:, None, None] / 2
    else:
        sigma = (parents[0, 0].std() + parents[0, 2].std()) / 2
    low, high = stats.norm.interval(1 - 1e-6)
    z = (children.mean(0) - mean) / (alpha * sigma) * n**0.5
    assert low < z.min() and z.max() < high
    ratio = (n - 1) * children.var(0) / (alpha * sigma) ** 2
    low, high = stats.chi2.interval(1 - 1e-6, n - 1)
    assert low < ratio.min() and ratio.max() < high


def test_map_noise_is_one_draw_a_channel(generators: list[torch.Generator]) -> None:
    noise = op.draw_noise((4, 5, 6, 6), generators, "map")
    assert noise.shape == (3, 4, 5, 6, 6)
    assert torch.equal(noise, noise[..., :1, :1].expand_as(noise))
    assert noise[..., 0, 0].unique().numel() == 3 * 4 * 5


def test_spread_of_a_single_position_is_over_channels() -> None:
    H = population(2, 3, 6, 1, 1)
    assert torch.allclose(op.spread(H).flatten(), H.flatten(2).std(2).flatten())
    assert op.spread(H).shape == (2, 3, 1, 1, 1)


@pytest.mark.parametrize("side", [3, 7, 15])
@pytest.mark.parametrize("passes", [0, 1, 5])
@pytest.mark.parametrize("border", ["zeros", "inside"])
def test_smooth_is_repeated_average_pooling(side: int, passes: int, border: str) -> None:
    H = population(2, 3, 4, side, side + 1)
    expected = H.flatten(0, 1)
    for _ in range(passes):
        expected = F.avg_pool2d(expected, 3, stride=1, padding=1, count_include_pad=border == "zeros")
    assert torch.allclose(op.smooth(H, passes, border), expected.view_as(H), atol=1e-6)  # type: ignore[arg-type]


def test_normalise_is_layer_norm_over_channels_and_positions() -> None:
    H = 3 + 2 * population(2, 3, 4, 5, 5)
    mean, var = H.mean((2, 3, 4), keepdim=True), H.var((2, 3, 4), keepdim=True, correction=0)
    assert torch.allclose(op.normalise(H), (H - mean) / (var + 1e-5).sqrt(), atol=1e-5)
    assert torch.allclose(op.normalise(H), F.layer_norm(H, (4, 5, 5), eps=1e-5))


def test_recentre_leaves_the_softmax() -> None:
    logits = population(2, 3, 10)
    assert torch.allclose(op.recentre(logits).mean(-1), torch.zeros(2, 3), atol=1e-7)
    assert torch.allclose(op.recentre(logits).softmax(-1), logits.softmax(-1), atol=1e-6)


def test_an_image_draws_the_same_whatever_its_batch() -> None:
    alone = op.draw_noise((4, 2, 3, 3), op.image_generators(5, [17]))
    together = op.draw_noise((4, 2, 3, 3), op.image_generators(5, [3, 17, 9]))
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_border_decides_all_where_noise_is_a_map() -> None:
    """Pooling leaves constant maps as they are, if the border is not counted: that reading is then no smoothing."""
    noise = op.draw_noise((5, 9, 9), op.image_generators(0, range(2)), "map")
    assert torch.allclose(op.smooth(noise, 5, "inside"), noise, atol=1e-6)
    assert not torch.allclose(op.smooth(noise, 5, "zeros"), noise, atol=0.1)


def test_mutation_adds_the_noise_that_it_is_given() -> None:
    H, noise = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -4.0]])
    assert op.mutate(H, torch.tensor(3.0), 0.1, noise).tolist() == [[pytest.approx(1.15), pytest.approx(-3.2)]]


def test_spread_is_numpys_deviation_with_one_degree_of_freedom_less() -> None:
    maps = torch.randn(2, 3, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(op.spread(maps)[..., 0, 0], torch.from_numpy(np.std(maps.numpy(), axis=(3, 4), ddof=1)))
    logits = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(op.spread(logits)[..., 0], torch.from_numpy(np.std(logits.numpy(), axis=2, ddof=1)))
