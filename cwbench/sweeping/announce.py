"""How a sweep shows itself: a bar on a terminal, one plain line a run in a log."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cwbench.machine.locks import remedy
from cwbench.records.record import Record
from cwbench.records.schema import brief
from cwbench.sweeping.sweep import Planned, Refused, Reports

GOOD = ("ok", "skipped")


def counted(statuses: Counter[str]) -> str:
    """`40 ok, 2 failed`: the good ones first."""
    ordered = sorted(statuses.items(), key=lambda item: (item[0] not in GOOD, item[0]))
    return ", ".join(f"{number} {status}" for status, number in ordered if number)


def last_line(error: str | None) -> str:
    """The line of an error that says most."""
    lines = [line for line in (error or "").splitlines() if line.strip()]
    return brief(lines[-1].strip()) if lines else ""


@contextmanager
def announced(runs: list[Planned | Refused], *, quiet: bool) -> Iterator[Reports]:
    """Reports of a sweep on standard error."""
    if quiet:
        yield Reports()
        return
    console = Console(stderr=True)
    known = [r.record for r in runs if isinstance(r, Planned) and not r.to_do and r.record]
    tally = Counter[str](record.status for record in known)
    if not console.is_terminal:
        yield _Lines(len(runs), tally, _to_stderr).reports()
        return
    columns = (
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
    )  # fmt: skip
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(counted(tally), total=len(runs), completed=len(known))

        def write(text: str) -> None:
            bar.console.print(text, markup=False, highlight=False)
            bar.update(task, description=counted(tally), completed=tally.total())

        yield _Lines(len(runs), tally, write).reports()


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Lines:
    """One line for a run that ends; the last line of its error at once."""

    def __init__(self, runs: int, tally: Counter[str], write: Callable[[str], None]) -> None:
        self.runs, self.tally, self.write = runs, tally, write
        self.told_busy: set[str] = set()

    def reports(self) -> Reports:
        if self.tally:
            self.write(f"on record already: {counted(self.tally)}")
        return Reports(self.busy, self.ended, self.stopping)

    def busy(self, run: Planned) -> None:
        if run.name not in self.told_busy:
            self.told_busy.add(run.name)
            otherwise = remedy(run.runner.directory)
            self.write(
                f"{run.name}: another process does it; looked at again in the end{otherwise}"
            )

    def ended(self, run: Planned | Refused, record: Record) -> None:
        self.tally[record.status] += 1
        reason = f": {last_line(record.error)}" if record.error else ""
        self.write(f"[{self.tally.total()}/{self.runs}] {run.name}: {record.status}{reason}")

    def stopping(self, running: int) -> None:
        self.write(f"stopping: {running} runs write their checkpoints; Ctrl-C again ends them now")
