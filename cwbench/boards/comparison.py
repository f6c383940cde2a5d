"""Two methods against each other, on every board and for one column at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

from cwbench.boards import calls
from cwbench.boards.board import Board, Column
from cwbench.boards.cells import Cell
from cwbench.boards.costs import repaid
from cwbench.boards.pairs import paired
from cwbench.boards.row import Row
from cwbench.boards.statistics import (
    LEAST_SEEDS,
    Interval,
    Verdict,
    joint_verdict,
    verdict,
)
from cwbench.boards.versions import MARK, explained


@dataclass(frozen=True)
class Comparison:
    """A minus B on the seeds and observations that both have; `difference` is None without any.

    `reason` says why there is no verdict, or what has to be known beside it; `moderated_by` how
    many trained methods moderate the variances between seeds, 0 where the two have their own.
    """

    board: Board
    column: Column
    a: str
    b: str
    seeds: int
    difference: Interval | None
    verdict: Verdict
    reason: str
    moderated_by: int = 0

    @property
    def break_even(self) -> float | None:
        """Observations from which on training repays itself, where one of them learned from pairs.

        Infinity if never; None where both saw the same, or a cost is not on record.
        """
        rows = {row.label: row for row in self.board.rows}
        return repaid(self.board, rows[self.a], rows[self.b], self.column.nfe)


class _Found(NamedTuple):
    """What one column says of two rows."""

    difference: Interval
    seeds: int
    verdict: Verdict
    moderated_by: int
    opposed: bool


def against(board: Board, a: Row, b: Row, column: Column) -> Comparison:
    """Compare two rows in a column, with the other distances where those are judged together."""
    found = _paired(board, a, b, column)
    if found is None:
        return Comparison(
            board, column, a.label, b.label, 0, None, "too few seeds", "no seed in common"
        )
    called, reason = found.verdict, ""
    if called == "too few seeds":
        reason = f"{found.seeds} in common, {LEAST_SEEDS} needed"
    elif found.opposed:
        reason = "on all seeds of each the means are the other way round"
    elif column.metric in board.distances:
        others = dict(_beside(board, a, b, column))
        joint = joint_verdict(called, list(others.values()))
        if joint == "no verdict":
            verdicts = {column.metric: called} | others
            each = (f"{m}: {v}" for m, v in verdicts.items() if v in ("better", "worse"))
            reason = f"the distances contradict each other ({', '.join(each)})"
        called = joint
    bad = [row for row in (a, b) if not _cell(board, row, column).complete]
    if bad:
        lost = ", ".join(f"{row.label} {_cell(board, row, column).seeds}" for row in bad)
        reason = f"not all seeds have a value ({lost})" + (f"; {reason}" if reason else "")
        if called == ("better" if a in bad else "worse") or len(bad) == 2:
            called = "no verdict"  # a method gains nothing by the seeds it failed on
    if a.used and b.used and not calls.at(a.used, round(b.used)):
        told = f"at {a.used:,.0f} and {b.used:,.0f} calls a draw"
        reason = "; ".join(filter(None, (reason, told)))
    old = explained([board.older, column.older, a.older, b.older]).removeprefix(f"{MARK} ")
    reason = "; ".join(filter(None, (reason, old)))
    return Comparison(
        board, column, a.label, b.label, found.seeds, found.difference, called, reason,
        found.moderated_by,
    )  # fmt: skip


def _cell(board: Board, row: Row, column: Column) -> Cell:
    return cast("Cell", board.cell(row, column))


def _paired(board: Board, a: Row, b: Row, column: Column) -> _Found | None:
    """The paired difference, how many seeds are in common, and what that says."""
    ours, theirs = board.cell(a, column), board.cell(b, column)
    spread = board.spread(column)
    found = paired(ours.values, theirs.values, spread.of([a, b])) if ours and theirs else None
    if found is None:
        return None
    difference, seeds, opposed, moderated = found
    called = verdict(difference, seeds, board.direction(column))
    opposed &= called in ("better", "worse")
    number = spread.count([a, b]) if moderated else 0
    return _Found(difference, seeds, "tie" if opposed else called, number, opposed)


def _beside(board: Board, a: Row, b: Row, column: Column) -> Iterator[tuple[str, Verdict]]:
    """What the other distances say at the same NFE."""
    for metric in board.distances:
        other = board.column(metric, column.nfe) if metric != column.metric else None
        found = _paired(board, a, b, other) if other else None
        if found:
            yield metric, found.verdict


def comparisons(
    boards: Iterable[Board], a: str, b: str, metric: str = "", nfe: str = ""
) -> list[Comparison]:
    """A against B on every board that has both.

    Args:
        boards: where to look.
        a: a label such as `fm` or `cot-fm (beta=10)`.
        b: likewise.
        metric: default the one that ranks.
        nfe: default the one that is judged, and the second one.
    """
    found = []
    for board in boards:
        rows = {row.label: row for row in board.rows}
        if a in rows and b in rows:
            found += [
                against(board, rows[a], rows[b], column)
                for column in columns_asked(board, metric, nfe)
                if all(board.cell(rows[name], column) for name in (a, b))
            ]
    return found


def columns_asked(board: Board, metric: str, nfe: str) -> list[Column]:
    """Where two methods are compared, with what is empty as in `comparisons`."""
    name = metric or board.main_metric
    grid = [nfe] if nfe else [None, board.task["second_nfe"]]
    found = [board.column(name, each) for each in grid]
    return list(dict.fromkeys(column for column in found if column))
