"""Who is timed at evolution strategies: each evaluates what it claims, and all take the same steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from repsearch.bench import strategies
from repsearch.bench.strategies import LOOP, NETWORKS, SIGMA, Setup, contestants, loop, losses, losses_in_jax, ours
from repsearch.methods import EvolutionStrategy
from repsearch.methods._population import noise

SMALL = replace(NETWORKS["digits"], widths=(12, 8, 6, 4), members=40)
SAME = (LOOP, "EvolutionStrategy", "EvoTorch PGPE", "evosax Open_ES")
ALL = {*SAME, "EGGROLL, rank 1", "SNES", "EvoTorch SNES", "evosax SNES"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are a hundred times slower on two, if anything else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loss(weights: Tensor) -> Tensor:
    network, batch = SMALL.network(), SMALL.images()
    vector_to_parameters(weights, network.parameters())
    return F.cross_entropy(network(batch.images), batch.labels).detach()


def test_the_loop_takes_the_step_of_our_strategy() -> None:
    """Given the noise that it draws."""
    size = len(parameters_to_vector(SMALL.network().parameters()))
    drawn = iter([*noise((0, 0, 0), 20, size), *noise((0, 1, 0), 20, size)])
    found, wanted = ours(EvolutionStrategy(SMALL.members, SIGMA), SMALL), loop(SMALL, lambda _: next(drawn))
    for contestant in (found, wanted):
        contestant.run(2)
    torch.testing.assert_close(found.centre(), wanted.centre(), rtol=1e-4, atol=1e-5)
    assert next(drawn, None) is None


def test_libraries_evaluate_every_member_on_the_batch() -> None:
    network, batch = SMALL.network(), SMALL.images()
    centre = parameters_to_vector(network.parameters()).detach()
    members = centre + 0.3 * torch.randn(5, len(centre), generator=torch.Generator().manual_seed(1))
    wanted = torch.stack([loss(member) for member in members])
    torch.testing.assert_close(losses(network, batch)(members), wanted)
    found = losses_in_jax(network, batch)(jnp.asarray(members.numpy()))
    torch.testing.assert_close(torch.from_numpy(np.array(found)), wanted)


def test_a_generation_of_the_libraries_has_so_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(_network: Any, _batch: Any) -> Any:
        def each(members: Any) -> Any:
            seen.append(len(members))
            return (members**2).sum(-1)

        return each

    monkeypatch.setattr(strategies, "losses", counted)
    monkeypatch.setattr(strategies, "losses_in_jax", counted)
    with jax.disable_jit():
        for name, contestant in contestants(SMALL).items():
            seen.clear()
            contestant.run(1)
            assert seen == ([SMALL.members] if name.split()[0] in strategies.LIBRARIES else []), name


def test_all_start_alike_and_learn_and_the_same_strategy_goes_as_far() -> None:
    """Whatever is drawn: as long as its estimates have the same size in the same units."""
    start = parameters_to_vector(SMALL.network().parameters()).detach()
    entered = contestants(SMALL)
    assert set(entered) == ALL
    lengths = {}
    for name, contestant in entered.items():
        torch.testing.assert_close(contestant.centre(), start, msg=name)
        contestant.run(61)  # EvoTorch's first generation is only evaluated
        assert loss(contestant.centre()) < loss(start) - 0.02, name
        lengths[name] = float((contestant.centre() - start).norm())
    for name in SAME:
        assert lengths[name] == pytest.approx(lengths[LOOP], rel=0.15), lengths


def test_rows_and_their_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "NETWORKS", {"small": SMALL})
    monkeypatch.setattr(strategies, "installed", lambda _: False)
    result = strategies.run(Setup(seconds=0.0), 0, None, None)
    assert [row["network"] for row in result["rows"]] == ["small"] * 4 and result["skipped"] == ["EvoTorch", "evosax"]
    assert all(row["members_per_second"] > 0 for row in result["rows"])
    result["rows"] = [{"network": "a", "contestant": LOOP, "members_per_second": 20.0},
                      {"network": "a", "contestant": "SNES", "members_per_second": 3000.0}]
    assert strategies.table(result).splitlines()[1:] == [
        "a", "                                   members/s    times the loop",
        "  loop over members                       20              1.0x",
        "  SNES                                 3,000            150.0x",
        "  EvoTorch: not installed, skipped; pip install 'repsearch[bench]'",
        "  evosax: not installed, skipped; pip install 'repsearch[bench]'"]
