"""The value that ranks, in a unit that means the same on every task.

A scaled score of .96 to 1.00 tells good methods from none, since every sampler that looks at y is
far better than one that does not. What good methods have to beat is a Gaussian: the unit is the
value u of `oracle-gaussian`, which draws from Gaussians with the exact means and covariances, on
the same observations. Of a method with the value v and the interval v +- h,

    v / u +- h / u    where v > h,        < (v + h) / u    else:

a value that is not above its own interval is a bound. 1 is no better than those Gaussians. u scales
a whole column and moves no comparison within it, so it is taken as known; its own interval stands
in the row of `oracle-gaussian`, and the logarithm of the ratio, in CSV and JSON, has the interval
of both together.

Where posteriors are Gaussian, u is 0: where `oracle-gaussian` is not above its interval, the unit
is the mean of tr Cov(posterior), in the squared unit of distances as `ew2sq` is. Where a record
does not hold that either, there is no unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cwbench.boards.board import Board
from cwbench.boards.cells import Cell
from cwbench.boards.row import Row
from cwbench.boards.scoring import GAUSSIAN
from cwbench.records.digits import digits_of

VARIANCE = "tr Cov(posterior)"
SQUARED = "ew2sq"
"""The metric that has the unit of a variance."""


@dataclass(frozen=True)
class Unit:
    """What values are divided by; half its interval, which the variance has not."""

    name: str
    size: float
    half: float | None = None


@dataclass(frozen=True)
class Relative:
    """A value and half its interval, in a unit; without an interval nothing is a bound."""

    value: float
    half: float | None

    @property
    def bound(self) -> float | None:
        """The interval's upper end where the value is not above its interval, else None."""
        if self.half is None or self.value > self.half:
            return None
        high = self.value + self.half
        return high if high > 0 else None

    @property
    def size(self) -> float:
        """What a logarithmic scale shows: the bound, else the value."""
        return self.value if self.bound is None else self.bound

    @property
    def parts(self) -> tuple[str, str]:
        """`< 0.11` or `0.76`, and half the interval, empty beside a bound."""
        if self.bound is not None:
            return f"< {raised(self.bound)}", ""
        digits = digits_of(self.half)
        if digits is None:
            return f"{self.value:.3g}", ""
        return f"{self.value:.{digits}f}", f"{self.half:.{digits}f}"

    @property
    def short(self) -> str:
        """`< 0.11` or `0.76`: two digits, for a figure."""
        if self.bound is not None:
            return f"< {raised(self.bound)}"
        return two_digits(self.value).replace("-", "\u2212")


def unit_of(board: Board) -> Unit | None:
    """The unit of a board's value that ranks; None where there is none on record."""
    column = board.main
    if column is None or not board.columns[column].scalable:
        return None
    gaussian = board.control(GAUSSIAN, column)
    if gaussian and gaussian.mean is not None and (gaussian.low or 0) > 0:
        return Unit(GAUSSIAN, gaussian.mean, gaussian.half)
    variance = board.posterior_variance
    if column.metric == SQUARED and variance is not None and variance > 0:
        return Unit(VARIANCE, variance)
    return None


def relative(cell: Cell | None, unit: Unit | None) -> Relative | None:
    """A cell's value in a unit; None where one of them is missing."""
    if cell is None or cell.mean is None or unit is None:
        return None
    half = None if cell.half is None else cell.half / unit.size
    return Relative(cell.mean / unit.size, half)


def relative_of(board: Board, row: Row) -> Relative | None:
    """The value that ranks a row of a board, in the board's unit."""
    return relative(board.cell(row, board.main), unit_of(board))


def two_digits(value: float) -> str:
    """`12`, `1.2`, `0.12`."""
    return f"{value:.{_decimals(value)}f}"


def raised(value: float) -> str:
    """To two digits, and never below: a bound stays one."""
    decimals = _decimals(value)
    return f"{math.ceil(value * 10**decimals * (1 - 1e-12)) / 10**decimals:.{decimals}f}"


def _decimals(value: float) -> int:
    return max(0, 1 - math.floor(math.log10(abs(value)))) if value else 1
