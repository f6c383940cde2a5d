"""A full disk, as a message that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cwbench.errors import CwbenchError, disk_is_full


@contextmanager
def explained_full_disk(results: Path) -> Iterator[None]:
    """Inside, the error of a full disk says what to do."""
    try:
        yield
    except OSError as failure:
        if not disk_is_full(failure):
            raise
        raise CwbenchError(
            f"the disk of {results} is full; free some room and type the same command again, "
            "it resumes"
        ) from failure
