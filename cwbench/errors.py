"""The errors a user can cause: what was given, what is allowed and what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cwbench.records.record import Record


class CwbenchError(Exception):
    """Base of all errors raised on purpose; the command line prints its text and no traceback."""


class UsageError(CwbenchError, ValueError):
    """The request cannot be carried out as typed (exit code 2); nothing was written."""


class ContractError(CwbenchError, TypeError):
    """A plugin broke its contract: wrong shape, dtype or device, or a missing attribute."""


class CorruptFileError(CwbenchError):
    """A file is truncated, foreign or not what its checksum says; it was not used."""


class DivergedError(CwbenchError, ArithmeticError):
    """Training stopped because the loss was not finite several times in a row."""


class RunInterruptedError(KeyboardInterrupt):
    """A run was asked to stop and did; `record` says so. The same call resumes it.

    A KeyboardInterrupt, so that a loop over runs ends too.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record.error)
        self.record = record


class SweepInterruptedError(KeyboardInterrupt):
    """A sweep was asked to stop and did; the same call goes on. `records` holds what there is."""

    def __init__(self, records: list[Record], missing: int) -> None:
        super().__init__(f"stopped; {missing} runs have no record yet; the same command goes on")
        self.records = records
        self.missing = missing


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
