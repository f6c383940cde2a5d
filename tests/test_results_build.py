"""What is shown of the committed records is what `make results` makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import write_run

from results import build

ROOT = Path(__file__).parents[1]
RESULTS, README = ROOT / "results", ROOT / "README.md"


def test_readme_and_tables_are_those_of_the_committed_records() -> None:
    """To the byte; otherwise: make results."""
    shown = build.found(RESULTS)
    text = README.read_text()
    assert build.refreshed(text, build.section(shown)) == text
    for name, table in build.tables(shown).items():
        assert (RESULTS / name).read_bytes() == table.encode(), name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The records of one task, and a figure of a task that is gone."""
    place = "runs/gaussian-mixture"
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
        "leaderboard.html", "leaderboard.md", "leaderboard.csv", "leaderboard.tex", "nfe.md",
        "README.md",
        "gaussian-mixture-quick.png",
    }  # fmt: skip
    assert "results/figures/gone-quick.png" not in first, "figures of what is gone go too"
    assert first["results/figures/posterior.png"] == b"old", "others are left alone"
    readme = first["README.md"].decode()
    assert readme.startswith("before\n") and readme.endswith("after\n") and "\nold\n" not in readme
    assert "| fm | **" in readme


def test_a_record_that_cannot_be_read_stops_it(copy: Path) -> None:
    broken = next((copy / "results").rglob("record.json"))
    broken.write_text(broken.read_text()[:100])
    with pytest.raises(SystemExit, match="record"):
        build.found(copy / "results")


def test_a_readme_without_the_comments_is_left(copy: Path) -> None:
    with pytest.raises(SystemExit, match="end of leaderboard"):
        build.refreshed("text", "table")


def test_a_title_says_among_how_many_the_best_was_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 40))

    def told(method: str, mean: float, seeds: int) -> str:
        for seed in range(seeds):
            write_run(tmp_path, {"ew2sq": mean + 0.1 * noise[seed]}, method=method, seed=seed)
        (board,) = build.found(tmp_path)
        return build._best(board)

    assert told("lone", 0.5, 1) == "not ranked, fewer than three seeds"
    assert told("good", 1.0, 3) == "best of 1 with three seeds or more: <code>good</code>"
    assert told("bad", 3.0, 3) == "best of 2 with three seeds or more: <code>good</code>"
    assert told("lone", 2.0, 3) == "best: <code>good</code>"
    for number in range(build.MOST_NAMES):
        title = told(f"twin-{number}", 1.0, 3)
    assert title == f"the best and {build.MOST_NAMES} that cannot be told from it"
    (board,) = build.found(tmp_path)
    assert build._best(board) == title


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
