"""The figures of runs that a page carries within itself, as many as there is room for.

Only what is a run's own is read: a PNG file by its signature, below the directory of the run, and
reached through no link.
"""

from __future__ import annotations

import base64
from itertools import product
from pathlib import Path

from cwbench.boards.row import Row
from cwbench.machine.files import opened

ROOM_BYTES = 1_000_000
"""Of all figures on a page as they stand there, about five, and of what it tells of its runs."""
RUN_BYTES = 500
"""What a page tells of a run: one with thousands has no room for figures."""
SHOWN = ("posterior-1.png", "classes.png")
"""The one that tells most of a run, of those that `cwbench run` draws."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Gallery:
    """The figures of one page: those that come first, until one does not fit."""

    def __init__(self, runs: int) -> None:
        """Make an empty one for a page of so many runs."""
        self.room_bytes = max(0, ROOM_BYTES - RUN_BYTES * runs)

    def entry(self, row: Row) -> dict[str, tuple[str, str | None]]:
        """What the page tells of a row's first run with a result: `picture`, or nothing.

        That is a path below the results, and the figure in base64, None where there is no room.
        """
        first = sorted((r for r in row.runs if r.status == "ok"), key=lambda r: r.seed)[:1]
        for run, name in product(first, SHOWN):
            content = _png(run.directory, f"figures/{name}", self.room_bytes + 1)
            if content is not None:
                return {"picture": (f"{run.name}/figures/{name}", self._carried(content))}
        return {}

    def _carried(self, content: bytes) -> str | None:
        text = base64.b64encode(content).decode()
        fits = len(text) <= self.room_bytes
        self.room_bytes = self.room_bytes - len(text) if fits else 0
        return text if fits else None


def _png(directory: Path, name: str, at_most: int) -> bytes | None:
    """The first bytes of a PNG file below a directory; None where there is none."""
    path = directory / name
    try:
        if not path.is_file() or path.resolve() != directory.resolve() / name:
            return None
        with opened(path) as file:
            content = file.read(max(len(SIGNATURE), at_most))
    except OSError:  # not ours to read
        return None
    return content if content.startswith(SIGNATURE) else None
