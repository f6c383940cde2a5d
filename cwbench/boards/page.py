"""The leaderboard as one HTML file that needs nothing else and asks for nothing.

The data is JSON that the browser inflates (every one can since 2023), the figures are inline SVG,
or PNG within the data, and a little JavaScript builds the tables from text nodes alone. A content
security policy forbids every request and every script but that one, by its hash; jinja2 escapes
what comes from records.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cwbench.boards import calls, convergence
from cwbench.boards.across import stages
from cwbench.boards.board import Board, Column
from cwbench.boards.costs import fit_seconds
from cwbench.boards.first import First, first
from cwbench.boards.frames import note
from cwbench.boards.gallery import Gallery
from cwbench.boards.overview import heat_map_of, looks_of, looks_on, nfe_figure, votes_of
from cwbench.boards.row import Row, Run
from cwbench.errors import UsageError
from cwbench.records.logs import lines
from cwbench.records.record import finite
from cwbench.version import VERSION

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
LOG_LINES = 12
"""Of the log of a failed run."""
LOG_CHARACTERS = 2000
SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "cwbench", "path.simplify": True}
INK = re.compile(r"#(?:262626|404040|000000)\b")
"""The colours of axes and words, which follow the page's; marks keep theirs."""
PALE = (("fill", "#ededed"), ("stroke", "#ebebeb"), ("stroke", "#999999"))
"""Of bands and grid lines, which are pale on dark paper too."""
UNUSED_ID = re.compile(
    r' id="(?:figure|axes|patch|text|line2d|xtick|ytick|matplotlib|legend|LineCollection'
    r'|PathCollection|PolyCollection|QuadMesh|FillBetweenPolyCollection)[\w.]*"'
)


def page(boards: Sequence[Board], problems: Sequence[str]) -> str:
    """The page of these boards; problems are listed on it."""
    script = _resource("plot.js") + _resource("page.js")
    styles = _resource("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    looks, table = looks_of(boards), first(boards)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html")).render(
        version=VERSION,
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        script=Markup(script),  # noqa: S704 - our own file
        styles=Markup(styles),  # noqa: S704 - our own file
        data=_packed(_data(boards, looks)),
        problems=problems,
        table=table,
        pictures=_overall(table),
        figures=[
            (i, _svg(figure)) for i, b in enumerate(boards) if (figure := nfe_figure(b, looks))
        ],
    )


def _resource(name: str) -> str:
    return (resources.files("cwbench.boards") / "web" / name).read_text(encoding="utf-8")


def _overall(table: First) -> list[Markup]:
    """The figures of all tasks together, of the boards that stand in the table."""
    name = ", ".join(dict.fromkeys(board.preset for board in table.boards))
    drawn = [heat_map_of(table.boards, name), votes_of(table.boards, name)] if table.boards else []
    return [_svg(figure) for figure in drawn]


def _svg(figure: Figure) -> Markup:
    """A figure as inline SVG in the page's ink; matplotlib escapes its words."""
    content = io.StringIO()
    with mpl.rc_context(SVG):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        for patch in (figure.patch, *(ax.patch for ax in figure.axes)):
            patch.set(facecolor="none", edgecolor="none")
        # `savefig` would draw everything twice, the first time for the layout alone
        canvas: Any = FigureCanvasSVG(figure)  # matplotlib annotates no canvas
        canvas.print_svg(content, metadata=metadata)
    text = content.getvalue()
    text = UNUSED_ID.sub("", INK.sub("currentColor", text[text.index("<svg") :]))
    for paint, colour in PALE:
        text = text.replace(f"{paint}: {colour}", f"{paint}: currentColor; {paint}-opacity: 0.12")
    return Markup(text)  # noqa: S704 - escaped by matplotlib


def _packed(data: Any) -> Markup:
    """JSON, compressed and in base64: a tenth of its size, and nothing in it can be markup."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number that is not finite: rare, and looking for it takes a second
        text = json.dumps(finite(data), separators=(",", ":"), allow_nan=False)
    return Markup(base64.b64encode(zlib.compress(text.encode())).decode())  # noqa: S704 - base64


def _data(boards: Sequence[Board], looks: Mapping[str, int]) -> dict[str, Any]:
    """All that the script shows."""
    shared = Shared()
    gallery = Gallery(sum(len(row.runs) for board in boards for row in board.rows))
    stage = {id(b): name for name, members in stages(boards) for b in members}
    shown = [
        _board(board, stage[id(board)], looks_on(board, looks), shared, gallery) for board in boards
    ]
    return {"boards": shown, "shared": shared.values}


class Shared:
    """Environments and lists of names, of which there are few: each is kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Where it stands in `values`."""
        place = self._places.setdefault(repr(value), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def _board(
    board: Board, stage: str, looks: Mapping[str, int], shared: Shared, gallery: Gallery
) -> dict[str, Any]:
    columns = sorted(board.columns, key=lambda column: column.order)
    place = {column: index for index, column in enumerate(columns)}
    rows, longer = board.ordered(board.main), convergence.texts(board)
    index = {row.place: i for i, row in enumerate(rows)}
    return {
        "title": board.title, "stage": stage, "task": board.task["name"], "older": board.older,
        "version": board.task["version"], "params": board.task["params"],
        "dimension": board.dimension, "group": board.group, "together": board.distances,
        "remark": board.remark, "second": calls.SECOND,
        "budget": board.rows[0].runs[0].content["preset_values"] if board.rows else {},
        "main": place.get(board.main) if board.main else None,
        "columns": [_column(board, column) for column in columns],
        "rows": [
            _row(board, row, columns, cells, shared)
            | {"look": looks[row.label], "converged": longer.get(row.place, "")}
            | {"beside": {n: index[other.place] for n, other in _beside(board, row)}}
            | gallery.entry(row)
            for row, cells in zip(rows, _cells(board, rows, columns), strict=True)
        ],
    }  # fmt: skip


def _beside(board: Board, row: Row) -> list[tuple[int, Row]]:
    """The same sampler at other numbers of calls, the fewest first."""
    return sorted(board.beside.get(row.place, {}).items())


def _column(board: Board, column: Column) -> dict[str, Any]:
    kind, floors = board.columns[column], board.cells[column].floor[board.cells[column].there]
    return {
        "metric": column.metric, "nfe": column.nfe, "version": column.version,
        "observations": column.n_observations, "samples": column.n_samples,
        "source": column.source,
        "direction": kind.direction, "ranks": kind.ranks, "debiased": kind.debiased,
        "floor": _short(floors[0]), "older": column.older,
    }  # fmt: skip


def _row(
    board: Board, row: Row, columns: Sequence[Column], cells: str, shared: Shared
) -> dict[str, Any]:
    runs = sorted(row.runs, key=lambda run: run.seed)
    nfe = list(dict.fromkeys(column.nfe for column in columns))
    evaluations, seconds = (
        _shorts([row.sampling(each, name) for each in nfe]) for name in ("evaluations", "seconds")
    )
    costs = dict(zip(nfe, zip(evaluations, seconds, strict=True), strict=True))
    return {
        "label": row.label + f" ({row.among})" * (row.among != "pairs"), "key": row.key[:16],
        "role": row.role, "sees": row.among if row.role == "method" else "", "origin": row.origin,
        "note": note(board, row), "older": row.older,
        "version": row.method["version"], "from": row.method.get("distribution", ""),
        "params": row.method["params"], "cells": cells, "costs": costs,
        "oneShot": row.one_shot, "fit": _short(fit_seconds(board, row)),
        "parameters": row.cost("parameters"), "skipped": bool(row.skipped),
        "runs": [_run(run, shared) for run in runs],
        "diagnostics": _diagnostics(runs, shared),
    }  # fmt: skip


def _diagnostics(runs: Sequence[Run], shared: Shared) -> list[Any]:
    """Where their names stand, then the values of each: one value if they agree."""
    diagnostics = [run.content["diagnostics"] for run in runs]
    named = (
        name for each in diagnostics for name, value in each.items() if not isinstance(value, dict)
    )
    names = list(dict.fromkeys(named))
    flat = [each.get(name) for name in names for each in diagnostics]
    short = _shorts([value if isinstance(value, float) else None for value in flat])
    brief = [s if isinstance(v, float) else v for v, s in zip(flat, short, strict=True)]
    values = [brief[at : at + len(runs)] for at in range(0, len(brief), len(runs))]
    agreed = (all(each == first for each in rest) for first, *rest in values)
    return [shared.place(names)] + [
        one[0] if same else one for one, same in zip(values, agreed, strict=True)
    ]


CELL = ",".join(["%.5g"] * 2 + ["%.3g"] + ["%.6g"] * 3 + ["%.3g"] * 2 + ["%.6g"] * 2) + ";"
"""Value, half its interval, 90th percentile, ranks, tied, scaled, log ratio, seeds, runs."""


def _cells(board: Board, rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    """The cells of each row as one text, since a page may have a million numbers.

    What a cell has not is left empty, and the whole cell where nothing was measured.
    """
    at = [row.place for row in rows]
    numbers = np.empty((len(rows), len(columns), CELL.count("%")))
    for place, column in enumerate(columns):
        cells = board.cells[column]
        ranks = np.where(cells.rank > 0, cells.rank, np.nan)
        tied = np.where(cells.tied >= 0, cells.tied, np.nan)
        facts = [
            cells.mean, cells.half, cells.p90, *ranks.T, tied, cells.scaled[:, 0],
            cells.log_ratio[:, 0], cells.count, cells.runs,
        ]  # fmt: skip
        numbers[:, place] = np.where(cells.there, facts, np.nan).T[at]
    numbers[~np.isfinite(numbers)] = np.nan
    form = CELL * len(columns)
    for row in numbers + 0.0:  # no -0
        yield (form % tuple(row.ravel().tolist())).replace("nan", "").replace(",,,,,,,,,", "")


def _shorts(numbers: Sequence[float | None], digits: int = 3) -> list[float | None]:
    """As `_short` of each, in a tenth of its time: there may be a million on the page."""
    given = [math.nan if number is None else number for number in numbers]
    text = f"%.{digits}g " * len(given) % tuple(given)
    return [
        None if not math.isfinite(short) else int(short) if short.is_integer() else short
        for short in map(float, text.split())
    ]


def _short(number: float | None, digits: int = 3) -> float | None:
    """A few digits, so that the page stays small."""
    return _shorts([number], digits)[0]


def _run(run: Run, shared: Shared) -> list[Any]:
    """Seed, status, error, log tail, environment, seconds of the fit, when, whose."""
    content: Mapping[str, Any] = run.content
    bad = run.status not in ("ok", "skipped")
    return [
        run.seed, run.status, content["error"] if run.status != "ok" else None,
        _log_tail(run) if bad else None, shared.place(content["environment"]),
        _short(content["cost"].get("fit_seconds")), content["finished"][:10], run.origin,
    ]  # fmt: skip


def _log_tail(run: Run) -> str | None:
    try:
        return "\n".join(lines(run.directory, LOG_LINES))[-LOG_CHARACTERS:]
    except UsageError:  # records travel without their logs
        return None
