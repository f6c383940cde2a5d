"""What boards show otherwise than before: rows that are new, gone, or that moved, in Markdown.

Boards are matched by what may be compared on them and rows by their fit, so that neither another
title nor another label hides what moved. A row has moved where something that is shown of it has:
its rank, its values at the NFE that is judged and at the second one, its seeds, or its note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cwbench.boards.board import Board
from cwbench.boards.convergence import convergence, mark
from cwbench.boards.digits import plain, rank_text
from cwbench.boards.formats import heading
from cwbench.boards.frames import note
from cwbench.boards.gathering import identity
from cwbench.boards.markup import markdown_text
from cwbench.boards.relative import unit_of
from cwbench.boards.row import Row

UNCHANGED = "No row of a board is otherwise than before.\n"


def changes(before: Iterable[Board], after: Iterable[Board]) -> str:
    """What `after` shows otherwise, in GitHub's Markdown: a table for each board that differs."""
    old, new = _by_identity(before), _by_identity(after)
    told = [_told(old.get(key), new.get(key)) for key in {**new, **old}]
    return "\n".join(filter(None, told)) or UNCHANGED


def _by_identity(boards: Iterable[Board]) -> dict[str, Board]:
    return {identity(board.rows[0].runs[0]): board for board in boards if board.rows}


def _told(before: Board | None, after: Board | None) -> str:
    """A board's title and its rows that differ; empty where none does."""
    board = after or before
    assert board is not None  # noqa: S101 - one of them was found
    lines = list(_lines(before, after))
    if not lines:
        return ""
    columns = [markdown_text(heading(board, c)) for c in (board.main, board.second) if c]
    head = ["", "method", "rank", *columns, "seeds"]
    noted = any(line[-1] for line in lines)
    wanted = len(head) + noted
    table = [[*head, "note"], ["---"] * (len(head) + 1), *lines]
    state = " (new)" * (before is None) + " (gone)" * (after is None)
    return f"### {markdown_text(board.marked)}{state}\n\n" + padded([r[:wanted] for r in table])


def _lines(before: Board | None, after: Board | None) -> Iterator[list[str]]:
    """The rows that differ: those that are there now in their order, then those that are gone."""
    old, new = _shown(before), _shown(after)
    for key, now in new.items():
        was = old.get(key)
        if was is None:
            yield ["new", *now]
        elif was != now:
            yield ["moved", now[0], *map(_arrow, was[1:], now[1:])]
    yield from (["gone", *was] for key, was in old.items() if key not in new)


def _arrow(was: str, now: str) -> str:
    return now if was == now else f"{was or '–'} → {now or '–'}"


def _shown(board: Board | None) -> dict[str, list[str]]:
    """What is shown of each row of a board, by its fit."""
    return {row.key: _texts(board, row) for row in board.ordered(board.main)} if board else {}


def _texts(board: Board, row: Row) -> list[str]:
    """Method, rank, values, seeds, note; the best and what cannot be told from it in bold."""
    cell = board.cell(row, board.main)
    cells = [board.cell(row, column) for column in (board.main, board.second) if column]
    values = [f"**{plain(c)}**" if c and c.tied else plain(c) for c in cells]
    name, sign = markdown_text(row.marked), mark(convergence(board, row, unit_of(board)))
    return [
        name if row.role == "method" else f"*{name}*", rank_text(cell), *values,
        row.seeds(cell.seeds if cell else None) + sign, markdown_text(note(board, row)),
    ]  # fmt: skip


def padded(table: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that can be read as it is: the cells of a column are equally wide."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        [cell.ljust(width, "-" if cell == "---" else " ")
         for cell, width in zip(row, widths, strict=True)]
        for row in table
    )  # fmt: skip
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
