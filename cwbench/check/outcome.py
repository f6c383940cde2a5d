"""A check and what came of it.

A check is a plain function of a subject. Its name is the function's, and the first line of its
docstring says in one sentence what is expected. It returns if that holds, raises `UnmetError` with
what was seen instead, or `NotApplicableError` with the reason; any other error of the plugin is a
failure too. A plugin declares exceptions in `excused`, by the check's name, each with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from cwbench.errors import CwbenchError

S = TypeVar("S")
Status = Literal["passed", "failed", "excused", "not applicable"]


class UnmetError(CwbenchError):
    """What was expected does not hold; the text says what was seen."""


class NotApplicableError(CwbenchError):
    """The check has nothing to look at; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """One check of one plugin; `seen` is what was seen, or the reason of an exception."""

    check: str
    expected: str
    status: Status
    seen: str = ""
    seconds: float = 0.0


def require(condition: bool, seen: str) -> None:
    """Go on if `condition` holds.

    Raises:
        UnmetError: with what was seen, if it does not.
    """
    if not condition:
        raise UnmetError(seen)


def name_of(check: Callable[[S], None]) -> str:
    """`samples_follow_y` as `samples-follow-y`."""
    return check.__name__.replace("_", "-")


def expectation(check: Callable[[S], None]) -> str:
    """The sentence that says what is expected."""
    return (check.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")


def carried_out(check: Callable[[S], None], subject: S, excused: Mapping[str, str]) -> Outcome:
    """Run one check; an excuse without a reason excuses nothing."""
    name, expected = name_of(check), expectation(check)
    reason = str(excused.get(name, "")).strip()
    if reason:
        return Outcome(name, expected, "excused", reason)
    started = time.perf_counter()
    status, seen = _verdict(check, subject)
    return Outcome(name, expected, status, seen, time.perf_counter() - started)


def _verdict(check: Callable[[S], None], subject: S) -> tuple[Status, str]:
    try:
        check(subject)
    except UnmetError as unmet:
        return "failed", str(unmet)
    except NotApplicableError as reason:
        return "not applicable", str(reason)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is what was seen
        return "failed", f"{type(error).__name__}: {error}"
    return "passed", ""


def refuse_unfounded_excuses(excused: Mapping[str, str], known: Iterable[str]) -> None:
    """Go on if every excuse names a check and gives a reason.

    Raises:
        UnmetError: naming those that do not.
    """
    names = sorted(known)
    strangers = sorted(set(excused) - set(names))
    require(not strangers, f"excused names no check: {strangers}; there are {', '.join(names)}")
    bare = sorted(name for name, reason in excused.items() if not str(reason).strip())
    require(not bare, f"excused without a reason: {', '.join(bare)}")
