"""Trainings as points of `reproduce`, in small on the embedded digits; what the claims make of records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repsearch as rs
from repsearch import claims, evidence, measure, plots
from repsearch.__main__ import main
from repsearch.points import KINDS
from repsearch.presets import Preset
from repsearch.records import Record, code_of, library_hash, read_records, write_record
from repsearch.reproduce import EXPERIMENTS, points
from repsearch.trainings import ABLATIONS, TABLE1, TIED, VARIANTS, train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def searched(data: rs.Dataset, preset: Preset, store: Path) -> Record:
    return train(data, preset, "search", 0, store)


def test_a_record_says_what_was_found_and_measured(searched: Record, data: rs.Dataset, preset: Preset) -> None:
    network = rs.search_network(data, preset)
    targets = rs.search(network, data.train, preset.search, progress=False)
    for layer in targets.layers:
        loss = targets.cross_entropy(layer).mean(0)
        assert searched["found"]["cross_entropy"][layer] == pytest.approx(loss[[0, -1]].tolist(), rel=1e-5)
    epochs = sorted({row["epoch"] for row in searched["measured"]})
    assert epochs == list(range(preset.learn.epochs + 1)) and len(searched["measured"]) == 3 * len(epochs)
    assert searched["test"] == len(data.test) and 0 <= searched["test_accuracy"] <= 1


def test_the_first_measurement_is_of_the_untrained_network(searched: Record, data: rs.Dataset, preset: Preset) -> None:
    network, model = rs.search_network(data, preset), rs.learn_network(data, preset)
    targets = rs.search(network, data.validation, preset.search, progress=False)
    with torch.no_grad():
        H = rs.activations(model, data.validation.images)[1]
    distance = float(measure.cosine_distance(H, targets.read("block1")).mean())
    (row,) = (row for row in searched["measured"] if (row["epoch"], row["block"]) == (0, 1))
    assert row["distance"] == pytest.approx(distance, abs=1e-4)
    assert row["within"] == pytest.approx(measure.class_entropies(H, data.validation.labels)[0], abs=1e-4)


def test_a_stored_search_gives_the_same_record(searched: Record, data: rs.Dataset, preset: Preset, store: Path) -> None:
    folders = sorted(store.iterdir())
    again, without = train(data, preset, "search", 0, store), train(data, preset, "search", 0)
    assert sorted(store.iterdir()) == folders and len(folders) == 2  # of training and of validation images
    for key in set(searched) - {"seconds", "seconds_search"}:
        assert again[key] == searched[key] == without[key], key


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "search"])
def test_every_variant_runs(name: str, data: rs.Dataset, preset: Preset, store: Path) -> None:
    """For one epoch; what differs from the base is what the variant names."""
    brief = replace(preset, learn=replace(preset.learn, epochs=1), baseline=replace(preset.baseline, epochs=1))
    found, variant = train(data, brief, name, 0, store), VARIANTS[name]
    assert (found["test_accuracy"] is None) != variant.test
    assert (found["search"] is None) == (variant.targets is None)
    parts = set(found["errors"])
    if variant.targets is None:
        assert parts == {"cross_entropy"}
    else:
        assert parts == {"block0", "block1", "block2", "head"} - set(found["learn"]["skip"])


def test_an_untrained_body_stays_as_it_was(data: rs.Dataset, preset: Preset, store: Path) -> None:
    """Its regression errors are the same in the first epoch and in the last: nothing moved them."""
    errors = [train(data, replace(preset, learn=replace(preset.learn, epochs=epochs)), "untrained-body", 0, store)["errors"]
              for epochs in (1, 3)]
    for block in ("block0", "block1", "block2"):
        assert errors[0][block] == pytest.approx(errors[1][block], rel=1e-4)


def test_targets_changed(targets: rs.Targets, data: rs.Dataset) -> None:
    means = targets.changed(lambda _, H: measure.class_means(H, data.train.labels))
    H, labels = means.read("block2"), data.train.labels
    for label in labels.unique():
        expected = targets.read("block2")[labels == label].mean(0)
        assert torch.allclose(H[labels == label], expected.expand_as(H[labels == label]), atol=2e-3)
    assert torch.equal(means.read("logits"), targets.read("logits"))
    assert torch.equal(means.read("block0", 5, 9), means.read("block0")[5:9])
    with pytest.raises(rs.InputError, match=r"change: gave \(3, 8, 15, 15\) for block0, expected \(20, 8, 15, 15\)"):
        targets.changed(lambda _, H: H[:3])


def test_between_class_share_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    noise = torch.randn(400, 50, generator=generator)
    assert measure.between_class_share(noise, labels) == pytest.approx(3 / 399, abs=0.004)
    assert measure.between_class_share(torch.eye(4)[labels], labels) == pytest.approx(1)
    # Class means of variance 1 beside noise of variance 1: half of it lies between.
    means = torch.randn(4, 5000, generator=generator)
    means = (means - means.mean(0)) / (means - means.mean(0)).square().mean().sqrt()
    H = means[labels] + torch.randn(400, 5000, generator=generator)
    assert measure.between_class_share(H, labels) == pytest.approx(0.5, abs=0.02)


def test_selection_for_the_whole_batch() -> None:
    """Both images keep candidate 1, the fittest on average, though each has a fitter one."""
    fitness = torch.tensor([[0.0, -1.0, -9.0], [-9.0, -1.0, 0.0]])
    population = torch.arange(6.0).reshape(2, 3, 1)
    kept, values = rs.operators.select(population, fitness, 1, together=True)
    assert kept.flatten().tolist() == [1, 4] and values.flatten().tolist() == [-1, -1]


@pytest.mark.parametrize("name", TIED)
def test_tied_readings_need_the_reference(name: str, data: rs.Dataset, preset: Preset) -> None:
    change = VARIANTS[name].search
    assert change is not None
    network = rs.search_network(data, preset)
    with pytest.raises(rs.InputError, match="needs engine='reference'"):
        rs.search(network, data.train[:4], change(preset.search), engine="kernel", progress=False)


def test_unknown_variant(data: rs.Dataset, preset: Preset) -> None:
    with pytest.raises(rs.InputError, match="variant='magic': unknown"):
        train(data, preset, "magic")


def test_watch_sees_every_epoch_and_changes_nothing(data: rs.Dataset, preset: Preset) -> None:
    seen: list[int] = []
    models = [rs.learn_network(data, preset) for _ in range(2)]
    first = rs.learn(models[0], data, None, preset.baseline, progress=False, watch=lambda epoch, _: seen.append(epoch))
    second = rs.learn(models[1], data, None, preset.baseline, progress=False)
    assert seen == list(range(preset.baseline.epochs + 1)) and first == second


# --- points and their records ---------------------------------------------------------------------------------------


def test_experiments_name_variants_that_exist() -> None:
    for experiment in EXPERIMENTS.values():
        if KINDS[experiment.kind].module == "trainings":
            assert set(experiment.variants) <= set(VARIANTS)


def test_experiments_share_points() -> None:
    table, figure = (set(EXPERIMENTS[name].points("book", (0, 1, 2))) for name in ("table1", "fig5"))
    assert len(table & figure) == 18 and len(points(["table1", "fig5"], "book", (0, 1, 2))) == len(table | figure)
    chosen = points(["table1"], "book", (0, 1), data=["mnist"], variants=["search", "sgd2"])
    assert [(point.data, point.variant, point.seed) for point in chosen] == [
        ("mnist", "search", 0), ("mnist", "sgd2", 0), ("mnist", "search", 1), ("mnist", "sgd2", 1)]


@pytest.mark.slow
def test_jobs_make_the_same_records(tmp_path: Path) -> None:
    """Two processes and one, with and without searches to share: the same numbers."""
    command = ["reproduce", "table1", "--preset", "smoke", "--seeds", "0", "1", "--variants", "untrained-body"]
    for name, jobs in (("one", "1"), ("two", "2")):
        folder = tmp_path / name
        assert main([*command, "--out", str(folder), "--store", str(folder / "store"), "--jobs", jobs]) == 0
    for file in sorted((tmp_path / "one").glob("*.json")):
        one, two = json.loads(file.read_text()), json.loads((tmp_path / "two" / file.name).read_text())
        assert {**one, "seconds": 0, "seconds_search": 0} == {**two, "seconds": 0, "seconds_search": 0}
        assert one["library_hash"] == library_hash("trainings")
    assert len(list((tmp_path / "two").glob("*.json"))) == 2


def test_a_record_of_other_settings_is_stale(tmp_path: Path) -> None:
    (point,) = points(["table1"], "smoke", (0,), variants=["sgd2"])
    record = point.run()
    for change, state in (({}, "done"), ({"width": 17}, "stale"), ({"learn": {**record["learn"], "epochs": 5}}, "stale"),
                          ({"library_hash": "0" * 16}, "stale")):
        write_record(tmp_path / f"{point.name}.json", {**record, **change})
        assert point.state(tmp_path) == state, change
    (tmp_path / f"{point.name}.json").write_text("{")
    assert point.state(tmp_path) == "stale"


def test_docstrings_and_comments_do_not_make_records_stale() -> None:
    documented = 'class A:\n    """Doc,\n    of two lines."""\n\n    # why\n    x: str = """kept"""\n'
    assert code_of(documented) == 'class A:\n    x: str = """kept"""'
    assert code_of(documented.replace("kept", "changed")) != code_of(documented)


# --- claims ---------------------------------------------------------------------------------------------------------


def test_verdicts() -> None:
    assert evidence.always([0.1, 0.2, 0.3]) == "reproduced"
    assert evidence.always([0.1, -0.05, 0.3]) == "in part"  # a mean of 0.117, with a standard error of 0.101
    assert evidence.always([0.1, -0.1, 0.2]) == "not reproduced"  # 0.067, with 0.088
    assert evidence.always([0.1, -0.3, 0.1]) == "not reproduced"
    assert evidence.overall(["not reproduced"] * 3) == "not reproduced"
    assert evidence.overall(["reproduced", "in part", "reproduced"]) == "in part"


def test_a_claim_is_judged_by_its_records() -> None:
    """CIFAR-10's rows of Table 1, computed here from the files themselves."""
    def test_accuracies(variant: str) -> torch.Tensor:
        files = [ROOT / "book" / "records" / f"training-cifar10-book-{variant}-{seed}.json" for seed in (0, 1, 2)]
        return torch.tensor([100 * json.loads(file.read_text())["test_accuracy"] for file in files], dtype=torch.float64)

    def shown(values: torch.Tensor) -> str:
        return f"{values.mean():.1f} ± {values.std():.1f}"

    ours, untrained, other = (test_accuracies(variant) for variant in ("search", "untrained-body", "other"))
    holds = bool((ours > untrained).all() and (ours > other).all())
    value, control, verdict = evidence.learns("cifar10")
    assert value == f"{shown(ours)} %" and (verdict == "reproduced") == holds
    assert control == f"untrained body {shown(untrained)} %, targets of other images {shown(other)} %"

    rival = test_accuracies(evidence.best("cifar10", evidence.SGD))
    ours = test_accuracies(evidence.best("cifar10", evidence.SEARCH_BASED))
    value, _, verdict = evidence.close_to_sgd("cifar10")
    assert value == f"{shown(ours)} % against {shown(rival)} %: {shown(rival - ours)} points behind"
    assert (verdict == "reproduced") == bool((rival - ours).mean() <= 3)


def test_every_claim_has_a_verdict() -> None:
    found = claims.claims()
    assert len(found) >= 25
    for claim in found:
        ours, _, verdict = claim.judge()
        assert verdict in (evidence.REPRODUCED, evidence.IN_PART, evidence.NOT, evidence.UNTRIED)
        assert bool(ours) == (verdict != evidence.UNTRIED) == (claim.experiment is not None)
        assert set((claim.experiment or "").split()) <= set(EXPERIMENTS)


def test_the_page_of_claims_is_that_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.strip() == (ROOT / "book" / "claims.md").read_text().strip(), (
        "python -m repsearch claims --out book/claims.md")


def test_figures_of_trainings_are_drawn() -> None:
    book = read_records("training-cifar10-book-*")
    panels = plots.figure5(book).axes
    assert len(panels) == 3
    for ax in panels:  # nothing is cut off
        assert ax.get_ylim()[1] >= max(line.get_ydata().max() for line in ax.lines)
    assert len(plots.entropies(book, "within").axes) == len(plots.entropies(book, "between").axes) == 3
    assert len(plots.scores(book, tuple(TABLE1)).axes) == 1
    study = read_records("study-cifar10-book-*")
    assert len(plots.figure4(study).axes) == 4
    assert len(plots.scores(study, ABLATIONS).axes) == 1
