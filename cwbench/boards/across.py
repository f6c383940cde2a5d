"""Across tasks: which boards stand for their tasks, in which order methods stand, who wins.

Raw values are never averaged: methods meet on every task, and each group of tasks has one vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, groupby

import pandas as pd

from cwbench.boards.board import Board
from cwbench.boards.comparison import against
from cwbench.boards.ranking import Votes, votes
from cwbench.boards.row import Row

SIZES = ("standard", "quick")
"""The presets that tables are made of, the preferred one first."""
LADDER = "ladder"
"""The preset at which samplers that know the operator meet; its boards join no others."""
MOST_VOTES = 16
"""Methods that votes are counted of at most."""
LONGEST = 34
"""Characters of a name in a figure."""


def stages(boards: Sequence[Board]) -> list[tuple[str, list[Board]]]:
    """Boards by preset and track, which never meet."""
    by_name = groupby(boards, key=lambda b: (b.preset, b.track))
    return [
        (preset + (f" / {track}" * (track != "fixed")), list(members))
        for (preset, track), members in by_name
    ]


def one_a_task(boards: Sequence[Board]) -> list[Board]:
    """For each task as it ships the board that stands for it, by title.

    It is the one that ranks most methods, `standard` before `quick` before all others, of those
    with two methods or more. Those of the ladder stand among themselves.
    """
    found: dict[str, list[Board]] = {}
    for board in [board for board in boards if board.preset != LADDER] or boards:
        if board.track == "fixed" and not board.task.get("changed") and _methods(board) > 1:
            found.setdefault(board.title, []).append(board)
    return [max(_preferred(members), key=ranked) for _, members in sorted(found.items())]


def _preferred(boards: Sequence[Board]) -> list[Board]:
    """Those of the presets that tables are made of, the preferred one first; of any if none is."""
    chosen = [board for size in SIZES for board in boards if board.preset == size]
    return chosen or list(boards)


def ranked(board: Board) -> int:
    """How many methods have a rank."""
    cells = [board.cell(row, board.main) for row in board.rows if row.role == "method"]
    return sum(cell is not None and cell.rank is not None for cell in cells)


def _methods(board: Board) -> int:
    """How many methods have a value."""
    cells = [board.cell(row, board.main) for row in board.lines(None) if row.role == "method"]
    return sum(cell is not None and cell.mean is not None for cell in cells)


def by_place(boards: Sequence[Board], *, controls: bool) -> list[str]:
    """Labels on these boards by what they see, controls last; those on most boards first.

    Of as many boards those with the better places come first.
    """
    count: Counter[str] = Counter()
    place: dict[str, list[int]] = {}
    group: dict[str, tuple[int, int]] = {}
    for board in boards:
        rows = [row for row in board.lines(board.main) if controls or row.role == "method"]
        for index, row in enumerate(rows):
            cell = board.cell(row, board.main)
            if cell and cell.mean is not None:
                count[row.label] += 1
                place.setdefault(row.label, []).append(index)
                group[row.label] = row.standing

    def key(label: str) -> tuple[tuple[int, int], int, float, str]:
        return group[label], -count[label], sum(place[label]) / count[label], label

    return sorted(count, key=key)


def short_names(names: Iterable[str]) -> list[str]:
    """Names that fit a figure, those that would become equal numbered."""
    seen: Counter[str] = Counter()
    shortened = []
    for name in names:
        text = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        seen[text] += 1
        shortened.append(text + (f" ({seen[text]})" if seen[text] > 1 else ""))
    return shortened


def vote_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Wins, ties and losses of the row against the column, one vote a task group.

    Nearly Gaussian tasks have none.
    """
    boards = [board for board in boards if not board.nearly_gaussian]
    methods = by_place(boards, controls=False)[:MOST_VOTES]
    met: dict[tuple[str, str], tuple[int, int, int]] = {}
    rows = [{row.label: row for row in board.rows} for board in boards]
    for a, b in combinations(methods, 2):
        found = _votes(list(zip(boards, rows, strict=True)), a, b)
        if sum(found):
            met[a, b] = (found.wins, found.ties, found.losses)
            met[b, a] = (found.losses, found.ties, found.wins)
    known = {a for a, _ in met}
    shown = [m for m in methods if m in known]
    triples = [[met.get((a, b)) for b in shown] for a in shown]
    return pd.DataFrame(triples, index=shown, columns=shown, dtype=object)


def _votes(boards: Sequence[tuple[Board, Mapping[str, Row]]], a: str, b: str) -> Votes:
    """How two methods meet on boards, each with its rows by label."""
    verdicts = []
    for board, rows in boards:
        if board.main and a in rows and b in rows and rows[a].among == rows[b].among:
            found = against(board, rows[a], rows[b], board.main)
            verdicts.append((board.group, found.verdict))
    return votes(verdicts)
