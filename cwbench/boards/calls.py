"""At how many network evaluations a draw a sampler is judged that sets their number itself.

A flow is asked for an NFE; a sampler that knows the operator has steps, levels, moves or particles
among its settings, and another number of them is another row. They are judged at `JUDGED` calls a
draw, as the harness counted them. The same sampler at `SECOND` calls stands in a second column
beside that row, and at more calls in the figures of quality against cost. What has no such row to
stand beside is a row of its own, ranked among those of as many calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cwbench.boards.row import Row

SECOND, JUDGED = 20, 100
LEVELS = (SECOND, JUDGED, 1_000)
BEYOND = 1.1
"""A chain's first state or a schedule's last step may be counted on top of a level."""
ONE_SHOT = 1.5
"""Network evaluations a draw above which a method has more than one."""


def level(evaluations: float) -> int:
    """The least of `LEVELS` that these evaluations of a draw keep to, else their own number."""
    kept = (each for each in LEVELS if evaluations <= BEYOND * each)
    return next(kept, round(evaluations))


def at(evaluations: float, number: int) -> bool:
    """Whether these are that many, within a tenth."""
    return number <= BEYOND * evaluations and evaluations <= BEYOND * number


def beside(rows: Iterable[Row]) -> dict[int, dict[int, Row]]:
    """By the place of a judged row the same sampler at other numbers of calls, by their number.

    The same sampler differs in numbers alone, of which each has to differ in the fewest from the
    other: none is chosen among several that are equally near. What takes fewer calls than it stands
    at is left out where another takes them.
    """
    kinds: dict[tuple[Any, ...], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.calls is not None:
            kinds[_kind(row)][row.calls].append(row)
    found: dict[int, dict[int, Row]] = {}
    for kind in kinds.values():
        by_number = {number: _full(rows) for number, rows in kind.items()}
        judged = by_number.pop(JUDGED, [])
        for calls, others in by_number.items():
            for row in judged:
                other = _nearest(row, others)
                if other is not None and _nearest(other, judged) is row:
                    found.setdefault(row.place, {})[calls] = other
    return found


def _full(rows: list[Row]) -> list[Row]:
    """Those that take the calls at which they stand, if any does."""
    return [row for row in rows if not row.fewer] or rows


def _kind(row: Row) -> tuple[Any, ...]:
    """What the same sampler has in common: all but its numbers."""
    method = row.method
    words = {key: value for key, value in method["params"].items() if not _number(value)}
    return (method["name"], method["version"], method.get("source_sha256"), row.sees,
            repr(sorted(words.items())))  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nearest(row: Row, others: list[Row]) -> Row | None:
    """The one that differs in the fewest settings, None where two do."""
    apart = [_apart(row.method["params"], other.method["params"]) for other in others]
    least = min(apart, default=0)
    return others[apart.index(least)] if apart.count(least) == 1 else None


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(one.get(key) != other.get(key) for key in {**one, **other})
