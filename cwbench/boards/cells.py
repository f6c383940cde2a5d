"""The cells of a board: of one column as arrays, and one of them by itself.

A board of two hundred rows has thousands of cells, which are scored and written a column at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwbench.records.measured import Measured

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Truths = NDArray[np.bool_]
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Cell:
    """A row in a column. Bounds and scores are None where they cannot be had.

    `values` has shape `(seeds, observations)`, rows of NaN for seeds that it lacks; cells of one
    column have the same seeds. `tied` says whether it is the best or cannot be told from it; None
    where that cannot be asked.
    """

    values: Array
    runs: int
    """How many seeds there should be."""
    floor: float | None = None
    low_resolution: bool = False
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p90: float | None = None
    scaled: Three | None = None
    log_ratio: Three | None = None
    rank: tuple[int, int] | None = None
    tied: bool | None = None

    @cached_property
    def count(self) -> int:
        """How many seeds there are."""
        return int(seeds_of(self.values).sum())

    @property
    def complete(self) -> bool:
        """Whether every seed has a value."""
        return self.count == self.runs

    @property
    def seeds(self) -> str:
        """`5`, or `4/5` where one is missing."""
        return str(self.runs) if self.complete else f"{self.count}/{self.runs}"

    @property
    def half(self) -> float | None:
        """Half the interval's width."""
        return None if self.high is None or self.low is None else (self.high - self.low) / 2


def empty(runs: int) -> Cell:
    """What a row has in a column in which nothing of it was measured."""
    return Cell(np.empty((0, 0)), runs)


def seeds_of(values: Array) -> Truths:
    """Which seeds have values, of shape `(..., seeds, observations)`."""
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1], np.bool_)
    there: Truths = np.isfinite(values[..., 0])
    return there


class Cells:
    """A column: an array for each attribute of a cell, with a place for each of k rows.

    What a cell has not is NaN, a rank of 0, and -1 in `tied`.
    """

    def __init__(self, seeds: Sequence[int], values: Array, there: Truths, runs: Codes) -> None:
        """Make cells without scores.

        Args:
            seeds: their numbers.
            values: with shape `(k, seeds, observations)`, NaN where there are none.
            there: rows in which something was measured, even if without a value.
            runs: how many seeds there should be in each.
        """
        k = len(values)
        self.seeds, self.values, self.there, self.runs = seeds, values, there, runs
        self.present = seeds_of(values)
        self.whole = bool(self.present.all())
        self.count: Codes = self.present.sum(1)
        self.low_resolution = np.zeros(k, np.bool_)
        self.floor, self.mean, self.low, self.high, self.p90 = np.full((5, k), np.nan)
        self.scaled, self.log_ratio = np.full((2, k, 3), np.nan)
        self.rank, self.tied = np.zeros((k, 2), np.int64), np.full(k, -1, np.int8)

    @property
    def complete(self) -> Truths:
        """Where every seed has a value."""
        complete: Truths = self.there & (self.count == self.runs)
        return complete

    @property
    def half(self) -> Array:
        """Half the intervals' widths."""
        half: Array = (self.high - self.low) / 2
        return half

    def cell(self, place: int) -> Cell | None:
        """One of them, None where nothing was measured."""
        if not self.there[place]:
            return None
        mean, low, high, p90, floor = (
            _known(each[place]) for each in (self.mean, self.low, self.high, self.p90, self.floor)
        )
        best, worst = self.rank[place].tolist()
        tied = int(self.tied[place])
        return Cell(
            self.values[place], int(self.runs[place]), floor, bool(self.low_resolution[place]),
            mean, low, high, p90, _three(self.scaled[place]), _three(self.log_ratio[place]),
            (best, worst) if best else None, None if tied < 0 else bool(tied),
        )  # fmt: skip


def _known(number: Any) -> float | None:
    return None if math.isnan(number) else float(number)


def _three(numbers: Array) -> Three | None:
    value, low, high = numbers.tolist()
    return None if math.isnan(value) else (value, low, high)


def arranged(parts: Sequence[Measured], rows: Codes, seeds: Codes, runs: Codes) -> Cells:
    """The cells of a column, from what was measured of one metric.

    Values with fewer observations than others are none: they cannot stand beside them.

    Args:
        parts: in the order of what counts first.
        rows: of each run that is counted in `parts`.
        seeds: likewise.
        runs: how many seeds there should be in each row.
    """
    numbers = np.unique(np.concatenate([seeds[part.runs] for part in parts]))
    m = max(int(part.sizes.max()) for part in parts)
    values, there = np.full((len(runs), len(numbers), m), np.nan), np.zeros(len(runs), np.bool_)
    floor = np.full(len(runs), np.nan)
    low = np.zeros(len(runs), np.bool_)
    for part in reversed(parts):  # the first is written last
        row, seed = rows[part.runs], np.searchsorted(numbers, seeds[part.runs])
        given = part.sizes == m
        values[row[given], seed[given]] = part.values(m)
        floor[row[::-1]] = part.floor[::-1]
        there[row] = True
        low[row[part.low_resolution]] = True
    cells = Cells(numbers.tolist(), values, there, runs)
    cells.floor, cells.low_resolution = floor, low
    return cells
