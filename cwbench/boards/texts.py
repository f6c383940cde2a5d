"""The leaderboard as text: one table of methods by tasks, then the votes, then board by board.

The first two need two tasks or more. CSV and JSON hold every value of every board and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from cwbench.boards import first, formats
from cwbench.boards.across import one_a_task, vote_table
from cwbench.boards.board import Board
from cwbench.boards.markup import latex_text, markdown_text

DASH = "\u2013"
VOTES = (
    "Wins\u2013ties\u2013losses of the row against the column; each group of tasks has one vote, "
    "nearly Gaussian tasks have none."
)


def markdown(found: Sequence[Board], sort: str = "") -> str:
    """All of it in GitHub's Markdown."""
    chosen, boards = one_a_task(found), formats.markdown(found, sort)
    if len(chosen) < 2:
        return boards
    parts = ["## All tasks\n", first.markdown(first.first(found)), _markdown_votes(chosen)]
    return "\n".join([*filter(None, parts), "## Task by task\n", boards])


def _markdown_votes(chosen: Sequence[Board]) -> str:
    """Who wins, columns by the number of their row; empty where no two methods met."""
    votes = vote_table(chosen)
    if not len(votes):
        return ""
    lines = [["", "method", *map(str, range(1, len(votes) + 1))], ["---"] * (len(votes) + 2)]
    for number, (name, row) in enumerate(_rows(votes), 1):
        lines.append([str(number), markdown_text(name), *row])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"## Votes\n\n{VOTES}\n\n{table}\n"


def _rows(votes: pd.DataFrame) -> list[tuple[str, list[str]]]:
    texts = votes.map(lambda three: "\u2013".join(map(str, three)) if three else "")
    return [
        (str(name), row) for name, row in zip(texts.index, texts.to_numpy().tolist(), strict=True)
    ]


def latex(found: Sequence[Board], sort: str = "") -> str:
    r"""All of it with booktabs; `\usepackage{booktabs}` is all it needs."""
    chosen, boards = one_a_task(found), formats.latex(found, sort)
    if len(chosen) < 2:
        return boards
    parts = [first.latex(first.first(found)), _latex_votes(chosen), boards]
    return "\n".join(filter(None, parts))


def _latex_votes(chosen: Sequence[Board]) -> str:
    votes = vote_table(chosen)
    if not len(votes):
        return ""
    lines = [
        "\\begin{table}",
        "\\centering\\scriptsize\\setlength{\\tabcolsep}{2pt}",
        f"\\caption{{{VOTES.replace(DASH, '--')}}}",
        f"\\begin{{tabular}}{{rl{'c' * len(votes)}}}",
        "\\toprule",
        " & Method & " + " & ".join(map(str, range(1, len(votes) + 1))) + " \\\\",
        "\\midrule",
    ]
    for number, (name, row) in enumerate(_rows(votes), 1):
        cells = (text.replace("\u2013", "--") for text in row)
        lines.append(" & ".join([str(number), latex_text(name), *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def terminal(found: Sequence[Board], sort: str = "") -> RenderableType:
    """The one table and the boards for a terminal."""
    boards = formats.terminal(found, sort)
    if len(one_a_task(found)) < 2:
        return boards
    table = first.first(found)
    title = Text(f"all tasks: {table.metrics}", style="bold")
    notes = [Text(f"  {note}", style="yellow") for note in table.notes]
    legend = Text(first.LEGEND, style="dim")
    return Group(title, first.terminal(table), *notes, legend, Text(""), boards)


TEXTS: dict[str, Callable[[Sequence[Board], str], str]] = {
    "md": markdown, "csv": formats.csv, "json": formats.as_json, "latex": latex,
}  # fmt: skip
