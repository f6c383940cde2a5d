"""`cwbench.leaderboard` and `cwbench.compare`: boards and comparisons as tidy tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import pandas as pd

from cwbench.boards.board import Board, Column
from cwbench.boards.cells import empty
from cwbench.boards.comparison import Comparison, comparisons
from cwbench.boards.convergence import convergence
from cwbench.boards.costs import fit_seconds
from cwbench.boards.gathering import Boards, boards
from cwbench.boards.relative import Unit, relative, unit_of
from cwbench.boards.row import Row
from cwbench.boards.unmet import unmet
from cwbench.errors import UsageError, unknown
from cwbench.known.classes import CLASSES
from cwbench.records.shipped import sources

Names = str | Iterable[str] | None


def leaderboard(
    results: str | os.PathLike[str] | None = None,
    *,
    task: Names = None,
    preset: Names = None,
    method: Names = None,
    track: Names = None,
    metric: Names = None,
) -> pd.DataFrame:
    """The leaderboard as a tidy table, a row for each method, metric and NFE on each board.

    Args:
        results: the results directory. Default: `$CWBENCH_RESULTS`, else `./cwbench-results`, and
            the records that come with the package, told apart by the column `origin`.
        task: names of tasks to show; so for the others. Ranks are among the methods shown.
        preset: names of presets.
        method: names or labels of methods.
        track: `fixed`, `open` or `external`.
        metric: names of metrics; default all.

    Raises:
        UsageError: if a name is not on record; those that are are listed.
    """
    found = selected(results, task=task, preset=preset, method=method, track=track, metrics=None)
    for problem in found.problems:
        warnings.warn(f"skipped: {problem}", stacklevel=2)
    return frame(found.boards, names_of(metric))


def compare(
    a: str,
    b: str,
    results: str | os.PathLike[str] | None = None,
    *,
    task: Names = None,
    preset: Names = None,
    metric: str = "",
    nfe: int | str | None = "",
) -> pd.DataFrame:
    """A minus B with its interval and verdict, a row for each board and NFE that has both.

    Args:
        a: a method's label, such as `fm` or `cot-fm (beta=10)`.
        b: likewise.
        results: as of `leaderboard`.
        task: names of tasks; default all.
        preset: names of presets; default all.
        metric: default the one that ranks.
        nfe: default the one that is judged, and the second one.

    Raises:
        UsageError: if a name is not on record, the two are one, or meet nowhere.
    """
    found, problems = compared(a, b, results, task, preset, metric, "" if nfe is None else str(nfe))
    for problem in problems:
        warnings.warn(f"skipped: {problem}", stacklevel=2)
    return pd.DataFrame([comparison_row(one) for one in found])


def compared(
    a: str,
    b: str,
    results: str | os.PathLike[str] | None,
    task: Names,
    preset: Names,
    metric: str,
    nfe: str,
) -> tuple[list[Comparison], list[str]]:
    """The comparisons of two methods, and what could not be read."""
    chosen = selected(results, task=task, preset=preset, metrics=[metric] if metric else [])
    labels = {row.label for board in chosen.boards for row in board.rows}
    for name in (a, b):
        if name not in labels:
            raise unknown("method on record", name, labels)
    if a == b:
        raise UsageError(f"compare takes two methods; {a!r} is one")
    found = comparisons(chosen.boards, a, b, metric, nfe)
    if not found:
        raise unmet(chosen.boards, a, b, metric, nfe)
    return found, chosen.problems


def selected(
    results: str | os.PathLike[str] | None,
    *,
    task: Names = None,
    preset: Names = None,
    method: Names = None,
    track: Names = None,
    sees: Names = None,
    metrics: Iterable[str] | None = (),
) -> Boards:
    """The boards that were asked for.

    Raises:
        UsageError: if a name is not on record, or what methods see is none of the classes.
    """
    classes = [parsed_class(name) for name in names_of(sees)]
    wanted = {
        "tasks": names_of(task), "presets": names_of(preset), "methods": names_of(method),
        "tracks": names_of(track),
    }  # fmt: skip
    found = boards(sources(results), metrics=metrics, sees=classes, **wanted)
    for kind, names in wanted.items():
        for name in names:
            if name not in found.present[kind]:
                raise unknown(f"{kind[:-1]} on record", name, found.present[kind])
    return found


def parsed_class(name: str) -> str:
    """`operator` or `+ operator` as a class.

    Raises:
        UsageError: if there is none of that name.
    """
    found = [each for each in CLASSES if name.strip(" +") == each.strip(" +")]
    if not found:
        raise unknown("class of methods", name, CLASSES)
    return found[0]


def names_of(given: Names) -> list[str]:
    """`"a,b"`, a list of names, or None as a list; a comma inside brackets is no separator."""
    if given is None:
        return []
    if not isinstance(given, str):
        return list(given)
    parts, depth = [""], 0
    for character in given:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def frame(found: Iterable[Board], metrics: Iterable[str] = ()) -> pd.DataFrame:
    """Boards as a tidy table; of these metrics, or all."""
    chosen = {*metrics}
    rows = [
        _frame_row(board, row, column)
        | (_relative(board, row, unit) if column == board.main else {})
        for board in found
        for unit in [unit_of(board)]
        for column in sorted(board.columns, key=lambda c: c.order)
        if not chosen or column.metric in chosen
        for row in board.ordered(column)
    ]
    return pd.DataFrame(rows, columns=FRAME)


FRAME = (
    "task", "task_version", "preset", "track", "metric", "nfe", "metric_version", "method", "role",
    "origin", "seeds", "runs", "value", "low", "high", "p90", "floor", "rank_low", "rank_high",
    "tied", "scaled", "scaled_low", "scaled_high", "log_ratio", "log_ratio_low", "log_ratio_high",
    "evaluations", "sampling_seconds", "fit_seconds", "note", "older",
    "metric_source", "sees", "jacobians", "operators", "relative", "relative_low",
    "relative_high", "unit", "converged", "fall", "fall_low", "fall_high", "fall_seeds", "calls",
)  # fmt: skip


def _frame_row(board: Board, row: Row, column: Column) -> dict[str, object]:
    cell = board.cell(row, column) or empty(len(row.attempted))
    low, high = cell.rank or (None, None)
    scaled, log = (three or (None,) * 3 for three in (cell.scaled, cell.log_ratio))
    return {
        "task": board.title, "task_version": board.task["version"], "preset": board.preset,
        "track": board.track, "metric": column.metric, "nfe": column.nfe,
        "metric_version": column.version, "method": row.label, "role": row.role,
        "origin": row.origin, "seeds": cell.count, "runs": cell.runs, "value": cell.mean,
        "low": cell.low, "high": cell.high, "p90": cell.p90, "floor": cell.floor, "rank_low": low,
        "rank_high": high, "tied": cell.tied, "scaled": scaled[0], "scaled_low": scaled[1],
        "scaled_high": scaled[2], "log_ratio": log[0], "log_ratio_low": log[1],
        "log_ratio_high": log[2], "evaluations": row.sampling(column.nfe, "evaluations"),
        "sampling_seconds": row.sampling(column.nfe, "seconds"),
        "fit_seconds": fit_seconds(board, row), "note": note(board, row),
        "older": ", ".join(filter(None, (board.older, row.older, column.older))),
        "metric_source": column.source, "sees": row.sees,
        "jacobians": row.sampling(column.nfe, "jacobians"),
        "operators": row.sampling(column.nfe, "operators"), "calls": row.calls,
    }  # fmt: skip


def _relative(board: Board, row: Row, unit: Unit | None) -> dict[str, object]:
    """The value that ranks in the unit of its task, and what four times the steps take off it."""
    found, twin = relative(board.cell(row, board.main), unit), convergence(board, row, unit)
    told: dict[str, object] = {}
    if found and unit:
        low, high = (None if found.half is None else found.value + s * found.half for s in (-1, 1))
        told |= {
            "relative": found.value, "relative_low": low, "relative_high": high, "unit": unit.name,
        }  # fmt: skip
    if twin:
        told |= {
            "converged": twin.converged, "fall": twin.fall.mean, "fall_low": twin.fall.low,
            "fall_high": twin.fall.high, "fall_seeds": twin.seeds,
        }  # fmt: skip
    return told


def note(board: Board, row: Row) -> str:
    """Why a row has no result, or not from every seed, what it is excused from, what was edited.

    Likewise of its longer runs, which decide whether it had converged.
    """
    if row.skipped:
        return f"skipped: {row.skipped}"
    twin = board.longer.get(row.place)
    longer = [f"at four times the steps, {told}" for told in _told(twin)] if twin else []
    return "; ".join(filter(None, [*_told(row), *longer, row.fewer, row.excused]))


def _told(row: Row) -> list[str]:
    """Of each seed why it has no result, and whether it was edited."""
    lost = [f"seed {run.seed} {run.status}: {run.error}" for run in row.failures]
    return lost + [f"seed {run.seed}: edited by hand" for run in row.runs if run.content["edited"]]


def comparison_row(one: Comparison) -> dict[str, object]:
    """A comparison as a row of a table."""
    mean, low, high = one.difference or (None, None, None)
    return {
        "task": one.board.title, "preset": one.board.preset, "track": one.board.track,
        "metric": one.column.metric, "nfe": one.column.nfe, "a": one.a, "b": one.b,
        "seeds": one.seeds, "difference": mean, "low": low, "high": high, "verdict": one.verdict,
        "reason": one.reason, "moderated_by": one.moderated_by, "break_even": one.break_even,
    }  # fmt: skip
