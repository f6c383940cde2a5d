"""Records in a notebook: the table of `cwbench run` as HTML, every text escaped, and figures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Self

from cwbench.errors import UsageError, unknown
from cwbench.machine.files import contents
from cwbench.records.record import Record
from cwbench.records.tables import cells_by_nfe, reading, title_of


@dataclass(frozen=True)
class Pictures:
    """Figures as files, which a notebook shows."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, record: Record, names: Sequence[str]) -> Self:
        """The figures of a record, or those named, in that order.

        Raises:
            UsageError: if there is none of a name, or none at all.
        """
        there = {path.stem: path for path in record.figures}
        if not there:
            raise UsageError(
                f"{record.run_id} has no figures; figures=True or `cwbench plot` draws them"
            )
        for name in names:
            if name not in there:
                raise unknown("figure", name, there)
        return cls(tuple(there[name] for name in names or there))

    def __str__(self) -> str:
        """A path a line."""
        return "\n".join(map(str, self.paths))

    def _repr_html_(self) -> str:
        """The images themselves, so that the notebook needs no file beside it."""
        return "".join(_image(path) for path in self.paths)


def _image(path: Path) -> str:
    data = b64encode(contents(path)).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{data}"></p>'


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
        parts.append(f"<p>figures: {escape(names)} (record.show())</p>")
    return "".join(parts)


def _body(rows: list[list[str]]) -> str:
    """A part of the table: what may rank, or what never does."""
    return f"<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody>"


def _row(cells: list[Any], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
