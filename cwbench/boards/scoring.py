"""What the cells of a board tell: intervals, scores beside the controls, ranks and ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cwbench.boards.board import DISTANCES, Array, Board, Cell, Column, Row
from cwbench.boards.pairs import Pairs, contradicted, pairs
from cwbench.boards.ranking import ranking
from cwbench.boards.statistics import (
    LEAST_SEEDS,
    crossed,
    log_ratios,
    ninetieth_percentiles,
    scaled_scores,
)
from cwbench.machine.cpu import cores, single_threaded_products

PRIOR, GAUSSIAN = "prior", "oracle-gaussian"
"""The controls that the scaled score and the logarithm are measured from."""


def score(board: Board, methods: set[str]) -> None:
    """Compute what the cells tell: intervals, scores, ranks."""
    for column in board.columns:
        _measure(board, column)
    if methods:
        board.rows = [r for r in board.rows if {r.label, r.method["name"]} & methods]
    ranked = {
        column: [row for row in board.rows if _ranked(board, row, column)]
        for column, entry in board.columns.items()
        if entry.ranks
    }

    def compared(column: Column) -> Pairs:
        values = [board.cells[row.key, column].values for row in ranked[column]]
        return pairs(values, board.direction(column), board.spread(column).of(ranked[column]))

    def rank(column: Column) -> None:
        void = _contradicted(board, column, ranked, comparisons)
        _rank(board, column, ranked[column], comparisons[column], void)

    # the arrays' work goes on side by side
    with single_threaded_products(), ThreadPoolExecutor(cores()) as pool:
        comparisons = dict(zip(ranked, pool.map(compared, ranked), strict=True))
        list(pool.map(rank, ranked))


def _ranked(board: Board, row: Row, column: Column) -> bool:
    """Whether a row can have a rank: a method, complete, with enough seeds."""
    cell = board.cell(row, column)
    return (
        cell is not None
        and row.role == "method"
        and cell.complete
        and len(cell.values) >= LEAST_SEEDS
    )


def _contradicted(
    board: Board,
    column: Column,
    ranked: Mapping[Column, list[Row]],
    comparisons: Mapping[Column, Pairs],
) -> NDArray[np.bool_] | None:
    """Pairs on which the distances of this NFE disagree, where they are judged together."""
    if column.metric not in DISTANCES or not board.together:
        return None
    order = [row.key for row in ranked[column]]
    several = []
    for other, found in comparisons.items():
        if other.metric in DISTANCES and other.nfe == column.nfe:
            place = {row.key: i for i, row in enumerate(ranked[other])}
            index = [place.get(key, -1) for key in order]
            if -1 not in index:
                several.append(found.alone[np.ix_(index, index)])
    return contradicted(several) if several and order else None


def _rank(
    board: Board,
    column: Column,
    rows: list[Row],
    compared: Pairs,
    void: NDArray[np.bool_] | None,
) -> None:
    """Write ranks into the cells; incomplete ones share those below all complete ones."""
    sign = -1 if board.direction(column) == "higher" else 1
    cells = [board.cells[row.key, column] for row in rows]
    if cells:
        means = np.array([sign * cast("float", cell.mean) for cell in cells])
        result = ranking(means, compared, void)
        for cell, low, high, tied in zip(cells, result.low, result.high, result.tied, strict=True):
            cell.rank = int(low), int(high)
            cell.tied = None if tied < 0 else bool(tied)
    below = [
        found
        for row in board.rows
        if (found := board.cell(row, column)) and row.role == "method" and found.values
        if not found.complete
    ]
    for cell in below:
        cell.rank = len(cells) + 1, len(cells) + len(below)
        cell.tied = False


def _measure(board: Board, column: Column) -> None:
    """Intervals and scores of all cells in a column, those of equal shape at once."""
    cells = [
        (row, cell)
        for row in board.rows
        if (cell := board.cells.get((row.key, column))) is not None and cell.values
    ]
    bases = {name: _base(cells, name) for name in (PRIOR, GAUSSIAN)}
    entry = board.columns[column]
    scalable = entry.debiased and entry.direction == "lower" and entry.ranks
    for _, group in _by_shape([cell for _, cell in cells]):
        stacked = np.array([[c.values[s] for s in sorted(c.values)] for c in group])
        _write(group, stacked, bases if scalable else {})


def _base(cells: list[tuple[Row, Cell]], name: str) -> Array | None:
    """A control's values by observation, its seeds averaged."""
    found = [c for row, c in cells if row.method["name"] == name and not row.method.get("changed")]
    return np.mean(list(found[0].values.values()), axis=0) if found else None


def _by_shape(cells: list[Cell]) -> Iterator[tuple[tuple[int, int], list[Cell]]]:
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        size = len(next(iter(cell.values.values())))
        groups.setdefault((len(cell.values), size), []).append(cell)
    yield from groups.items()


def _write(cells: list[Cell], values: Array, bases: Mapping[str, Array | None]) -> None:
    """Write what `values`, `(cells, seeds, observations)`, tell into the cells."""
    bounds = crossed(values).bounds()
    p90 = ninetieth_percentiles(values) if values.shape[-1] > 1 else None
    prior, gaussian = bases.get(PRIOR), bases.get(GAUSSIAN)
    scaled = scaled_scores(values, prior) if prior is not None else None
    logs = log_ratios(values, gaussian) if gaussian is not None else None
    for i, cell in enumerate(cells):
        cell.mean = float(bounds.mean[i])
        if np.isfinite(bounds.low[i]):
            cell.low, cell.high = float(bounds.low[i]), float(bounds.high[i])
        cell.p90 = float(p90[i]) if p90 is not None else None
        for name, found in (("scaled", scaled), ("log_ratio", logs)):
            if found is not None and np.isfinite(found.mean[i]):
                setattr(cell, name, tuple(float(part[i]) for part in found))
