"""Whether a method had converged: what four times the steps on the same pairs take off its error.

Of a cell with the value v on a board with the unit u (`cwbench.boards.relative`), the paired fall
d +- h is that of `cwbench compare`, the cell minus its longer twin on the seeds and observations
that both have. It is not converged where

    d > h   and   d > 0.2 min(v, u):

the fall is no chance, and it is more than a fifth of the error, or of what a Gaussian with the
exact moments leaves, whichever is smaller. Without a unit v alone counts. A single seed flags a
cell, with the interval over observations; it takes three to say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Convergence:
    """The paired fall at four times the steps, what it has to exceed, and on how many seeds."""

    fall: Interval
    least: float
    seeds: int

    @property
    def converged(self) -> bool:
        """Whether the fall is by chance or small."""
        return not self.fall.mean > max(self.fall.half, self.least)

    @property
    def text(self) -> str:
        """`yes` or `no`, with the seeds in brackets where they are fewer than a verdict needs."""
        few = f" ({self.seeds})" * (self.seeds < LEAST_SEEDS)
        return ("yes" if self.converged else "no") + few


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
    found = {row.place: convergence(board, row, unit) for row in board.rows if board.longer}
    return {place: each.text for place, each in found.items() if each}


def mark(found: Convergence | None) -> str:
    """The sign of what is not converged."""
    return MARK if found and not found.converged else ""


def told(found: list[Convergence | None]) -> str:
    """What has to be said below a table: the sign's meaning, and how many were asked."""
    asked = [each for each in found if each]
    if not asked:
        return ""
    marked = sum(not each.converged for each in asked)
    count = f"{marked} of {len(asked)} values with runs at four times the steps"
    return f"{RULE} ({count})." if marked else f"Converged: all {count.partition(' of ')[2]}."
