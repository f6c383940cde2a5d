"""How work failed: as the status of a run, or as a message that a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from cwbench.errors import (
    CorruptFileError,
    CwbenchError,
    DivergedError,
    Interrupted,
    disk_is_full,
    message_of,
    out_of_memory,
    trace_of,
)
from cwbench.machine.guests import visiting
from cwbench.records.record import Status

Ending = tuple[Status, str | None]
"""How a run ended, and the reason where it is not ok."""


@contextmanager
def explained_disk(results: Path) -> Iterator[None]:
    """Inside, an error of the disk, or of a directory that went, says what to do."""
    try:
        yield
    except FileNotFoundError as failure:
        raise CwbenchError(
            f"{failure.filename or results} is not there any more; something removed it while it "
            "was written to. Type the same command again"
        ) from failure
    except CwbenchError:
        raise
    except OSError as failure:
        if not disk_is_full(failure):
            place = failure.filename or results
            raise CwbenchError(
                f"{place} cannot be written: {failure.strerror or failure}. What was on record "
                "stays; type the same command again once it can be, or name another results "
                "directory with --results DIR"
            ) from failure
        raise CwbenchError(
            f"the disk of {results} is full; free some room and type the same command again, "
            "it resumes"
        ) from failure


def ended(work: Callable[[], Ending], say: Callable[[str], None]) -> Ending:
    """How work ended: as it says, or by what it raised.

    Raises:
        CorruptFileError: if the stored model is damaged.
        OSError: if the disk is full; a record could not be written either.
    """
    try:
        with visiting():
            return work()
    except CorruptFileError:
        raise
    except (Interrupted, KeyboardInterrupt) as stopped:
        return "interrupted", str(stopped) or "interrupted"
    except DivergedError as diverged:
        return "diverged", str(diverged)
    except (MemoryError, torch.OutOfMemoryError) as memory:
        return "oom", f"out of memory: {memory}"
    except BaseException as failure:  # a failed run is a record, never lost
        if disk_is_full(failure):
            raise
        if trace := trace_of(failure):
            say(trace)
        return ("oom" if out_of_memory(failure) else "failed"), message_of(failure)
