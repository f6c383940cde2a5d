"""What the cells of a board tell: intervals, scores beside the controls, ranks and ties."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cwbench.boards.board import Board, Column
from cwbench.boards.cells import Array, Cells, Codes, Truths
from cwbench.boards.pairs import Pairs, contradicted, pairs
from cwbench.boards.ranking import ranking
from cwbench.boards.row import Row
from cwbench.boards.statistics import (
    LEAST_SEEDS,
    crossed,
    log_ratios,
    ninetieth_percentiles,
    scaled_scores,
)
from cwbench.machine.cpu import cores, single_threaded_products
from cwbench.records.record import from_file

PRIOR, GAUSSIAN = "prior", "oracle-gaussian"
"""The controls that the scaled score and the logarithm are measured from."""


def score(board: Board, methods: set[str], classes: set[str]) -> None:
    """Compute what the cells tell: intervals, scores, ranks.

    Args:
        board: of all rows; those that are not asked for leave it.
        methods: names or labels; empty for all.
        classes: what methods see; empty for all. Controls stay.
    """
    controls = board.controls = _controls(board)
    if methods:
        board.rows = [r for r in board.rows if {r.label, r.method["name"]} & methods]
    if classes:
        board.rows = [r for r in board.rows if r.role != "method" or r.sees in classes]
    shown = [row for row in board.rows if row.role == "method"]

    def measure(column: Column) -> None:
        _measure(board, column, controls)

    # the arrays' work goes on side by side
    with single_threaded_products(), ThreadPoolExecutor(cores()) as pool:
        list(pool.map(measure, board.columns))
        for among in {row.among for row in shown}:
            _rank_class(board, [row for row in shown if row.among == among], pool)


def _rank_class(board: Board, shown: list[Row], pool: ThreadPoolExecutor) -> None:
    """Rank the methods that saw the same, at the same calls."""
    places = np.array([row.place for row in shown], np.int64)
    ranked = {
        column: _ranked(board.cells[column], places)
        for column, kind in board.columns.items()
        if kind.ranks or column.metric in board.distances
    }
    rows = {row.place: row for row in shown}

    def compared(column: Column) -> Pairs:
        values = board.cells[column].values[ranked[column]]
        those = [rows[place] for place in ranked[column].tolist()]
        return pairs(values, board.direction(column), board.spread(column).of(those))

    def rank(column: Column) -> None:
        void = _contradicted(board, column, ranked, comparisons)
        _rank(board, column, ranked[column], comparisons[column], void)
        _rank_incomplete(board.cells[column], places, len(ranked[column]))

    comparisons = dict(zip(ranked, pool.map(compared, ranked), strict=True))
    list(pool.map(rank, [column for column in ranked if board.columns[column].ranks]))


def _ranked(cells: Cells, methods: Codes) -> Codes:
    """The methods that can have a rank: complete, with enough seeds."""
    can = cells.complete & (cells.count >= LEAST_SEEDS)
    return methods[can[methods]]


def _contradicted(
    board: Board,
    column: Column,
    ranked: Mapping[Column, Codes],
    comparisons: Mapping[Column, Pairs],
) -> Truths | None:
    """Pairs on which the distances of this NFE disagree, where they are judged together.

    A distance says nothing of methods that lack it.
    """
    if column.metric not in board.distances:
        return None
    order = ranked[column].tolist()
    several = []
    for other, found in comparisons.items():
        if other.metric in board.distances and other.nfe == column.nfe:
            index = {place: i for i, place in enumerate(ranked[other].tolist())}
            at = np.array([index.get(place, -1) for place in order], np.int64)
            said = np.pad(found.alone, (0, 1))  # the last row is of those without it
            several.append(said[np.ix_(at, at)])
    return contradicted(several) if several and order else None


def _rank(
    board: Board, column: Column, ranked: Codes, compared: Pairs, void: Truths | None
) -> None:
    """Write the ranks of complete cells."""
    if len(ranked):
        cells, sign = board.cells[column], -1 if board.direction(column) == "higher" else 1
        result = ranking(sign * cells.mean[ranked], compared, void)
        cells.rank[ranked] = np.stack([result.low, result.high], 1)
        cells.tied[ranked] = result.tied


def _rank_incomplete(cells: Cells, methods: Codes, ranked: int) -> None:
    """Incomplete ones share the ranks below all complete ones."""
    below = methods[(cells.count[methods] > 0) & ~cells.complete[methods]]
    cells.rank[below] = ranked + 1, ranked + len(below)
    cells.tied[below] = 0


def _measure(board: Board, column: Column, controls: Mapping[str, Codes]) -> None:
    """Intervals and scores of all cells in a column, those of the same seeds at once."""
    cells, kind = board.cells[column], board.columns[column]
    bases = {name: _base(cells, places) for name, places in controls.items() if kind.scalable}
    if cells.whole:  # as nearly always
        _write(cells, np.arange(len(cells.values)), cells.values, bases)
        return
    for seeds in np.unique(cells.present, axis=0):
        if seeds.any():
            group = np.flatnonzero((cells.present == seeds).all(1))
            values = cells.values[np.ix_(group, np.flatnonzero(seeds))]
            _write(cells, group, values, bases)


def _controls(board: Board) -> dict[str, Codes]:
    """The places of the rows that are these controls, as they come with cwbench."""
    found: dict[str, list[int]] = {PRIOR: [], GAUSSIAN: []}
    for row in board.rows:
        name = row.method["name"]
        if name in found and not from_file(row.method) and not row.method.get("changed"):
            found[name].append(row.place)
    return {name: np.array(places, np.int64) for name, places in found.items()}


def _base(cells: Cells, control: Codes) -> Array | None:
    """A control's values by observation, its seeds averaged; of several rows the first's."""
    for place in control[cells.count[control] > 0]:
        base: Array = cells.values[place, cells.present[place]].mean(0)
        return base
    return None


def _write(cells: Cells, group: Codes, values: Array, bases: Mapping[str, Array | None]) -> None:
    """Write what `values`, `(cells, seeds, observations)`, tell into the cells of a group."""
    bounds = crossed(values).bounds()
    bounded = np.isfinite(bounds.low)
    cells.mean[group] = bounds.mean
    cells.low[group], cells.high[group] = (
        np.where(bounded, each, np.nan) for each in (bounds.low, bounds.high)
    )
    if values.shape[-1] > 1:
        cells.p90[group] = ninetieth_percentiles(values)
    prior, gaussian = bases.get(PRIOR), bases.get(GAUSSIAN)
    if prior is not None and (found := scaled_scores(values, prior)) is not None:
        cells.scaled[group] = np.stack(found, 1)
    if gaussian is not None and (found := log_ratios(values, gaussian)) is not None:
        cells.log_ratio[group] = np.stack(found, 1)
