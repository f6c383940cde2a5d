"""How soon 10,000 records are a table and a page, how large the page is, how soon it sorts.

Eight tasks, 25 methods with 10 settings each, 5 seeds, 50 observations, and the metrics that a run
of `gaussian-mixture` at 5 NFE has. One run in fifty failed and left a log. Seconds of table and
page are of a whole process, with what is gathered there already.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import records
from benchmarks.timing import Measurement, Ratio, medians
from cwbench.records.record import key_of
from cwbench.records.values import observed

TASKS, METHODS, SETTINGS, SEEDS, OBSERVATIONS = 8, 25, 10, 5, 50
RECORDS = TASKS * METHODS * SETTINGS * SEEDS
NFE = (*records.NFE, 100)
REPEATS = 1
LOG = "".join(f"2026-01-01 00:00:00  line {i} of a log that ends badly\n" for i in range(200))


def fill(results: Path, count: int = RECORDS) -> None:
    """Write the records with values of which the truth is known."""
    content, rng = records.template(NFE), np.random.default_rng(0)
    content["task"] |= {"main_nfe": "adaptive", "second_nfe": 3, "group": "", "x_shape": [5]}
    names = [(i.partition("@nfe=")[0], i.partition("@nfe=")[2]) for i in content["metrics"]]
    metric, nfe = (np.repeat(each, OBSERVATIONS) for each in zip(*names, strict=True))
    table = pd.DataFrame({"observation": np.tile(range(OBSERVATIONS), len(names)), "metric": metric,
                          "nfe": nfe})  # fmt: skip
    for index in range(count):
        setting, seed = divmod(index, SEEDS)
        _write(results, content, table, setting, seed, rng)


def _write(
    results: Path,
    content: dict[str, Any],
    table: pd.DataFrame,
    setting: int,
    seed: int,
    rng: np.random.Generator,
) -> None:
    task, number = setting % TASKS, setting // TASKS
    method, key = f"method-{number % METHODS}", key_of({"setting": setting})
    content["task"] |= {"name": f"task-{task}", "fingerprint": f"task-{task}", "changed": {}}
    content["method"] |= {"name": method, "changed": {"beta": number // METHODS}}
    failed = number % 50 == 0 and seed == 0
    content |= {"seed": seed, "fit_key": key, "run_id": f"{key[:16]}-{seed}", "files": {}}
    content |= {"status": "failed" if failed else "ok", "error": "boom" if failed else None}
    content["diagnostics"] = {
        name: rng.uniform() if isinstance(value, float) and value else value
        for name, value in content["diagnostics"].items()
    }
    directory = results / "runs" / f"task-{task}" / method / "quick" / key[:16] / f"seed-{seed}"
    directory.mkdir(parents=True)
    entries = content["metrics"]
    if failed:
        (directory / "log.txt").write_text(LOG)
        content = content | {"metrics": {}}
    else:
        values = 1 + number / 50 + rng.normal(size=len(table))
        table.assign(value=values).to_parquet(directory / "observations.parquet", index=False)
        for entry, mean in zip(
            entries.values(), values.reshape(len(entries), -1).mean(1), strict=True
        ):
            entry["value"] = mean
            entry["n_observations"] = OBSERVATIONS
    (directory / "record.json").write_text(json.dumps(content, indent=1))


def command(results: Path, output: Path) -> Measurement:
    """Seconds of `cwbench leaderboard` to a file."""

    def seconds() -> float:
        started = time.perf_counter()
        words = ["-m", "cwbench", "leaderboard", "--results", results, "--output", output]
        subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)  # noqa: S603 - our own program
        return time.perf_counter() - started

    return seconds


SORT = """async () => {
  const seconds = [];
  for (const id of ["method", "value", "fit", "method", "value"]) {
    const started = performance.now();
    document.querySelector(`[data-sort=${id}]`).click();
    document.body.getBoundingClientRect();  // the layout is part of it
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    seconds.push(performance.now() - started);
  }
  return Math.max(...seconds) / 1000;
}"""


def sorting(page: Path) -> float | None:
    """The longest of five sorts in Chromium in seconds, or None where there is no browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page()
        shown.goto(page.as_uri())
        shown.wait_for_selector("#tabs button")
        seconds = float(shown.evaluate(SORT))
        browser.close()
    return seconds


def ratios() -> Iterator[Ratio]:
    """Seconds of table, page and sort; megabytes of the page."""
    with tempfile.TemporaryDirectory() as directory:
        results, page = Path(directory) / "results", Path(directory) / "page.html"
        fill(results)
        started = time.perf_counter()
        observed(results)
        cold = time.perf_counter() - started
        seconds = medians(
            {
                "table": command(results, Path(directory) / "table.txt"),
                "page": command(results, page),
            },
            REPEATS,
        )
        size, sort = page.stat().st_size / 1e6, sorting(page)
        digest = hashlib.sha256(page.read_bytes()).hexdigest()
        command(results, page)()
        again = hashlib.sha256(page.read_bytes()).hexdigest()
    about = f"{RECORDS} records, {TASKS} tasks; gathered in {cold:.0f} s"
    yield Ratio("table, values gathered", seconds["table"], 3.0, about, unit=" s")
    same = "the same bytes again" if digest == again else "OTHER BYTES AGAIN"
    yield Ratio("page, values gathered", seconds["page"], 10.0, same, unit=" s")
    yield Ratio("size of the page", size, 5.0, about, unit=" MB")
    if sort is not None:
        rows = METHODS * SETTINGS
        yield Ratio("longest sort in Chromium", sort, 0.2, f"{rows} rows, with layout", unit=" s")
