"""Figures 2 and 3, and `reproduce`, in small on the embedded digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch import plots
from repsearch.__main__ import main
from repsearch.engine import KernelEngine
from repsearch.measure import effective_number
from repsearch.networks import rest
from repsearch.presets import Preset
from repsearch.records import Record, library_hash
from repsearch.scaling import figure2, figure3
from repsearch.search import check_fit
from repsearch.tail import without_identities


@pytest.fixture(scope="module")
def smoothed_noise(preset: Preset) -> Preset:
    return replace(preset, search=replace(preset.search, blurred="noise", input_noise=0.3))


@pytest.fixture(scope="module")
def two(data: rs.Dataset, smoothed_noise: Preset) -> Record:
    return figure2(data, smoothed_noise, images=6, populations=(8, 20))


@pytest.fixture(scope="module")
def three(data: rs.Dataset, smoothed_noise: Preset) -> Record:
    schedule = tuple(replace(row, generations=15) for row in smoothed_noise.search.schedule)
    longer = replace(smoothed_noise, search=replace(smoothed_noise.search, schedule=schedule))
    return figure3(data, longer, images=6, runs=4, counts=(2, 4))


def test_a_block_searched_alone(data: rs.Dataset, preset: Preset) -> None:
    network = rs.search_network(data, preset)
    engine = KernelEngine(without_identities(network), preset.search, 0, check_fit(network, data.train, preset.search))
    for block in range(3):
        H, curves = engine.search_block(data.train[:3], block)
        assert (curves.diff(dim=1) <= 0).all() and curves.shape == (3, preset.search.schedule[block].generations + 1)
        loss = torch.nn.functional.cross_entropy(rest(network, block, H), data.train.labels[:3], reduction="none")
        assert torch.allclose(loss, curves[:, -1], atol=1e-4)
        alone, _ = engine.search_block(data.train[2:3], block)
        assert torch.equal(alone[0], H[2])


def test_figure2_curves_never_rise_and_larger_populations_start_lower(two: Record) -> None:
    assert [(p["block"], p["population"]) for p in two["points"]] == [(b, n) for n in (8, 20) for b in range(3)]
    for point in two["points"]:
        assert all(later <= earlier for earlier, later in zip(point["curve"], point["curve"][1:], strict=False))
    first = {(p["block"], p["population"]): p["curve"][0] for p in two["points"]}
    assert all(first[block, 20] < first[block, 8] for block in range(3))


def test_figure3_counts_what_was_kept(three: Record) -> None:
    for point in three["points"]:
        assert 0 <= point["kept"] <= point["runs"]
        if point["measured_images"]:
            assert 1 <= point["solutions"] <= point["runs"] and 1 <= point["noise"] <= point["runs"]
    assert any(point["measured_images"] for point in three["points"])


def test_figure3_is_the_measure_of_separate_searches(data: rs.Dataset, smoothed_noise: Preset, three: Record) -> None:
    """The point of two runs at block 2, computed by hand."""
    schedule = tuple(replace(row, generations=15) for row in smoothed_noise.search.schedule)
    config = replace(smoothed_noise.search, schedule=schedule)
    network = rs.search_network(data, smoothed_noise)
    shapes = check_fit(network, data.train, config)
    runs = [KernelEngine(without_identities(network), config, seed, shapes).search_block(data.train[:6], 2) for seed in (0, 1)]
    numbers = [effective_number(torch.stack([H[i] for H, _ in runs])) for i in range(6)
               if all(curves[i, -1] < torch.tensor(2.0).log() for _, curves in runs)]
    (point,) = (p for p in three["points"] if (p["block"], p["runs"]) == (2, 2))
    assert point["measured_images"] == len(numbers)
    if numbers:
        assert point["solutions"] == pytest.approx(sum(numbers) / len(numbers))


def test_figures_are_drawn(two: Record, three: Record) -> None:
    assert len(plots.figure2([two, two]).axes) == 2
    assert len(plots.figure3([three]).axes) == 3


@pytest.mark.slow
def test_reproduce_runs_what_is_missing_or_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reproduce", "fig2", "--preset", "smoke", "--seeds", "0", "1", "--variants", "noise", "--out", str(tmp_path)]
    assert main(command) == 0
    first = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert sorted(first) == ["fig2-digits-smoke-noise-0.json", "fig2-digits-smoke-noise-1.json"]
    assert all(record["library_hash"] == library_hash("scaling") for record in first.values())
    capsys.readouterr()

    assert main(command) == 0
    assert capsys.readouterr().out == ""  # nothing was missing
    (tmp_path / "fig2-digits-smoke-noise-0.json").unlink()
    stale = tmp_path / "fig2-digits-smoke-noise-1.json"
    stale.write_text(stale.read_text().replace(library_hash("scaling"), "0" * 16))
    assert main([*command[:1], "--list", "--preset", "smoke", "--seeds", "0", "1", "--out", str(tmp_path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("fig2"))
    assert line.split()[:5] == ["fig2", "3.2", "0", "1", "5"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "noise-0: was missing" in said and "noise-1: was stale" in said
    for path in tmp_path.iterdir():
        assert json.loads(path.read_text())["points"] == first[path.name]["points"]  # the same numbers


@pytest.mark.parametrize(("arguments", "message"), [
    (["fig99"], "experiment='fig99': unknown; choose one of ablations, batch, fig2, fig3"),
    ([], "experiment: name one or more of framework, fig2, fig3, table1"),
    (["fig2", "--preset", "huge"], "preset='huge': unknown"),
    (["fig2", "--variants", "fog"], "variant='fog': unknown; choose one of child, map, noise"),
    (["table1", "--data", "svhn"], "data='svhn': unknown; choose one of digits"),
    (["fig2", "--seeds", "-1"], "seed=-1"),
    (["fig2", "--jobs", "0"], "jobs=0"),
])
def test_reproduce_bad_input(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "--preset", "smoke", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_library_hash_of_a_module_counts_what_it_imports() -> None:
    assert len({library_hash(), library_hash("scaling"), library_hash("measure"), library_hash("plots")}) == 4
