"""The page in a real browser: it works, stays text, and asks nothing of the network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cwbench.reporting.boards import boards
from cwbench.reporting.figures.style import PALETTE
from cwbench.reporting.page import page
from cwbench.shipped import YOURS, Source
from tests.reporting.conftest import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ATTACK = "<script>alert(1)</script></script><img src=x onerror=alert(2)>"
NOISE = np.random.default_rng(0).normal(size=(5, 40))

try:
    from playwright.sync_api import Page, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment] # the tests are skipped then

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or sync_playwright is None, reason="chromium or playwright is not installed"
)


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
                write_run(results, ids, method=name, seed=seed)
    prior = {"ew2sq": 8 + NOISE[0]}
    write_run(results, prior, method="prior", method_part={"role": "lower"})
    part = {"name": ATTACK, "changed": {"$x_1$": ATTACK}, "params": {ATTACK: ATTACK}}
    write_run(results, {"ew2sq": 2 + NOISE[1]}, method="odd", method_part=part)
    task = {"name": ATTACK, "params": {ATTACK: 1}, "group": ATTACK}
    write_run(results, {"ew2sq": NOISE[0]}, task="odd", preset="standard", task_part=task,
              environment={"cpu": ATTACK})  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    fill(results)
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
    assert policy[1].startswith("default-src &#39;none&#39;")
    assert "://" not in re.sub(r'xmlns(:xlink)?="[^"]*"|http://www.w3.org/[\w/]+', "", text)


def test_the_data_is_the_boards(made: Path) -> None:
    block = re.search(r'id="data">(.*?)</script>', made.read_text(), re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    assert [board["stage"] for board in data["boards"]] == ["standard", "quick"]
    assert {row["label"] for row in data["boards"][1]["rows"]} >= {"good", "twin", "bad", "prior"}
    assert len(data["environments"]) == 2


def test_a_page_of_nothing() -> None:
    assert "No records yet" in page([], [])


@needs_browser
def test_standard_comes_first_and_tabs_obey_the_keyboard(opened: Callable[..., Page]) -> None:
    shown = opened()
    assert shown.input_value("#stage") == "standard"
    assert shown.inner_text("#title") == ATTACK
    quick(shown)
    assert names(shown)[2:4] == [f"{ATTACK} ($x_1$={ATTACK})", "bad"]
    shown.focus("[role=tab][aria-selected=true]")
    shown.keyboard.press("ArrowLeft")
    assert shown.is_visible("#overview")
    assert shown.locator("#overview figure svg:visible").count() == 2
    shown.keyboard.press("End")
    assert shown.is_visible("#board")


@needs_browser
def test_sorting_by_click_and_key(opened: Callable[..., Page]) -> None:
    shown = quick(opened())
    first = names(shown)
    assert set(first[:2]) == {"good", "twin"}
    assert first[-1] == "prior"
    shown.click("[data-sort=method]")
    assert names(shown)[1:] == ["bad", "good", "twin", "prior"]
    shown.focus("[data-sort=method]")
    shown.keyboard.press("Enter")
    assert names(shown)[:3] == ["twin", "good", "bad"]
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
    looks = (("bad", 1), ("good", 2), ("twin", 4))  # of the figures: by name, between others
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
