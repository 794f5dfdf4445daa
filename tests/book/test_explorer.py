"""The explorer of the introduction: driven from a disk without a network, and its data as the library makes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "_static" / "explorer"
PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Step through a search</title>
<style>html {{ --pst-color-background: #fff; background: var(--pst-color-background); }}
html[data-theme="dark"] {{ --pst-color-background: #121212; }} body {{ margin: 16px; }}</style></head>
<body>{}</body></html>"""


def block() -> str:
    """What embeds the explorer: the same on every page that has it."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")]
    found = {block for text in texts for block in re.findall(r"```\{raw\} html\n(.*?)```", text, re.S) if 'class="explorer"' in block}
    assert len(found) == 1
    return found.pop()


def index() -> dict[str, Any]:
    text = (FOLDER / "data-index.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("index: ") + 7 : text.rindex("}")])  # type: ignore[no-any-return]


def searches() -> dict[str, dict[str, Any]]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("data-*-*.js"))]
    return {text.split('"')[1]: json.loads(text[text.index(" = ") + 3 : text.rindex(";")]) for text in texts}


# ---- the data

def test_every_search_of_the_index_has_its_file_and_no_other() -> None:
    known = index()
    sizes = [sum(size.values()) for size in known["populations"]]
    parts = [[image["key"] for image in known["images"]], known["readings"], sizes, known["draws"]]
    wanted = {"-".join(map(str, one)) for one in product(*parts)}
    assert set(searches()) == wanted and known["first"] in wanted


def test_data_are_small() -> None:
    assert max(path.stat().st_size for path in FOLDER.glob("data-*-*.js")) <= 15_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 1_000_000


def test_the_same_seed_gives_the_same_bytes() -> None:
    key = "two-literal-20-1"
    code = ("import json, explorer, torch; made = torch.__version__, torch.backends.cpu.get_cpu_capability(); "
            f"print(json.dumps([made, explorer.search({key!r}).script({key!r})]))")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "book")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made, text = json.loads(done.stdout)
    stored = (FOLDER / f"data-{key}.js").read_text(encoding="utf-8")
    starts = [float(re.search(r"\[\[([\d.]+),", script).group(1)) for script in (text, stored)]  # type: ignore[union-attr]
    assert starts[0] == pytest.approx(starts[1], rel=0.02)
    if made != list(index()["made"].values()):
        pytest.skip(f"made with {index()['made']}, here is {made}: sums may be rounded otherwise")
    assert text == stored


def test_what_the_page_says_of_the_searches_holds() -> None:
    found = searches()
    assert all(a >= b for one in found.values() for curve in one["curve"] for a, b in pairwise(curve))

    def end(layer: int, key: str) -> float:
        return float(found[key]["curve"][layer][-1])

    small = [key for key in found if "-20-" in key]
    larger_is_lower = [end(0, key.replace("-20-", "-80-")) < end(0, key) for key in small]
    assert sum(larger_is_lower) > 0.75 * len(small)
    pixel = [key for key in found if "-pixel-" in key]
    for layer in range(3):
        others = [min(end(layer, key.replace("pixel", other)) for other in ("map", "literal")) for key in pixel]
        assert sum(end(layer, key) < other for key, other in zip(pixel, others, strict=True)) > 0.9 * len(pixel)
    steps = [(layer, g) for layer, row in enumerate(index()["layers"]) for g in row["generations"]]
    last = max(i for i, (layer, _) in enumerate(steps) if layer == 2)
    literal = [one for key, one in found.items() if "-literal-" in key]
    assert sum(one["born"][last] == 0 for one in literal) > 0.5 * len(literal)
    children = [(one["rough"][i], one["curve"][layer][g]) for one in found.values() for i, (layer, g) in enumerate(steps)
                if layer < 3 and one["born"][i]]
    assert sum(before > after for before, after in children) > 0.6 * len(children)


# ---- the page

@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "book" / "_static", site / "_static")
    (site / "book").mkdir()
    (site / "book" / "explore.html").write_text(PAGE.format(block()), encoding="utf-8")
    return (site / "book" / "explore.html").as_uri()


@pytest.fixture
def page(opened: Callable[[str], Any], address: str) -> Any:
    page = opened(address)
    page.wait_for_selector(".explorer-status:not(:empty)")
    return page


def said(page: Any) -> str:
    return str(page.inner_text("[role=status]"))


def choose(page: Any, label: str, value: str) -> str:
    """What is said once another option is chosen, and its search loaded and shown."""
    before = page.get_attribute(".explorer", "data-shown")
    page.get_by_label(label, exact=True).select_option(value)
    page.wait_for_function("before => document.querySelector('.explorer').dataset.shown !== before", arg=before)
    return said(page)


def test_arrows_step_through_the_generations(page: Any) -> None:
    slider = page.get_by_role("slider")
    assert "before the first generation, there are 80 noisy copies" in said(page)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert "after generation 3 of 30" in said(page) and slider.get_attribute("aria-valuetext") == "block 0, generation 3 of 30"
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("ArrowRight")
    assert "after generation 6 of 30" in said(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    assert "after generation 3 of 30" in said(page)
    slider.press("End")
    assert "At the logits, after generation 5 of 5" in said(page)
    page.get_by_role("button", name="block 2").click()
    assert "At block 2, before the first generation, all 80 candidates are what the best of block 1 becomes" in said(page)
    assert page.get_by_role("button", name="block 2").get_attribute("aria-current") == "step"


def test_every_choice_changes_what_is_shown(page: Any) -> None:
    page.get_by_role("button", name="block 1").click()
    cloud = ".explorer-panel:first-child .explorer-cloud svg"
    seen = {page.inner_html(cloud)}
    for label, value in (("Reading", "pixel"), ("Candidates", "0"), ("Draws", "1")):
        choose(page, label, value)
        seen.add(page.inner_html(cloud))
    before = said(page)
    page.get_by_label("photograph of a ship").check(force=True)
    page.wait_for_function("before => document.querySelector('[role=status]').innerText !== before", arg=before)
    assert "“ship”" in said(page) and len({*seen, page.inner_html(cloud)}) == 5


def test_what_is_said_is_what_the_data_have(page: Any) -> None:
    choose(page, "Reading", "literal")
    data = searches()["two-literal-80-0"]
    slider = page.get_by_role("slider")
    for step in range(1, 11):
        slider.press("ArrowRight")
        text, born = said(page), data["born"][step]
        assert f"cross-entropy {data['curve'][0][3 * step]:.2g}" in text
        assert ("first copy" in text) == (born == 0) and ("of this generation" in text) == (born == 3 * step)


def test_two_readings_stand_side_by_side(page: Any) -> None:
    page.get_by_role("slider").press("ArrowRight")
    text = choose(page, "Beside it", "literal")
    assert "on the left, with one draw a map, noise smoothed" in text and "on the right, with one draw a pixel, child" in text
    left, right = (box.bounding_box() for box in page.locator(".explorer-panel").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    choose(page, "Reading", "literal")  # the same twice would show nothing: the other one changes
    assert page.get_by_label("Beside it").input_value() == "map"
    page.get_by_label("Beside it").select_option("nothing")
    page.wait_for_selector(".explorer-panel:nth-child(2)", state="hidden")
    assert "on the left" not in said(page)


def test_smoothing_changes_the_map_of_a_child_alone(page: Any) -> None:
    picture = "document.querySelector('.explorer-map canvas').toDataURL()"
    choose(page, "Reading", "pixel")
    maps = []
    for step in range(2):
        for label in ("after smoothing", "before smoothing"):
            page.get_by_role("radio", name=label).check()
            maps.append(page.evaluate(picture))
        if step == 0:
            assert "never smoothed" in page.inner_text(".explorer-map figcaption")
            page.get_by_role("button", name="block 1").click()
            page.get_by_role("button", name="Back").click()
    assert maps[0] == maps[1] != maps[2] != maps[3]
    assert page.evaluate("document.querySelector('.explorer-map canvas').width") == 15


def test_it_plays_only_when_asked(page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_timeout(1000)
    start = said(page)
    assert "before the first generation" in start
    page.get_by_role("button", name="Play").click()
    assert page.get_attribute("[role=status]", "aria-live") == "off"
    page.wait_for_function("before => document.querySelector('[role=status]').innerText !== before", arg=start)
    page.get_by_role("button", name="Pause").click()
    stopped = said(page)
    page.wait_for_timeout(1000)
    assert said(page) == stopped and page.get_attribute("[role=status]", "aria-live") == "polite"


def test_every_control_is_reached_by_tab_and_shows_it(page: Any) -> None:
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("""() => {
            const at = document.activeElement, seen = at.closest('.explorer-images') ? at.nextElementSibling : at;
            const style = getComputedStyle(seen);
            return [at.name || at.dataset.do || at.dataset.layer || at.type, style.outlineStyle, parseFloat(style.outlineWidth)];
        }""" if page.evaluate("document.activeElement !== document.body") else "['', 'solid', 3]"))
    names = [name for name, _, _ in reached]
    for name in ("explorer0-image", "reading", "beside", "population", "draws", "explorer0-rough", "range", "play", "3"):
        assert name in names, names
    assert all(style == "solid" and width >= 2 for _, style, width in reached), reached


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_told_from_the_ground(page: Any, theme: str) -> None:
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    colours = page.evaluate("""() => {
        const root = document.querySelector('.explorer'), probe = document.createElement('i');
        root.append(probe);
        return Object.fromEntries(['ink', 'soft', 'edge', 'ground', 'panel', 'band', 'parents', 'explorers', 'refiners', 'mark',
          'on-mark'].map((name) => { probe.style.color = `var(--${name})`;
            return [name, getComputedStyle(probe).color.match(/\\d+/g).map(Number)]; }));
    }""")
    for text, ground, least in (
        ("ink", "ground", 4.5), ("ink", "panel", 4.5), ("soft", "ground", 4.5), ("soft", "band", 4.5), ("on-mark", "mark", 4.5),
        ("edge", "ground", 3), ("parents", "ground", 3), ("explorers", "ground", 3), ("refiners", "ground", 3), ("mark", "ground", 3),
    ):
        assert contrast(colours[text], colours[ground]) >= least, (theme, text, ground)


def contrast(one: list[int], two: list[int]) -> float:
    """The ratio of WCAG 2, 1 to 21."""
    light = []
    for colour in (one, two):
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        light.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] + 0.05)
    return max(light) / min(light)


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for beside in ("", "literal"):
        if beside:
            choose(page, "Beside it", beside)
        for layer in ("block 0", "block 2", "logits"):
            page.get_by_role("button", name=layer).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            cut = page.evaluate("""() => [...document.querySelectorAll('.explorer svg text')].filter((text) => {
                const box = text.getBoundingClientRect(), svg = text.ownerSVGElement.getBoundingClientRect();
                return box.width && (box.left < svg.left - 1 || box.right > svg.right + 1);
            }).map((text) => text.textContent)""")
            assert not cut


def test_without_javascript_a_still_image_and_a_sentence_stand_there(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".explorer img").is_visible() and "With JavaScript" in page.inner_text(".explorer figcaption")
    context.close()
