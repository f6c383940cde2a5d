"""Why two methods are compared nowhere: what each of them lacks, and what to type instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cwbench.boards.board import Board
from cwbench.boards.comparison import columns_asked
from cwbench.boards.row import Row
from cwbench.errors import UsageError


def unmet(boards: Sequence[Board], a: str, b: str, metric: str, nfe: str) -> UsageError:
    """The error where no board has a value of both in what was asked for.

    Args:
        boards: all that were looked at.
        a: a label that is on one of them.
        b: likewise.
        metric: empty for the one that ranks.
        nfe: empty for the one that is judged, and the second one.
    """
    on = {name: [board for board in boards if _row(board, name)] for name in (a, b)}
    if not {*map(_kind, on[a])} & {*map(_kind, on[b])}:
        each = (f"{name!r} is on {_kinds(on[name])}" for name in (a, b))
        return UsageError(f"{' and '.join(each)}: numbers of these are never compared")
    shared = [board for board in on[a] if _row(board, b)]
    where = f"{metric or 'the metric that ranks'}{f' at NFE {nfe}' if nfe else ''}"
    if not shared:
        told = [f"{name!r} is on {', '.join(sorted(b.name for b in on[name]))}" for name in (a, b)]
    elif not any(_measures(board, metric or board.main_metric) for board in shared):
        present = {column.name for board in shared for column in board.columns}
        told = [f"on record: {', '.join(sorted(present)) or 'no value'}"]
    else:
        told = [f"{board.name}: {', '.join(_reasons(board, a, b, metric, nfe))}"
                for board in shared]  # fmt: skip
    return UsageError(f"{a!r} and {b!r} meet on no task in {where}; {'; '.join(told)}")


def _row(board: Board, label: str) -> Row | None:
    return next((row for row in board.rows if row.label == label), None)


def _kind(board: Board) -> tuple[str, str]:
    return board.track, board.preset


def _kinds(boards: Iterable[Board]) -> str:
    kinds = sorted({*map(_kind, boards)})
    return ", ".join(f"track {track!r} at preset {preset!r}" for track, preset in kinds)


def _reasons(board: Board, a: str, b: str, metric: str, nfe: str) -> Iterator[str]:
    """What the two lack on a board that has both, and where on it they do meet."""
    name = metric or board.main_metric
    if not _measures(board, name):
        yield f"no value of {name}"
        return
    has = {label: _has(board, label, name) for label in (a, b)}
    asked = [nfe] if nfe else [column.nfe for column in columns_asked(board, metric, nfe)]
    for label in dict.fromkeys((a, b)):
        if not set(has[label]) & {*asked}:
            yield f"{label!r} {_lack(board, label, name, nfe, has[label])}"
    common = [at for at in has[a] if at in has[b]]
    if common:
        default = {column.nfe for column in columns_asked(board, metric, "")}
        leave_out = "leave --nfe out, or " if nfe and default & {*common} else ""
        yield f"they meet at NFE {', '.join(common)}: {leave_out}type --nfe {common[-1]}"


def _measures(board: Board, metric: str) -> bool:
    return any(column.metric == metric for column in board.columns)


def _has(board: Board, label: str, metric: str) -> list[str]:
    """The NFE at which a row has a cell of a metric."""
    row = _row(board, label)
    columns = sorted((c for c in board.columns if c.metric == metric), key=lambda c: c.order)
    return [column.nfe for column in columns if row and board.cell(row, column)]


def _lack(board: Board, label: str, metric: str, nfe: str, has: Sequence[str]) -> str:
    """Why a row has no value where one was asked for."""
    row = _row(board, label)
    assert row is not None  # noqa: S101 - the board has both
    if row.skipped:
        return f"was skipped there ({row.skipped})"
    if len(row.failures) == len(row.attempted):
        failed = row.failures[0]
        return f"has no result there (seed {failed.seed} {failed.status}: {failed.error})"
    if nfe.isdigit() and row.used and row.calls and row.calls > int(nfe):
        return (
            f"has no NFE to ask for and takes {row.used:,.0f} calls a draw, as its settings say, "
            f"too many for NFE {nfe}"
        )
    return f"has {metric} at NFE {', '.join(has)} alone" if any(has) else f"has no {metric} there"
