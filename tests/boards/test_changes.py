"""What differs between two boards is told by row, and nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Cwbench
from made_runs import write_run
from markdown_it import MarkdownIt

NOISE = 0.1 * np.random.default_rng(0).normal(size=(3, 40))
HOSTILE = "<img src=x onerror=f()>|[a](http://b)\n\n# c\n```~~~`*"


def add(results: Path, method: str, mean: float, seeds: int = 3, **parts: object) -> None:
    for seed in range(seeds):
        write_run(results, {"ew2sq": mean + NOISE[seed]}, method=method, seed=seed, **parts)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    for method, mean in {"good": 1.0, "bad": 3.0, "left": 9.0}.items():
        add(tmp_path / "before", method, mean)
    add(tmp_path / "before", "good", 1.0, task="other")
    return tmp_path / "before"


@pytest.fixture
def after(before: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "after"))


def rows(cli: Cwbench, after: Path, before: Path, *words: str) -> list[list[str]]:
    """The cells of what is told, and its titles as rows of one."""
    result = cli("leaderboard", "--results", after, "--against", before, *words)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line and "---" not in line]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] or [line] for line in lines]
    return [row for row in cells if row[0] or len(row) == 1]


def test_equal_records_differ_in_nothing(cli: Cwbench, after: Path, before: Path) -> None:
    assert rows(cli, after, before) == [["No row of a board is otherwise than before."]]


def test_rows_are_new_moved_or_gone(cli: Cwbench, after: Path, before: Path) -> None:
    """The ranks are those of means far apart: 1, 3 and 9, with 2 between them."""
    add(after, "between", 2.0)
    shutil.rmtree(after / "runs" / "t" / "left")
    add(after, "fresh", 1.0, task="third")
    shutil.rmtree(after / "runs" / "other")
    assert [row[:3] for row in rows(cli, after, before)] == [
        ["### t / quick"],
        ["new", "between", "2"],
        ["moved", "bad", "2 → 3"],
        ["gone", "left", "3"],
        ["### third / quick (new)"],
        ["new", "fresh", "1"],
        ["### other / quick (gone)"],
        ["gone", "good", "1"],
    ]
    only = rows(cli, after, before, "--task", "third")
    assert [row[:2] for row in only] == [["### third / quick (new)"], ["new", "fresh"]]


def test_values_and_seeds_before_and_after(cli: Cwbench, after: Path, before: Path) -> None:
    (seed,) = (after / "runs" / "t" / "left").rglob("seed-2")
    shutil.rmtree(seed)
    told = {row[1]: row for row in rows(cli, after, before) if len(row) > 1}["left"]
    assert told[0] == "moved"
    assert told[-1] == "3 → 2"
    was, now = (part.split(" ± ")[0] for part in told[3].split(" → "))
    assert float(was) == pytest.approx((9 + NOISE).mean(), abs=5e-4)
    assert float(now) == pytest.approx((9 + NOISE[:2]).mean(), abs=5e-3)


def test_another_version_hides_no_row(cli: Cwbench, after: Path, before: Path) -> None:
    """A second board of a title, or a second row of a label, renames the first one."""
    add(after, "good", 1.0, task_part={"version": 2})
    add(after, "bad", 2.0, method_part={"version": 2})
    told = rows(cli, after, before)
    assert [r"### t \[version=2\] / quick (new)"] in told
    assert [row[:2] for row in told if row[0] == "gone"] == []
    assert [row[1] for row in told if row[0] == "new"] == ["bad", "good"]


def test_odd_names_are_text(cli: Cwbench, after: Path, before: Path) -> None:
    part = {"changed": {HOSTILE: HOSTILE}, "params": {HOSTILE: HOSTILE}}
    write_run(after, {}, method="odd", method_part=part, status="failed", error=HOSTILE)
    text = cli("leaderboard", "--results", after, "--against", before).stdout
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {t.type for token in tokens for t in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "fence", "code_inline", "image"}
    cells = [t.content for t in tokens if t.type == "inline" and "onerror" in t.content]
    assert len(cells) == 2, "the label and the note, each whole"


@pytest.mark.parametrize("words", [["--format", "csv"], ["--output", "board.html"]])
def test_another_format_is_refused(
    cli: Cwbench, after: Path, before: Path, words: list[str]
) -> None:
    result = cli("leaderboard", "--results", after, "--against", before, *words)
    assert result.exit_code == 2
    assert "Markdown" in result.stderr
