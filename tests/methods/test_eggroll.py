"""EGGROLL: its noise and its estimate against closed forms, scipy's densities, a singular value decomposition, and a loop
over members with their weights in the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import CONFIG, StopHereError, mlp, stop
from scipy import integrate, special, stats
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

import repsearch as rs
from repsearch.method import Batch
from repsearch.methods.eggroll import EGGROLL
from repsearch.methods.evolution import EvolutionStrategy

M, N = 6, 5
G = torch.linspace(-1, 2, M * N).view(M, N)


class Matrix(nn.Module):
    """Gives its matrix back, whatever it is shown: fitness is a function of it alone."""

    def __init__(self, rows: int = M, columns: int = N) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, columns))

    def forward(self, images: Tensor) -> Tensor:
        return self.weight.flatten().expand(len(images), -1)


def linear(gradient: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, _labels: logits[0] @ gradient.flatten()


def started(net: nn.Module, method: EvolutionStrategy, seed: int = 0) -> EvolutionStrategy:
    method.start(net, None, CONFIG, seed)  # type: ignore[arg-type]
    return method


def written_out(offset: Tensor | tuple[Tensor, Tensor]) -> np.ndarray:
    """The noise of D directions on a weight, (D, rows, columns), in double precision."""
    if isinstance(offset, Tensor):
        return offset.flatten(2).double().numpy() if offset.ndim > 2 else offset.double().numpy()
    left, right = (factor.double().numpy() for factor in offset)
    product: np.ndarray = np.einsum("dir,djr->dij", left, right) / np.sqrt(left.shape[-1])
    return product


def drawn(rank: int, count: int) -> np.ndarray:
    method = started(Matrix(), EGGROLL(rank))
    return written_out(method.offsets(method.draw(0, count))["weight"])


def near(samples: np.ndarray, wanted: float | np.ndarray, errors: float = 4) -> bool:
    """Whether the mean over the first axis is within so many standard errors."""
    return bool((np.abs(samples.mean(0) - wanted) < errors * samples.std(0) / np.sqrt(len(samples))).all())


# --- the noise --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_entries_of_the_noise_have_mean_0_variance_1_and_no_correlation(rank: int) -> None:
    """And the fourth moments of a product of normals, by which a low rank differs from a full one."""
    E = drawn(rank, 40_000)
    assert near(E.reshape(len(E), -1), 0.0)
    pairs = np.einsum("da,db->dab", *2 * [E[:, :3, :3].reshape(len(E), -1)])
    assert near(pairs, np.eye(9))
    assert near((E**4).mean((1, 2)), 3 + 6 / rank)
    assert near((E[:, :, 0] ** 2 * E[:, :, 1] ** 2).mean(1), 1 + 2 / rank)
    assert near((E[:, 0] ** 2 * E[:, 1] ** 2).mean(1), 1 + 2 / rank)
    assert near(E[:, 0, 0] * E[:, 0, 1] * E[:, 1, 0] * E[:, 1, 1], 1 / rank)


def product_normal(rank: int) -> Callable[[float], float]:
    """Density of sum over r of a_k b_k / sqrt(r), from the paper, for unit variance."""
    def density(x: float) -> float:
        order, size = (rank - 1) / 2, np.sqrt(rank) * abs(x)
        return float(2 * np.sqrt(rank) * size**order * special.kv(order, size)
                     / (np.sqrt(2) ** (rank + 1) * np.sqrt(np.pi) * special.gamma(rank / 2)))

    return density


@pytest.mark.parametrize(("rank", "density", "values"), [
    (1, lambda x: special.k0(abs(x)) / np.pi, (0.2942517, 0.1340162)),
    (2, stats.laplace(scale=0.5**0.5).pdf, (0.3486522, 0.1719095)),
    (4, product_normal(4), (0.3678794, 0.2030029)),
])
def test_entries_have_the_density_of_a_product_of_normals(
    rank: int, density: Callable[[float], float], values: tuple[float, float]
) -> None:
    assert [density(0.5), density(1.0)] == pytest.approx(values, abs=1e-7)
    entries = np.abs(drawn(rank, 20_000))
    for low, high in ((0.0, 0.1), (0.4, 0.6), (0.9, 1.1), (2.5, 9.0)):
        assert near(((entries >= low) & (entries < high)).mean((1, 2)), 2 * integrate.quad(density, low, high)[0])


def test_biases_and_matrices_of_no_higher_rank_get_full_noise() -> None:
    net = nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3), nn.LayerNorm(3))
    method = started(net, EGGROLL(3))
    offsets = method.offsets(method.draw(0, 40_000))
    assert {name for name, offset in offsets.items() if isinstance(offset, tuple)} == {"0.weight"}
    assert method.width == 3 * (8 + 5) + 5 + 3 * 5 + 3 + 3 + 3
    head, bias = written_out(offsets["1.weight"]), written_out(offsets["0.bias"])
    assert head.shape[1:] == (3, 5) and near((head**4).mean((1, 2)), 3) and near(head[:, 0, 0] ** 2 * head[:, 0, 1] ** 2, 1)
    assert bias.shape[1:] == (5,) and near((bias**4).mean(1), 3) and near(bias[:, 0] * head[:, 0, 0], 0)
    assert near((written_out(offsets["0.weight"]) ** 4).mean((1, 2)), 3 + 6 / 3)


# --- the estimate -----------------------------------------------------------------------------------------------------


def spread(method: EvolutionStrategy, gradient: Tensor, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of a linear fitness's gradient, (repeats, mn), and their squared distances from it."""
    net = Matrix(*gradient.shape)
    method = started(net, method)
    found = []
    for _ in range(repeats):
        method.step(net, Batch(torch.zeros(2, 1, 1, 1), torch.zeros(2, dtype=torch.long), 0, 2), CONFIG)
        assert net.weight.grad is not None
        found.append(-net.weight.grad.flatten().double().numpy())
    estimates = np.stack(found)
    return estimates, ((estimates - gradient.flatten().double().numpy()) ** 2).sum(1)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_the_estimate_of_a_linear_fitness_is_unbiased_and_has_the_closed_forms_variance(rank: int) -> None:
    pairs = 8
    estimates, distances = spread(EGGROLL(rank, 2 * pairs, 0.3, fitness=linear(G)), G, 1000)
    assert near(estimates, G.flatten().double().numpy())
    assert near(distances, float(G.square().sum()) / pairs * (M * N + 1 + 2 * (M + N + 1) / rank))


def test_with_growing_rank_the_variance_becomes_the_gaussians() -> None:
    rows, columns, repeats = 12, 11, 600
    gradient = torch.linspace(-1, 2, rows * columns).view(rows, columns)
    methods = (EvolutionStrategy(16, fitness=linear(gradient)), EGGROLL(10, 16, fitness=linear(gradient)),
               EGGROLL(1, 16, fitness=linear(gradient)))
    gaussian, high, low = (spread(method, gradient, repeats)[1] for method in methods)
    wanted = float(gradient.square().sum()) / 8
    assert near(gaussian, wanted * (rows * columns + 1))
    assert near(high, wanted * (rows * columns + 1 + 2 * (rows + columns + 1) / 10))
    error = np.sqrt((gaussian.var() + high.var()) / repeats)
    assert abs(high.mean() - gaussian.mean()) < 4 * error < low.mean() - gaussian.mean()


@pytest.mark.parametrize(("pairs", "rank"), [(1, 1), (2, 2), (1, 4), (4, 1), (5, 1), (3, 2), (8, 1), (8, 4)])
def test_an_update_has_the_rank_of_all_its_noise(pairs: int, rank: int) -> None:
    estimates, _ = spread(EGGROLL(rank, 2 * pairs, 0.3, fitness=linear(G)), G, 3)
    for one in estimates:
        values = np.linalg.svd(one.reshape(M, N), compute_uv=False)
        assert (values > 1e-5 * values[0]).sum() == min(pairs * rank, M, N)


# --- whole networks ---------------------------------------------------------------------------------------------------


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "linear layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(162, 7), nn.Tanh(), nn.Linear(7, 6, bias=False)),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 2, dilation=2, padding="same"), nn.Tanh(),
        nn.Conv2d(6, 8, 3, padding=(1, 2), groups=2, bias=False), nn.Conv2d(8, 6, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "batch normalisation": lambda: nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 6)),
}


class Awkward(nn.Module):
    """Does what a user's network may."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.body, self.head = how, nn.Linear(162, 7), nn.Linear(7, 6)
        if how == "has a forward of its own":
            self.head.forward = lambda input: 2 * nn.functional.linear(input, self.head.weight)  # type: ignore[method-assign]
        if how == "is pruned":
            prune.random_unstructured(self.head, "weight", 0.3)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> Tensor:
        if self.how == "changes its input":
            images = images.sub_(1)
        hidden = self.body(input=images.flatten(1)) if self.how == "names its input" else self.body(images.flatten(1))
        if self.how == "looks at its values" and hidden.sum() > 1e9:
            hidden = -hidden
        logits: Tensor = self.head(hidden.tanh())
        return logits


AWKWARD = ("changes its input", "names its input", "looks at its values", "has a forward of its own", "is pruned")
CASES = [(name, rank, sampling) for name in NETWORKS for rank in (1, 2, 4) for sampling in ("antithetic", "one-sided")]
NETWORKS.update({how: partial(Awkward, how) for how in AWKWARD})


@pytest.mark.parametrize(("name", "rank", "sampling"), [
    *CASES, *((how, 1, "antithetic") for how in AWKWARD)])
def test_a_step_is_that_of_members_written_out(name: str, rank: int, sampling: str) -> None:
    """Each member's weights are put into the network; the noise is weighted with what torch's cross-entropy says."""
    torch.manual_seed(0)
    net, sigma = NETWORKS[name](), 0.2
    torch.manual_seed(0)
    twin = NETWORKS[name]()
    images, labels = torch.randn(12, 2, 9, 9), torch.arange(12) % 5
    method = started(net, EGGROLL(rank, 6, sigma, sampling))
    offsets = method.offsets(method.draw(0, method.directions))
    E = np.concatenate([written_out(offsets[key]).reshape(method.directions, -1) for key, _ in twin.named_parameters()], axis=1)
    assert any(isinstance(offset, tuple) for offset in offsets.values())

    def fitness(vector: np.ndarray) -> float:
        vector_to_parameters(torch.from_numpy(vector).float(), twin.parameters())
        with torch.no_grad():
            return -float(nn.functional.cross_entropy(twin(images.clone()), labels))

    centre = parameters_to_vector(twin.parameters()).detach().double().numpy()
    plus = np.array([fitness(centre + sigma * one) for one in E])
    minus = np.array([fitness(centre - sigma * one) for one in E])
    weights = (plus - minus) / 2 if sampling == "antithetic" else plus
    wanted = weights @ E / (len(E) * sigma)
    step = method.step(net, Batch(images.clone(), labels, 0, 12), CONFIG)
    found = np.concatenate([-weight.grad.flatten().numpy() for weight in net.parameters() if weight.grad is not None])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * float(np.abs(wanted).max()) + 1e-6)
    mean = np.concatenate([plus, minus]).mean() if sampling == "antithetic" else plus.mean()
    assert float(step.loss) == pytest.approx(-mean, rel=1e-5)


def test_it_resumes_to_the_same_bytes(digits: rs.Dataset, tmp_path: Path) -> None:
    config = rs.FitConfig(epochs=3, batch=200, learning_rate=0.01, keep="last")
    whole, halves = mlp(), mlp()
    rs.fit(whole, digits, EGGROLL(2, 6, optimizer="adam"), config, progress=False)

    with pytest.raises(StopHereError):
        rs.fit(halves, digits, EGGROLL(2, 6, optimizer="adam"), config, checkpoint=tmp_path / "c.pt", progress=False, watch=stop)
    halves = mlp()
    with pytest.raises(rs.InputError, match=r"rank 2 there, 1 here"):
        rs.fit(halves, digits, EGGROLL(1, 6, optimizer="adam"), config, checkpoint=tmp_path / "c.pt", progress=False)
    rs.fit(halves, digits, EGGROLL(2, 6, optimizer="adam"), config, checkpoint=tmp_path / "c.pt", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), halves.parameters(), strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(whole.parameters(), mlp().parameters(), strict=True))


def test_it_trains(digits: rs.Dataset) -> None:
    net = mlp()
    config = rs.FitConfig(epochs=15, batch=200, learning_rate=0.03, momentum=0)
    rs.fit(net, digits, EGGROLL(1, 100, 0.1, shaping="ranks", optimizer="adam"), config, progress=False)
    assert rs.accuracy(net, digits.validation) > 0.5


def test_bad_input() -> None:
    for rank in (0, -1, 1.0, True):
        with pytest.raises(rs.InputError, match=f"rank={rank}: expected a whole number of at least 1"):
            EGGROLL(rank)  # type: ignore[arg-type]
    with pytest.raises(rs.InputError, match="population=5: antithetic members come in pairs"):
        EGGROLL(population=5)
    with pytest.raises(rs.InputError, match="rank=32: the network's matrices have ranks up to 32; expected a lower one"):
        started(mlp(), EGGROLL(32))
    with pytest.raises(rs.InputError, match="or EvolutionStrategy"):  # scales and biases alone
        started(nn.Sequential(nn.Flatten(), nn.LayerNorm(9)), EGGROLL())
    frozen = mlp()
    frozen[2].weight.requires_grad_(False)  # type: ignore[index]
    with pytest.raises(rs.InputError, match="rank=16: the network's matrices have ranks up to 10"):
        started(frozen, EGGROLL(16))
