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
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cwbench.boards.board import DISTANCES, Board, Cell, Column, Row, Run
from cwbench.boards.frames import note
from cwbench.boards.gallery import Gallery
from cwbench.boards.overview import heat_map_of, looks_of, looks_on, nfe_figure, stages, votes_of
from cwbench.errors import UsageError
from cwbench.records.record import finite
from cwbench.reporting.logs import lines
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
    looks = looks_of(boards)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html")).render(
        version=VERSION,
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        script=Markup(script),  # noqa: S704 - our own file
        styles=Markup(styles),  # noqa: S704 - our own file
        data=_packed(_data(boards, looks)),
        problems=problems,
        stages=[(name, _stage_figures(members, name)) for name, members in stages(boards)],
        figures=[
            (i, _svg(figure)) for i, b in enumerate(boards) if (figure := nfe_figure(b, looks))
        ],
    )


def _resource(name: str) -> str:
    return (resources.files("cwbench.boards") / "web" / name).read_text(encoding="utf-8")


def _stage_figures(boards: Sequence[Board], name: str) -> list[Markup]:
    return [_svg(heat_map_of(boards, name)), _svg(votes_of(boards, name))]


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
    return {"boards": shown, "shared": shared.values, "together": DISTANCES}


class Shared:
    """Environments and lists of names, of which there are few: each is kept once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Where it stands in `values`."""
        return self._places.setdefault(json.dumps(value, sort_keys=True), len(self._places))

    @property
    def values(self) -> list[Any]:
        """All of them."""
        return [json.loads(text) for text in self._places]


def _board(
    board: Board, stage: str, looks: Mapping[str, int], shared: Shared, gallery: Gallery
) -> dict[str, Any]:
    columns = sorted(board.columns, key=lambda column: column.order)
    place = {column: index for index, column in enumerate(columns)}
    return {
        "title": board.title, "stage": stage, "task": board.task["name"], "older": board.older,
        "version": board.task["version"], "params": board.task["params"],
        "dimension": board.dimension, "group": board.group, "together": board.together,
        "budget": board.rows[0].runs[0].content["preset_values"] if board.rows else {},
        "main": place.get(board.main) if board.main else None,
        "columns": [_column(board, column) for column in columns],
        "rows": [
            _row(board, row, columns, shared) | {"look": looks[row.label]} | gallery.entry(row)
            for row in board.ordered(board.main)
        ],
    }  # fmt: skip


def _column(board: Board, column: Column) -> dict[str, Any]:
    entry = board.columns[column]
    return {
        "metric": column.metric, "nfe": column.nfe, "version": column.version,
        "observations": column.n_observations, "samples": column.n_samples,
        "source": column.source,
        "direction": entry.direction, "ranks": entry.ranks, "debiased": entry.debiased,
        "floor": _short(entry.floor), "older": column.older,
    }  # fmt: skip


def _row(board: Board, row: Row, columns: Sequence[Column], shared: Shared) -> dict[str, Any]:
    cells = _cells([board.cell(row, column) for column in columns])
    runs = sorted(row.runs, key=lambda run: run.seed)
    nfe = dict.fromkeys(column.nfe for column in columns)
    costs = {
        each: [_short(row.sampling(each, name)) for name in ("evaluations", "seconds")]
        for each in nfe
    }
    return {
        "label": row.label, "key": row.key[:16],
        "role": row.role, "origin": row.origin, "note": note(row), "older": row.older,
        "version": row.method["version"], "from": row.method.get("distribution", ""),
        "params": row.method["params"], "cells": cells, "costs": costs,
        "oneShot": row.one_shot, "fit": _short(row.cost("fit_seconds")),
        "parameters": row.cost("parameters"), "skipped": bool(row.skipped),
        "runs": [_run(run, shared) for run in runs],
        "diagnostics": _diagnostics(runs, shared),
    }  # fmt: skip


def _diagnostics(runs: Sequence[Run], shared: Shared) -> list[Any]:
    """Where their names stand, then the values of each: one value if they agree."""
    diagnostics = [run.content["diagnostics"] for run in runs]
    flat = (
        name for each in diagnostics for name, value in each.items() if not isinstance(value, dict)
    )
    names = list(dict.fromkeys(flat))
    values = [[_brief(each.get(name)) for each in diagnostics] for name in names]
    agreed = (all(each == first for each in rest) for first, *rest in values)
    return [shared.place(names)] + [
        one[0] if same else one for one, same in zip(values, agreed, strict=True)
    ]


def _brief(value: Any) -> Any:
    return _short(value) if isinstance(value, float) else value


def _cells(cells: Sequence[Cell | None]) -> list[list[Any] | int]:
    """Value, half its interval, 90th percentile, ranks, tied, scaled, log ratio, seeds, runs."""
    there = [cell for cell in cells if cell is not None]
    values, halves = (
        iter(_shorts(numbers, 5))
        for numbers in ([cell.mean for cell in there], [cell.half for cell in there])
    )
    percentiles, scaled, logs = (
        iter(_shorts(numbers))
        for numbers in (
            [cell.p90 for cell in there],
            [cell.scaled and cell.scaled[0] for cell in there],
            [cell.log_ratio and cell.log_ratio[0] for cell in there],
        )
    )
    return [
        0
        if cell is None
        else [
            next(values), next(halves), next(percentiles), *(cell.rank or (None, None)),
            None if cell.tied is None else int(cell.tied), next(scaled), next(logs),
            len(cell.values), cell.runs,
        ]
        for cell in cells
    ]  # fmt: skip


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
