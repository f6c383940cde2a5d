"""Boards as text: a terminal's tables, Markdown, LaTeX, CSV, JSON.

Bold in LaTeX and Markdown, `=` on a terminal: the best method and those that cannot be told from
it. Controls stand below a rule. CSV and JSON hold every metric and NFE, the others the columns that
rank, and what is asked for by `--sort`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cwbench.boards import calls, convergence
from cwbench.boards.board import Board, Column
from cwbench.boards.cells import Cell
from cwbench.boards.costs import fit_seconds
from cwbench.boards.digits import parts, plain, rank_text, seconds, share
from cwbench.boards.frames import frame, note
from cwbench.boards.markup import latex_text, markdown_text
from cwbench.boards.relative import relative, unit_of
from cwbench.boards.row import Row
from cwbench.boards.versions import MARK
from cwbench.records.record import finite
from cwbench.records.schema import LONGEST, brief
from cwbench.records.text_table import Heading, TextTable

NOTES_SHOWN = 12
LATEX_MARK = r"$^\dagger$"


def columns_shown(board: Board, sort: str = "") -> list[Column]:
    """The column that ranks, the second NFE, the distances judged together, the one sorted by."""
    chosen = [sorted_by(board, sort), board.main, board.second]
    if board.together and board.main:
        chosen += [board.column(metric, board.main.nfe or None) for metric in board.distances]
    return list(dict.fromkeys(column for column in chosen if column))


def sorted_by(board: Board, sort: str) -> Column | None:
    """The column of `METRIC` or `METRIC@nfe=NFE`; the one that ranks where there is none."""
    metric, _, nfe = sort.partition("@nfe=")
    return (board.column(metric, nfe or None) if metric else None) or board.main


def heading(board: Board, column: Column) -> str:
    """`ew2sq, NFE adaptive`, with version and source where the board has several."""
    version = _apart(board, column) + MARK * bool(column.older)
    return column.metric + version + (f", NFE {column.nfe}" if column.nfe else "")


Value = tuple[str, Callable[[Row], Cell | None]]
"""A heading, and what a row has below it."""


def values_shown(board: Board, columns: Sequence[Column], key: Column | None) -> list[Value]:
    """The columns of a table; beside `key` the same samplers at few calls, where there are any."""
    shown: list[Value] = [(heading(board, c), partial(board.cell, column=c)) for c in columns]
    if key and key in columns and any(_second(board, key, row) for row in board.lines(key)):
        second = f"{key.metric}, {calls.SECOND} calls", partial(_second, board, key)
        shown.insert(columns.index(key) + 1, second)
    return shown


def _second(board: Board, column: Column, row: Row) -> Cell | None:
    """What the same sampler has at few calls."""
    other = board.beside.get(row.place, {}).get(calls.SECOND)
    return board.cell(other, column) if other else None


def _apart(board: Board, column: Column) -> str:
    """` v2 [0278be16]` where columns of the board share a name, else nothing."""
    if sum(other.name == column.name for other in board.columns) < 2:
        return ""
    return f" v{column.version}" + (f" [{column.source}]" if column.source else "")


def terminal(found: Sequence[Board], sort: str = "") -> RenderableType:
    """Tables for a terminal."""
    tables: list[RenderableType] = []
    for board in found:
        tables += [
            Text(brief(board.marked), style="bold"),
            _table(board, sort),
            *_notes(board, sort),
            Text(""),
        ]
    told = CALLS if any(row.calls for board in found for row in board.rows) else ""
    return Group(*tables, Text(LEGEND + told, style="dim"))


LEGEND = (
    "± 95 % interval over seeds and observations; rank: 95 % interval; = cannot be told from the "
    "best\n(Holm over all pairs; from 20 dimensions on also where distances contradict each "
    "other).\n"
    "scaled: 0 ignores y, 1 is exact; log10 G: log10 of the ratio to the Gaussian with the exact "
    "moments; p90: over observations.\n"
    "Below the rule: controls."
)

CALLS = (
    "\nCalls: network evaluations a draw of a sampler whose settings say how many. It ranks among "
    f"those of at most\n{calls.JUDGED}; at {calls.SECOND} it stands beside that row, or apart "
    "where there is none."
)


FACTS = {"scaled": 2, "log10 G": 97, "p90": 98, "seeds": 1, "fit s": 99}
"""What a row tells besides its columns, and what goes first where room is short."""

COLUMNS_SPARED = 3
"""And the columns that do not rank, the last of them first."""

METHOD_FOLDS = 24
"""Characters down to which a method's settings fold."""


def _table(board: Board, sort: str) -> TextTable:
    columns, key = columns_shown(board, sort), sorted_by(board, sort)
    shown, longer = values_shown(board, columns, key), convergence.texts(board)
    first = columns.index(key) if key else -1
    facts = list(FACTS.items())
    headings = [
        Heading("rank"),
        Heading("method", least=METHOD_FOLDS),
        *[Heading("sees", spare=3)] * board.mixed,
        *(
            Heading(
                title.replace(", ", "\n"),
                right=True,
                spare=0 if place == first else COLUMNS_SPARED + place,
            )
            for place, (title, _) in enumerate(shown)
        ),
        *(Heading(name, right=True, spare=spare) for name, spare in facts),
        *[Heading("converged", right=True, spare=95)] * bool(longer),
        Heading("from", spare=96),
    ]
    table = TextTable(headings)
    rows = board.lines(key)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        table.add([
            rank_text(board.cell(row, key)), brief(row.marked), *[row.among] * board.mixed,
            *(_marked(cell(row)) for _, cell in shown),
            *_facts(board, row, board.cell(row, key)), *[longer.get(row.place, "")] * bool(longer),
            row.origin,
        ])  # fmt: skip
        if following and _group(row) != _group(following):
            table.end_section()
    return table


def _group(row: Row) -> str:
    """What stands together: the methods of a class, the controls."""
    return row.among if row.role == "method" else "controls"


def _marked(cell: Cell | None) -> Text:
    mark = "= " if cell and cell.tied else ""
    return Text(mark + plain(cell), style="bold" if mark else "")


def _facts(board: Board, row: Row, cell: Cell | None) -> list[str]:
    """Scaled score, logarithm, 90th percentile, seeds, seconds of the fit."""
    p90 = f"{cell.p90:.3g}" if cell and cell.p90 is not None else ""
    count = row.seeds(cell.seeds if cell else None)
    fit = seconds(fit_seconds(board, row))
    return [
        share(cell.scaled if cell else None),
        share(cell.log_ratio if cell else None),
        p90,
        count,
        fit,
    ]


UNRANKED = "no ranks: a verdict needs three seeds of two methods or more"


def _notes(board: Board, sort: str) -> list[Text]:
    ranked = any(cell.rank for row in board.rows if (cell := board.cell(row, board.main)))
    notes = [] if ranked else [f"  {UNRANKED}"]
    notes += [
        f"  {brief(row.label)}: {brief(text)}" for row in board.rows if (text := note(board, row))
    ]
    rest = [f"  and {len(notes) - NOTES_SHOWN} more"] if len(notes) > NOTES_SHOWN else []
    explained = board.explained(columns_shown(board, sort))
    marks = [f"  {mark}" for mark in (board.remark, explained) if mark]
    told = marks + notes[:NOTES_SHOWN] + rest
    return [Text(line, style="yellow") for line in told]


def markdown(found: Sequence[Board], sort: str = "") -> str:
    """Tables in GitHub's Markdown."""
    text = []
    for board in found:
        notes = (
            f"\n{markdown_text(row.label)}: {markdown_text(told)}  "
            for row in board.rows
            if (told := note(board, row))
        )
        title, columns = markdown_text(board.marked), columns_shown(board, sort)
        explained = markdown_text(board.explained(columns), LONGEST)
        table = markdown_table(board, columns, sorted_by(board, sort))
        marks = [f"\n{mark}\n" for mark in (markdown_text(board.remark), explained) if mark]
        text.append(f"### {title}\n\n" + table + "".join([*notes, *marks]))
    return "\n".join(text)


def markdown_table(board: Board, columns: Sequence[Column], key: Column | None) -> str:
    """One board's table, its rows in the order of `key`."""
    seen, longer = ["sees"] * board.mixed, convergence.texts(board)
    shown = values_shown(board, columns, key)
    head = ["rank", "method", *seen, *(title for title, _ in shown), "scaled", "seeds"]
    head += ["converged"] * bool(longer)
    lines = [head, ["---"] * len(head)]
    for row in board.lines(key):
        cell = board.cell(row, key)
        values = (_bold(value(row), plain, "**{}**") for _, value in shown)
        label = markdown_text(row.marked)
        name = label if row.role == "method" else f"*{label}*"
        seeds = row.seeds(cell.seeds if cell else None)
        scaled = share(cell.scaled if cell else None)
        told = [longer.get(row.place, "")] * bool(longer)
        seen = [row.among] * board.mixed
        lines.append([rank_text(cell), name, *seen, *values, scaled, seeds, *told])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _bold(cell: Cell | None, text: Callable[[Cell | None], str], form: str) -> str:
    return form.format(text(cell)) if cell and cell.tied else text(cell)


def latex(found: Sequence[Board], sort: str = "") -> str:
    r"""Tables with booktabs: best and tied in bold, intervals small.

    `\usepackage{booktabs}` is all they need.
    """
    return "\n".join(_latex_table(board, sort) for board in found)


def _latex_table(board: Board, sort: str) -> str:
    columns, key = columns_shown(board, sort), sorted_by(board, sort)
    shown = values_shown(board, columns, key)
    named = (latex_text(t.replace(MARK, "")) + LATEX_MARK * (MARK in t) for t, _ in shown)
    longer = convergence.texts(board)
    head = ["Rank", "Method", *["Sees"] * board.mixed, *named, "Scaled", "Seeds"]
    head += ["Converged"] * bool(longer)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\caption{{{_caption(board, columns)}}}",
        f"\\begin{{tabular}}{{ll{'l' * board.mixed}{'r' * (len(head) - 2 - board.mixed)}}}",
        "\\toprule",
        " & ".join(head) + " \\\\",
        "\\midrule",
    ]
    previous = ""
    for row in board.lines(key):
        if previous and previous != _group(row):
            lines.append("\\midrule")
        previous = _group(row)
        cell = board.cell(row, key)
        values = [_latex_cell(value(row)) for _, value in shown]
        seeds = row.seeds(cell.seeds if cell else None)
        rank = rank_text(cell).replace("-", "--")
        scaled = share(cell.scaled if cell else None).replace("-", "$-$")
        label = latex_text(row.label) + LATEX_MARK * bool(row.older)
        seen, told = [latex_text(row.among)] * board.mixed, longer.get(row.place, "")
        line = [rank, label, *seen, *values, scaled, seeds, *[told] * bool(longer)]
        lines.append(" & ".join(line) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _caption(board: Board, columns: Sequence[Column]) -> str:
    """What the numbers are."""
    told = board.explained(columns).replace(MARK, "")
    remark = board.remark[:1].upper() + board.remark[1:]
    return (
        f"\\texttt{{{latex_text(board.title)}}}, preset \\texttt{{{latex_text(board.preset)}}}"
        + (f", track {latex_text(board.track)}" if board.track != "fixed" else "")
        + ". Mean with half its 95\\,\\% interval over seeds and observations; in bold the best "
        "and what cannot be told from it (paired differences, Holm"
        + ("; or where distances contradict each other)." if board.together else ").")
        + (f" {latex_text(remark, LONGEST)}." if remark else "")
        + (f" {LATEX_MARK}{latex_text(told, LONGEST)}." if told else "")
    )


def _latex_cell(cell: Cell | None) -> str:
    value, half = parts(cell)
    if not value:
        return "--"
    number = f"\\mathbf{{{value}}}" if cell and cell.tied else value
    return f"${number}$" + (f" {{\\scriptsize$\\pm\\,{half}$}}" if half else "")


def csv(found: Sequence[Board], sort: str = "") -> str:
    """The tidy table of `cwbench.leaderboard`."""
    table = frame(found)
    texts = table.select_dtypes(exclude="number").columns
    return str(
        table.assign(**{name: table[name].map(_not_computed) for name in texts}).to_csv(index=False)
    )


COMPUTED = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that a spreadsheet computes."""


def _not_computed(value: Any) -> Any:
    """A text that a spreadsheet shows as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(COMPUTED) else value


def as_json(found: Sequence[Board], sort: str = "") -> str:
    """A list of boards, each with its rows and their cells by metric id."""
    return json.dumps(finite([_board_json(board, sort) for board in found]), indent=1)


def _board_json(board: Board, sort: str) -> dict[str, Any]:
    key, unit = sorted_by(board, sort), unit_of(board)
    return {
        "task": board.task["name"], "title": board.title, "task_version": board.task["version"],
        "task_params": board.task["params"], "group": board.group, "preset": board.preset,
        "track": board.track, "main": key.name if key else None, "older": board.older,
        "gaussian_gap": board.gaussian_gap, "nearly_gaussian": board.nearly_gaussian,
        "unit": asdict(unit) if unit else None,
        "rows": [_row_json(board, row) for row in board.ordered(key)],
    }  # fmt: skip


def _row_json(board: Board, row: Row) -> dict[str, Any]:
    cells = {column: board.cell(row, column) for column in sorted(board.columns, key=_order)}
    return {
        "method": row.label, "role": row.role, "sees": row.sees, "calls": row.calls,
        "origin": row.origin,
        "note": note(board, row), "older": row.older, **_relative_json(board, row),
        "runs": [run.content["run_id"] for run in row.runs],
        "fit_seconds": fit_seconds(board, row),
        "cells": {
            column.name + _apart(board, column): _cell_json(cell)
            for column, cell in cells.items()
            if cell
        },
    }  # fmt: skip


def _relative_json(board: Board, row: Row) -> dict[str, Any]:
    """The value that ranks in the board's unit, and what four times the steps take off it."""
    unit = unit_of(board)
    found = relative(board.cell(row, board.main), unit)
    twin = convergence.convergence(board, row, unit)
    value = found and {"value": found.value, "half": found.half, "bound": found.bound}
    fall = twin and {"fall": twin.fall, "least": twin.least, "seeds": twin.seeds}
    return {"relative": value, "converged": twin and twin.converged, "longer": fall}


def _order(column: Column) -> Any:
    return column.order


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "value": cell.mean, "low": cell.low, "high": cell.high, "p90": cell.p90,
        "floor": cell.floor, "seeds": cell.count, "runs": cell.runs, "rank": cell.rank,
        "tied": cell.tied, "scaled": cell.scaled, "log_ratio": cell.log_ratio,
    }  # fmt: skip
