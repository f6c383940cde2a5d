"""What went wrong in a run, as a message that a user can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cwbench.errors import CwbenchError


def message_of(failure: BaseException) -> str:
    """An error of ours speaks for itself; any other is named."""
    if isinstance(failure, CwbenchError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"


def disk_is_full(failure: BaseException) -> bool:
    """Whether it is a full disk, or a quota that is used up."""
    return isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT)


def out_of_memory(failure: BaseException) -> bool:
    """The CPU allocator's error has no type of its own."""
    return isinstance(failure, RuntimeError) and "DefaultCPUAllocator" in str(failure)


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
