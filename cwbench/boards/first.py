"""The one table that a leaderboard opens with: methods by tasks, in a unit that all tasks share.

A task stands there once, at the preset that is named; `cwbench.boards.relative` says what its
values are divided by. Methods stand by what they see, the best first, and controls below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from cwbench.boards.across import by_place, one_a_task
from cwbench.boards.board import Board
from cwbench.boards.convergence import MARK as SIGN
from cwbench.boards.convergence import Convergence, convergence, mark, told
from cwbench.boards.formats import LATEX_MARK, heading
from cwbench.boards.markup import latex_text, markdown_text
from cwbench.boards.relative import VARIANCE, Unit, relative, unit_of
from cwbench.boards.row import Row
from cwbench.boards.scoring import GAUSSIAN
from cwbench.boards.statistics import LEAST_SEEDS
from cwbench.boards.versions import MARK, explained
from cwbench.records.digits import digits_of
from cwbench.records.schema import LONGEST, brief
from cwbench.records.shipped import YOURS
from cwbench.records.text_table import Heading, TextTable

NONE = "\u2013"
LATEX_SIGN = r"$^\ddagger$"
UNIT = "unit"
"""The name of the last line."""


@dataclass(frozen=True)
class Entry:
    """What stands in the table: the value, half its interval, and what has to be known of it."""

    value: str
    half: str = ""
    tied: bool = False
    older: bool = False
    seeds: str = ""
    """How many there are, where they are fewer than a verdict needs or one is missing."""
    convergence: Convergence | None = None

    def text(self, bold: str = "{}") -> str:
        """`0.76 ± 0.13† (2)`; `bold` is how the best are set."""
        value = f"{self.value} ± {self.half}" if self.half else self.value
        return (bold if self.tied else "{}").format(value) + self.marks

    @property
    def marks(self) -> str:
        """What stands behind it: `†‡ (2)`."""
        signs = MARK * self.older + mark(self.convergence)
        return signs + f" ({self.seeds})" * bool(self.seeds)


@dataclass(frozen=True)
class Line:
    """A method on all tasks; None where it has no value there."""

    label: str
    role: str
    sees: str
    """With the calls of a sampler that is ranked apart for them."""
    entries: list[Entry | None]

    @property
    def group(self) -> str:
        """What stands together."""
        return self.sees if self.role == "method" else "controls"


@dataclass(frozen=True)
class First:
    """The table: a board for each column, and its unit."""

    boards: list[Board]
    units: list[Unit | None]
    lines: list[Line]
    apart: list[str]
    """The tasks that have no unit: without a column, unless none has one."""
    elsewhere: list[str]
    """Boards of these tasks that have runs of the user's and no column, since a task has one."""

    @property
    def mixed(self) -> bool:
        """Whether methods of several classes stand here."""
        return len({line.sees for line in self.lines if line.role == "method"} | {"pairs"}) > 1

    @property
    def heads(self) -> list[tuple[str, str]]:
        """The task, marked where it is of an older version, and the preset of each column."""
        return [(board.title + MARK * bool(board.older), board.preset) for board in self.boards]

    @property
    def preset(self) -> str:
        """Of all columns; empty where they differ."""
        presets = {board.preset for board in self.boards}
        return presets.pop() if len(presets) == 1 else ""

    @property
    def unit_texts(self) -> list[str]:
        """The size of each unit, with half its interval or with its name where that is another."""
        return [_unit_text(unit) for unit in self.units]

    @property
    def metrics(self) -> str:
        """What ranks."""
        return "; ".join(sorted({heading(b, b.main) for b in self.boards if b.main}))

    @property
    def notes(self) -> list[str]:
        """What is marked, and what has to be known of some tasks."""
        rows = [(b, row) for b in self.boards for row in b.rows if b.cell(row, b.main)]
        olds = ((b.older, row.older, b.main.older if b.main else "") for b, row in rows)
        marked = explained(each for three in olds for each in three)
        silent = [b.title for b in self.boards if b.nearly_gaussian]
        silence = f"Nearly Gaussian, without a vote: {', '.join(silent)}." if silent else ""
        entries = [each.convergence for line in self.lines for each in line.entries if each]
        names = ", ".join(self.elsewhere)
        other = f"A task stands here once; your runs of {names} are below." if names else ""
        return [note for note in (marked, told(entries), self._without, other, silence) if note]

    @property
    def _without(self) -> str:
        """Which tasks have no unit."""
        names = ", ".join(self.apart)
        return (
            f"No unit on record, neither {GAUSSIAN} above its interval nor {VARIANCE}: {names}; "
            "the values stand on their boards."
        ) * bool(names)


def first(boards: Sequence[Board]) -> First:
    """The table of the boards that stand for their tasks."""
    found = [(board, unit_of(board)) for board in one_a_task(boards)]
    pairs = [pair for pair in found if pair[1]] or found
    chosen, units = [board for board, _ in pairs], [unit for _, unit in pairs]
    rows = [{row.label: row for row in board.rows} for board in chosen]
    lines = []
    for label in by_place(chosen, controls=True):
        entries = [
            _entry(board, each.get(label), unit)
            for board, each, unit in zip(chosen, rows, units, strict=True)
        ]
        row = next(each[label] for each in rows if label in each)
        lines.append(Line(label, row.role, row.among, entries))
    apart = [board.title for board, unit in found if unit is None]
    return First(chosen, units, lines, apart, _elsewhere(boards, chosen))


def _elsewhere(boards: Sequence[Board], chosen: Sequence[Board]) -> list[str]:
    shown, titles = {id(board) for board in chosen}, {board.title for board in chosen}
    beside = (b for b in boards if b.title in titles and b.track == "fixed" and id(b) not in shown)
    return [board.name for board in beside if any(YOURS in row.origin for row in board.rows)]


def _entry(board: Board, row: Row | None, unit: Unit | None) -> Entry | None:
    cell = board.cell(row, board.main) if row else None
    found = relative(cell, unit)
    if row is None or cell is None or found is None:
        return None
    few = not cell.complete or cell.runs < LEAST_SEEDS
    value, half = found.parts
    seeds, found_out = cell.seeds if few else "", convergence(board, row, unit)
    return Entry(value, half, bool(cell.tied), bool(row.older), seeds, found_out)


def _unit_text(unit: Unit | None) -> str:
    if unit is None:
        return "none"
    digits = digits_of(unit.half)
    if digits is None:
        return f"{VARIANCE} = {unit.size:.3g}"
    return f"{unit.size:.{digits}f} ± {unit.half:.{digits}f}"


HEAD = """\
The value that ranks ({about}) over that of `oracle-gaussian`, Gaussians with the exact means and
covariances, on the same observations (over tr Cov(posterior) where those are exact): 0 is exact, 1
no better than those Gaussians; lower is better. ± is half the 95 % interval over seeds and
observations; a value that is not above its interval stands as a bound, `<` its upper end. **Bold**:
the best and all that cannot be told from it (paired differences, corrected for the number of pairs;
from 20 dimensions on also where distances contradict each other). In brackets: seeds with a value,
where they are fewer than three or one is missing. *Controls* and the unit itself stand below.
"""


def markdown(table: First) -> str:
    """The table in GitHub's Markdown, with what has to be known."""
    head = ["method", *["sees"] * table.mixed]
    several = "" if table.preset else ", {}"
    head += [f"`{markdown_text(title)}`" + several.format(preset) for title, preset in table.heads]
    lines = [head, ["---"] * len(head)]
    for line in table.lines:
        name = markdown_text(line.label)
        texts = (entry.text("**{}**") if entry else NONE for entry in line.entries)
        shown = name if line.role == "method" else f"*{name}*"
        lines.append([shown, *[line.sees] * table.mixed, *texts])
    lines.append([f"*{UNIT}*", *[""] * table.mixed, *table.unit_texts])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    told = "".join(f"\n{markdown_text(note, LONGEST)}\n" for note in table.notes)
    about = table.metrics + f"; preset `{table.preset}`" * bool(table.preset)
    return HEAD.format(about=about) + "\n" + text + told


def latex(table: First) -> str:
    """The table with booktabs."""
    heads = [(latex_text(t.replace(MARK, "")) + LATEX_MARK * (MARK in t), latex_text(p))
             for t, p in table.heads]  # fmt: skip
    names = ["Method", *["Sees"] * table.mixed]
    pad = " & " * (len(names) - 1)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\caption{{{_caption(table)}}}",
        f"\\begin{{tabular}}{{l{'l' * table.mixed}{'r' * len(heads)}}}",
        "\\toprule",
        " & ".join([*names, *(f"\\texttt{{{title}}}" for title, _ in heads)]) + " \\\\",
        pad + " & " + " & ".join(preset for _, preset in heads) + " \\\\",
        "\\midrule",
    ]
    previous = table.lines[0].group if table.lines else ""
    for line in table.lines:
        lines += ["\\midrule"] * (line.group != previous)
        previous = line.group
        seen = [latex_text(line.sees)] * table.mixed
        texts = map(_latex_entry, line.entries)
        lines.append(" & ".join([latex_text(line.label), *seen, *texts]) + " \\\\")
    units = (" $\\pm$ ".join(map(latex_text, text.split(" ± "))) for text in table.unit_texts)
    lines += ["\\midrule", f"Unit{pad} & " + " & ".join(units) + " \\\\"]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _caption(table: First) -> str:
    notes = " ".join(
        LATEX_MARK * (MARK in note)
        + LATEX_SIGN * (SIGN in note)
        + latex_text(note.strip(MARK + SIGN), LONGEST)
        for note in table.notes
    )
    return (
        f"{latex_text(table.metrics)} over that of \\texttt{{oracle-gaussian}} on the same "
        "observations: 0 is exact, 1 no better than Gaussians with the exact moments. "
        "With half its 95\\,\\% interval over seeds and observations; $<$ is the interval's upper "
        "end, where a value is not above its interval. In bold the best and what cannot be told "
        f"from it (paired differences, Holm). {notes}"
    ).strip()


def _latex_entry(entry: Entry | None) -> str:
    if entry is None:
        return "--"
    number = f"\\mathbf{{{entry.value}}}" if entry.tied else entry.value
    half = f" {{\\scriptsize$\\pm\\,{entry.half}$}}" if entry.half else ""
    seeds = f" ({entry.seeds})" if entry.seeds else ""
    signs = LATEX_MARK * entry.older + LATEX_SIGN * bool(mark(entry.convergence))
    return f"${number}${half}" + signs + seeds


def terminal(table: First) -> TextTable:
    """The table for a terminal; tasks for which there is no room are named below it."""
    headings = [Heading("method", least=24), *[Heading("sees", spare=1)] * table.mixed]
    headings += [
        Heading(f"{brief(title)}\n{brief(preset)}", right=True, spare=2 + place)
        for place, (title, preset) in enumerate(table.heads)
    ]
    shown = TextTable(headings)
    for line, following in zip(table.lines, [*table.lines[1:], None], strict=True):
        texts = [_terminal_entry(entry) for entry in line.entries]
        shown.add([brief(line.label), *[line.sees] * table.mixed, *texts])
        if following is None or line.group != following.group:
            shown.end_section()
    shown.add([UNIT, *[""] * table.mixed, *table.unit_texts])
    return shown


def _terminal_entry(entry: Entry | None) -> Text:
    if entry is None:
        return Text(NONE)
    return Text("= " * entry.tied + entry.text(), style="bold" if entry.tied else "")


LEGEND = (
    "The value that ranks over that of oracle-gaussian, Gaussians with the exact moments, on the "
    "same observations:\n0 is exact, 1 no better than those; < the upper end of an interval that "
    "a value is not above. ± and = as below."
)
