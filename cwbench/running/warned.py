"""How a program of ours shows warnings: what was done, not where in the source it was noticed."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from typing import TextIO


def warn_in_a_line() -> None:
    """Show warnings from now on as `warning: ...` on standard error, without file and source line.

    Other kinds than `UserWarning`, which libraries give of code, are named.
    """
    warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    from cwbench.records.schema import shown

    kind = "" if issubclass(category, UserWarning) else f"{category.__name__}: "
    with suppress(OSError, AttributeError):  # there may be no standard error, as Python has it
        (file or sys.stderr).write(f"warning: {kind}{shown(str(message))}\n")
