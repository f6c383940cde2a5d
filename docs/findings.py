"""Writes the tables of `findings.md` from the committed records: `python -m docs.findings`.

A table holds what `cwbench compare METHOD BASE --results results --preset quick --nfe NFE` says of
every method, on one task, at every number of evaluations. Nothing is fitted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from cwbench.boards.across import one_a_task
from cwbench.boards.board import Board
from cwbench.boards.comparison import Comparison, comparisons
from cwbench.boards.markup import markdown_text
from cwbench.boards.statistics import Interval
from cwbench.boards.versions import MARK
from cwbench.machine.files import write_atomically
from results.build import ROOT, found

PAGE = Path(__file__).parent / "findings.md"
TABLE = re.compile(
    r"(<!-- differences: (?P<task>.+?) / (?P<base>.+?) -->\n)"
    r"(?P<rows>.*?)(<!-- end of differences -->)",
    re.DOTALL,
)
"""A place for a table: a task, and the method that the others are compared with."""
DIFFERENCE = re.compile(r"−?\d*\.\d+ ± \d*\.\d+")
EVALUATIONS = ("1", "3", "10", "20", "adaptive")
"""Of which a table has those that the task was run at."""


def refreshed(page: str, boards: Sequence[Board]) -> str:
    """The page with all its tables as these boards have them."""
    by_title = {board.title: board for board in [*boards, *one_a_task(boards)]}

    def table(place: re.Match[str]) -> str:
        rows = _table(by_title[place["task"]], place["base"])
        return f"{place[1]}\n{rows}\n\n{place[5]}"

    return TABLE.sub(table, page)


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


def written(difference: Interval) -> str:
    """A difference and half its interval, of which two digits count."""
    half = (difference.high - difference.low) / 2
    digits = 3 if half <= 0 else min(4, max(0, 1 - math.floor(math.log10(half))))
    texts = (f"{abs(value):.{digits}f}".removeprefix("0") for value in (difference.mean, half))
    sign = "−" if round(difference.mean, digits) < 0 else ""
    return sign + " ± ".join(texts)


def unfounded(page: str) -> list[str]:
    """The differences in the page's sentences that stand in none of its tables."""
    rows = "".join(place["rows"] for place in TABLE.finditer(page))
    return [one for one in DIFFERENCE.findall(TABLE.sub("", page)) if one not in rows]


def main() -> None:
    page = refreshed(PAGE.read_text(), found(ROOT / "results"))
    write_atomically(PAGE, page.encode())


if __name__ == "__main__":
    main()
