"""Converged or not: the rule by hand, and that a longer run is no row of its own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich
from made_runs import NOISE, Write, judged
from scipy import stats

import cwbench
from cwbench.boards.board import Board
from cwbench.boards.changes import UNCHANGED, changes
from cwbench.boards.convergence import MARK, Convergence, convergence, texts
from cwbench.boards.first import first
from cwbench.boards.overview import relative_values
from cwbench.boards.page import page
from cwbench.boards.relative import unit_of
from cwbench.boards.texts import TEXTS, terminal
from cwbench.records.facts import POSTERIOR_VARIANCE

VALUES = {"training_pairs": 1, "steps": 10, "observations": 2, "samples": 2}
LONGER: dict[str, Any] = {"preset_values": VALUES | {"steps": 40}, "track": "open"}
UPPER = {"method": "oracle-gaussian", "method_part": {"role": "upper"}}


def half(fall: np.ndarray) -> float:
    """How far a paired difference of three seeds has to be from 0, from its definition."""
    seeds, m = fall.shape
    residuals = fall - fall.mean(1, keepdims=True) - fall.mean(0) + fall.mean()
    u, v_o = fall.mean(1).var(ddof=1) / seeds, fall.mean(0).var(ddof=1) / m
    v_e = (residuals**2).sum() / ((seeds - 1) * (m - 1) * seeds * m)
    w = max(u + v_o - v_e, u, v_o) - u
    q, r = stats.t.ppf(0.975, [seeds - 1, m - 1])
    return float((q**2 * u + r**2 * w) ** 0.5)


CELLS = {  # the value, what the longer run leaves of it, and how far seeds are apart
    "fell": (2.0, 1.0, 0.05), "slightly": (2.0, 1.8, 0.05), "noisy": (2.0, 1.3, 3.0),
    "large": (10.0, 9.0, 0.05), "rose": (2.0, 3.0, 0.05),
}  # fmt: skip


@pytest.fixture
def made(results: Path, write: Write) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Three seeds of each cell and of its longer run; a method without one; a unit of 3."""
    found = {}
    for name, (value, left, apart) in CELLS.items():
        shared = 0.3 * NOISE[4]
        seeds = NOISE[:3, :1] - NOISE[:3, :1].mean()
        cell = value + shared + apart * seeds + 0.01 * NOISE[:3]
        twin = left + shared + 0.01 * NOISE[2:5]
        for seed in range(3):
            write({"ew2sq": cell[seed]}, method=name, seed=seed, preset_values=VALUES)
            write({"ew2sq": twin[seed]}, method=name, seed=seed, **LONGER)
        found[name] = cell, twin
    write({"ew2sq": 4 + NOISE[0]}, method="alone", preset_values=VALUES)
    unit = 3 + 0.1 * NOISE[0] - 0.1 * NOISE[0].mean()
    write({"ew2sq": unit}, preset_values=VALUES, **UPPER)
    return found


def of(board: Board) -> dict[str, Convergence | None]:
    return {row.label: convergence(board, row, unit_of(board)) for row in board.rows}


def test_a_cell_has_not_converged_where_the_fall_is_no_chance_and_large(
    results: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    (board,) = judged(results)
    found = of(board)
    for name, (cell, twin) in made.items():
        each, fall = found[name], cell - twin
        assert each is not None
        assert each.fall.mean == pytest.approx(fall.mean()), name
        assert each.fall.half == pytest.approx(half(fall)), name
        assert each.least == pytest.approx(0.2 * min(cell.mean(), 3.0)), name
        wanted = fall.mean() > half(fall) and fall.mean() > 0.2 * min(cell.mean(), 3.0)
        assert (each.converged == "no") == wanted, name
        small = fall.mean() + half(fall) <= 0.2 * min(cell.mean(), 3.0)
        assert (each.converged == "yes") == small, name
    words = {name: each.text for name, each in found.items() if each}
    assert words == {
        "fell": "no", "slightly": "yes", "noisy": "unclear", "large": "no", "rose": "yes"
    }  # fmt: skip
    assert found["alone"] is None
    noisy = found["noisy"]
    assert noisy and noisy.least < noisy.fall.mean < noisy.fall.half, "large, and maybe chance"


def test_a_longer_run_is_no_row_and_moves_no_rank(results: Path, made: object) -> None:
    """The same records without the longer ones give the same board."""
    (board,) = judged(results)
    assert {row.label for row in board.rows} == {*CELLS, "alone", "oracle-gaussian"}
    table = cwbench.leaderboard(results)
    for path in results.glob("runs/*/*/*/*/*/record.json"):
        if json.loads(path.read_text())["track"] == "open":
            path.unlink()
    without = cwbench.leaderboard(results)
    told = ["converged", "fall", "fall_low", "fall_high", "fall_seeds"]
    assert table.drop(columns=told).equals(without.drop(columns=told))
    assert without.converged.isna().all()
    known = table.set_index("method").converged.dropna().to_dict()
    assert known == {"fell": "no", "large": "no", "noisy": "unclear", "slightly": "yes",
                     "rose": "yes"}  # fmt: skip


def test_every_form_says_it(results: Path, made: object, write: Write) -> None:
    for name in ("fell", "slightly"):  # a second task, for the table over all
        for seed in range(3):
            write({"ew2sq": 1 + NOISE[seed]}, task="u", method=name, seed=seed)
    found = judged(results)
    table = first(found)
    marks = {line.label: line.entries[0].marks for line in table.lines if line.entries[0]}
    assert marks["fell"] == marks["large"] == MARK and not marks["slightly"]
    rule = "not converged: at four times the steps on the same pairs"
    tally = "(5 values with runs at four times the steps: 2 not converged, 1 cannot be told, "
    assert rule in " ".join(table.notes) and f"{tally}2 converged)." in " ".join(table.notes)
    text = TEXTS["md"](found, "")
    above, below = text.split("## Task by task")
    assert above.count(MARK) == 3 and rule in above
    head = next(line for line in below.splitlines() if line.startswith("| rank"))
    assert head.endswith("| converged |")
    row = next(line for line in below.splitlines() if "| fell |" in line)
    assert row.endswith("| no |")
    latex = TEXTS["latex"](found, "")
    assert latex.count(r"$^\ddagger$") == 3 and "Converged" in latex
    shown = io.StringIO()
    rich.print(terminal(found), file=shown)
    assert MARK in shown.getvalue()
    stated = json.loads(TEXTS["json"](found, ""))[0]["rows"]
    by_name = {row["method"]: row for row in stated}
    assert by_name["fell"]["converged"] == "no" and by_name["alone"]["converged"] is None
    assert by_name["fell"]["longer"]["seeds"] == 3
    shown_texts = relative_values(found).texts["t"]
    assert shown_texts["fell"].endswith(MARK) and not shown_texts["slightly"].endswith(MARK)
    assert MARK in page(found, [])


def test_one_seed_flags_a_cell_and_says_so(results: Path, write: Write) -> None:
    """Its interval is that over observations."""
    for seed in range(3):
        write({"ew2sq": 2 + 0.1 * NOISE[seed]}, seed=seed, preset_values=VALUES)
    write({"ew2sq": 1 + 0.1 * NOISE[3]}, seed=0, **LONGER)
    (board,) = judged(results)
    each = of(board)["m"]
    assert each is not None and each.text == "no (1)"
    fall = 1 + 0.1 * NOISE[0] - 0.1 * NOISE[3]
    wanted = stats.t.ppf(0.975, 39) * fall.std(ddof=1) / 40**0.5
    assert each.fall.half == pytest.approx(wanted)
    value = np.mean([2 + 0.1 * NOISE[seed] for seed in range(3)])
    assert each.least == pytest.approx(0.2 * value), "without a unit the value alone counts"


def test_where_posteriors_are_gaussian_their_variance_is_the_unit(
    results: Path, write: Write
) -> None:
    """A fall of .5 is large beside a variance of 2, and small beside one of 3."""
    for task, variance in (("two", 2.0), ("three", 3.0)):
        for seed in range(3):
            part: dict[str, Any] = {"task": task, "seed": seed}
            write({"ew2sq": 9 + 0.1 * NOISE[seed]}, preset_values=VALUES, **part)
            write({"ew2sq": 8.5 + 0.1 * NOISE[seed]}, **part, **LONGER)
        write(
            {"ew2sq": NOISE[3] - NOISE[3].mean() + 0.05}, task=task, preset_values=VALUES, **UPPER
        )
        for path in results.glob(f"runs/{task}/*/*/*/*/record.json"):
            content = json.loads(path.read_text())
            content["diagnostics"] |= {POSTERIOR_VARIANCE: variance}
            path.write_text(json.dumps(content))
    found = {board.title: of(board)["m"] for board in judged(results)}
    assert found["two"] and found["three"]
    assert [found["two"].text, found["three"].text] == ["no", "yes"]
    assert found["three"].least == pytest.approx(0.6)


@pytest.mark.parametrize(
    "other",
    [
        {"preset_values": VALUES | {"steps": 40, "width": 9}, "track": "open"},
        {"preset_values": VALUES | {"steps": 20}, "track": "open"},
        {"preset_values": VALUES | {"steps": 40}, "track": "external"},
        LONGER | {"method_part": {"params": {"beta": 1}}},
        LONGER | {"method_part": {"version": 2}},
        LONGER | {"task_part": {"fingerprint": "other"}},
        LONGER | {"preset": "standard"},
    ],
)
def test_what_differs_in_anything_else_is_no_twin(
    results: Path, write: Write, other: dict[str, Any]
) -> None:
    for seed in range(3):
        write({"ew2sq": 2 + NOISE[seed]}, seed=seed, preset_values=VALUES)
        write({"ew2sq": 1 + NOISE[seed]}, seed=seed, **other)
    found = judged(results)
    assert len(found) == 2, "it stands on a board of its own"
    assert [convergence(board, row, None) for board in found for row in board.rows] == [None] * 2


def test_a_longer_run_that_failed_says_nothing(results: Path, write: Write) -> None:
    write({"ew2sq": 2 + NOISE[0]}, preset_values=VALUES)
    write({}, status="skipped", error="takes no optimiser steps", **LONGER)
    (board,) = judged(results)
    assert of(board) == {"m": None}
    assert "takes no" not in TEXTS["md"]([board], "")


def test_a_value_without_a_mark_is_not_said_to_have_converged(results: Path, write: Write) -> None:
    """A fall of nearly all of the error, which a single seed cannot tell from chance."""
    fall = 4 + 30 * NOISE[4]
    for task in ("t", "u"):
        for method in ("m", "n"):
            write({"ew2sq": 5 + fall}, task=task, method=method, preset_values=VALUES)
        write({"ew2sq": 3 + 0.1 * NOISE[0]}, task=task, preset_values=VALUES, **UPPER)
    write({"ew2sq": 5 + 0 * fall}, method="m", **LONGER)
    found = judged(results)
    (each,) = [each for board in found for each in of(board).values() if each]
    assert each.fall.half > each.fall.mean > each.least
    assert each.text == "unclear (1)"
    told = (
        "Of 1 value with runs at four times the steps: 1 cannot be told; 1 by fewer than 3 seeds."
    )
    assert told in first(found).notes
    assert "1 cannot be told" in page(found, []) and "onverged: all" not in page(found, [])


def test_what_only_longer_runs_measured_moves_nothing(results: Path, write: Write) -> None:
    """Cells at NFE 1 and 3, the longer run at the adaptive one, with versions and metrics more."""
    for method in ("m", "n"):
        for seed in range(3):
            ids = {"ew2sq@nfe=1": 2 + NOISE[seed], "ew2sq@nfe=3": 1 + NOISE[seed]}
            write(ids, method=method, seed=seed, preset_values=VALUES)
    table, text = cwbench.leaderboard(results), TEXTS["md"](judged(results), "")
    for seed in range(3):
        write({"ew2sq@nfe=adaptive": NOISE[seed], "c2st": NOISE[3]}, seed=seed, **LONGER)
        write({"ew2sq@nfe=3": NOISE[seed]}, method="n", seed=seed, version=2, **LONGER)
    (board,) = judged(results)
    assert cwbench.leaderboard(results).equals(table)
    assert board.main is not None and (board.main.nfe, board.main.version) == ("3", 1)
    told = {row.label: texts(board).get(row.place) for row in board.rows}
    assert told == {"m": "not measured at NFE 3", "n": "not measured at NFE 3"}
    assert TEXTS["md"]([board], "").replace(" not measured at NFE 3 |", "") == text.replace(
        "| seeds |", "| seeds | converged |"
    ).replace("| --- |\n| 1", "| --- | --- |\n| 1")


def test_longer_runs_that_are_compared_are_rows_too(results: Path, write: Write) -> None:
    """Two methods at four times the steps; one of them has a cell that it is the twin of."""
    for method in ("m", "n"):
        for seed in range(3):
            write({"ew2sq": 1 + NOISE[seed]}, method=method, seed=seed, **LONGER)
    (alone,) = judged(results)
    before = cwbench.leaderboard(results)
    write({"ew2sq": 9 + NOISE[0]}, preset_values=VALUES)
    fixed, still = judged(results)
    assert (fixed.track, still.track) == ("fixed", "open")
    assert texts(fixed) == {0: "no (1)"}
    assert {row.label for row in still.rows} == {row.label for row in alone.rows} == {"m", "n"}
    assert cwbench.leaderboard(results, track="open").equals(before)
    for seed in range(3):
        write({"ew2sq": 9 + NOISE[seed]}, method="n", seed=seed, preset_values=VALUES)
    (fixed,) = judged(results)
    assert {*texts(fixed).values()} == {"no", "no (1)"}
    (asked,) = judged(results, tracks=["open"])
    assert {row.label for row in asked.rows} == {"m", "n"}, "what is asked for is shown"


def test_a_cell_with_another_value_of_the_preset_has_its_longer_run(
    results: Path, write: Write
) -> None:
    wide = VALUES | {"width": 9}
    for seed in range(3):
        part: dict[str, Any] = {"seed": seed, "track": "open"}
        settings = {"preset.width": 9}
        write({"ew2sq": 9 + NOISE[seed]}, preset_values=wide, settings=settings, **part)
        settings = settings | {"preset.steps": 40}
        write({"ew2sq": NOISE[seed]}, preset_values=wide | {"steps": 40}, settings=settings, **part)
    (board,) = judged(results)
    assert texts(board) == {0: "no"}
    for steps in (20, 80):  # both typed: neither is the other's
        write(
            {"ew2sq": NOISE[0]}, method="n", track="open", preset_values=VALUES | {"steps": steps},
            settings={"preset.steps": steps},
        )  # fmt: skip
    assert len(judged(results)) == 3


def test_a_cell_with_the_steps_of_the_preset_typed_has_its_longer_run(
    results: Path, write: Write
) -> None:
    """What is typed as it is anyway leaves a run on the fixed track."""
    for seed in range(3):
        typed = {"preset.steps": 10}
        write({"ew2sq": 9 + NOISE[seed]}, seed=seed, preset_values=VALUES, settings=typed)
        write({"ew2sq": NOISE[seed]}, seed=seed, settings={"preset.steps": 40}, **LONGER)
    (board,) = judged(results)
    assert texts(board) == {0: "no"}


def test_where_there_is_nothing_to_compare_it_says_what_is_missing(
    results: Path, write: Write
) -> None:
    """No interval: one seed at one observation. A cell without a value itself says so already."""
    all_of = NOISE[0]
    for task, name, value, left in (
        ("one", "m", [9.0], [1.0]), ("many", "n", None, all_of), ("many", "o", all_of, None)
    ):  # fmt: skip
        write({"ew2sq": value}, task=task, method=name, preset_values=VALUES)
        write({"ew2sq": left}, task=task, method=name, **LONGER)
    told = {
        row.label: texts(board).get(row.place) for board in judged(results) for row in board.rows
    }
    assert told == {"m": "no interval", "n": None, "o": "no value"}


def test_longer_runs_without_a_value_or_edited_are_told(results: Path, write: Write) -> None:
    for method in ("m", "n", "o"):
        for seed in range(3):
            write({"ew2sq": 9 + NOISE[seed]}, method=method, seed=seed, preset_values=VALUES)
    for seed in range(3):
        write({}, seed=seed, status="oom", error="no room", **LONGER)
        write({"ew2sq": NOISE[seed]}, method="n", seed=seed, edited=seed == 1, **LONGER)
    write({"ew2sq": NOISE[4]}, method="o", seed=4, **LONGER)
    (board,) = judged(results)
    said = {row.label: texts(board)[row.place] for row in board.rows}
    assert said == {"m": "oom", "n": "no", "o": "no seed in common"}
    notes = cwbench.leaderboard(results).set_index("method").note.to_dict()
    assert notes["m"].startswith("at four times the steps, seed 0 oom: no room; at four times")
    assert notes["n"] == "at four times the steps, seed 1: edited by hand"
    for form in ("md", "json"):
        text = TEXTS[form]([board], "")
        assert "seed 1: edited by hand" in text and "seed 2 oom" in text


def test_what_a_longer_run_changes_is_told(results: Path, write: Write, tmp_path: Path) -> None:
    write({"ew2sq": 2 + 0.1 * NOISE[0]}, preset_values=VALUES)
    before = judged(results)
    write({"ew2sq": 1 + 0.1 * NOISE[0]}, **LONGER)
    told = changes(before, judged(results))
    assert told != UNCHANGED and f"1 → 1{MARK}" in told
