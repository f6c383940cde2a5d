"""A table for a terminal: columns two spaces apart, rules below the head and between sections.

rich measures, wraps and pads each cell by itself, which takes seconds for two thousand rows. A
table that fits the width needs none of it and is laid out here; rich has those that do not, with
the same look. Where room is short, columns that can be spared go first, and a line below the table
names them; then those fold that may. Where that is not enough, each cell gets a line: no value is
ever cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

HEAD = "table.header"

BOX = Box("    \n" * 2 + " ── \n" + "    \n" + " ── \n" + "    \n" * 3)
"""A rule below the head and below each section, none elsewhere."""


class Heading(NamedTuple):
    """Of a column. Lines of its title stand below each other."""

    title: str
    right: bool = False
    least: int | None = None
    """Characters down to which it folds where room is short; None: it does not."""
    spare: int = 0
    """Columns that can be spared go where room is short, the highest number first; 0: it stays."""


class TextTable:
    """Rows of plain strings and of `Text` in one style each, in sections."""

    def __init__(self, headings: Sequence[Heading]) -> None:
        self.headings = headings
        self.rows: list[list[Text]] = []
        self.ends: set[int] = set()
        """Rows with a rule below."""

    def add(self, cells: Iterable[str | Text]) -> None:
        """A row."""
        self.rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def end_section(self) -> None:
        """A rule below the last row."""
        self.ends.add(len(self.rows) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of text, or rich's table where they are too long."""
        kept, left_out = self.within(options.max_width)
        yield from kept.lines(console, options.max_width)
        if left_out:
            names = ", ".join(" ".join(heading.title.split()) for heading in left_out)
            yield Text(f"For want of room without {names}.", style="dim")

    def within(self, width: int) -> tuple[TextTable, list[Heading]]:
        """The table without the columns that must be spared to fit, and the headings of those."""
        least = [self._width(place, folded=True) for place in range(len(self.headings))]
        places = list(range(len(self.headings)))
        spared = sorted((p for p in places if self.headings[p].spare), key=self._spare)
        while spared and _total([least[place] for place in places]) > width:
            places.remove(spared.pop())
        kept = TextTable([self.headings[place] for place in places])
        kept.rows = [[row[place] for place in places] for row in self.rows]
        kept.ends = self.ends
        return kept, [h for p, h in enumerate(self.headings) if p not in places]

    def _spare(self, place: int) -> int:
        return self.headings[place].spare

    def lines(self, console: Console, width: int) -> RenderResult:
        """All columns, folded where they are too wide and may be."""
        widths = [self._width(place) for place in range(len(self.headings))]
        folded = [self._width(place, folded=True) for place in range(len(self.headings))]
        if _total(folded) > width:
            yield from self._listed()
            return
        lined = any("\n" in cell.plain for row in self.rows for cell in row)
        if lined or _total(widths) > width:
            yield self._by_rich()
            return
        style = console.get_style(HEAD)
        titles = [heading.title.split("\n") for heading in self.headings]
        height = max(map(len, titles))
        for cells in zip(*([""] * (height - len(t)) + t for t in titles), strict=True):
            yield from self._line(((cell, style) for cell in cells), widths)
        rule = Segment("─" * _total(widths) + "\n")
        yield rule
        styles: dict[str | Style, Style | None] = {"": None}
        for place, row in enumerate(self.rows):
            for cell in row:
                if cell.style not in styles:
                    styles[cell.style] = console.get_style(cell.style)
            yield from self._line(((cell.plain, styles[cell.style]) for cell in row), widths)
            if place in self.ends and place + 1 < len(self.rows):
                yield rule

    def _listed(self) -> Iterable[Text]:
        """A line a cell, where a table would cut what stands in it."""
        titles = [" ".join(heading.title.split()) for heading in self.headings]
        for row in self.rows:
            for title, cell in zip(titles, row, strict=True):
                if cell.plain:
                    yield Text.assemble((f"{title}: ", HEAD), cell)
            yield Text("")

    def _width(self, place: int, *, folded: bool = False) -> int:
        heading = self.headings[place]
        texts = [*heading.title.split("\n"), *(row[place].plain for row in self.rows)]
        width = max(cell_len(line) for text in texts for line in text.split("\n"))
        return min(width, heading.least) if folded and heading.least else width

    def _line(
        self, cells: Iterable[tuple[str, Style | None]], widths: Sequence[int]
    ) -> Iterable[Segment]:
        """One row's segments; plain text is put together."""
        plain = ""
        for (text, style), heading, width in zip(cells, self.headings, widths, strict=True):
            room = " " * (width - cell_len(text))
            before, after = (room, "") if heading.right else ("", room)
            if style is None:
                plain += f" {before}{text}{after}  "
            else:
                yield Segment(f"{plain} {before}")
                yield Segment(text, style)
                plain = f"{after}  "
        yield Segment(plain[:-1] + "\n")

    def _by_rich(self) -> Table:
        table = Table(box=BOX, padding=(0, 1), show_edge=False)
        for heading in self.headings:
            table.add_column(
                Text(heading.title), justify="right" if heading.right else "left",
                no_wrap=heading.least is None, overflow="fold", min_width=heading.least,
            )  # fmt: skip
        for place, row in enumerate(self.rows):
            table.add_row(*row, end_section=place in self.ends)
        return table


def _total(widths: Sequence[int]) -> int:
    """Characters of a line."""
    return sum(widths) + 3 * len(widths) - 1
