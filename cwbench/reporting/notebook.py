"""Records in a notebook: the table of `cwbench run` as HTML, every text escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from cwbench.record import Record
from cwbench.reporting.tables import cells_by_nfe, reading, title_of


def record_html(record: Record) -> str:
    """The metrics of a record, one row a metric and one column an NFE, as an HTML table."""
    parts = [f"<p><b>{escape(title_of(record))}</b></p>"]
    if record.error:
        parts.append(f"<p>{escape(f'{record.status}: {record.error}')}</p>")
    if record.metrics:
        heads, rows, ranking = cells_by_nfe(record)
        parts.append(f"<table><thead>{_row(heads, 'th')}</thead>")
        parts += [_body(some) for some in (rows[:ranking], rows[ranking:]) if some]
        parts.append(f"</table><p>{escape(reading(record))}</p>")
    if record.figures:
        names = ", ".join(path.name for path in record.figures)
        parts.append(f"<p>figures: {escape(names)} (record.figures)</p>")
    return "".join(parts)


def _body(rows: list[list[str]]) -> str:
    """A part of the table: what may rank, or what never does."""
    return f"<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody>"


def _row(cells: list[Any], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
