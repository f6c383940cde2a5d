"""Whether a method had converged: what four times the steps on the same pairs take off its error.

Of a cell with the value v on a board with the unit u (`cwbench.boards.relative`), the paired fall
d +- h is that of `cwbench compare`, the cell minus its longer twin on the seeds and observations
that both have. It is not converged where

    d > h   and   d > 0.2 min(v, u):

the fall is no chance, and it is more than a fifth of the error, or of what a Gaussian with the
exact moments leaves, whichever is smaller. Without a unit v alone counts. It is converged where
even d + h is at most that, and unclear otherwise. h is that of the two alone: the variance between
their seeds is not moderated by other methods. A single seed flags a cell, with the interval over
observations; it takes three to say so. Where higher is better nothing is said.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from cwbench.boards.board import Board
from cwbench.boards.pairs import paired
from cwbench.boards.relative import Unit, unit_of
from cwbench.boards.row import Row
from cwbench.boards.statistics import LEAST_SEEDS, Interval

SHARE = 0.2
"""Of the error, by which it has to fall."""
MARK = "\u2021"
RULE = (
    f"{MARK} not converged: at four times the steps on the same pairs the value falls by more than "
    "its interval and than 20 % of the smaller of itself and the unit"
)

SAID: dict[Literal["yes", "no", "unclear"], str] = {
    "no": "not converged",
    "unclear": "cannot be told",
    "yes": "converged",
}


@dataclass(frozen=True)
class Convergence:
    """The paired fall at four times the steps, what it has to exceed, and on how many seeds."""

    fall: Interval
    least: float
    seeds: int

    @property
    def converged(self) -> Literal["yes", "no", "unclear"]:
        """`no` if the fall is large and no chance, `yes` if no large one is in its interval."""
        if self.fall.mean > max(self.fall.half, self.least):
            return "no"
        return "yes" if self.fall.high <= self.least else "unclear"

    @property
    def few(self) -> bool:
        """Whether the seeds are fewer than a verdict needs."""
        return self.seeds < LEAST_SEEDS

    @property
    def text(self) -> str:
        """The same, with the seeds in brackets where they are few."""
        return self.converged + f" ({self.seeds})" * self.few


def convergence(board: Board, row: Row, unit: Unit | None) -> Convergence | None:
    """Of the value that ranks a row; None where it has no longer twin to be compared with.

    Args:
        board: where the row stands.
        row: one of its rows.
        unit: of the board.
    """
    column, twin = board.main, board.longer.get(row.place)
    if column is None or twin is None or board.direction(column) == "higher":
        return None
    cell, longer = board.cell(row, column), board.cell(twin, column)
    found = paired(cell.values, longer.values) if cell and longer else None
    if cell is None or cell.mean is None or found is None or math.isnan(found.difference.half):
        return None
    size = cell.mean if unit is None else min(cell.mean, unit.size)
    return Convergence(found.difference, SHARE * max(size, 0.0), found.seeds)


def texts(board: Board) -> dict[int, str]:
    """What is said of the rows of a board that were run for longer, by place."""
    unit = unit_of(board) if board.longer else None
    found = {row.place: _text(board, row, unit) for row in board.rows if board.longer}
    return {place: text for place, text in found.items() if text}


def _text(board: Board, row: Row, unit: Unit | None) -> str:
    found, twin = convergence(board, row, unit), board.longer.get(row.place)
    if found or twin is None:
        return found.text if found else ""
    if not any(run.status == "ok" for run in twin.runs):
        return ", ".join(sorted({run.status for run in twin.attempted}))
    column, cell = board.main, board.cell(row, board.main)
    if column is None or cell is None or not cell.count or board.direction(column) == "higher":
        return ""
    longer = board.cell(twin, column)
    if longer is None:
        return "not measured" + f" at NFE {column.nfe}" * bool(column.nfe)
    if not longer.count:
        return "no value"
    return "no interval" if paired(cell.values, longer.values) else "no seed in common"


def mark(found: Convergence | None) -> str:
    """The sign of what is not converged."""
    return MARK if found and found.converged == "no" else ""


def told(found: list[Convergence | None]) -> str:
    """What has to be said below a table: the sign's meaning, and how many were asked."""
    asked = [each for each in found if each]
    if not asked:
        return ""
    count, few = Counter(each.converged for each in asked), sum(each.few for each in asked)
    parts = [f"{count[word]} {said}" for word, said in SAID.items() if count[word]]
    values = f"{len(asked)} values" if len(asked) > 1 else "1 value"
    tally = f"{values} with runs at four times the steps: {', '.join(parts)}"
    tally += f"; {few} by fewer than {LEAST_SEEDS} seeds" * bool(few)
    return f"{RULE} ({tally})." if count["no"] else f"Of {tally}."
