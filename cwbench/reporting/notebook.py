"""Records in a notebook: the table of `cwbench run` as HTML, every text escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from cwbench.record import Record
from cwbench.reporting.tables import cells_by_nfe, title_of


def record_html(record: Record) -> str:
    """The metrics of a record, one row a metric and one column an NFE, as an HTML table."""
    parts = [f"<p><b>{escape(title_of(record))}</b></p>"]
    if record.error:
        parts.append(f"<p>{escape(f'{record.status}: {record.error}')}</p>")
    if record.metrics:
        columns, rows = cells_by_nfe(record)
        head = _row(columns, "th")
        body = "".join(_row(row, "td") for row in rows)
        parts.append(f"<table><thead>{head}</thead><tbody>{body}</tbody></table>")
    if record.figures:
        names = ", ".join(path.name for path in record.figures)
        parts.append(f"<p>figures: {escape(names)} (record.figures)</p>")
    return "".join(parts)


def _row(cells: list[Any], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
