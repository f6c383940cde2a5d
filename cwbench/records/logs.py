"""The log of a run: all of it, its end, or what is added while it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cwbench.errors import UsageError
from cwbench.machine.files import contents, opened
from cwbench.records.runs import is_running
from cwbench.records.schema import brief

LOG = "log.txt"
LINE = 2000
"""Characters of a line that are shown."""
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d([+-]\d{4})?  ")
"""Before a line; logs of before 0.2.0 have no zone."""
TAIL_BYTES = 4096
POLL_SECONDS = 0.3


def last_line(directory: Path) -> str:
    """The last line of a run's log without its time, empty where there is none."""
    try:
        with opened(directory / LOG) as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            found = _split(file.read())
    except OSError:
        return ""
    return STAMP.sub("", found[-1], count=1) if found else ""


def lines(directory: Path, last: int | None = None) -> list[str]:
    """The lines of a run's log, or the `last` of them.

    Raises:
        UsageError: if it has none.
    """
    return _last(_split(_read(directory)), last)


def followed(directory: Path, last: int | None = None) -> Iterator[str]:
    """The lines of a run's log and those that are added, until no process holds the run.

    A run that starts anew empties its log; then the new one is given from its start.

    Raises:
        UsageError: if it has none.
    """
    seen, content = 0, _read(directory)
    while True:
        running = is_running(directory)  # asked first: what is written after is read next time
        new = content[seen:]
        whole = new[: new.rfind(b"\n") + 1] if running else new
        yield from _last(_split(whole), last)
        if not running:
            return
        seen, last = seen + len(whole), None
        time.sleep(POLL_SECONDS)
        with suppress(UsageError):  # removed for a moment by a run that starts anew
            content = _read(directory)
        if len(content) < seen:
            seen = 0


def _read(directory: Path) -> bytes:
    try:
        return contents(directory / LOG)
    except OSError as error:
        raise UsageError(f"no log in {str(directory)!r}: {error.strerror or error}") from None


def _split(content: bytes) -> list[str]:
    return [brief(line, LINE) for line in content.decode(errors="replace").splitlines()]


def _last(found: list[str], last: int | None) -> list[str]:
    return found if last is None else found[max(0, len(found) - last) :]
