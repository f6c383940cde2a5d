"""What is shown of the committed records is what `make results` makes of them."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import write_run
from scipy import stats

from cwbench.boards.board import Board
from cwbench.boards.statistics import Interval
from docs import findings
from docs.calls import TASKS, lines
from results import build

ROOT = Path(__file__).parents[1]
RESULTS, README = ROOT / "results", ROOT / "README.md"


@pytest.fixture(scope="module")
def shown() -> list[Board]:
    """The boards of the committed records."""
    return build.found(RESULTS)


def test_readme_and_tables_are_those_of_the_committed_records(shown: list[Board]) -> None:
    """To the byte; otherwise: make results."""
    text = README.read_text()
    assert build.refreshed(text, build.section(shown)) == text
    page = findings.PAGE.read_text()
    assert findings.refreshed(page, shown) == page
    for name, table in build.tables(shown).items():
        assert (RESULTS / name).read_bytes() == table.encode(), name
    packed = (RESULTS / "leaderboard.csv.gz").read_bytes()
    assert gzip.decompress(packed).decode() == build.rows(shown)


def toy() -> dict[str, str]:
    """The toy of Cheng and Schwing: means over ten seeds, by method and NFE."""
    found = {}
    table = pd.read_csv(RESULTS / "c2ot-toy.csv", dtype={"nfe": str})
    for (method, nfe), values in table.groupby(["method", "nfe"])["w2sq_marginal"]:
        assert len(values) == 10
        half = stats.t.ppf(0.975, 9) * values.std() / 10**0.5
        digits = 1 - math.floor(math.log10(half))
        found[f"{method} {nfe}"] = f"{values.mean():.{digits}f} ± {half:.{digits}f}"
    return found


@pytest.mark.parametrize(("sampler", "exact"), [("mmps", False), ("tds", True), ("dps", False)])
def test_the_figure_of_calls_has_the_means_of_the_records(
    shown: list[Board], sampler: str, exact: bool
) -> None:
    """Multiples of what `fm` has, on each of its tasks."""
    found = {(line.task, line.sampler, line.exact): line for line in lines(shown)}
    for task in TASKS:
        base = np.mean(_values(task, "fm", 100, exact=False))
        line = found[task, sampler, exact]
        for number in (20, 100, 1_000):
            wanted = np.mean(_values(task, sampler, number, exact=exact)) / base
            assert line.multiples[number] == pytest.approx(wanted, rel=1e-5)


def test_the_toy_in_the_findings_is_what_its_seeds_had() -> None:
    means = toy()
    page = findings.PAGE.read_text()
    for method in ("fm", "c2ot"):
        assert f"| `{method}` | {means[f'{method} 1']} | {means[f'{method} adaptive']} |" in page


VALUE = re.compile(r"(−?\d*\.\d+) ± \d*\.\d+[*]*(?: \((−?\d*\.\d+)\))?|–")


@pytest.mark.parametrize("label", ["fm", "npe", "tds", "mmps (denoiser=exact)", "dps", "oracle"])
def test_a_table_of_values_has_the_means_of_the_records(label: str) -> None:
    """Over every observation and seed, at the judged NFE or 100 calls, and at 20."""
    for table in findings.VALUES.finditer(findings.PAGE.read_text()):
        (row,) = [row for row in table["rows"].splitlines() if row.startswith(f"| `{label}` |")]
        for task, cell in zip(table["tasks"].split("; "), VALUE.findall(row), strict=True):
            for told, calls in zip(cell, (100, 20), strict=True):
                values = _values(task, label.partition(" (")[0], calls, exact="exact" in label)
                assert len(values) == (90 if told else 0)
                if told:
                    digits = len(told.partition(".")[2])
                    number = float(told.replace("−", "-"))
                    assert number == pytest.approx(np.mean(values), abs=0.51 * 10**-digits)


def _values(title: str, method: str, calls: int, *, exact: bool) -> list[float]:
    """`ew2sq` of every run of a method on the ladder, on the task `name` or `name (noise=…)`."""
    task, _, noise = title.removesuffix(")").partition(" (noise=")
    found = []
    for path in RESULTS.glob(f"runs/{task}/{method}/ladder/*/*/record.json"):
        record = json.loads(path.read_text())
        params = record["method"]["params"]
        its_calls = params.get("steps", 100) * params.get("particles", 1)
        if str(record["task"]["changed"].get("noise", "")) != noise:
            continue
        if (params.get("denoiser") == "exact", its_calls) == (exact, calls):
            table = pd.read_parquet(path.with_name("observations.parquet"))
            judged = (table["metric"] == "ew2sq") & table["nfe"].isin(["", "adaptive"])
            found += list(table["value"][judged])
    return found


def test_every_number_in_the_findings_says_what_it_is() -> None:
    assert not findings.unmarked(findings.PAGE.read_text())


def test_a_difference_is_written_with_two_digits_of_its_interval() -> None:
    assert findings.written(Interval(-0.07897, -0.11797, -0.03997)) == "−.079 ± .039"
    assert findings.written(Interval(34.9, 7.9, 61.9)) == "35 ± 27"
    assert findings.written(Interval(-1.07e-5, -0.0043, 0.00428)) == ".0000 ± .0043"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Some records of one task, and a figure of a task that is gone."""
    for method in ("cot-fm", "fm", "knn", "oracle", "oracle-gaussian", "prior"):
        place = f"runs/gaussian-mixture/{method}/quick"
        shutil.copytree(RESULTS / place, tmp_path / "results" / place)
    (tmp_path / "results" / "figures").mkdir()
    for name in ("gone-quick.png", "posterior.png"):
        (tmp_path / "results" / "figures" / name).write_bytes(b"old")
    (tmp_path / "README.md").write_text(f"before\n{build.BEGIN}old\n{build.END}after\n")
    return tmp_path


def contents(directory: Path) -> dict[str, bytes]:
    files = (p for p in sorted(directory.rglob("*")) if p.is_file())
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in files}


def test_equal_records_give_equal_files(copy: Path) -> None:
    written = build.build(copy / "results", copy / "README.md")
    first = contents(copy)
    build.build(copy / "results", copy / "README.md")
    assert contents(copy) == first
    assert {p.relative_to(copy).as_posix() for p in written} <= first.keys()
    assert {p.name for p in written} >= {
        "leaderboard.html", "leaderboard.md", "leaderboard.csv.gz", "leaderboard.tex", "nfe.md",
        "README.md",
        "gaussian-mixture-quick.png",
    }  # fmt: skip
    assert "results/figures/gone-quick.png" not in first, "figures of what is gone go too"
    assert first["results/figures/posterior.png"] == b"old", "others are left alone"
    readme = first["README.md"].decode()
    assert readme.startswith("before\n") and readme.endswith("after\n") and "\nold\n" not in readme
    assert re.search(r"\| fm \| \*\*0\.\d+ ± ", readme)


def test_a_record_that_cannot_be_read_stops_it(copy: Path) -> None:
    broken = next((copy / "results").rglob("record.json"))
    broken.write_text(broken.read_text()[:100])
    with pytest.raises(SystemExit, match="record"):
        build.found(copy / "results")


def test_a_readme_without_the_comments_is_left(copy: Path) -> None:
    with pytest.raises(SystemExit, match="end of leaderboard"):
        build.refreshed("text", "table")


def rows_of(results: Path) -> dict[str, list[str]]:
    """The README's table: cells by the first of each line."""
    lines = [line for line in build.section(build.found(results)).splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_the_readme_has_one_table_of_methods_by_tasks(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=(3, 40))

    def add(task: str, method: str, mean: float, seeds: int = 3, **parts: Any) -> None:
        for seed in range(seeds):
            values = {"ew2sq": mean + noise[seed]}
            write_run(tmp_path, values, task=task, method=method, seed=seed, **parts)

    add("a", "good", 1.0)
    add("a", "twin", 1.0)
    add("a", "bad", 3.0)
    add("a", "late", 0.5, seeds=1)
    add("a", "zero", 0.0, method_part={"name": "zero", "role": "upper"})
    add("b", "good", 5.0)
    add("b", "bad", 4.0)
    add("b", "good", 7.0, preset="standard")
    add("c", "bad", 1.0)
    add("d", "good", 1.0, seeds=2)
    add("d", "bad", 1.0, seeds=2)
    for task, preset, mean in (("a", "quick", 2.0), ("b", "quick", 0.5), ("b", "standard", 10.0)):
        part = {"name": "oracle-gaussian", "role": "upper"}
        add(task, "oracle-gaussian", mean, preset=preset, method_part=part)
    rows = rows_of(tmp_path)
    assert rows["method"] == ["`a`", "`b`"], "one method or two seeds rank nothing"
    order = ["good", "bad", "late", "twin", "*oracle-gaussian*", "*zero*", "*unit*"]
    assert list(rows)[2:] == order, "most tasks, then best; controls below"
    values = {name: [cell.split(" ± ")[0] for cell in rows[name]] for name in list(rows)[2:]}
    assert rows["good"][0].startswith("**") and rows["twin"][0].startswith("**")
    assert not rows["bad"][0].startswith("**") and rows["bad"][1].startswith("**")
    assert not rows["good"][1].startswith("**")
    assert rows["late"][0].endswith("(1)") and rows["late"][1] == "–"
    assert float(values["bad"][0]) == pytest.approx(3.0 / 2.0, abs=0.05), "over the Gaussian's"
    assert float(values["bad"][1].strip("*")) == pytest.approx(4.0 / 0.5, abs=0.5)
    assert rows["*zero*"][0].startswith("< 0.0"), "a bound"
    assert float(values["*unit*"][0]) == pytest.approx(2.0, abs=0.05)

    add("b", "bad", 6.0, preset="standard")
    rows = rows_of(tmp_path)
    assert rows["method"] == ["`a`, quick", "`b`, standard"], "as many methods have three seeds"
    assert float(rows["good"][1].split(" ± ")[0]) == pytest.approx(7.0 / 10.0, abs=0.01)


def test_the_main_metric_stands_at_every_nfe(tmp_path: Path) -> None:
    grid = ("10", "3", "100", "adaptive")
    for method in "ab":
        names = (f"{metric}@nfe={nfe}" for metric in ("ew2sq", "ew1") for nfe in grid)
        write_run(tmp_path, dict.fromkeys(names, np.arange(40.0)), method=method)
    text = build.by_nfe(build.found(tmp_path))
    head = next(line for line in text.splitlines() if line.startswith("| rank"))
    names = [cell.strip() for cell in head.split("|")]
    assert names[3:7] == [f"ew2sq, NFE {nfe}" for nfe in (3, 10, 100, "adaptive")]
    assert "ew1" not in text
