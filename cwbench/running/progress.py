"""How long work shows itself: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cwbench.machine.files import opened
from cwbench.training.context import Progress

BAR_SECONDS = 0.1
LINE_SECONDS = 10.0


class _Log:
    """`log.txt` of a run: one line an event, with its time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, message: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S%z")
        text = "".join(f"{stamp}  {line}\n" for line in message.splitlines())
        with suppress(FileNotFoundError), opened(self.path, append=True) as file:
            # its directory may be gone, which is told when the record cannot be written
            file.write(text.encode(errors="backslashreplace"))


@contextmanager
def progress_of(log: Path, *, quiet: bool) -> Iterator[Progress]:
    """Progress that goes to the terminal (or standard error) and to `log`."""
    write = _Log(log)
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        lines = _Lines(write, quiet=quiet)
        yield Progress(lines.update, lines.message)
        return
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Bar(*columns, console=console) as bar:
        bars = _Bars(bar, write)
        yield Progress(bars.update, write)


class _Throttle:
    """True at most once in `seconds` for each phase, and always at its end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.shown_at: dict[str, float] = {}

    def __call__(self, phase: str, fraction: float) -> bool:
        now = time.monotonic()
        if fraction < 1.0 and now - self.shown_at.get(phase, 0.0) < self.seconds:
            return False
        self.shown_at[phase] = now
        return True


class _Bars:
    def __init__(self, bar: Bar, write: _Log) -> None:
        self.bar, self.write = bar, write
        self.tasks: dict[str, TaskID] = {}
        self.due, self.due_in_log = _Throttle(BAR_SECONDS), _Throttle(LINE_SECONDS)

    def update(self, phase: str, fraction: float, values: Mapping[str, float]) -> None:
        if not self.due(phase, fraction):
            return
        if phase not in self.tasks:
            self.tasks[phase] = self.bar.add_task(phase, total=1.0, values="")
        self.bar.update(self.tasks[phase], completed=fraction, values=_text(values))
        if self.due_in_log(phase, fraction):
            self.write(f"{phase} {fraction:.0%} {_text(values)}")


class _Lines:
    def __init__(self, write: _Log, *, quiet: bool) -> None:
        self.write, self.quiet = write, quiet
        self.due = _Throttle(LINE_SECONDS)
        self.first: dict[str, tuple[float, float]] = {}

    def update(self, phase: str, fraction: float, values: Mapping[str, float]) -> None:
        started, done = self.first.setdefault(phase, (time.monotonic(), fraction))
        if self.due(phase, fraction):
            spent, gone = time.monotonic() - started, fraction - done  # a resumed fit begins late
            left = f"{spent / gone * (1 - fraction):.0f} s left" if gone > 0 else ""
            parts = (f"{phase} {fraction:.0%}", _text(values), left)
            self.message(" ".join(filter(None, parts)))

    def message(self, text: str) -> None:
        self.write(text)
        if not self.quiet:
            sys.stderr.write(f"{text}\n")


def _text(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items())
