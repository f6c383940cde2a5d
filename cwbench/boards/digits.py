"""Numbers of a leaderboard as text: a value carries two digits of its interval."""

from __future__ import annotations

from cwbench.boards.cells import Cell
from cwbench.records.digits import digits_of, pair


def rank_text(cell: Cell | None) -> str:
    """`1`, or `2-4` where methods cannot be told apart."""
    if cell is None or cell.rank is None:
        return ""
    low, high = cell.rank
    return str(low) if low == high else f"{low}-{high}"


def parts(cell: Cell | None) -> tuple[str, str]:
    """The value and half its interval as text, empty where there is none."""
    if cell is None or cell.mean is None:
        return "", ""
    if cell.half is None or digits_of(cell.half) is None:
        return f"{cell.mean:.3g}", ""
    return pair(cell.mean, cell.half)


def plain(cell: Cell | None) -> str:
    """`0.123 ± 0.012`."""
    value, half = parts(cell)
    return f"{value} ± {half}" if half else value or "–"


def share(three: tuple[float, float, float] | None) -> str:
    """The first of a value and its bounds."""
    return f"{round(three[0], 2) + 0.0:.2f}" if three else ""  # + 0.0: no -0.00


def seconds(value: float | None) -> str:
    """Seconds to three digits."""
    return "" if value is None else f"{value:.3g}"
