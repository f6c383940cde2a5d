"""Writes the numbers of `findings.md` from the committed records: `python -m docs.findings`.

Those in sentences say in comments what they are (`docs.sentences`), tables stand between two.

A table of differences holds what `cwbench compare METHOD BASE --results results --nfe NFE` says of
every method at every number of evaluations, on the board that stands for a task; one of values
holds the judged value of every method on several tasks, as `cwbench leaderboard --preset PRESET`.
Nothing is fitted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cwbench.boards.across import by_place, one_a_task
from cwbench.boards.board import Board
from cwbench.boards.calls import SECOND
from cwbench.boards.cells import Cell
from cwbench.boards.comparison import Comparison, comparisons
from cwbench.boards.markup import markdown_text
from cwbench.boards.row import Row
from cwbench.boards.statistics import Interval
from cwbench.boards.versions import MARK
from cwbench.machine.files import write_atomically
from docs import sentences
from docs.sentences import written
from results.build import ROOT, found

PAGE = Path(__file__).parent / "findings.md"
TABLE = re.compile(
    r"(<!-- differences: (?P<task>.+?) / (?P<base>.+?) -->\n)"
    r"(?P<rows>.*?)(<!-- end of differences -->)",
    re.DOTALL,
)
"""A place for a table: a task, and the method that the others are compared with."""
VALUES = re.compile(
    r"(<!-- values: (?P<preset>\S+) / (?P<tasks>.+?) -->\n)(?P<rows>.*?)(<!-- end of values -->)",
    re.DOTALL,
)
"""A place for a table of values: a preset, and tasks between semicolons."""
EVALUATIONS = ("1", "3", "10", "20", "adaptive")
"""Of which a table has those that the task was run at."""


def refreshed(page: str, boards: Sequence[Board]) -> str:
    """The page with all its numbers as these boards have them."""
    by_title = {board.title: board for board in [*boards, *one_a_task(boards)]}

    def table(place: re.Match[str]) -> str:
        rows = _table(by_title[place["task"]], place["base"])
        return f"{place[1]}\n{rows}\n\n{place[5]}"

    def values(place: re.Match[str]) -> str:
        titles = place["tasks"].split("; ")
        chosen = [b for t in titles for b in boards if (b.title, b.preset) == (t, place["preset"])]
        return f"{place[1]}\n{_values(chosen)}\n\n{place[5]}"

    return sentences.refreshed(VALUES.sub(values, TABLE.sub(table, page)), boards)


def _values(boards: Sequence[Board]) -> str:
    """Methods by tasks: the judged value; bold is the best of what sees the same, with its ties.

    Behind it in parentheses the same sampler at fewer calls.
    """
    lines = [["method", "sees", *(f"`{markdown_text(board.title)}`" for board in boards)]]
    lines.append(["---"] * len(lines[0]))
    rows = [{row.label: row for row in board.rows} for board in boards]
    for label in by_place(boards, controls=True):
        there = [its.get(label) for its in rows]
        one = next(row for row in there if row)
        cells = [_value(board, row) for board, row in zip(boards, there, strict=True)]
        sees = one.among if one.role == "method" else "control"
        lines.append([f"`{markdown_text(label)}`", sees, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _value(board: Board, row: Row | None) -> str:
    """`**.065 ± .042** (.197)`."""
    cell = board.cell(row, board.main) if row else None
    if row is None or cell is None or not (text := _with_half(cell)):
        return "–"
    fewer = board.beside.get(row.place, {}).get(SECOND)
    beside = _with_half(board.cell(fewer, board.main)) if fewer else ""
    text = f"**{text}**" if cell.tied else text
    return text + f" ({beside.partition(' ±')[0]})" * bool(beside)


def _with_half(cell: Cell | None) -> str:
    if cell is None or cell.mean is None or cell.low is None or cell.high is None:
        return ""
    return written(Interval(cell.mean, cell.low, cell.high))


def _table(board: Board, base: str) -> str:
    """Methods by NFE: the paired difference from `base` and what it says."""
    labels = sorted(row.label for row in board.rows if row.role == "method" and row.label != base)
    pairs = {nfe: [_at(board, label, base, nfe) for label in labels] for nfe in EVALUATIONS}
    pairs = {nfe: column for nfe, column in pairs.items() if any(column)}
    head = ["method", *(f"NFE {nfe}" for nfe in pairs)]
    lines = [head, ["---"] * len(head)]
    for label, cells in zip(labels, zip(*pairs.values(), strict=True), strict=True):
        if any(cells):
            lines.append([f"`{markdown_text(label)}`", *map(_cell, cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _at(board: Board, label: str, base: str, nfe: str) -> Comparison | None:
    """The comparison at one NFE, if both have a value there."""
    return next(iter(comparisons([board], label, base, nfe=nfe)), None)


def _cell(pair: Comparison | None) -> str:
    """`−.079 ± .039 better`; a tie is called nothing."""
    if pair is None or pair.difference is None:
        return "–"
    called = "" if pair.verdict == "tie" else f" {pair.verdict}"
    return written(pair.difference) + called + MARK * ("version" in pair.reason)


def unmarked(page: str) -> list[str]:
    """The numbers of the page's sentences behind which nothing says what they are."""
    return sentences.unmarked(VALUES.sub("", TABLE.sub("", page)))


def main() -> None:
    page = refreshed(PAGE.read_text(), found(ROOT / "results"))
    write_atomically(PAGE, page.encode())


if __name__ == "__main__":
    main()
