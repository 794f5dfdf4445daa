"""The form that says what a search costs: its rates are the benchmark's, its sums those of plain arithmetic."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from repsearch.reproduce.budget import calculator, measured_rates
from repsearch.reproduce.records import read_records

SIDES = {"block0": 15, "block1": 7, "block2": 3}


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file: Path = tmp_path_factory.mktemp("budget") / "budget.html"
    (bench,) = read_records("bench-*")
    file.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>b</title><body>{calculator(bench)}')
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.goto(file.as_uri())
    return opened


def rate(block: str, width: int) -> float:
    (bench,) = read_records("bench-*")
    found = {row["size"]: row["candidates_per_second"] for row in bench["rows"]
             if row["layer"] == block and row["contestant"] == "engine"}
    slope = (math.log(found["paper"]) - math.log(found["laptop"])) / (math.log(256) - math.log(64))
    return math.exp(math.log(found["laptop"]) + slope * (math.log(width) - math.log(64)))


def fill(page: Any, **values: int | str) -> None:
    for name, value in values.items():
        field = page.locator(f".budget [name={name}]")
        field.select_option(str(value)) if name == "machine" else field.fill(str(value))


def test_rates_are_those_of_the_record() -> None:
    (bench,) = read_records("bench-*")
    assert set(measured_rates(bench)) == set(SIDES)
    for block, pairs in measured_rates(bench).items():
        assert pairs == [(64, pytest.approx(rate(block, 64))), (256, pytest.approx(rate(block, 256)))]


@pytest.mark.parametrize(("width", "cores"), [(256, 2), (64, 2), (32, 2), (128, 64)])
def test_hours_and_disk(page: Any, width: int, cores: int) -> None:
    fill(page, images=1000, width=width, classes=100, population=60, block0=30, block1=15, block2=0, machine=cores)
    wanted = 1000 * (60 * 30 / rate("block0", width) + 60 * 15 / rate("block1", width)) * 2 / cores
    assert float(page.locator(".budget").get_attribute("data-seconds")) == pytest.approx(wanted)
    assert float(page.locator(".budget").get_attribute("data-bytes")) == 1000 * 2 * (width * (225 + 49 + 9) + 100)


def test_a_gpu_is_an_estimate_and_said_to_be_one(page: Any) -> None:
    fill(page, images=46_000, width=256, classes=10, population=240, block0=300, block1=100, block2=100, machine="gpu")
    moved = sum(240 * generations * 256 * side**2 * 10 * 4 for generations, side in zip((300, 100, 100), SIDES.values(), strict=True))
    assert float(page.locator(".budget").get_attribute("data-seconds")) == pytest.approx(46_000 * moved / 2e12)
    said = page.inner_text(".budget [role=status]")
    minutes, disk = re.search(r"About ([\d.]+) minutes .*, and ([\d.]+) GB", said).groups()  # type: ignore[union-attr]
    assert "not measured" in said
    assert float(minutes) == pytest.approx(46_000 * moved / 2e12 / 60, rel=0.05)
    assert float(disk) == pytest.approx(46_000 * 2 * (256 * 283 + 10) / 1e9, rel=0.05)


@pytest.mark.parametrize("value", ["", "0", "-3", "2.5"])
def test_what_is_no_number_of_images_is_said(page: Any, value: str) -> None:
    fill(page, images=value)
    assert page.inner_text(".budget [role=status]") == "images: a whole number, at least 1, is expected."
    fill(page, images=10)
    assert "About" in page.inner_text(".budget [role=status]")


def test_it_fits_a_phone(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
