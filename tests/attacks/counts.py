"""What came of attacks, counted; every count but `tried` is to be 0.

A module `test_*.py` here lists its attacks in `ATTACKS`; its tests hold them at 0, and
`python tests/attacks` runs all of them in full and prints the table of the guide's page.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Counts:
    """How many attacks were tried, and what fell: `a + b` adds them up."""

    tried: int = 0
    lost: int = 0
    """Results that were there before and are not any more."""
    wrong: int = 0
    """False numbers that were believed or shown."""
    hung: int = 0
    executed: int = 0
    """Code that ran though it came from a file that nobody named."""
    crashed: int = 0
    """Tracebacks, and readers that stopped at what they should have skipped."""

    def __add__(self, other: Counts) -> Counts:
        """The sums."""
        names = [part.name for part in fields(self)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Hung(BaseException):
    """A call took longer than it may."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `Hung` in what takes longer."""

    def ring(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Attack:
    """A row of the table.

    `run(place, n)` makes n attacks in an empty directory and returns their `Counts`, or a mapping
    with some of these names; it needs no fixture. `full` is the n of the table.
    """

    title: str
    run: Callable[[Path, int], Counts | Mapping[str, Any]]
    full: int

    def counts(self, place: Path, n: int) -> Counts:
        """What came of n of them."""
        found = self.run(place, n)
        return found if isinstance(found, Counts) else Counts(**found)
