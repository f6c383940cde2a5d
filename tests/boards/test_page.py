"""The page in a real browser: it works, stays text, and asks nothing of the network.

One browser serves all these tests, so they stand in one long file.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import write_run
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from cwbench.boards.gallery import ROOM_BYTES, SIGNATURE
from cwbench.boards.gathering import boards
from cwbench.boards.page import _shorts, page
from cwbench.records.shipped import YOURS, Source
from cwbench.style import PALETTE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ATTACK = "<script>alert(1)</script></script><img src=x onerror=alert(2)>"
ODD = f"odd ($x_1$={ATTACK}, {ATTACK}=1)"
ONCE = {"fit_seconds": 2.0, "sampling": {"1": {"seconds": 1.0, "evaluations": 1}}}
NOISE = np.random.default_rng(0).normal(size=(5, 40))

try:
    from playwright.sync_api import Locator, Page, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment] # the tests are skipped then

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or sync_playwright is None, reason="chromium or playwright is not installed"
)


def tell(place: Path, diagnostics: dict[str, Any]) -> None:
    """Diagnostics that differ from run to run, and so decide nothing."""
    path = place / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"diagnostics": diagnostics}))


def fill_figures(results: Path) -> None:
    """A figure for `good`, for `twin` a link to it, for `bad` one that is too large."""

    def folder(method: str) -> Path:
        (place,) = results.glob(f"runs/t/{method}/*/*/seed-0")
        (place / "figures").mkdir()
        return place / "figures" / "posterior-1.png"

    path = folder("good")
    Figure(figsize=(1, 1)).savefig(path, dpi=50)
    folder("twin").symlink_to(path)
    folder("bad").write_bytes(SIGNATURE + bytes(ROOM_BYTES))


def fill(results: Path) -> None:
    """Two presets, a failed seed with a log, controls, and an attack in every text."""
    for seed in range(5):
        for name, mean in (("good", 1.0), ("twin", 1.0), ("bad", 3.0)):
            values = mean + 0.2 * NOISE[seed]
            if name == "twin":
                values = values + 0.01 * np.roll(NOISE[seed], 3)
            ids = {"ew2sq@nfe=3": 2 * values, "ew2sq@nfe=adaptive": values}
            ids["energy@nfe=adaptive"] = 10 - values
            if (name, seed) == ("bad", 4):
                place = write_run(results, {}, method=name, seed=seed, status="failed",
                                  error=f"Boom: {ATTACK}\nmore")  # fmt: skip
                (place / "log.txt").write_text(f"2026-01-01 00:00:00  the end {ATTACK}\n")
            else:
                place = write_run(results, ids, method=name, seed=seed)
            tell(place, {"pull": seed + 0.123456, "said": ATTACK, "held": {"not": "flat"}})
    prior = {"ew2sq": 8 + NOISE[0]}
    write_run(results, prior, method="prior", method_part={"role": "lower"}, cost=ONCE)
    part = {"changed": {"$x_1$": ATTACK, ATTACK: 1}, "params": {ATTACK: ATTACK}}
    write_run(results, {"ew2sq": 2 + NOISE[1]}, method="odd", method_part=part, cost=ONCE)
    task = {"changed": {"a": ATTACK}, "params": {ATTACK: 1}, "group": ATTACK}
    write_run(results, {"ew2sq": NOISE[0]}, task="odd", preset="standard", task_part=task,
              environment={"cpu": ATTACK})  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    fill(results)
    fill_figures(results)
    found = boards([Source(results, YOURS)], metrics=None)
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(page(found.boards, [f"a problem {ATTACK}"]))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(made: Path, browser: Any) -> Iterator[Callable[..., Page]]:
    """Open the page; at the end no error was told and nothing but the file was asked for."""
    told: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_it(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        shown: Page = context.new_page()
        shown.on("console", lambda message: told.append(message.text))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("dialog", lambda dialog: told.append(f"dialog {dialog.message}"))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(made.as_uri())
        shown.wait_for_selector("#tabs button")  # the data is inflated by then
        return shown

    yield open_it
    for context in contexts:
        context.close()
    assert told == []
    assert {url for url in asked if not url.startswith("data:")} == {made.as_uri()}


def names(shown: Page) -> list[str]:
    return shown.locator("#board tbody .open").all_inner_texts()


def quick(shown: Page) -> Page:
    shown.select_option("#stage", "quick")
    return shown


def test_nothing_from_a_record_is_markup(made: Path) -> None:
    text = made.read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "&lt;script&gt;alert(1)" in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; img-src data:; style-src")
    assert "://" not in re.sub(r'xmlns(:xlink)?="[^"]*"|http://www.w3.org/[\w/]+', "", text)


def test_the_data_is_the_boards(made: Path) -> None:
    block = re.search(r'id="data">(.*?)</script>', made.read_text(), re.DOTALL)
    assert block is not None
    data = json.loads(zlib.decompress(base64.b64decode(block[1])))
    assert [board["stage"] for board in data["boards"]] == ["standard", "quick"]
    assert {row["label"] for row in data["boards"][1]["rows"]} >= {"good", "twin", "bad", "prior"}
    assert sum(isinstance(each, dict) for each in data["shared"]) == 2, "environments, each once"


def test_numbers_in_few_digits() -> None:
    given = [0.0, -0.0, 1.0, 12345.678, 1e-9, -0.0012345, 1e25, np.nan, np.inf, None]
    found = _shorts(given)
    assert found == [0, 0, 1, 12300, 1e-9, -0.00123, int(1e25), None, None, None]
    assert [type(each) for each in found[:5]] == [int, int, int, int, float]
    assert _shorts([12345.678], 5) == [12346]
    assert _shorts([]) == []


def test_a_page_of_nothing() -> None:
    assert "No records yet" in page([], [])


@needs_browser
def test_standard_comes_first_and_tabs_obey_the_keyboard(opened: Callable[..., Page]) -> None:
    shown = opened()
    assert shown.input_value("#stage") == "standard"
    assert shown.inner_text("#title") == f"odd (a={ATTACK})"
    quick(shown)
    assert names(shown)[2:4] == [ODD, "bad"]
    for key in ("ArrowLeft", "End"):
        shown.focus("[role=tab][aria-selected=true]")
        shown.keyboard.press(key)
        assert shown.is_visible("#board")


@needs_browser
def test_the_page_opens_with_all_tasks_whatever_the_preset(opened: Callable[..., Page]) -> None:
    shown = opened()
    for _ in range(2):
        rows = shown.locator("#first tbody tr")
        assert rows.first.inner_text().split()[0] in ("good", "twin")
        assert shown.locator("#first thead th").all_inner_texts()[1].split() == ["t", "quick"]
        assert shown.locator("#all figure svg:visible").count() == 2
        tops = "id => document.getElementById(id).getBoundingClientRect().top"
        assert shown.evaluate(tops, "first") < shown.evaluate(tops, "tabs")
        quick(shown)


@needs_browser
def test_sorting_by_click_and_key(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    first = names(shown)
    assert set(first[:2]) == {"good", "twin"}
    assert first[-1] == "prior"
    shown.click("[data-sort=method]")
    assert names(shown) == ["bad", "good", ODD, "twin", "prior"]
    shown.focus("[data-sort=method]")
    shown.keyboard.press("Enter")
    assert names(shown)[:4] == ["twin", ODD, "good", "bad"]
    assert shown.get_attribute("th[data-column=method]", "aria-sort") == "descending"


@needs_browser
def test_filter_metric_nfe_and_scale(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    shown.fill("#filter", "TWI")
    assert names(shown) == ["twin"]
    shown.fill("#filter", "")
    shown.uncheck("#controls")
    assert "prior" not in names(shown)
    shown.check("#controls")
    good = shown.locator("#board tbody tr", has_text="good")
    raw = float(good.locator(".value").inner_text().lstrip("= ").split()[0])
    shown.select_option("#nfe", "3")
    at_three = float(good.locator(".value").inner_text().lstrip("= ").split()[0])
    assert at_three == pytest.approx(2 * raw, rel=0.05)
    shown.check("[value=scaled]")
    assert good.locator(".value").inner_text().lstrip("= ") == f"{1 - at_three / 8:.2f}"
    shown.check("[value=raw]")
    shown.select_option("#metric", "energy")
    assert names(shown)[0] != "prior"
    shown.select_option("#cost", "sampling")
    assert shown.locator("#plot circle").count() > 3
    marks = "all => all.map(mark => [mark.textContent.split(',')[0], mark.getAttribute('stroke')])"
    drawn = dict(shown.locator("#plot > svg circle").evaluate_all(marks))
    looks = (("bad", 0), ("good", 1), ("twin", 4))  # of the figures: by name, between others
    assert {name: drawn[name] for name, _ in looks} == {n: to_hex(PALETTE[i]) for n, i in looks}


@needs_browser
def test_ties_and_failures_are_shown(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    tied = shown.locator("#board tr.tied .open").all_inner_texts()
    assert sorted(tied) == ["good", "twin"]
    bad = shown.locator("#board tbody tr").filter(has=shown.locator("button:text-is('bad')"))
    assert "4/5" in bad.inner_text()
    assert f"seed 4 failed: Boom: {ATTACK}" in bad.inner_text()


@needs_browser
def test_details_of_a_failed_method(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    shown.click("#board button:text-is('bad')")
    told = shown.inner_text("#details")
    for part in ("Boom", "the end", "Environment", "made up", "Diagnostics", "energy", "failed"):
        assert part in told, part
    shown.keyboard.press("Escape")
    assert not shown.is_visible("#details")


def details(shown: Page, method: str) -> Locator:
    """The details of a method; with its figure."""
    shown.locator("#board button.open").get_by_text(method, exact=True).click()
    return shown.locator("#curves > svg")


def read_off(figure: Locator, place: float) -> float:
    """The value at a height, by the words on the axis alone."""
    marks = """svg => [...svg.querySelectorAll("text[text-anchor=end]")]
        .map(text => [Number(text.textContent), Number(text.getAttribute("y")) - 4])"""
    values, places = np.array(figure.evaluate(marks)).T
    for known, back in ((values, lambda v: v), (np.log10(values.clip(1e-9)), lambda v: 10**v)):
        line = np.polyfit(places, known, 1)
        if np.allclose(np.polyval(line, places), known, atol=1e-6):
            return float(back(np.polyval(line, place)))
    raise AssertionError(f"{values} at {places} are neither linear nor logarithmic")


@needs_browser
def test_details_draw_a_method_against_nfe(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    figure = details(shown, "good")
    assert shown.get_by_role("img", name="good: ew2sq against NFE").count() == 1
    heights = figure.locator("circle").evaluate_all("all => all.map(c => +c.getAttribute('cy'))")
    row = shown.locator("#details-body tr", has_text="ew2sq").locator("td").all_inner_texts()
    assert len(heights) == 2
    for height, cell in zip(heights, row[1:3], strict=True):
        value, half = map(float, cell.split(" ± "))
        assert read_off(figure, height) == pytest.approx(value, abs=0.1 * half)
    ends = figure.locator("path.interval").first.get_attribute("d")
    low, high = (read_off(figure, float(end)) for end in re.findall(r"[ V]([\d.]+)", ends or ""))
    value, half = map(float, row[1].split(" ± "))
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.1 * half)
    assert figure.locator("text[text-anchor=middle]").all_text_contents()[:2] == ["3", "adaptive"]
    entries = shown.locator("#curves .entry").all_inner_texts()
    assert [entry.strip() for entry in entries] == [
        "good (this method)", "twin (next by ew2sq)", "prior (control)",
    ]  # fmt: skip
    told = figure.locator("> desc").inner_html()
    assert f"good (this method): {row[1]} at NFE 3, {row[2]} at NFE adaptive;" in told
    flat = figure.locator("path[stroke-dasharray]").evaluate_all(
        "all => all.map(path => path.getAttribute('d')).filter(d => d.includes('H'))"
    )
    assert len(flat) == 1, "the prior alone is the same at every NFE"
    height = float(re.split("[ H]", flat[0])[1])
    assert read_off(figure, height) == pytest.approx(8 + NOISE[0].mean(), abs=0.02)


@needs_browser
def test_details_draw_a_method_that_has_no_nfe(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    figure = details(shown, ODD)
    assert figure.locator("circle").count() == 0
    assert figure.locator("rect").count() == 1
    shown.keyboard.press("Escape")
    shown.select_option("#metric", "energy")  # at one NFE alone, and not of the prior
    figure = details(shown, "bad")
    assert shown.inner_text("#curves figcaption") == "energy at NFE adaptive"
    assert figure.locator("circle").count() == 2
    words = figure.locator("text[text-anchor=middle]").all_text_contents()
    assert words[:2] == ["this one", "best"]
    shown.keyboard.press("Escape")
    details(shown, "prior")
    assert "No value to draw" in shown.inner_text("#details-body")


@needs_browser
def test_details_carry_the_figure_of_a_run(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    details(shown, "good")
    image = shown.locator("#details img")
    assert image.evaluate("async image => (await image.decode(), image.naturalWidth)") == 50
    assert re.fullmatch(
        r"runs/t/good/quick/\w+/seed-0/figures/posterior-1\.png",
        shown.inner_text("#picture figcaption"),
    )
    for method in ("twin", "bad"):
        shown.keyboard.press("Escape")
        details(shown, method)
        assert image.count() == 0
        told = shown.inner_text("#details-body")
        assert ("seed-0/figures/posterior-1.png" in told) == (method == "bad")


@needs_browser
def test_details_have_the_diagnostics_of_every_seed(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    details(shown, "good")
    rows = shown.locator("#details-body h3:text-is('Diagnostics') + div tr")
    assert [rows.nth(i).locator("th, td").all_inner_texts() for i in range(rows.count())] == [
        ["", *(f"seed {seed}" for seed in range(5))],
        ["pull", "0.123", "1.12", "2.12", "3.12", "4.12"],
        ["said", *[ATTACK] * 5],
    ]


def contrast(one: str, other: str) -> float:
    """Of two colours, from 1 to 21; Web Content Accessibility Guidelines 2.1."""

    def luminance(colour: str) -> float:
        found = re.findall(r"\d+", colour) if colour.startswith("rgb") else None
        rgb = np.array(found, dtype=float) / 255 if found else np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_details_are_legible_on_a_phone_and_in_print(
    opened: Callable[..., Page], scheme: str
) -> None:
    phone = {"width": 360, "height": 740}
    shown = quick(opened(viewport=phone, color_scheme=scheme))
    figure = details(shown, "good")
    paper = shown.locator("#details").evaluate("e => getComputedStyle(e).backgroundColor")
    ink = figure.locator("text").first.evaluate("e => getComputedStyle(e).fill")
    assert contrast(ink, paper) > 7
    if scheme == "dark":
        assert min(contrast(colour, paper) for colour in shown.evaluate("COLOURS")) > 3
    sizes = "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    assert figure.evaluate(sizes) > 0.95, "words keep their size"
    assert shown.evaluate("(e => e.scrollWidth - e.clientWidth)(document.all.details)") == 0
    shown.emulate_media(media="print")
    assert figure.is_visible()
    assert not shown.is_visible("#board"), "what is open is printed alone"
    top = "scrollY + document.all.details.getBoundingClientRect().top"
    assert shown.evaluate(top) == 0, "paper starts at the page's top, wherever it was scrolled to"
    ink = figure.locator("text").first.evaluate("e => getComputedStyle(e).fill")
    assert ink == "rgb(0, 0, 0)"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_dark_and_print(opened: Callable[..., Page], scheme: str) -> None:
    phone = {"width": 360, "height": 740}
    shown = quick(opened(viewport=phone, color_scheme=scheme))
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    shown.emulate_media(media="print")
    assert not shown.is_visible("#tabs")
    assert shown.is_visible("#board")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@needs_browser
@pytest.mark.parametrize(
    ("group", "values", "sizes", "column", "over"),
    [
        ("labelled-images", 1, "100 images", "real images", "classes"),
        ("labelled-images", 10, "10 classes, 100 images", "real images", "classes"),
        ("vectors", 10, "10 observations, 100 samples a side", "floor", "observations"),
    ],
)
def test_the_words_are_those_of_the_kind_of_task(
    tmp_path: Path, browser: Any, group: str, values: int, sizes: str, column: str, over: str
) -> None:
    part = {"group": group, "main_metric": "d"}
    write_run(tmp_path / "results", {"d": NOISE[0][:values]}, task_part=part)
    found = boards([Source(tmp_path / "results", YOURS)], metrics=None)
    path = tmp_path / "page.html"
    path.write_text(page(found.boards, []))
    shown = browser.new_page()
    shown.goto(path.as_uri())
    shown.wait_for_selector("#tabs button")
    assert shown.inner_text("#reading").startswith(f"{sizes}, metric version 1")
    assert shown.inner_text("#facts").endswith("· 1 method")
    assert shown.inner_text("#over") == over
    shown.locator("#board tbody .open").click()
    heads = shown.locator("#details-body h3:text-is('Metrics') + div th").all_inner_texts()
    assert column in [head.lower() for head in heads]
    shown.close()
