"""Samplers whose settings say how many calls they take rank at 100; at 20 they stand beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from made_runs import judged

import cwbench
from cwbench.boards.across import vote_table
from cwbench.boards.board import Board
from cwbench.boards.calls import level
from cwbench.boards.overview import looks_of, nfe_figure
from cwbench.boards.page import _data

Cwbench = Callable[..., Result]
Write = Callable[..., Path]
Sample = Callable[..., None]
RECORDS = Path(__file__).parents[2] / "results"
NOISE = np.random.default_rng(0).normal(size=(3, 40))
NOISE -= NOISE.mean()


@pytest.fixture
def sample(write: Write) -> Sample:
    """Write the runs of a sampler that took so many calls, with values around a mean."""

    def made(
        name: str, calls: float, mean: float, *, seeds: Sequence[int] = range(3),
        needs: tuple[str, ...] = ("operator",), **params: Any,
    ) -> None:  # fmt: skip
        used = {"1": {"seconds": 1.0, "evaluations": calls}}
        for seed in seeds:
            write(
                {"ew2sq": mean + 0.05 * NOISE[seed]}, method=name, seed=seed,
                changed=params, cost={"fit_seconds": 1.0, "sampling": used},
                method_part={"needs": list(needs), "params": {"steps": 100, "zeta": 0.5} | params},
            )  # fmt: skip

    return made


def rank(board: Board, label: str) -> tuple[int, int] | None:
    row = next(row for row in board.rows if row.label == label)
    cell = board.cell(row, board.main)
    return cell.rank if cell else None


def lines(board: Board) -> list[tuple[str, str]]:
    """What stands on the board, and among which it is ranked."""
    return [(row.label, row.among) for row in board.lines(board.main) if row.role == "method"]


@pytest.mark.parametrize(
    ("evaluations", "wanted"),
    [(2, 20), (20, 20), (22, 20), (22.1, 100), (101, 100), (110, 100), (111, 1_000),
     (1_010, 1_000), (2_000.4, 2_000)],
)  # fmt: skip
def test_calls_are_those_that_a_draw_keeps_to(evaluations: float, wanted: int) -> None:
    assert level(evaluations) == wanted


def test_the_value_at_100_ranks_and_that_at_20_stands_beside_it(
    sample: Sample, results: Path, cli: Cwbench
) -> None:
    for name, worse in (("one", 0.0), ("two", 0.5)):
        sample(name, 100, 1 + worse)
        sample(name, 20, 3 - worse, steps=20, zeta=1.5)  # there the other one is ahead
    sample("one", 1_000, 0.2, seeds=[0], steps=1_000)
    (board,) = judged(results)
    assert lines(board) == [("one", "+ operator"), ("two", "+ operator")]
    assert rank(board, "one") == (1, 1) and rank(board, "two") == (2, 2)
    assert rank(board, "two (steps=20, zeta=1.5)") == (1, 1)
    text = cli("leaderboard", "--results", results, "--format", "md").stdout
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [part.strip() for part in head.split("|")][4:6] == ["ew2sq", "ew2sq, 20 calls"]
    values = [[part.strip("* ") for part in row.split("|")][4:6] for row in rows]
    assert [[float(part.split()[0]) for part in row] for row in values] == [[1, 3], [1.5, 2.5]]
    assert ["**" in row.split("|")[5] for row in rows] == [False, True]
    for form in ("table", "latex"):
        told = cli("leaderboard", "--results", results, "--format", form).stdout
        assert "20 calls" in told and "steps" not in told


def test_what_has_nothing_to_stand_beside_is_ranked_apart(sample: Sample, results: Path) -> None:
    """Neither more nor fewer calls take a rank from what is judged, nor a vote."""
    for name, mean in (("judged", 1.0), ("second", 1.2)):
        sample(name, 100, mean)
    sample("dear", 1_010, 0.1)
    sample("cheap", 20, 0.1)
    (board,) = judged(results)
    assert lines(board) == [
        ("judged", "+ operator"), ("second", "+ operator"),
        ("cheap", "+ operator, 20 calls"), ("dear", "+ operator, 1,000 calls"),
    ]  # fmt: skip
    assert [rank(board, name) for name in ("judged", "second", "dear", "cheap")] == [
        (1, 1), (2, 2), (1, 1), (1, 1),
    ]  # fmt: skip
    assert set(vote_table([board]).columns) == {"judged", "second"}


def test_other_numbers_of_calls_move_nothing_of_those_judged(
    write: Write, sample: Sample, results: Path
) -> None:
    """Whether they lie in the folder or not: their seeds, ten times as far apart, moderate none."""
    rng = np.random.default_rng(3)
    labels = [f"m{number}" for number in range(6)]

    def filled(calls: int, spread: float, **params: Any) -> None:
        for number, name in enumerate(labels):
            for seed in range(3):
                means = {"mean": 1 + 0.1 * number + spread * rng.normal()}
                sample(name, calls, seeds=[seed], **means, **params)

    filled(100, 0.05)
    sample("learned", 1, 1.5, needs=())
    pair = ("m0", "m3")
    (before,), said = judged(results), cwbench.compare(*pair, results)
    filled(20, 0.5, steps=20)
    filled(1_000, 0.005, steps=1_000)
    (after,) = judged(results)
    for label in [*labels, "learned"]:
        old, new = (
            board.cell(next(row for row in board.rows if row.label == label), board.main)
            for board in (before, after)
        )
        assert old and new and (old.rank, old.tied, old.low) == (new.rank, new.tied, new.low)
    assert said.equals(cwbench.compare(*pair, results))
    assert said.moderated_by.tolist() == [7]
    beside = cwbench.compare("m0 (steps=20)", "m3 (steps=20)", results)
    assert beside.moderated_by.tolist() == [6]
    assert beside.high[0] - beside.low[0] > 2 * (said.high[0] - said.low[0])
    across = cwbench.compare("m0", "m3 (steps=20)", results)
    assert across.moderated_by.tolist() == [13]


def test_of_several_settings_each_stands_beside_the_nearest(sample: Sample, results: Path) -> None:
    sample("m", 100, 1.0)
    sample("m", 100, 1.1, zeta=2.0)
    sample("m", 20, 2.0, steps=20)
    sample("m", 20, 2.1, steps=20, zeta=2.0)
    (board,) = judged(results)
    by_label = {row.label: row for row in board.rows}
    beside = {
        label: {calls: other.label for calls, other in board.beside[row.place].items()}
        for label, row in by_label.items()
        if row.place in board.beside
    }
    assert beside == {"m": {20: "m (steps=20)"}, "m (zeta=2.0)": {20: "m (steps=20, zeta=2.0)"}}


def test_none_is_chosen_of_two_that_are_equally_near(sample: Sample, results: Path) -> None:
    sample("m", 100, 1.0)
    for zeta in (1.5, 2.5):
        sample("m", 20, zeta, steps=20, zeta=zeta)
    (board,) = judged(results)
    assert board.beside == {}
    assert len(lines(board)) == 3


def test_what_takes_fewer_calls_dissolves_nothing_and_says_how_many(
    sample: Sample, results: Path
) -> None:
    sample("m", 100, 1.0)
    sample("m", 20, 2.0, steps=20)
    sample("m", 37, 1.5, steps=37)
    (board,) = judged(results)
    assert lines(board) == [("m", "+ operator"), ("m (steps=37)", "+ operator")]
    (judged_row,) = [row for row in board.rows if row.label == "m"]
    assert board.beside[judged_row.place][20].label == "m (steps=20)"
    notes = cwbench.leaderboard(results=results).set_index("method")["note"]
    assert notes["m (steps=37)"] == "takes 37 calls a draw"
    assert notes["m"] == notes["m (steps=20)"] == ""
    pair = cwbench.compare("m (steps=37)", "m", results=results)
    assert pair["reason"].item() == "at 37 and 100 calls a draw"


def test_a_column_without_these_samplers_counts_no_failed_seed(
    five: object, sample: Sample, results: Path, cli: Cwbench
) -> None:
    sample("costly", 100, 1.0)
    sample("costly", 20, 2.0, steps=20)
    shown = cli(
        "leaderboard", "--results", results, "--sort", "ew2sq@nfe=3", "--format", "md"
    ).stdout
    assert "20 calls" not in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("|  | costly ")]
    assert line.rstrip(" |").endswith("–")
    assert "0/3" not in shown


def test_a_setting_in_words_and_another_class_make_another_sampler(
    sample: Sample, results: Path
) -> None:
    sample("m", 100, 1.0)
    sample("m", 20, 2.0, steps=20, guidance="score")
    sample("m", 20, 2.0, steps=20, needs=("operator", "denoiser"))
    (board,) = judged(results)
    assert board.beside == {}


def test_a_filter_shows_the_row_itself(sample: Sample, results: Path, cli: Cwbench) -> None:
    sample("m", 100, 1.0)
    sample("m", 20, 2.0, steps=20)
    shown = cli("leaderboard", "--results", results, "--method", "m (steps=20)", "--format", "md")
    assert "| m (steps=20) | + operator, 20 calls | **2.0" in shown.stdout
    pair = cwbench.compare("m (steps=20)", "m", results=results)
    assert pair["difference"].item() == pytest.approx(1.0)
    assert pair["reason"].item() == "at 20 and 100 calls a draw"


def test_100_calls_stand_beside_no_nfe_below_them(
    five: object, sample: Sample, results: Path
) -> None:
    """One-shot samplers do; at the NFE that is judged all stand."""
    sample("costly", 100, 1.0)
    sample("cheap", 1, 1.0)
    (board,) = judged(results)
    rows = {row.label: row for row in board.rows}
    there = {
        name: [c.nfe for c in board.columns if board.cell(rows[name], c)]
        for name in ("costly", "cheap", "a")
    }
    assert there == {"costly": ["adaptive"], "cheap": ["3", "adaptive"], "a": ["3", "adaptive"]}


def test_the_figure_has_a_line_through_all_its_calls(sample: Sample, results: Path) -> None:
    sample("m", 100, 1.0)
    sample("m", 20, 2.0, steps=20)
    sample("m", 1_000, 0.5, seeds=[0], steps=1_000)
    (board,) = judged(results)
    looks = looks_of([board])
    assert looks == {"m": 0}
    figure = nfe_figure(board, looks)
    assert figure is not None
    ax: Any = figure.axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["20", "100", "1000"]
    (container,) = ax.containers
    drawn = container.lines[0].get_ydata()
    assert drawn == pytest.approx([2.0, 1.0, 0.5], abs=0.02)
    (shown,) = _data([board], looks)["boards"]
    labels = [row["label"] for row in shown["rows"]]
    beside = {calls: labels[at] for calls, at in shown["rows"][0]["beside"].items()}
    assert beside == {
        20: "m (steps=20) (+ operator, 20 calls)",
        1_000: "m (steps=1000) (+ operator, 1,000 calls)",
    }
    assert {row["look"] for row in shown["rows"]} == {0}


def test_tidy_tables_have_every_row_with_its_calls(
    sample: Sample, results: Path, cli: Cwbench
) -> None:
    sample("m", 101, 1.0)
    sample("m", 20, 2.0, steps=20)
    table = cwbench.leaderboard(results=results).set_index("method")
    assert table["calls"].to_dict() == {"m": 100, "m (steps=20)": 20}
    (board,) = json.loads(cli("leaderboard", "--results", results, "--format", "json").stdout)
    assert {row["method"]: row["calls"] for row in board["rows"]} == {"m": 100, "m (steps=20)": 20}


def test_what_takes_too_many_calls_for_an_nfe_is_told_why_and_where_they_meet(
    five: object, sample: Sample, results: Path, cli: Cwbench
) -> None:
    """The others are on record at NFE 3, and 20 calls are too many for it."""
    sample("m", 20, 2.0, steps=20)
    asked = ("compare", "m (steps=20)", "a", "--results", results, "--nfe")
    refused = cli(*asked, "3")
    assert refused.exit_code == 2
    assert "'m (steps=20)' has no NFE to ask for and takes 20 calls a draw" in refused.stderr
    assert "'a' has" not in refused.stderr and "on record" not in refused.stderr
    told = "they meet at NFE adaptive: leave --nfe out, or type --nfe adaptive"
    assert refused.stderr.strip().endswith(told)
    assert cli(*asked, "adaptive").exit_code == cli(*asked[:-1]).exit_code == 0


def test_of_the_records_that_ship_the_one_without_a_value_is_named(cli: Cwbench) -> None:
    asked = ("compare", "dps (steps=20, zeta=1.5)", "fm", "--task", "super-resolution",
             "--results", RECORDS, "--preset", "quick", "--nfe")  # fmt: skip
    refused = cli(*asked, "3")
    assert (refused.exit_code, "on record" in refused.stderr) == (2, False)
    assert "'dps (steps=20, zeta=1.5)' has no NFE to ask for and takes 20 calls" in refused.stderr
    assert "they meet at NFE 20: leave --nfe out, or type --nfe 20" in refused.stderr
    assert cli(*asked, "20").exit_code == 0
