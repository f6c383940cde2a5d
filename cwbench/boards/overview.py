"""The figures of a leaderboard: values and votes across tasks, metric against NFE of each task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cwbench.boards import calls
from cwbench.boards.across import by_place, short_names, stages, vote_table
from cwbench.boards.board import Board
from cwbench.boards.convergence import MARK, convergence, mark
from cwbench.boards.relative import VARIANCE, relative, unit_of
from cwbench.boards.row import Row
from cwbench.reporting.figures import heat_map, metric_against_nfe, vote_matrix
from cwbench.style import saved

CURVES = 10
"""Methods in a figure at most: the ones on most tasks, or the best."""
WIDEST = 60
"""Characters of a title."""
MOST_ROWS, CONTROLS = 32, 4
"""Methods in a heat map at most; controls below them."""
NOTE = (
    "over the error of the Gaussian with the exact moments: 0 is exact, 1 no better; <: the upper "
    "end of an interval that the value is not above; bold: the best and what cannot be told from it"
)
OTHER = "*"
"""Marks tasks whose unit is the posterior's variance."""


class Values(NamedTuple):
    """Rows methods, controls last, columns tasks: values in units of the task, and as text.

    A bound stands where a value is not above its interval. `tied` with the best; `groups` says of
    each row what it stands with.
    """

    sizes: pd.DataFrame
    texts: pd.DataFrame
    tied: NDArray[np.bool_]
    groups: list[tuple[int, int]]


def relative_values(boards: Sequence[Board]) -> Values:
    """The values that rank, of boards with a unit."""
    units = [(board, unit) for board in boards if (unit := unit_of(board))]
    shown = [board for board, _ in units]
    labels, names = _shown(shown), short_names([board.title for board in shown])
    columns = [
        name + OTHER * (unit.name == VARIANCE) for name, (_, unit) in zip(names, units, strict=True)
    ]
    rows = [{row.label: row for row in board.rows} for board in shown]
    cells = [
        [board.cell(each[label], board.main) if label in each else None for label in labels]
        for board, each in zip(shown, rows, strict=True)
    ]
    signs = [
        [mark(convergence(board, each[label], unit)) if label in each else "" for label in labels]
        for (board, unit), each in zip(units, rows, strict=True)
    ]
    found = [
        [relative(cell, unit) for cell in column]
        for (_, unit), column in zip(units, cells, strict=True)
    ]
    shape = len(columns), len(labels)  # where there is none, numpy cannot tell
    sizes = np.array([[one.size if one else math.nan for one in each] for each in found], float)
    texts = [
        [one.short + sign if one else "" for one, sign in zip(each, those, strict=True)]
        for each, those in zip(found, signs, strict=True)
    ]
    tied = np.array([[bool(cell and cell.tied) for cell in each] for each in cells], bool)
    groups = {label: row.standing for each in rows for label, row in each.items()}
    return Values(
        pd.DataFrame(sizes.reshape(shape).T, labels, columns),
        pd.DataFrame(np.array(texts, object).reshape(shape).T, labels, columns),
        tied.reshape(shape).T, [groups[label] for label in labels],
    )  # fmt: skip


def _shown(boards: Sequence[Board]) -> list[str]:
    """The labels of rows that a figure has room for."""
    methods = by_place(boards, controls=False)
    controls = [each for each in by_place(boards, controls=True) if each not in methods]
    return methods[:MOST_ROWS] + controls[:CONTROLS]


def heat_map_of(boards: Sequence[Board], name: str) -> Figure:
    """The heat map of some boards."""
    found = relative_values(boards)
    names = classed(short_names(found.sizes.index), found.sizes.index, boards)
    breaks = [i for i in range(1, len(names)) if found.groups[i] != found.groups[i - 1]]
    sizes, texts = (table.set_axis(names, axis=0) for table in (found.sizes, found.texts))
    signed = any(MARK in text for text in texts.to_numpy().ravel())
    note = NOTE + f"; {MARK}: not converged, less at four times the steps" * signed
    note += f"; {OTHER}: over {VARIANCE}" * any(name.endswith(OTHER) for name in sizes.columns)
    return heat_map(
        sizes, texts, bold=found.tied, breaks=breaks, title=f"Relative error, {name}",
        note=note,
    )  # fmt: skip


def classed(names: Sequence[str], labels: Iterable[str], boards: Sequence[Board]) -> list[str]:
    """The names of some rows with what they know beyond pairs."""
    rows = {row.label: row for board in boards for row in board.rows}
    return [
        _with_class(name, rows[label]).replace("\n", " ")
        for name, label in zip(names, labels, strict=True)
    ]


def votes_of(boards: Sequence[Board], name: str) -> Figure:
    """The matrix of wins, ties and losses of a preset."""
    note = "wins–ties–losses of the row, one vote a task group"
    silent = sum(board.nearly_gaussian for board in boards)
    note += f"; {silent} nearly Gaussian without" if silent else ""
    table = vote_table(boards)
    names = classed(short_names(table.index), table.index, boards)
    table = table.set_axis(names, axis=0).set_axis(names, axis=1)
    return vote_matrix(table, title=f"Who wins, {name}", note=note)


def draw(boards: Sequence[Board], directory: Path) -> list[Path]:
    """Write every figure as PNG: values and votes of each preset, metric against NFE of each task.

    Those that would be empty are left out, and of the values tasks that one method alone has.

    Raises:
        OSError: if the directory cannot be written.
    """
    figures: dict[str, Figure] = {}
    for name, members in stages(boards):
        several = of_several(members)
        if len(relative_values(several).sizes):
            figures[f"relative-{name}"] = heat_map_of(several, name)
        if len(vote_table(members)):
            figures[f"votes-{name}"] = votes_of(members, name)
    return _saved(figures | _of_tasks(boards), directory)


def of_several(boards: Sequence[Board]) -> list[Board]:
    """The boards that compare methods; all of them where none does."""
    several = [b for b in boards if sum(row.role == "method" for row in b.lines(None)) > 1]
    return several or list(boards)


def draw_tasks(boards: Sequence[Board], directory: Path) -> list[Path]:
    """Write metric against NFE of each task as PNG.

    Raises:
        OSError: if the directory cannot be written.
    """
    return _saved(_of_tasks(boards), directory)


def _of_tasks(boards: Sequence[Board]) -> dict[str, Figure]:
    looks = looks_of(boards)
    figures = {
        f"{board.title}-{board.preset}-{board.track}": nfe_figure(board, looks) for board in boards
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _saved(figures: Mapping[str, Figure], directory: Path) -> list[Path]:
    return [saved(f, directory, name.removesuffix("-fixed")) for name, f in figures.items()]


def looks_of(boards: Sequence[Board]) -> dict[str, int]:
    """For each row the number of its colour and marker, the same in all figures.

    There are ten colours; the methods on most boards come first.
    """
    rows = [row for board in boards for row in board.lines(None)]
    labels = {row.label: (row.role != "method", row.label) for row in rows}
    count = Counter(row.label for row in rows)
    order = sorted(labels, key=lambda label: (-count[label], labels[label]))
    return {label: place for place, label in enumerate(order)}


def looks_on(board: Board, looks: Mapping[str, int]) -> dict[str, int]:
    """The looks of a board's rows; those that its figure draws have different colours.

    Of several with one colour all but the first get the next free one. A row that stands beside
    another has the look of that.

    Args:
        board: its rows.
        looks: as of `looks_of`.
    """
    found: dict[str, int] = {}
    for name in sorted((row.label for row in _drawn(board)), key=looks.__getitem__):
        used, look = {each % CURVES for each in found.values()}, looks[name]
        found[name] = next((n for n in range(look, look + CURVES) if n % CURVES not in used), look)
    found = {row.label: looks[row.label] for row in board.lines(None)} | found
    beside = {
        other.label: found[row.label]
        for row in board.lines(None)
        for other in board.beside.get(row.place, {}).values()
    }
    return found | beside


def _drawn(board: Board) -> list[Row]:
    """The best methods and the controls that bound them, as many as there are colours."""
    rows = [row for row in board.lines(board.main) if board.cell(row, board.main)]
    chosen = [row for row in rows if row.role == "method"][:CURVES]
    return chosen + [row for row in rows if row.role == "upper"][: CURVES - len(chosen)]


def _with_class(name: str, row: Row) -> str:
    """A name, on a second line what the method knows beyond pairs."""
    known = row.role == "method" and row.sees != "pairs"
    return f"{name}\n({row.among})" if known else name


def _own_evaluations(row: Row) -> int | None:
    """Network evaluations a sample of a method whose number of them is no NFE; None for one."""
    used = row.sampling("", "evaluations")
    return round(used) if used and used > calls.ONE_SHOT else None


def nfe_figure(board: Board, looks: Mapping[str, int]) -> Figure | None:
    """The main metric against NFE, of the best methods and the controls that bound them.

    Args:
        board: what to draw.
        looks: as of `looks_of`.
    """
    chosen, taken = _drawn(board), looks_on(board, looks)
    short = short_names([row.label for row in chosen])
    names = [_with_class(n, r).replace("$", r"\$") for n, r in zip(short, chosen, strict=True)]
    colours = {name: taken[row.label] for name, row in zip(names, chosen, strict=True)}
    lines = [
        {
            "method": name, "nfe": _own_evaluations(row) if one_shot else column.nfe,
            "value": cell.mean, "low": cell.low, "high": cell.high, "floor": cell.floor,
        }
        for line, name in zip(chosen, names, strict=True)
        for row in [line, *board.beside.get(line.place, {}).values()]
        for one_shot in [row.one_shot]
        for column in sorted(board.columns, key=lambda c: c.order)
        if column.metric == board.main_metric
        and board.main
        and column[2:] == board.main[2:]
        and (not one_shot or column == board.main)
        and (cell := board.cell(row, column))
        and (row.role == "method" or (cell.low or 0) > 0)  # one at 0 would stretch the axis
    ]  # fmt: skip
    if not lines or board.main is None:
        return None
    name, main = board.main_metric, board.main.nfe or None
    title = board.name if len(board.name) <= WIDEST else board.name[: WIDEST - 1] + "…"
    title = title.replace("$", r"\$")
    table = pd.DataFrame(lines)
    return metric_against_nfe(table, metric=name, title=title, main_nfe=main, looks=colours)
