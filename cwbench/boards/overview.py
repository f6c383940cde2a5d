"""Across tasks: scaled scores and who wins against whom. Raw values are never averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cwbench.boards.board import Board, Row
from cwbench.boards.comparison import against
from cwbench.boards.ranking import Votes, votes
from cwbench.reporting.figures import heat_map, metric_against_nfe, vote_matrix
from cwbench.style import saved

MOST_METHODS, CONTROLS = 16, 4
"""In a figure over all tasks at most; controls beside them."""
CURVES = 10
"""Methods in a figure at most: the ones on most tasks, or the best."""
LONGEST = 28
"""Characters of a name in a figure."""
ONE_SHOT = 1.5
"""Network evaluations a sample above which a method has more than one."""
WIDEST = 60
"""Characters of a title."""


def stages(boards: Sequence[Board]) -> list[tuple[str, list[Board]]]:
    """Boards by preset and track, which never meet."""
    by_name = groupby(boards, key=lambda b: (b.preset, b.track))
    return [
        (preset + (f" / {track}" * (track != "fixed")), list(members))
        for (preset, track), members in by_name
    ]


def common_methods(boards: Sequence[Board], *, controls: bool) -> list[str]:
    """Those of `by_place` that a figure has room for."""
    return by_place(boards, controls=controls)[: MOST_METHODS + CONTROLS * controls]


def by_place(boards: Sequence[Board], *, controls: bool) -> list[str]:
    """Labels on these boards, those on most of them first, the best of these first."""
    count: Counter[str] = Counter()
    place: dict[str, list[int]] = {}
    for board in boards:
        rows = [row for row in board.ordered(board.main) if controls or row.role == "method"]
        for index, row in enumerate(rows):
            cell = board.cell(row, board.main)
            if cell and cell.mean is not None:
                count[row.label] += 1
                place.setdefault(row.label, []).append(index)
    return sorted(count, key=lambda label: (-count[label], sum(place[label]) / count[label], label))


def short_names(names: Iterable[str]) -> list[str]:
    """Names that fit a figure, those that would become equal numbered."""
    seen: Counter[str] = Counter()
    shortened = []
    for name in names:
        text = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        seen[text] += 1
        shortened.append(text + (f" ({seen[text]})" if seen[text] > 1 else ""))
    return shortened


def scaled_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Scaled scores at the NFE that is judged: rows methods, columns tasks."""
    methods = common_methods(boards, controls=True)
    table = pd.DataFrame(index=methods, columns=short_names([b.title for b in boards]), dtype=float)
    for board, title in zip(boards, table.columns, strict=True):
        for row in board.rows:
            cell = board.cell(row, board.main)
            if cell and cell.scaled and row.label in methods:
                table.loc[row.label, title] = cell.scaled[0]
    return table.dropna(axis="columns", how="all")


def vote_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Wins, ties and losses of the row against the column, one vote a task group.

    Nearly Gaussian tasks have none.
    """
    boards = [board for board in boards if not board.nearly_gaussian]
    methods = common_methods(boards, controls=False)
    met: dict[tuple[str, str], tuple[int, int, int]] = {}
    rows = [{row.label: row for row in board.rows} for board in boards]
    for a, b in combinations(methods, 2):
        found = _votes(list(zip(boards, rows, strict=True)), a, b)
        if sum(found):
            met[a, b] = (found.wins, found.ties, found.losses)
            met[b, a] = (found.losses, found.ties, found.wins)
    known = {a for a, _ in met}
    shown = [m for m in methods if m in known]
    triples = [[met.get((a, b)) for b in shown] for a in shown]
    return pd.DataFrame(triples, index=shown, columns=shown, dtype=object)


def _votes(boards: Sequence[tuple[Board, Mapping[str, Row]]], a: str, b: str) -> Votes:
    """How two methods meet on boards, each with its rows by label."""
    verdicts = []
    for board, rows in boards:
        if board.main and a in rows and b in rows and rows[a].sees == rows[b].sees:
            found = against(board, rows[a], rows[b], board.main)
            verdicts.append((board.group, found.verdict))
    return votes(verdicts)


def heat_map_of(boards: Sequence[Board], name: str) -> Figure:
    """The heat map of a preset."""
    note = "scaled score: 0 ignores y, 1 is the exact posterior"
    table = scaled_table(boards)
    table = table.set_axis(classed(short_names(table.index), table.index, boards), axis=0)
    return heat_map(table, title=f"Scaled scores, {name}", note=note)


def classed(names: Sequence[str], labels: Iterable[str], boards: Sequence[Board]) -> list[str]:
    """The names of some rows with what they know beyond pairs."""
    rows = {row.label: row for board in boards for row in board.rows}
    return [
        _with_class(name, rows[label]).replace("\n", " ")
        for name, label in zip(names, labels, strict=True)
    ]


def votes_of(boards: Sequence[Board], name: str) -> Figure:
    """The matrix of wins, ties and losses of a preset."""
    note = "wins–ties–losses of the row, one vote a task group"
    silent = sum(board.nearly_gaussian for board in boards)
    note += f"; {silent} nearly Gaussian without" if silent else ""
    table = vote_table(boards)
    names = classed(short_names(table.index), table.index, boards)
    table = table.set_axis(names, axis=0).set_axis(names, axis=1)
    return vote_matrix(table, title=f"Who wins, {name}", note=note)


def draw(boards: Sequence[Board], directory: Path) -> list[Path]:
    """Write every figure as PNG: scores and votes of each preset, metric against NFE of each task.

    Those that would be empty are left out.

    Raises:
        OSError: if the directory cannot be written.
    """
    figures: dict[str, Figure] = {}
    for name, members in stages(boards):
        if len(scaled_table(members).columns):
            figures[f"scaled-scores-{name}"] = heat_map_of(members, name)
        if len(vote_table(members)):
            figures[f"votes-{name}"] = votes_of(members, name)
    return _saved(figures | _of_tasks(boards), directory)


def draw_tasks(boards: Sequence[Board], directory: Path) -> list[Path]:
    """Write metric against NFE of each task as PNG.

    Raises:
        OSError: if the directory cannot be written.
    """
    return _saved(_of_tasks(boards), directory)


def _of_tasks(boards: Sequence[Board]) -> dict[str, Figure]:
    looks = looks_of(boards)
    figures = {
        f"{board.title}-{board.preset}-{board.track}": nfe_figure(board, looks) for board in boards
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _saved(figures: Mapping[str, Figure], directory: Path) -> list[Path]:
    return [saved(f, directory, name.removesuffix("-fixed")) for name, f in figures.items()]


def looks_of(boards: Sequence[Board]) -> dict[str, int]:
    """For each row the number of its colour and marker, the same in all figures.

    There are ten colours; the methods on most boards come first.
    """
    labels = {
        row.label: (row.role != "method", row.label) for board in boards for row in board.rows
    }
    count = Counter(row.label for board in boards for row in board.rows)
    order = sorted(labels, key=lambda label: (-count[label], labels[label]))
    return {label: place for place, label in enumerate(order)}


def looks_on(board: Board, looks: Mapping[str, int]) -> dict[str, int]:
    """The looks of a board's rows; those that its figure draws have different colours.

    Of several with one colour all but the first get the next free one.

    Args:
        board: its rows.
        looks: as of `looks_of`.
    """
    found: dict[str, int] = {}
    for name in sorted((row.label for row in _drawn(board)), key=looks.__getitem__):
        used, look = {each % CURVES for each in found.values()}, looks[name]
        found[name] = next((n for n in range(look, look + CURVES) if n % CURVES not in used), look)
    return {row.label: looks[row.label] for row in board.rows} | found


def _drawn(board: Board) -> list[Row]:
    """The best methods and the controls that bound them, as many as there are colours."""
    rows = [row for row in board.ordered(board.main) if board.cell(row, board.main)]
    chosen = [row for row in rows if row.role == "method"][:CURVES]
    return chosen + [row for row in rows if row.role == "upper"][: CURVES - len(chosen)]


def _with_class(name: str, row: Row) -> str:
    """A name, on a second line what the method knows beyond pairs."""
    known = row.role == "method" and row.sees != "pairs"
    return f"{name}\n({row.sees})" if known else name


def _own_evaluations(row: Row) -> int | None:
    """Network evaluations a sample of a method whose number of them is no NFE; None for one."""
    used = row.sampling("", "evaluations")
    return round(used) if used and used > ONE_SHOT else None


def nfe_figure(board: Board, looks: Mapping[str, int]) -> Figure | None:
    """The main metric against NFE, of the best methods and the controls that bound them.

    Args:
        board: what to draw.
        looks: as of `looks_of`.
    """
    chosen, taken = _drawn(board), looks_on(board, looks)
    short = short_names([row.label for row in chosen])
    names = [_with_class(n, r).replace("$", r"\$") for n, r in zip(short, chosen, strict=True)]
    colours = {name: taken[row.label] for name, row in zip(names, chosen, strict=True)}
    lines = [
        {
            "method": name, "nfe": _own_evaluations(row) if one_shot else column.nfe,
            "value": cell.mean, "low": cell.low, "high": cell.high, "floor": cell.floor,
        }
        for row, name in zip(chosen, names, strict=True)
        for one_shot in [row.one_shot]
        for column in sorted(board.columns, key=lambda c: c.order)
        if column.metric == board.main_metric
        and board.main
        and column[2:] == board.main[2:]
        and (not one_shot or column == board.main)
        and (cell := board.cell(row, column))
        and (row.role == "method" or (cell.low or 0) > 0)  # one at 0 would stretch the axis
    ]  # fmt: skip
    if not lines or board.main is None:
        return None
    name, main = board.main_metric, board.main.nfe or None
    title = board.name if len(board.name) <= WIDEST else board.name[: WIDEST - 1] + "…"
    title = title.replace("$", r"\$")
    table = pd.DataFrame(lines)
    return metric_against_nfe(table, metric=name, title=title, main_nfe=main, looks=colours)
