"""The errors a user can cause: what was given, what is allowed and what to type instead."""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable
from pathlib import Path


class CwbenchError(Exception):
    """Base of all errors raised on purpose; the command line prints its text and no traceback."""


class UsageError(CwbenchError, ValueError):
    """The request cannot be carried out as typed (exit code 2); nothing was written."""


class ContractError(CwbenchError, TypeError):
    """A plugin broke its contract: wrong shape, dtype or device, or a missing attribute."""


class CorruptFileError(CwbenchError):
    """A file is truncated, foreign or not what its checksum says; it was not used."""


class NewerSchemaError(CorruptFileError):
    """A record was written by a later cwbench; nothing here replaces it."""


class AnotherFitError(CorruptFileError):
    """A model or checkpoint belongs to another task, another fit key or another seed."""

    def __init__(self, path: Path, found: str | None, wanted: str) -> None:
        """Name both fits.

        Args:
            path: of the file.
            found: which fit stands in it, if any.
            wanted: which fit was looked for.
        """
        super().__init__(
            f"{path} belongs to another fit ({found or 'unnamed'}, not {wanted}); it was not used. "
            "Type --force to fit again"
        )


class DivergedError(CwbenchError, ArithmeticError):
    """Training stopped because the loss was not finite several times in a row."""


class Interrupted(CwbenchError):  # noqa: N818 - a request that was obeyed, no error
    """The run was asked to stop; what it did so far is kept where it can be."""


class NoValueError(CwbenchError, ArithmeticError):
    """A metric is not defined for what it was handed; the text says why."""


def message_of(failure: BaseException) -> str:
    """An error of ours speaks for itself; any other is named."""
    if isinstance(failure, CwbenchError):
        return str(failure)
    try:
        text = str(failure)
    except Exception:  # noqa: BLE001 - an error of a plugin that cannot be shown
        text = "(an error without a text)"
    return f"{type(failure).__name__}: {text}"


def trace_of(failure: BaseException) -> str:
    """The frames of an error for a log; none of one of ours, whose text says what to do."""
    if isinstance(failure, CwbenchError) and failure.__cause__ is None:
        return ""
    return "".join(traceback.format_exception(failure))


def disk_is_full(failure: BaseException) -> bool:
    """Whether it is a full disk, or a quota that is used up."""
    return isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT)


def out_of_memory(failure: BaseException) -> bool:
    """Whether memory ran out; the CPU allocator's error has no type of its own."""
    return isinstance(failure, MemoryError) or (
        isinstance(failure, RuntimeError)
        and ("DefaultCPUAllocator" in str(failure) or type(failure).__name__ == "OutOfMemoryError")
    )


def missing_extra(wish: str, package: str, extra: str) -> UsageError:
    """The error for something that needs a package which a plain installation lacks."""
    return UsageError(f"{wish} needs {package}; type: pip install 'cwbench[{extra}]'")


def unknown(kind: str, given: str, allowed: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the near ones and the whole list."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UsageError(
        f"unknown {kind} {given!r}.{hint} Available: {', '.join(names) if names else '(none)'}."
    )
