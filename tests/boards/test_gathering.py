"""Boards: comparable runs meet, others never do; what is bad or missing is told, never imputed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import NOISE, Write, judged, main_cells

import cwbench
from cwbench.boards.frames import frame
from cwbench.boards.gathering import boards
from cwbench.boards.pairs import paired
from cwbench.boards.statistics import crossed_interval
from cwbench.errors import UsageError
from cwbench.records.shipped import YOURS, Source


def test_a_board_from_the_values_to_the_ranks(results: Path, five: dict[str, np.ndarray]) -> None:
    (board,) = judged(results)
    cells = main_cells(board)
    assert list(cells)[2:] == ["worse", "fragile", "oracle-gaussian", "prior"]
    for name in ("a", "b", "worse"):
        mean, low, high = crossed_interval(five[name])
        assert (cells[name].mean, cells[name].low, cells[name].high) == pytest.approx(
            (mean, low, high)
        )
        assert cells[name].scaled[0] == pytest.approx(1 - mean / five["prior"].mean())
        ratio = np.log10(mean / five["oracle-gaussian"].mean())
        assert cells[name].log_ratio[0] == pytest.approx(ratio)
        assert cells[name].p90 == pytest.approx(np.quantile(five[name].mean(0), 0.9))
    assert [cells[n].rank for n in ("a", "b", "worse")] == [(1, 2), (1, 2), (3, 3)]
    assert [cells[n].tied for n in ("a", "b", "worse")] == [True, True, False]


def test_a_failed_seed_is_shown_and_ranks_below(results: Path, five: object) -> None:
    """`fragile` has the best mean by far; four of its five seeds are no better than none."""
    (board,) = judged(results)
    cell = main_cells(board)["fragile"]
    assert cell.mean < 0.5
    assert (cell.seeds, cell.rank, cell.tied) == ("4/5", (4, 4), False)
    table = frame([board])
    assert table[table.method == "fragile"].note.unique().tolist() == ["seed 4 failed: boom"]


def test_controls_are_shown_and_never_ranked(results: Path, five: object) -> None:
    (board,) = judged(results)
    cells = main_cells(board)
    assert cells["oracle-gaussian"].mean < cells["a"].mean
    assert cells["oracle-gaussian"].rank is cells["prior"].rank is None
    assert cells["prior"].scaled[0] == pytest.approx(0)


def test_one_shot_samplers_stand_beside_every_nfe(results: Path, five: object) -> None:
    (board,) = judged(results)
    prior = next(row for row in board.rows if row.label == "prior")
    assert {c.name for c in board.columns} == {"ew2sq@nfe=3", "ew2sq@nfe=adaptive"}
    assert len({board.cell(prior, column).mean for column in board.columns}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"task_part": {"version": 2}},
        {"task_part": {"params": {"noise": 1}}},
        {"task_part": {"fingerprint": "other data"}},
        {"preset": "standard"},
        {"track": "open"},
        {"preset_values": {"training_pairs": 9, "steps": 1, "observations": 2, "samples": 2}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_stands_on_another_board(
    results: Path, write: Write, other: dict[str, Any]
) -> None:
    write({"ew2sq": NOISE[0]})
    write({"ew2sq": NOISE[1]}, method="n", **other)
    assert [len(board.rows) for board in judged(results)] == [1, 1]


@pytest.mark.parametrize("other", ["version", "observations", "source"])
def test_what_is_measured_otherwise_stands_in_another_column(
    results: Path, write: Write, other: str
) -> None:
    write({"ew2sq": NOISE[0]})
    if other == "version":
        write({"ew2sq": NOISE[1]}, method="n", version=2)
    elif other == "source":
        write({"ew2sq": NOISE[1]}, method="n", source="0278be16" * 8)
    else:
        write({"ew2sq": NOISE[1][:30]}, method="n")
    (board,) = judged(results)
    assert len(board.columns) == 2
    assert sum(cells.there.astype(int) for cells in board.cells.values()).tolist() == [1] * len(
        board.rows
    )


def test_boards_of_one_title_say_what_parts_them(results: Path, write: Write) -> None:
    values = {"training_pairs": 1, "steps": 1, "observations": 2, "samples": 2}
    write({"ew2sq": NOISE[0]}, preset_values=values)
    changed = {"settings": {"samples": "9"}, "track": "open"}
    write({"ew2sq": NOISE[0]}, preset_values=values | {"samples": 9}, **changed)
    write({"ew2sq": NOISE[0]}, preset_values=values | {"steps": 5}, track="open",
          settings={"preset.steps": "5", "preset.nfe": "1"})  # fmt: skip
    write({"ew2sq": NOISE[0]}, task="u", preset_values=values)
    write({"ew2sq": NOISE[0]}, task="u", preset_values=values, task_part={"version": 2})
    assert {board.name for board in judged(results)} == {
        "t / quick", "t [samples=9, steps=1] / quick / open",
        "t [samples=2, steps=5] / quick / open",
        "u [version=1] / quick", "u [version=2] / quick",
    }  # fmt: skip


def test_what_decides_no_fit_changes_no_board(results: Path, write: Write) -> None:
    values = {"training_pairs": 1, "steps": 1, "observations": 2, "samples": 2}
    write({"ew2sq": NOISE[0]}, preset_values=values)
    write({"ew2sq": NOISE[1]}, method="n", preset_values=values | {"nfe": [7], "follow": 9})
    assert len(judged(results)) == 1


def test_rows_of_one_label_are_told_apart(results: Path, write: Write) -> None:
    write({"ew2sq": NOISE[0]})
    write({"ew2sq": NOISE[1]}, method_part={"version": 2})
    write({"ew2sq": NOISE[2]}, method="n", changed={"beta": 1})
    write({"ew2sq": NOISE[2]}, method="n", changed={"beta": 1}, method_part={"source_sha256": "x"})
    (board,) = judged(results)
    labels = sorted(row.label for row in board.rows)
    assert labels[:2] == ["m", "m v1"], "the newest has the name"
    assert [label[:14] for label in labels[2:]] == ["n (beta=1) [" + r.key[:2] for r in sorted(
        (r for r in board.rows if r.label.startswith("n")), key=lambda r: r.label)]  # fmt: skip


def test_a_missing_value_is_not_imputed(results: Path, write: Write) -> None:
    for seed in range(4):
        write({"ew2sq": NOISE[seed] if seed else None}, seed=seed, status="ok")
    (board,) = judged(results)
    cell = main_cells(board)["m"]
    assert (cell.seeds, cell.mean) == ("3/4", pytest.approx(NOISE[1:4].mean()))


def test_what_is_skipped_has_no_rank_and_says_why(results: Path, write: Write) -> None:
    write({}, status="skipped", error="takes labels only")
    write({"ew2sq": NOISE[0]}, method="n")
    (board,) = judged(results)
    table = cwbench.leaderboard(results)
    assert table[table.method == "m"].note.tolist() == ["skipped: takes labels only"]
    assert main_cells(board)["m"] is None


def test_too_few_seeds_have_a_value_and_no_rank(results: Path, write: Write) -> None:
    for seed in range(3):
        write({"ew2sq": 1 + NOISE[seed]}, seed=seed)
    write({"ew2sq": NOISE[3] - 9}, method="lucky")
    (board,) = judged(results)
    cells = main_cells(board)
    assert (cells["lucky"].rank, cells["lucky"].tied) == (None, None)
    assert cells["m"].rank == (1, 1)


def test_higher_is_better_where_it_is(results: Path, write: Write) -> None:
    for seed in range(3):
        for name, mean in (("low", 0.0), ("high", 9.0)):
            values = {"ew2sq": NOISE[seed] + mean}
            write(values, method=name, seed=seed, direction="higher")
    (board,) = judged(results)
    assert list(main_cells(board)) == ["high", "low"]
    assert cwbench.compare("high", "low", results).verdict.tolist() == ["better"]


def test_compare_is_the_paired_interval(results: Path, five: dict[str, np.ndarray]) -> None:
    found = cwbench.compare("a", "worse", results)
    assert found.nfe.tolist() == ["adaptive", "3"]
    by_itself = paired(five["a"], five["worse"])
    assert by_itself is not None
    assert tuple(found.loc[0, ["difference", "low", "high"]]) == pytest.approx(by_itself.difference)
    assert found.moderated_by.tolist() == [0, 0]
    assert found.verdict.tolist() == ["better", "better"]
    assert cwbench.compare("worse", "a", results).verdict.tolist() == ["worse", "worse"]
    assert cwbench.compare("a", "b", results).verdict.tolist() == ["tie", "tie"]
    assert cwbench.compare("a", "prior", results).verdict.tolist() == ["too few seeds"] * 2


def test_compare_says_what_the_table_says(results: Path, write: Write) -> None:
    """All trained methods moderate, also those that a filter leaves out; controls do not."""
    rng = np.random.default_rng(5)
    for number in range(8):
        for seed in range(3):
            values = (number > 1) + 0.3 * rng.normal() + 0.1 * NOISE[seed]
            write({"ew2sq": values}, method=f"m{number}", seed=seed)
    for seed in range(3):
        ids = {"ew2sq": 9 + rng.normal() + NOISE[seed]}
        write(ids, method="prior", seed=seed, method_part={"role": "lower"})
    (board,) = judged(results)
    assert board.main
    assert sorted(board.spread(board.main).among) == [0] + 8 * [8]
    (shown,) = judged(results, methods=["m0", "m2"])
    alone, among = (each.spread(board.main).found for each in (shown, board))
    assert np.array_equal(alone, among, equal_nan=True)
    for a, b, number in (("m0", "m2", 8), ("m0", "m1", 8), ("m0", "prior", 0)):
        (one,) = cwbench.compare(a, b, results).itertuples()
        assert one.moderated_by == number
        if number:
            (pair,) = judged(results, methods=[a, b])
            ranks = {name: cell.rank for name, cell in main_cells(pair).items()}
            tie = {a: (1, 2), b: (1, 2)}
            assert ranks == ({a: (1, 1), b: (2, 2)} if one.verdict == "better" else tie)


def test_unequal_seeds_do_not_contradict_each_other(results: Path, write: Write) -> None:
    """`m` is worse than `n` on the seeds in common, and better by the means of the table."""
    for seed in range(5):
        write({"ew2sq": (0 if seed < 3 else 9) + 0.01 * NOISE[seed]}, method="n", seed=seed)
        if seed < 3:
            write({"ew2sq": 1 + 0.01 * NOISE[seed][::-1]}, seed=seed)
    (board,) = judged(results)
    assert [cell.rank for cell in main_cells(board).values()] == [(1, 2), (1, 2)]
    assert [cell.tied for cell in main_cells(board).values()] == [True, True]
    found = cwbench.compare("m", "n", results)
    assert found.verdict.tolist() == ["tie"]
    assert "on all seeds of each the means are the other way round" in found.reason[0]


def test_failed_seeds_win_nothing(results: Path, five: object) -> None:
    found = cwbench.compare("fragile", "a", results)
    assert (found.difference < 0).all()
    assert found.verdict.tolist() == ["no verdict"] * 2
    assert "fragile 4/5" in found.reason[0]
    assert cwbench.compare("worse", "fragile", results).verdict.tolist() == ["no verdict"] * 2


def test_unknown_names_are_told_with_those_on_record(results: Path, five: object) -> None:
    with pytest.raises(UsageError, match=r"unknown method on record .aa..*worse"):
        cwbench.compare("aa", "b", results)
    with pytest.raises(UsageError, match="compare takes two methods; 'a' is one"):
        cwbench.compare("a", "a", results)
    with pytest.raises(UsageError, match=r"unknown task on record .tt..*t"):
        cwbench.leaderboard(results, task="tt")
    with pytest.raises(UsageError, match=r"meet on no task in energy.*ew2sq@nfe=3"):
        cwbench.compare("a", "b", results, metric="energy")


def test_each_that_lacks_a_value_is_told_with_what_it_has(
    results: Path, five: object, write: Write
) -> None:
    def refused(b: str, **asked: Any) -> str:
        with pytest.raises(UsageError) as error:
            cwbench.compare("a", b, results, **asked)
        return str(error.value)

    write({"ew2sq@nfe=10": NOISE[0]}, method="late")
    write({}, method="lost", status="failed", error="boom\nfar away")
    write({}, method="unable", status="skipped", error="it needs a likelihood")
    write({"ew2sq@nfe=3": NOISE[0]}, task="u", method="elsewhere")
    at_7 = refused("b", nfe=7)
    each = ", ".join(f"'{name}' has ew2sq at NFE 3, adaptive alone" for name in ("a", "b"))
    assert f"at NFE 7; t / quick: {each}, they meet" in at_7
    assert "they meet at NFE 3, adaptive: leave --nfe out, or type --nfe adaptive" in at_7
    late = refused("late")
    assert late.endswith("t / quick: 'late' has ew2sq at NFE 10 alone")
    assert refused("lost").endswith("'lost' has no result there (seed 0 failed: boom)")
    assert refused("unable").endswith("'unable' was skipped there (it needs a likelihood)")
    assert refused("elsewhere").endswith("'a' is on t / quick; 'elsewhere' is on u / quick")


def test_what_is_never_compared_is_told_by_track(results: Path, five: object, write: Write) -> None:
    write({"ew2sq": NOISE[0]}, method="outside", track="external")
    with pytest.raises(UsageError, match=r"'outside' is on track 'external' .* never compared"):
        cwbench.compare("outside", "a", results=results)


def test_filters(results: Path, five: object, write: Write) -> None:
    write({"ew2sq": NOISE[0]}, task="u", preset="standard", changed={"p": 1, "q": 2})
    table = cwbench.leaderboard(results)
    assert table.preset.drop_duplicates().tolist() == ["standard", "quick"]
    assert set(cwbench.leaderboard(results, task="u").method) == {"m (p=1, q=2)"}
    assert len(cwbench.leaderboard(results, method="m (p=1, q=2),worse")) == 1 + 2
    assert set(cwbench.leaderboard(results, preset="quick").task) == {"t"}
    two = cwbench.leaderboard(results, method=["worse", "prior"], metric="ew2sq")
    assert two[two.method == "worse"].rank_low.tolist() == [1, 1]
    assert two[two.method == "worse"].scaled.notna().all()


def test_a_run_that_both_have_is_counted_once(
    results: Path, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        write({"ew2sq": NOISE[seed]}, seed=seed)
    ours = tmp_path / "ours"
    shutil.copytree(results / "runs", ours / "runs")
    (moved,) = results.glob("runs/*/*/*/*/seed-3")
    shutil.rmtree(moved)
    monkeypatch.setattr("cwbench.records.shipped.shipped_results", lambda: ours)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (row,) = cwbench.leaderboard().itertuples()
    assert (row.seeds, row.origin) == (4, "yours + cwbench")
    assert cwbench.load_records().origin.tolist() == ["yours"] * 3 + ["cwbench"]
    assert cwbench.leaderboard(results).seeds.tolist() == [3]
    assert not (ours / ".cache").exists()
    assert not (ours / ".index.parquet").exists()


def test_a_copied_run_is_named_and_skipped(results: Path, write: Write) -> None:
    place = write({"ew2sq": NOISE[0]})
    shutil.copytree(place, place.parents[1] / "ffffffffffffffff" / "seed-0")
    with pytest.warns(UserWarning, match=r"ffff.*its record is of t/m/quick/"):
        assert cwbench.leaderboard(results).seeds.tolist() == [1]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _newer(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))


def _nan(path: Path) -> None:
    path.write_text(path.read_text().replace('"level": 0.95', '"level": NaN', 1))


@pytest.mark.parametrize("damage", [_truncate, _newer, _nan])
def test_what_cannot_be_read_is_named_and_the_rest_shown(
    results: Path, write: Write, damage: Callable[[Path], None]
) -> None:
    bad = write({"ew2sq": NOISE[0]}) / "record.json"
    write({"ew2sq": NOISE[1]}, method="n")
    damage(bad)
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"skipped: {bad}"):
            assert cwbench.leaderboard(results).method.tolist() == ["n"]


def test_values_that_are_not_those_of_the_record_are_named(results: Path, write: Write) -> None:
    first = write({"ew2sq": NOISE[0]})
    second = write({"ew2sq": NOISE[1]}, method="n")
    content = (second / "record.json").read_text()
    value = json.loads(content)["metrics"]["ew2sq"]["value"]
    (second / "record.json").write_text(content.replace(str(value), "0.001", 1))
    shutil.copy(second / "observations.parquet", first)
    told = boards([Source(results, YOURS)]).problems
    assert "is not the file its record names" in told[0]
    assert "is not the mean of its values" in told[1]


def test_no_results_at_all(tmp_path: Path) -> None:
    assert cwbench.leaderboard(tmp_path / "none").empty
    assert not (tmp_path / "none").exists()


def test_a_record_that_says_another_metric_ranks_takes_no_verdict_from_the_others(
    results: Path, write: Write
) -> None:
    """It would come first: boards are read in the order of their directories."""
    for seed in range(3):
        for method, shift in (("m", 0.0), ("n", 9.0)):
            write({"ew2sq": NOISE[seed] + shift}, method=method, seed=seed)
    write({"ew2sq": NOISE[3]}, method="a", task_part={"main_metric": "energy"})
    (found,) = cwbench.compare("m", "n", results).to_dict("records")
    assert found["verdict"] == "better"
    titles = sorted(cwbench.leaderboard(results).task.unique())
    assert titles == ["t [main_metric=energy]", "t [main_metric=ew2sq]"]
